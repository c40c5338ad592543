//! Who stays on a night, from an index alone.
//!
//! A page looks into every piece of `m20261122_000012_spans`, and of what it finds there most is not on it. With the
//! check-out behind the order, which takes no room since an entry was padded by as much, the stays that ended before
//! the night are told apart in the index, and so are those that the page needs no more of than their place: only its
//! own rows are read. A page of who stays on a night took 2.6 ms at 10 million reservations before, 1.4 times what it
//! took at 100 thousand. It is one index in the place of one, over the same columns.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// The thresholds are those of `reservations::filter`, word for word.
const UP_POSTGRES: &str = "
CREATE INDEX IF NOT EXISTS besty_reservations_stays ON reservations (width_bucket(check_out - check_in,
    ARRAY[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,22,33,49,73,109,163,244,366,549,823,1234]), check_in, id, check_out);
DROP INDEX IF EXISTS besty_reservations_spans
";

const DOWN_POSTGRES: &str = "
CREATE INDEX IF NOT EXISTS besty_reservations_spans ON reservations (width_bucket(check_out - check_in,
    ARRAY[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,22,33,49,73,109,163,244,366,549,823,1234]), check_in, id);
DROP INDEX IF EXISTS besty_reservations_stays
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        on_postgres(manager, UP_POSTGRES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        on_postgres(manager, DOWN_POSTGRES).await
    }
}

/// SQLite has no such operator for dates.
async fn on_postgres(manager: &SchemaManager<'_>, text: &str) -> Result<(), DbErr> {
    match manager.get_connection().get_database_backend() {
        DbBackend::Postgres => super::sql::run(manager, text).await,
        _ => Ok(()),
    }
}
