//! One call a batch of events on PostgreSQL, and a cheaper index on the change log.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// `key` alone repeats itself, which PostgreSQL stores once; with `seq` behind it no entry is like
/// another. A list of one object's changes is short enough to be sorted when it is read.
const INDEX: &str = "
DROP INDEX IF EXISTS besty_changes_key;
CREATE INDEX IF NOT EXISTS besty_changes_of_key ON changes (key)
";

/// Writes what was decided: rows, guests and changes, in the order given, with the feed lock taken
/// before a sequence is drawn. Whatever has another version by now than it was decided upon with
/// (none, where it was not there) fails the whole call with 40001, and nothing is written.
///
/// `row_ids` holds 0 for a row that is new. A guest's version is '' where the guest is in `learned`,
/// which brings its own: a row's guest fields are always those of `guests`. An empty text stands for
/// NULL in `webhook_ids` and `befores`.
pub(crate) const APPLY: &str = "
CREATE OR REPLACE FUNCTION besty_apply_batch(
    feed_lock bigint, at timestamptz, learned jsonb,
    row_ids int[], versions text[], ids text[], properties text[], guests text[], guest_versions text[],
    statuses text[], arrivals date[], departures date[], people int[], amounts numeric[],
    currencies text[], webhook_ids text[], timestamps timestamptz[],
    kinds text[], befores text[], afters text[]
) RETURNS void
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    done int;
    more int;
BEGIN
    PERFORM pg_advisory_xact_lock(feed_lock);
    IF learned IS NOT NULL THEN
        UPDATE guests AS g SET
            first_name = l.first_name, first_name_order = l.first_name_order,
            last_name = l.last_name, last_name_order = l.last_name_order,
            email = l.email, email_order = l.email_order, phone = l.phone, phone_order = l.phone_order
        FROM jsonb_to_recordset(learned) AS l(
            guest_id text, version text, first_name text, first_name_order text, last_name text,
            last_name_order text, email text, email_order text, phone text, phone_order text)
        WHERE g.guest_id = l.guest_id AND g.xmin = l.version::xid;
        GET DIAGNOSTICS done = ROW_COUNT;
        INSERT INTO guests (guest_id, first_name, first_name_order, last_name, last_name_order, email,
            email_order, phone, phone_order, fetch_after)
        SELECT guest_id, first_name, first_name_order, last_name, last_name_order, email, email_order,
            phone, phone_order,
            CASE WHEN first_name IS NULL OR last_name IS NULL OR email IS NULL OR phone IS NULL THEN at END
        FROM jsonb_to_recordset(learned) AS l(
            guest_id text, version text, first_name text, first_name_order text, last_name text,
            last_name_order text, email text, email_order text, phone text, phone_order text)
        WHERE version IS NULL
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS more = ROW_COUNT;
        IF done + more <> jsonb_array_length(learned) THEN
            RAISE EXCEPTION 'a guest was written meanwhile' USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;

    UPDATE reservations AS r SET
        property_id = e.property_id, guest_id = e.guest_id, status = e.status, check_in = e.check_in,
        check_out = e.check_out, num_guests = e.num_guests, total_amount = e.total_amount,
        currency = e.currency, guest_first_name = g.first_name, guest_last_name = g.last_name,
        guest_email = g.email, guest_phone = g.phone, webhook_id = NULLIF(e.webhook_id, ''),
        event_timestamp = e.event_timestamp, updated_at = at
    FROM unnest(row_ids, versions, properties, guests, guest_versions, statuses, arrivals, departures,
            people, amounts, currencies, webhook_ids, timestamps)
        AS e(id, version, property_id, guest_id, guest_version, status, check_in, check_out, num_guests,
            total_amount, currency, webhook_id, event_timestamp)
    JOIN guests AS g
        ON g.guest_id = e.guest_id AND (e.guest_version = '' OR g.xmin::text = e.guest_version)
    WHERE r.id = e.id AND r.xmin::text = e.version;
    GET DIAGNOSTICS done = ROW_COUNT;
    more := 0;
    IF done < cardinality(row_ids) THEN
        INSERT INTO reservations (reservation_id, property_id, guest_id, status, check_in, check_out,
            num_guests, total_amount, currency, guest_first_name, guest_last_name, guest_email,
            guest_phone, webhook_id, event_timestamp, created_at, updated_at)
        SELECT e.reservation_id, e.property_id, e.guest_id, e.status, e.check_in, e.check_out,
            e.num_guests, e.total_amount, e.currency, g.first_name, g.last_name, g.email, g.phone,
            NULLIF(e.webhook_id, ''), e.event_timestamp, at, at
        FROM unnest(row_ids, ids, properties, guests, guest_versions, statuses, arrivals, departures,
                people, amounts, currencies, webhook_ids, timestamps) WITH ORDINALITY
            AS e(id, reservation_id, property_id, guest_id, guest_version, status, check_in, check_out,
                num_guests, total_amount, currency, webhook_id, event_timestamp, n)
        JOIN guests AS g
            ON g.guest_id = e.guest_id AND (e.guest_version = '' OR g.xmin::text = e.guest_version)
        WHERE e.id = 0
        ORDER BY e.n
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS more = ROW_COUNT;
    END IF;
    IF done + more <> cardinality(row_ids) THEN
        RAISE EXCEPTION 'a row was written meanwhile' USING ERRCODE = 'serialization_failure';
    END IF;

    INSERT INTO changes (topic, key, kind, before, after, committed_at)
    SELECT 'reservation', key, kind, NULLIF(before, ''), after, at
    FROM unnest(ids, kinds, befores, afters) WITH ORDINALITY AS c(key, kind, before, after, n)
    ORDER BY n;
END
$$
";

const DOWN: &str = "
DROP INDEX IF EXISTS besty_changes_of_key;
CREATE INDEX IF NOT EXISTS besty_changes_key ON changes (topic, key, seq)
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::sql::run(manager, INDEX).await?;
        let connection = manager.get_connection();
        if connection.get_database_backend() == DbBackend::Postgres {
            // A function is one statement, whatever its body holds.
            connection.execute_unprepared(APPLY).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        if connection.get_database_backend() == DbBackend::Postgres {
            connection.execute_unprepared("DROP FUNCTION besty_apply_batch").await?;
        }
        super::sql::run(manager, DOWN).await
    }
}
