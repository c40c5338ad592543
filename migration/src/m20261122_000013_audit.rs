//! Who asked for what, and when.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// `subject` is the broadcast or the rejected webhook, none for the registration. It refers to no table, since
/// what is told here outlives it. The index is the order of the list.
const UP: &str = "
CREATE TABLE IF NOT EXISTS audit (
    id VARCHAR(36) PRIMARY KEY,
    at {timestamp} NOT NULL,
    actor VARCHAR(255) NOT NULL,
    role VARCHAR(20) NOT NULL,
    action VARCHAR(40) NOT NULL,
    subject VARCHAR(36)
);
CREATE INDEX IF NOT EXISTS besty_audit_at ON audit (at, id)
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, "DROP TABLE audit").await
    }
}
