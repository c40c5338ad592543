//! What the pacer learned of the provider's limit.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// `rate` and `ceiling` are requests a second; `ceiling` is what a quota allows, where there is one. Nothing is
/// to be sent before `closed_until`.
const UP: &str = "
CREATE TABLE IF NOT EXISTS pacer_state (
    provider TEXT PRIMARY KEY,
    rate DOUBLE PRECISION,
    ceiling DOUBLE PRECISION,
    learned_at {timestamp},
    closed_until {timestamp}
)
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, "DROP TABLE pacer_state").await
    }
}
