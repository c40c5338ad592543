//! Who stays on a night, from an index on lengths of stay put together.
//!
//! The index before it had each number of nights by itself, so that a page looked in as many places as there are
//! lengths: 300 of them, in 10 ms. In 26 pieces it is one place each. A piece of several lengths holds stays that
//! ended before the night among those that include it; the pieces are so narrow that a page passes by few.
//! It is one index in the place of one.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// The thresholds are those of `reservations::filter`, word for word.
const UP_POSTGRES: &str = "
CREATE INDEX IF NOT EXISTS besty_reservations_spans ON reservations (width_bucket(check_out - check_in,
    ARRAY[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,22,33,49,73,109,163,244,366,549,823,1234]), check_in, id);
DROP INDEX IF EXISTS besty_reservations_nights
";

const DOWN_POSTGRES: &str = "
CREATE INDEX IF NOT EXISTS besty_reservations_nights ON reservations ((check_out - check_in), check_in, id);
DROP INDEX IF EXISTS besty_reservations_spans
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
