//! Broadcasts, their recipients, and the lease that makes one process their sender.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// The five counts of a broadcast add up to its number of recipients at every commit (`pending`
/// counts the messages that are being sent, too). `finished_seq` numbers final results in the order
/// they were recorded; `reported_seq` and `unreported` say how far the change log has been told.
const UP: &str = "
CREATE TABLE IF NOT EXISTS broadcasts (
    id VARCHAR(36) PRIMARY KEY,
    message TEXT NOT NULL,
    status VARCHAR(20) NOT NULL,
    total INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    uncertain INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    on_uncertain VARCHAR(10) NOT NULL,
    idempotency_key VARCHAR(255) UNIQUE,
    input_digest VARCHAR(64) NOT NULL,
    suspension_reason VARCHAR(20),
    resumes_at {timestamp},
    finished_seq BIGINT NOT NULL DEFAULT 0,
    reported_seq BIGINT NOT NULL DEFAULT 0,
    unreported BOOLEAN NOT NULL DEFAULT TRUE,
    created_at {timestamp} NOT NULL,
    starts_at {timestamp} NOT NULL,
    completed_at {timestamp},
    CHECK (pending + sent + failed + uncertain + cancelled = total)
);
CREATE INDEX IF NOT EXISTS besty_broadcasts_created ON broadcasts (created_at, id);
CREATE INDEX IF NOT EXISTS besty_broadcasts_open ON broadcasts (starts_at) WHERE completed_at IS NULL;
CREATE INDEX IF NOT EXISTS besty_broadcasts_unreported ON broadcasts (id) WHERE unreported;
CREATE TABLE IF NOT EXISTS broadcast_recipients (
    broadcast_id VARCHAR(36) NOT NULL REFERENCES broadcasts (id) ON DELETE CASCADE,
    guest_id VARCHAR(50) NOT NULL,
    state VARCHAR(10) NOT NULL DEFAULT 'pending',
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before {timestamp},
    epoch BIGINT NOT NULL DEFAULT 0,
    last_error VARCHAR(500),
    finished_seq BIGINT,
    finished_at {timestamp},
    PRIMARY KEY (broadcast_id, guest_id)
);
CREATE INDEX IF NOT EXISTS besty_recipients_pending ON broadcast_recipients (broadcast_id, not_before)
    WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS besty_recipients_sending ON broadcast_recipients (broadcast_id)
    WHERE state = 'sending';
CREATE INDEX IF NOT EXISTS besty_recipients_finished ON broadcast_recipients (broadcast_id, finished_seq);
CREATE TABLE IF NOT EXISTS sender_lease (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    holder VARCHAR(36),
    epoch BIGINT NOT NULL,
    expires_at {timestamp} NOT NULL
);
INSERT INTO sender_lease (id, holder, epoch, expires_at) VALUES (1, NULL, 0, {now})
    ON CONFLICT (id) DO NOTHING
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(
            manager,
            "DROP TABLE sender_lease; DROP TABLE broadcast_recipients; DROP TABLE broadcasts",
        )
        .await
    }
}
