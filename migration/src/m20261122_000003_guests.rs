//! What is known of each guest, field by field, and which of them are still to be fetched.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Each field stands beside the order of what it was learned from; the greater order wins, so the
/// fields end alike however events and look-ups are mixed. `fetch_after` is the earliest time of the
/// next look-up, NULL when none is due.
const UP: &str = "
CREATE TABLE IF NOT EXISTS guests (
    guest_id VARCHAR(50) PRIMARY KEY,
    first_name VARCHAR(100),
    first_name_order VARCHAR(100),
    last_name VARCHAR(100),
    last_name_order VARCHAR(100),
    email VARCHAR(255),
    email_order VARCHAR(100),
    phone VARCHAR(50),
    phone_order VARCHAR(100),
    fetch_after {timestamp},
    fetch_attempts INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS besty_guests_fetch ON guests (fetch_after) WHERE fetch_after IS NOT NULL
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, "DROP TABLE guests").await
    }
}
