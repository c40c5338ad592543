//! The change log and its state: what the live feed is read from.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// `seq` is drawn while the feed lock is held, so commit order is `seq` order. The images are JSON
/// that only the server reads, whole. `feed_state` has one row: `epoch` names this log (a cursor of
/// another log is refused), `floor` is the newest `seq` that retention has removed.
const UP: &str = "
CREATE TABLE IF NOT EXISTS changes (
    seq {bigserial},
    topic VARCHAR(20) NOT NULL,
    key VARCHAR(50) NOT NULL,
    kind VARCHAR(20) NOT NULL,
    before TEXT,
    after TEXT NOT NULL,
    committed_at {timestamp} NOT NULL
);
CREATE INDEX IF NOT EXISTS besty_changes_key ON changes (topic, key, seq);
CREATE TABLE IF NOT EXISTS feed_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch BIGINT NOT NULL,
    floor BIGINT NOT NULL
)
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, "DROP TABLE feed_state; DROP TABLE changes").await
    }
}
