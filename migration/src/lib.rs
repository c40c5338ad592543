//! The migrations of Besty, applied in order by `besty serve` and `besty migrate`.
//!
//! Every migration runs on PostgreSQL and on SQLite from one text of SQL ([`sql`]), and leaves a
//! table that is there already as it is.

use sea_orm_migration::prelude::{MigrationTrait, async_trait};

pub use sea_orm_migration::MigratorTrait;

mod m20261122_000001_reservations;
mod m20261122_000002_changes;
mod m20261122_000003_guests;
mod m20261122_000004_broadcasts;
mod m20261122_000005_rejected_webhooks;
mod m20261122_000006_registration;
mod m20261122_000007_pacer;
mod m20261122_000008_broadcast_retries;
mod m20261122_000009_batch;
mod m20261122_000010_pages;
mod m20261122_000011_updated_at;
mod m20261122_000012_spans;
mod m20261122_000013_audit;
mod m20261122_000014_stays;
mod m20261122_000015_cheaper_batch;
mod sql;

/// The list of migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_reservations::Migration),
            Box::new(m20261122_000002_changes::Migration),
            Box::new(m20261122_000003_guests::Migration),
            Box::new(m20261122_000004_broadcasts::Migration),
            Box::new(m20261122_000005_rejected_webhooks::Migration),
            Box::new(m20261122_000006_registration::Migration),
            Box::new(m20261122_000007_pacer::Migration),
            Box::new(m20261122_000008_broadcast_retries::Migration),
            Box::new(m20261122_000009_batch::Migration),
            Box::new(m20261122_000010_pages::Migration),
            Box::new(m20261122_000011_updated_at::Migration),
            Box::new(m20261122_000012_spans::Migration),
            Box::new(m20261122_000013_audit::Migration),
            Box::new(m20261122_000014_stays::Migration),
            Box::new(m20261122_000015_cheaper_batch::Migration),
        ]
    }
}
