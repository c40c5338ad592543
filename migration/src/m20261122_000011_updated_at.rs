//! The index of the order `UPDATED_AT`, in which the dashboard opens: what changed last comes first. On SQLite only.
//!
//! It is over the expression that pages sort by and compare with, so that rows to which others gave no time have
//! their place too. Without it, each page of that order sorts all that the filter selects.
//!
//! PostgreSQL has to do without. Every update of a reservation changes the time, so with this index none could stay
//! within its page any more without touching the others (HOT, see `m20261122_000010_pages`): each would write
//! into every index of the table, of which the trigrams are the dearest. Of batches of 64 updates by their
//! numbers, 190 a second were written without it and 55 with it (169 and 102 where there are no trigrams;
//! PostgreSQL 15 on a machine that was busy), and webhooks must be answered while they come. Nor does a table of
//! its own for the times help, kept by a trigger on each statement: an event in a batch of 20 took 43 us in the
//! database with it, 24 without, and 63 with the index.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const UP: &str = "
CREATE INDEX IF NOT EXISTS besty_reservations_updated_at ON reservations ((COALESCE(updated_at, {epoch})), id)
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        match manager.get_connection().get_database_backend() {
            DbBackend::Sqlite => super::sql::run(manager, UP).await,
            _ => Ok(()),
        }
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, "DROP INDEX IF EXISTS besty_reservations_updated_at").await
    }
}
