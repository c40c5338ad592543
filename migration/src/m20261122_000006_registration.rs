//! The registration of the webhook URL: what is wanted, what the provider's list shows, and when events
//! may have been missed.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// `requested` counts what clients asked for, `answered` is the newest of those that the holder of the
/// sender's lease has carried out, and `answer` (JSON) what came of it. `expected` says that the URL is
/// on the provider's list as far as we know and did: missing then, it was dropped.
const UP: &str = "
CREATE TABLE IF NOT EXISTS webhook_registrations (
    url TEXT PRIMARY KEY,
    wanted BOOLEAN NOT NULL,
    requested BIGINT NOT NULL DEFAULT 0,
    answered BIGINT NOT NULL DEFAULT 0,
    answer TEXT,
    is_registered BOOLEAN NOT NULL DEFAULT FALSE,
    expected BOOLEAN NOT NULL DEFAULT FALSE,
    checked_at {timestamp},
    listed_at {timestamp},
    last_event_at {timestamp},
    last_error TEXT,
    created_at {timestamp} NOT NULL,
    updated_at {timestamp} NOT NULL
);
CREATE TABLE IF NOT EXISTS webhook_gaps (
    id {bigserial},
    url TEXT NOT NULL REFERENCES webhook_registrations (url) ON DELETE CASCADE,
    from_at {timestamp} NOT NULL,
    to_at {timestamp}
);
CREATE INDEX IF NOT EXISTS besty_webhook_gaps_url ON webhook_gaps (url, id)
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, "DROP TABLE webhook_gaps; DROP TABLE webhook_registrations").await
    }
}
