//! What a retry of a finished broadcast has to remember.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// `retries` counts the retries of a broadcast. `tries_before` are the tries of a message that came before its last
/// retry: they are still counted, and no longer held against it.
const UP: &str = "
ALTER TABLE broadcasts ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE broadcast_recipients ADD COLUMN tries_before INTEGER NOT NULL DEFAULT 0
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(
            manager,
            "ALTER TABLE broadcast_recipients DROP COLUMN tries_before; ALTER TABLE broadcasts DROP COLUMN retries",
        )
        .await
    }
}
