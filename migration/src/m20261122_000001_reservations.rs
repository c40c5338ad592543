//! The `reservations` table, fixed by contract, and the one index of ours that ingest needs.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// The index on the guest serves three readers: projecting a guest's fields onto their
/// reservations, choosing the recipients of a broadcast, and the filter by guest.
const UP: &str = "
CREATE TABLE IF NOT EXISTS reservations (
    id {serial},
    reservation_id VARCHAR(50) NOT NULL UNIQUE,
    property_id VARCHAR(50) NOT NULL,
    guest_id VARCHAR(50) NOT NULL,
    status VARCHAR(20) NOT NULL,
    check_in DATE NOT NULL,
    check_out DATE NOT NULL,
    num_guests INTEGER NOT NULL,
    total_amount {amount} NOT NULL,
    currency VARCHAR(10) NOT NULL,
    guest_first_name VARCHAR(100),
    guest_last_name VARCHAR(100),
    guest_email VARCHAR(255),
    guest_phone VARCHAR(50),
    webhook_id VARCHAR(50),
    event_timestamp {timestamp},
    created_at {timestamp} DEFAULT {now},
    updated_at {timestamp} DEFAULT {now}
);
CREATE INDEX IF NOT EXISTS besty_reservations_guest ON reservations (guest_id)
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, UP).await
    }

    /// The table may hold rows that were there before us, so it stays.
    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, "DROP INDEX IF EXISTS besty_reservations_guest").await
    }
}
