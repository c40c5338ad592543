//! The SQL of `reservations`: one statement a function.

use chrono::{DateTime, NaiveDate, Utc};
use entity::reservation;
use rust_decimal::Decimal;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, TransactionTrait};

use super::{Reservation, ReservationFilter, filter::Pieces};
use crate::{
    db::{self, Bind, Db},
    feed::{FeedTx, NewChange, log::HEAD_SQL},
    keyset::{Key, Keyset, Order, Page, PageRequest},
};

/// Rows a statement: 18 values each stay far below every limit on placeholders.
const CHUNK: usize = 200;

/// What to sort by. Rows that others wrote may lack the times; they sort as 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderField {
    /// Day of arrival.
    #[default]
    CheckIn,
    /// Day of departure.
    CheckOut,
    /// First write.
    CreatedAt,
    /// Last write.
    UpdatedAt,
    /// Total, regardless of currency.
    TotalAmount,
}

impl OrderField {
    fn name(self) -> &'static str {
        match self {
            Self::CheckIn => "check_in",
            Self::CheckOut => "check_out",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::TotalAmount => "total_amount",
        }
    }

    fn expression(self, sqlite: bool) -> String {
        let epoch = if sqlite { "'1970-01-01T00:00:00.000000Z'" } else { "'epoch'::timestamptz" };
        match self {
            Self::CheckIn | Self::CheckOut | Self::TotalAmount => self.name().to_owned(),
            Self::CreatedAt => format!("COALESCE(created_at, updated_at, {epoch})"),
            Self::UpdatedAt => format!("COALESCE(updated_at, {epoch})"),
        }
    }

    /// The value of a row, as text for a cursor.
    fn key(self, row: &Reservation) -> String {
        match self {
            Self::CheckIn => row.check_in.to_string(),
            Self::CheckOut => row.check_out.to_string(),
            Self::CreatedAt => created_at(row).to_rfc3339(),
            Self::UpdatedAt => updated_at(row).to_rfc3339(),
            Self::TotalAmount => row.total_amount.to_string(),
        }
    }

    fn bind(self, text: &str, bind: &mut Bind) -> Option<String> {
        Some(match self {
            Self::CheckIn | Self::CheckOut => bind.push(text.parse::<NaiveDate>().ok()?),
            Self::CreatedAt | Self::UpdatedAt => bind.push_instant(text.parse::<DateTime<Utc>>().ok()?),
            Self::TotalAmount => bind.push_amount(text.parse::<Decimal>().ok()?),
        })
    }
}

/// When a row was last written, as order and API say it.
#[must_use]
pub fn updated_at(row: &Reservation) -> DateTime<Utc> {
    row.updated_at.unwrap_or(DateTime::UNIX_EPOCH)
}

/// When a row was first written, as order and API say it.
#[must_use]
pub fn created_at(row: &Reservation) -> DateTime<Utc> {
    row.created_at.unwrap_or_else(|| updated_at(row))
}

/// How a list is sorted; ties go by row number in the same direction.
#[must_use]
pub fn keyset(field: OrderField, descending: bool, sqlite: bool) -> Keyset {
    Keyset {
        name: field.name(),
        value: field.expression(sqlite),
        id: "id",
        descending,
        bind_value: Box::new(move |text, bind| field.bind(text, bind)),
        bind_id: |text, bind| Some(bind.push(text.parse::<i32>().ok()?)),
    }
}

/// What stands in the cursors of that list.
#[must_use]
pub fn order(field: OrderField, descending: bool) -> Order {
    Order::new(field.name(), descending)
}

/// The key of a row in a list sorted by `field`.
#[must_use]
pub fn key(field: OrderField, row: &Reservation) -> Key {
    Key { value: field.key(row), id: row.id.to_string() }
}

/// A page, and the position of the change log in the same snapshot: one statement reads both.
pub async fn page(
    db: &Db,
    filter: &ReservationFilter,
    order: (OrderField, bool),
    request: &PageRequest,
) -> Result<(Page<Reservation>, i64), DbErr> {
    let mut bind = Bind::new(db.backend());
    let keyset = keyset(order.0, order.1, bind.is_sqlite());
    let page = page_sql(filter, order.0, &keyset, request, &mut bind);
    // Nothing to join by and one row on the left: a nested loop passes the page on in its order. To sort it again
    // costs PostgreSQL a quarter more.
    let sql = format!(
        "SELECT head.seq AS stream_head, page.* FROM (SELECT {HEAD_SQL} AS seq) AS head \
         LEFT JOIN ({page}) AS page ON TRUE"
    );
    let rows = if filter.search.is_some() && db.backend() == DbBackend::Postgres {
        planned_anew(db, sql, bind).await?
    } else {
        db::query_all(db.pool(), sql, bind.into_values()).await?
    };
    let head = rows.first().map_or(Ok(0), |row| row.try_get_by_index(0))?;
    // Without a match the one row holds the head and nothing else.
    let present = |row: &QueryResult| row.try_get_by_index::<Option<i32>>(1).is_ok_and(|id| id.is_some());
    let rows: Vec<_> = rows.iter().filter(|row| present(row)).collect();
    let page = request.cut(rows);
    Ok((Page { rows: readable(page.rows, 1)?, has_more: page.has_more }, head))
}

/// The rows of a page and one more, in the direction of reading.
fn page_sql(
    filter: &ReservationFilter,
    field: OrderField,
    keyset: &Keyset,
    request: &PageRequest,
    bind: &mut Bind,
) -> String {
    let pieces = if field == OrderField::CheckIn { filter.pieces(bind) } else { None };
    let Some(pieces) = pieces else {
        let condition = filter.to_sql(bind);
        return keyset.page_sql(&select(), &condition, request, bind);
    };
    let order = keyset.order_sql(request.backward);
    format!(
        "SELECT {COLUMNS} FROM ({}) AS picked JOIN reservations USING (check_in, id) {order}",
        picked_sql(&pieces, keyset, request, bind)
    )
}

/// The keys of a page in pieces. Each piece gives the keys of a page, which its index has, and the page is among
/// them. Where a page is filled by the pieces that come first in the order, the others are not read beyond its end.
fn picked_sql(pieces: &Pieces, keyset: &Keyset, request: &PageRequest, bind: &mut Bind) -> String {
    let (keys, order, rows) =
        ("SELECT check_in, id FROM reservations", keyset.order_sql(request.backward), request.rows());
    let one = keyset.page_sql(keys, &pieces.condition, request, bind);
    let Some(late) = pieces.late else {
        return format!(
            "SELECT one.* FROM {} CROSS JOIN LATERAL ({one}) AS one {order} LIMIT {rows}",
            pieces.source
        );
    };
    let early = pieces.source.as_str();
    let (first, rest, last, within) = if keyset.is_ascending(request.backward) {
        (early, late, "MAX", "<= COALESCE(seen.last, 'infinity')")
    } else {
        (late, early, "MIN", ">= COALESCE(seen.last, '-infinity')")
    };
    let condition = format!("({}) AND check_in {within}", pieces.condition);
    let other = keyset.page_sql(keys, &condition, request, bind);
    format!(
        "WITH page AS (SELECT one.* FROM {first} CROSS JOIN LATERAL ({one}) AS one {order} LIMIT {rows}), \
         seen AS (SELECT CASE WHEN COUNT(*) = {rows} THEN {last}(check_in) END AS last FROM page) \
         SELECT * FROM (SELECT * FROM page UNION ALL \
         SELECT other.* FROM seen CROSS JOIN {rest} CROSS JOIN LATERAL ({other}) AS other) AS found \
         {order} LIMIT {rows}"
    )
}

/// Runs a search with a plan for its text: the best way to a rare text is through the index, and to a common
/// one in the order of the list. A prepared statement would settle for one of them.
async fn planned_anew(db: &Db, sql: String, bind: Bind) -> Result<Vec<QueryResult>, DbErr> {
    let tx = db.pool().begin().await?;
    tx.execute_unprepared("SET LOCAL plan_cache_mode = force_custom_plan").await?;
    let rows = db::query_all(&tx, sql, bind.into_values()).await?;
    tx.commit().await?;
    Ok(rows)
}

/// Whether anything lies beyond `key` in the direction given; without a key, whether there is anything.
pub async fn exists_beyond(
    db: &Db,
    filter: &ReservationFilter,
    order: (OrderField, bool),
    key: Option<&Key>,
    backward: bool,
) -> Result<bool, DbErr> {
    let (after, before) = if backward { (None, key.cloned()) } else { (key.cloned(), None) };
    Ok(page(db, filter, order, &PageRequest { limit: 0, backward, after, before }).await?.0.has_more)
}

/// How many rows match.
pub async fn count(db: &Db, filter: &ReservationFilter) -> Result<i64, DbErr> {
    let mut bind = Bind::new(db.backend());
    let sql = format!("SELECT COUNT(*) AS n FROM reservations WHERE {}", filter.to_sql(&mut bind));
    let row = db::query_one(db.pool(), sql, bind.into_values()).await?;
    row.map_or(Ok(0), |row| row.try_get("", "n"))
}

/// The list of the REST route: newest write first.
pub async fn latest(
    db: &Db,
    filter: &ReservationFilter,
    limit: i64,
    offset: i64,
) -> Result<Vec<Reservation>, DbErr> {
    let mut bind = Bind::new(db.backend());
    let condition = filter.to_sql(&mut bind);
    let newest = OrderField::UpdatedAt.expression(bind.is_sqlite());
    let (limit, offset) = (bind.push(limit), bind.push(offset));
    let sql = format!(
        "{} WHERE {condition} ORDER BY {newest} DESC, id DESC LIMIT {limit} OFFSET {offset}",
        select()
    );
    reservations(db.pool(), sql, bind).await
}

/// One row, by the booking source's identifier.
pub async fn by_id(conn: &impl ConnectionTrait, reservation_id: &str) -> Result<Option<Reservation>, DbErr> {
    Ok(by_ids(conn, &[reservation_id]).await?.into_iter().next())
}

/// Rows by the booking source's identifiers, in no order.
pub async fn by_ids(conn: &impl ConnectionTrait, ids: &[&str]) -> Result<Vec<Reservation>, DbErr> {
    rows_where(conn, "reservation_id", ids, "").await
}

/// All rows of these guests.
pub(super) async fn of_guests(
    conn: &impl ConnectionTrait,
    guest_ids: &[&str],
) -> Result<Vec<Reservation>, DbErr> {
    rows_where(conn, "guest_id", guest_ids, "").await
}

/// The rows of these guests that hold a guest field, in the order they were numbered.
pub(super) async fn with_guest_fields(
    conn: &impl ConnectionTrait,
    guest_ids: &[&str],
) -> Result<Vec<Reservation>, DbErr> {
    let any = "AND COALESCE(guest_first_name, guest_last_name, guest_email, guest_phone) IS NOT NULL";
    rows_where(conn, "guest_id", guest_ids, any).await
}

async fn rows_where(
    conn: &impl ConnectionTrait,
    column: &str,
    values: &[&str],
    and: &str,
) -> Result<Vec<Reservation>, DbErr> {
    let mut rows = Vec::new();
    for chunk in values.chunks(CHUNK) {
        let mut bind = Bind::new(conn.get_database_backend());
        let any = bind.any_of(column, chunk.iter().copied());
        let sql = format!("{} WHERE {any} {and} ORDER BY id", select());
        rows.extend(reservations(conn, sql, bind).await?);
    }
    Ok(rows)
}

/// Writes rows as they are, and appends the change of each: `changes` has them in the same order.
pub(super) async fn write(tx: &mut FeedTx, rows: &[Reservation], changes: &[NewChange]) -> Result<(), DbErr> {
    if rows.is_empty() {
        return Ok(());
    }
    match tx.conn().get_database_backend() {
        DbBackend::Sqlite => upsert_values(tx.conn(), rows).await?,
        _ => upsert_images(tx.conn(), rows, changes).await?,
    }
    tx.append(changes).await
}

/// What an upsert does to a row that is there.
const ON_CONFLICT: &str = "ON CONFLICT (reservation_id) DO UPDATE SET \
     property_id = excluded.property_id, guest_id = excluded.guest_id, status = excluded.status, \
     check_in = excluded.check_in, check_out = excluded.check_out, num_guests = excluded.num_guests, \
     total_amount = excluded.total_amount, currency = excluded.currency, \
     guest_first_name = excluded.guest_first_name, guest_last_name = excluded.guest_last_name, \
     guest_email = excluded.guest_email, guest_phone = excluded.guest_phone, \
     webhook_id = excluded.webhook_id, event_timestamp = excluded.event_timestamp, \
     updated_at = excluded.updated_at";

const COLUMNS: &str = "id, reservation_id, property_id, guest_id, status, check_in, check_out, num_guests, \
     total_amount, currency, guest_first_name, guest_last_name, guest_email, guest_phone, webhook_id, \
     event_timestamp, created_at, updated_at";

/// PostgreSQL: one statement, the same for any number of rows, whose values are the images that go
/// into the change log in any case. A row that is there keeps its number: it is given again, so that
/// an update draws none from the sequence, which is an INTEGER and would run out.
async fn upsert_images(
    conn: &impl ConnectionTrait,
    rows: &[Reservation],
    changes: &[NewChange],
) -> Result<(), DbErr> {
    let mut bind = Bind::new(conn.get_database_backend());
    let ids = bind.push(rows.iter().map(|row| row.id).collect::<Vec<_>>());
    let images = bind.push_array(changes.iter().map(|change| change.after.as_str()));
    let sql = format!(
        "INSERT INTO reservations ({COLUMNS}) \
         SELECT CASE WHEN t.id = 0 THEN nextval(pg_get_serial_sequence('reservations', 'id')) ELSE t.id END, \
         r.reservation_id, r.property_id, r.guest_id, r.status, r.check_in, r.check_out, r.num_guests, \
         r.total_amount, r.currency, g.first_name, g.last_name, g.email, g.phone, r.webhook_id, \
         r.event_timestamp, r.created_at, r.updated_at \
         FROM unnest({ids}::int[], {images}::text[]) WITH ORDINALITY AS t(id, image, n), \
         LATERAL CAST(t.image AS jsonb) AS j, \
         LATERAL jsonb_populate_record(NULL::reservations, j) AS r, \
         LATERAL jsonb_to_record(j -> 'guest') AS g(first_name text, last_name text, email text, phone text) \
         ORDER BY t.n {ON_CONFLICT}"
    );
    db::execute(conn, sql, bind.into_values()).await.map(drop)
}

/// SQLite: its row numbers are 64 bits wide, and a conflict uses none up.
async fn upsert_values(conn: &impl ConnectionTrait, rows: &[Reservation]) -> Result<(), DbErr> {
    for chunk in rows.chunks(CHUNK) {
        let mut bind = Bind::new(conn.get_database_backend());
        let tuples: Vec<_> = chunk.iter().map(|row| tuple(row, &mut bind)).collect();
        let sql = format!("INSERT INTO reservations ({COLUMNS}) VALUES {} {ON_CONFLICT}", tuples.join(", "));
        db::execute(conn, sql, bind.into_values()).await?;
    }
    Ok(())
}

fn tuple(row: &Reservation, bind: &mut Bind) -> String {
    let places = [
        "NULL".to_owned(),
        bind.push(row.reservation_id.as_str()),
        bind.push(row.property_id.as_str()),
        bind.push(row.guest_id.as_str()),
        bind.push(row.status.as_str()),
        bind.push(row.check_in),
        bind.push(row.check_out),
        bind.push(row.num_guests),
        bind.push_amount(row.total_amount),
        bind.push(row.currency.as_str()),
        bind.push(row.guest.first_name.clone()),
        bind.push(row.guest.last_name.clone()),
        bind.push(row.guest.email.clone()),
        bind.push(row.guest.phone.clone()),
        bind.push(row.webhook_id.clone()),
        bind.push_instant(row.event_timestamp),
        bind.push_instant(row.created_at),
        bind.push_instant(row.updated_at),
    ];
    format!("({})", places.join(", "))
}

async fn reservations(
    conn: &impl ConnectionTrait,
    sql: String,
    bind: Bind,
) -> Result<Vec<Reservation>, DbErr> {
    readable(&db::query_all(conn, sql, bind.into_values()).await?, 0)
}

/// Whole rows: others may have made the table with its columns in another order.
fn select() -> String {
    format!("SELECT {COLUMNS} FROM reservations")
}

/// The rows with a status of the contract. One that others wrote with another status is left out, and
/// logged: it must not keep the rest from being read, and the next event about it puts it right.
fn readable<'r>(
    rows: impl IntoIterator<Item = &'r QueryResult>,
    first: usize,
) -> Result<Vec<Reservation>, DbErr> {
    let mut readable = Vec::new();
    for row in rows {
        match Reservation::try_from(model(row, first)?) {
            Ok(row) => readable.push(row),
            Err(error) => tracing::warn!(%error, "a row is left out"),
        }
    }
    Ok(readable)
}

/// A row of which [`COLUMNS`] begin at `first`: by place, so that no names are looked up in each row.
fn model(row: &QueryResult, first: usize) -> Result<reservation::Model, DbErr> {
    Ok(reservation::Model {
        id: row.try_get_by_index(first)?,
        reservation_id: row.try_get_by_index(first + 1)?,
        property_id: row.try_get_by_index(first + 2)?,
        guest_id: row.try_get_by_index(first + 3)?,
        status: row.try_get_by_index(first + 4)?,
        check_in: row.try_get_by_index(first + 5)?,
        check_out: row.try_get_by_index(first + 6)?,
        num_guests: row.try_get_by_index(first + 7)?,
        total_amount: row.try_get_by_index(first + 8)?,
        currency: row.try_get_by_index(first + 9)?,
        guest_first_name: row.try_get_by_index(first + 10)?,
        guest_last_name: row.try_get_by_index(first + 11)?,
        guest_email: row.try_get_by_index(first + 12)?,
        guest_phone: row.try_get_by_index(first + 13)?,
        webhook_id: row.try_get_by_index(first + 14)?,
        event_timestamp: row.try_get_by_index(first + 15)?,
        created_at: row.try_get_by_index(first + 16)?,
        updated_at: row.try_get_by_index(first + 17)?,
    })
}
