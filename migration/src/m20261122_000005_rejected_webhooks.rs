//! The webhooks that carried a valid secret and could not be applied.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// `body` is what came, byte for byte; it need not be JSON, nor text. The index is the order of the
/// list, and the order in which the oldest make room.
const UP: &str = "
CREATE TABLE IF NOT EXISTS rejected_webhooks (
    id VARCHAR(36) PRIMARY KEY,
    received_at {timestamp} NOT NULL,
    reason VARCHAR(500) NOT NULL,
    body {binary} NOT NULL,
    applied_at {timestamp}
);
CREATE INDEX IF NOT EXISTS besty_rejected_received ON rejected_webhooks (received_at, id)
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, "DROP TABLE rejected_webhooks").await
    }
}
