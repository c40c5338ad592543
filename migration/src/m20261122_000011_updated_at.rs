//! The index of the order `UPDATED_AT`, in which the dashboard opens: what changed last comes first.
//!
//! It is over the expression that pages sort by and compare with, so that rows to which others gave no time have
//! their place too. Without it, each page of that order sorts all that the filter selects.
//!
//! It is dear, and the only one of its kind: every update of a reservation changes the time, so none can stay
//! within its page any more without touching an index (HOT, see `m20261122_000010_pages`). Each writes into
//! every index of the table, of which the trigrams are the dearest. Of batches of 64 updates by their numbers,
//! 190 a second were written before it, and 55 with it (169 and 102 where there are no trigrams; PostgreSQL 15 on a
//! machine that was busy). A list of what changed last that cannot be opened at a million rows is worth less.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const UP: &str = "
CREATE INDEX IF NOT EXISTS besty_reservations_updated_at ON reservations ((COALESCE(updated_at, {epoch})), id)
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, "DROP INDEX IF EXISTS besty_reservations_updated_at").await
    }
}
