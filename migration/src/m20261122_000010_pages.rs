//! Indexes that pages and searches of `reservations` are read through.
//!
//! What each is worth, a first page of 51 rows at 1 million rows, and what it costs a new row beside the
//! 14 us that it takes without any (PostgreSQL 15, batches of 64, one core of two):
//!
//! | index | serves | with | without | a new row |
//! |---|---|---|---|---|
//! | check-in, id | the default order, ranges of check-in, common statuses, common texts | 0.4 ms | 900 ms | + 3.5 us |
//! | property, check-in, id | a property, in the default order | 1.8 ms over HTTP | a walk past all others | + 8 us |
//! | nights, check-in, id (since put together, see `m20261122_000012_spans`) | who stays on a night, in the default order | 4 ms | 900 ms | + 7 us |
//! | trigrams | a search for a rare text | 14-28 ms | 2,700 ms | + 42 us |
//!
//! None of them holds a column that an update of a reservation changes as a rule, so with these alone updates stay
//! within their page (HOT) and touch no index. That takes room in each page: of 120,000 updates of 20,000 rows, 1,610
//! wrote into every index with pages filled to the brim, and 2 with nine tenths (7 to 15 us an update, then
//! 6). An index on the status would serve a status that hardly any row has; with it no update that changes a
//! status was HOT, and one took 30 us instead of 9, so there is none.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const UP: &str = "
CREATE INDEX IF NOT EXISTS besty_reservations_check_in ON reservations (check_in, id);
CREATE INDEX IF NOT EXISTS besty_reservations_property ON reservations (property_id, check_in, id)
";

/// SQLite has no such operator for dates.
const UP_POSTGRES: &str = "
CREATE INDEX IF NOT EXISTS besty_reservations_nights ON reservations ((check_out - check_in), check_in, id);
ALTER TABLE reservations SET (fillfactor = 90)
";

/// Whoever migrates may not be allowed to create an extension, or the server may not have it. A search then
/// reads every row, and finds the same. The index is made by this statement, run again, once it can be had.
/// ANALYZE tells the planner how common texts are. An empty table it would take for one that stays empty, and
/// have ingest read all of it for every batch.
const SEARCH: &str = r#"
DO $$
DECLARE
    home text;
BEGIN
    BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
    EXCEPTION WHEN OTHERS THEN
        RAISE NOTICE 'no index for searches: %', SQLERRM;
    END;
    SELECT n.nspname INTO home FROM pg_opclass AS o JOIN pg_namespace AS n ON n.oid = o.opcnamespace
    WHERE o.opcname = 'gin_trgm_ops' LIMIT 1;
    IF home IS NOT NULL THEN
        EXECUTE format($index$
            CREATE INDEX IF NOT EXISTS besty_reservations_search ON reservations USING gin (
                lower((coalesce(guest_first_name, '') || chr(10) || coalesce(guest_last_name, '') || chr(10) ||
                coalesce(guest_email, '') || chr(10) || coalesce(guest_phone, '') || chr(10) ||
                reservation_id || chr(10) || guest_id) COLLATE "C") %I.gin_trgm_ops)
        $index$, home);
    END IF;
    IF EXISTS (SELECT FROM reservations) THEN
        ANALYZE reservations;
    END IF;
END
$$
"#;

const DOWN: &str = "
DROP INDEX IF EXISTS besty_reservations_check_in;
DROP INDEX IF EXISTS besty_reservations_property
";

const DOWN_POSTGRES: &str = "
DROP INDEX IF EXISTS besty_reservations_nights;
DROP INDEX IF EXISTS besty_reservations_search;
ALTER TABLE reservations RESET (fillfactor)
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, UP).await?;
        let connection = manager.get_connection();
        if connection.get_database_backend() == DbBackend::Postgres {
            super::sql::run(manager, UP_POSTGRES).await?;
            connection.execute_unprepared(SEARCH).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, DOWN).await?;
        if manager.get_connection().get_database_backend() == DbBackend::Postgres {
            super::sql::run(manager, DOWN_POSTGRES).await?;
        }
        Ok(())
    }
}
