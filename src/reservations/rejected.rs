//! Webhooks that carried a valid secret and could not be applied: kept as they came, to be read and
//! tried again.
//!
//! What is kept is bounded, in rows and in bytes, so that a sender that is broken for a week does not
//! fill the disk: the oldest make room for the newest. While the database does not take them, they wait in
//! the spool, and [`super::drain`] stores them.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use entity::rejected_webhook;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, QueryResult};
use uuid::Uuid;

use super::{
    Ingest,
    event::{self, EventError, Parsed},
    ingest::IngestError,
    spool::{Rejection, SpoolError},
};
use crate::{
    access::Caller,
    audit::{self, Action},
    db::{self, Bind, Db},
    keyset::{Key, Keyset, Page, PageRequest},
};

/// The table.
pub const TABLE: &str = "rejected_webhooks";

/// Characters of a reason that are kept.
const REASON_MAX: usize = 500;
/// Webhooks deleted at once.
const FORGET: i64 = 200;
/// How long the database may take, until one is kept in the spool: its sender is waiting for an answer. As long
/// as the writer takes to find out.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How long the spool may take.
const KEEP: Duration = Duration::from_secs(2);
/// How long to wait for a lock, in milliseconds. Whoever has given up waiting by then must not leave a
/// connection behind that still waits.
const LOCK_WAIT: &str = "4000";

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Webhooks at most.
    pub rows: i64,
    /// Bytes of their bodies at most.
    pub bytes: i64,
    /// Room is made once in so many webhooks, since that reads the whole list. So up to as many less one
    /// may be there beyond the other limits, for each process.
    pub every: u32,
}

impl Limits {
    /// What the server keeps: 10,000 webhooks and 256 MiB of bodies, and 63 webhooks more.
    pub const SERVER: Self = Self { rows: 10_000, bytes: 256 * 1024 * 1024, every: 64 };
}

/// A webhook that was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedWebhook {
    /// Its name here.
    pub id: Uuid,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// Why it was not applied, as the sender was told.
    pub reason: String,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// When a later try applied it.
    pub applied_at: Option<DateTime<Utc>>,
}

/// Where a rejected webhook is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In the table.
    Stored,
    /// In the spool, and it will be stored.
    Queued,
}

/// Keeps rejected webhooks within limits.
#[derive(Debug)]
pub struct Keeper {
    db: Db,
    limits: Limits,
    stored: AtomicU32,
}

impl Keeper {
    /// Keeps them in this database.
    #[must_use]
    pub fn new(db: Db, limits: Limits) -> Self {
        Self { db, limits, stored: AtomicU32::new(0) }
    }

    /// Keeps one: in the table, or in the spool of `ingest` while the database is away or too slow.
    pub async fn keep(&self, ingest: &Ingest, webhook: &Rejection) -> Result<Kept, SpoolError> {
        let spool = ingest.spool();
        // Where some wait already, the table was not to be had just now; so nobody waits for it again.
        if !ingest.is_database_away() && spool.usage().borrow().rejected == 0 {
            match tokio::time::timeout(PATIENCE, self.store(webhook)).await {
                Ok(Ok(())) => return Ok(Kept::Stored),
                Ok(Err(error)) => tracing::warn!(%error, "a rejected webhook was not stored"),
                Err(_) => tracing::warn!("a rejected webhook was not stored in time"),
            }
        }
        let kept = tokio::time::timeout(KEEP, spool.append_rejected(webhook)).await;
        kept.unwrap_or(Err(SpoolError::Broken)).map(|()| Kept::Queued)
    }

    /// Stores one in the table, where it is once, however often it is stored; the oldest make room in the
    /// same transaction.
    pub async fn store(&self, webhook: &Rejection) -> Result<(), DbErr> {
        let makes_room = self.stored.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.limits.every);
        let tx = self.db.begin_write().await?;
        if self.db.backend() == DbBackend::Postgres {
            let limit = "SELECT set_config('lock_timeout', $1, TRUE)";
            db::execute(tx.conn(), limit, [LOCK_WAIT.into()]).await?;
        }
        insert(tx.conn(), webhook).await?;
        if makes_room {
            make_room(tx.conn(), self.limits).await?;
        }
        tx.commit().await
    }
}

async fn insert(conn: &impl ConnectionTrait, webhook: &Rejection) -> Result<(), DbErr> {
    let reason: String = webhook.reason.chars().take(REASON_MAX).collect();
    let mut bind = Bind::new(conn.get_database_backend());
    let places = [
        bind.push(webhook.id.to_string()),
        bind.push_instant(webhook.received_at),
        bind.push(reason),
        bind.push(webhook.body.clone()),
    ];
    let sql = format!(
        "INSERT INTO {TABLE} (id, received_at, reason, body) VALUES ({}) ON CONFLICT (id) DO NOTHING",
        places.join(", ")
    );
    db::execute(conn, sql, bind.into_values()).await.map(drop)
}

/// Deletes whatever comes after the newest that fit. The newest always stays.
async fn make_room(conn: &impl ConnectionTrait, limits: Limits) -> Result<(), DbErr> {
    let sql = format!(
        "DELETE FROM {TABLE} WHERE id IN (SELECT id FROM (\
         SELECT id, ROW_NUMBER() OVER newest AS place, SUM(LENGTH(body)) OVER newest AS bytes FROM {TABLE} \
         WINDOW newest AS (ORDER BY received_at DESC, id DESC ROWS UNBOUNDED PRECEDING)) AS listed \
         WHERE place > $1 OR (place > 1 AND bytes > $2))"
    );
    db::execute(conn, sql, [limits.rows.into(), limits.bytes.into()]).await.map(drop)
}

/// Deletes a batch of what came before `before`; answers how many that were.
pub async fn forget(db: &Db, before: DateTime<Utc>) -> Result<u64, DbErr> {
    let mut bind = Bind::new(db.backend());
    let (before, limit) = (bind.push_instant(before), bind.push(FORGET));
    let sql = format!(
        "DELETE FROM {TABLE} WHERE id IN (SELECT id FROM {TABLE} WHERE received_at < {before} \
         ORDER BY received_at, id LIMIT {limit})"
    );
    let tx = db.begin_write().await?;
    let deleted = db::execute(tx.conn(), sql, bind.into_values()).await?;
    tx.commit().await?;
    Ok(deleted.rows_affected())
}

/// Deletes those whose body has this text; answers how many that were.
pub(super) async fn forget_naming(conn: &impl ConnectionTrait, text: &str) -> Result<u64, DbErr> {
    let has = match conn.get_database_backend() {
        DbBackend::Sqlite => "instr(body, $1) > 0",
        _ => "position($1 IN body) > 0",
    };
    let sql = format!("DELETE FROM {TABLE} WHERE {has}");
    Ok(db::execute(conn, sql, [text.as_bytes().to_vec().into()]).await?.rows_affected())
}

/// The order of rejected webhooks: newest first.
#[must_use]
pub fn keyset() -> Keyset {
    Keyset {
        name: TABLE,
        value: "received_at".to_owned(),
        id: "id",
        descending: true,
        bind_value: Box::new(|text, bind| Some(bind.push_instant(text.parse::<DateTime<Utc>>().ok()?))),
        bind_id: |text, bind| Some(bind.push(text.parse::<Uuid>().ok()?.to_string())),
    }
}

/// The key of one in that list.
#[must_use]
pub fn key(webhook: &RejectedWebhook) -> Key {
    Key { value: webhook.received_at.to_rfc3339(), id: webhook.id.to_string() }
}

/// A page of them.
pub async fn page(db: &Db, request: &PageRequest) -> Result<Page<RejectedWebhook>, DbErr> {
    let mut bind = Bind::new(db.backend());
    let sql = keyset().page_sql(&format!("SELECT * FROM {TABLE}"), "TRUE", request, &mut bind);
    let rows = db::query_all(db.pool(), sql, bind.into_values()).await?;
    Ok(request.cut(rows.iter().map(webhook_of).collect::<Result<_, _>>()?))
}

/// Whether there is one beyond `key`.
pub async fn exists_beyond(db: &Db, key: &Key, backward: bool) -> Result<bool, DbErr> {
    let mut bind = Bind::new(db.backend());
    let sql = keyset().exists_sql(TABLE, "TRUE", key, backward, &mut bind);
    Ok(db::query_one(db.pool(), sql, bind.into_values()).await?.is_some())
}

/// How many there are.
pub async fn count(db: &Db) -> Result<i64, DbErr> {
    let row = db::query_one(db.pool(), format!("SELECT COUNT(*) AS n FROM {TABLE}"), []).await?;
    row.map_or(Ok(0), |row| row.try_get("", "n"))
}

/// The one of this name.
pub async fn by_id(db: &Db, id: Uuid) -> Result<Option<RejectedWebhook>, DbErr> {
    let sql = format!("SELECT * FROM {TABLE} WHERE id = $1");
    let row = db::query_one(db.pool(), sql, [id.to_string().into()]).await?;
    row.as_ref().map(webhook_of).transpose()
}

/// Those of these names, in no order.
pub async fn by_ids(db: &Db, ids: &[Uuid]) -> Result<Vec<RejectedWebhook>, DbErr> {
    let ids: Vec<_> = ids.iter().map(Uuid::to_string).collect();
    let mut bind = Bind::new(db.backend());
    let any = bind.any_of("id", ids.iter().map(String::as_str));
    let sql = format!("SELECT * FROM {TABLE} WHERE {any}");
    db::query_all(db.pool(), sql, bind.into_values()).await?.iter().map(webhook_of).collect()
}

/// From rejected to applied. Answers whether it was rejected until now.
async fn mark_applied(db: &Db, id: Uuid, caller: &Caller, now: DateTime<Utc>) -> Result<bool, DbErr> {
    let mut bind = Bind::new(db.backend());
    let (at, name) = (bind.push_instant(now), bind.push(id.to_string()));
    let sql = format!("UPDATE {TABLE} SET applied_at = {at} WHERE id = {name} AND applied_at IS NULL");
    let tx = db.begin_write().await?;
    let changed = db::execute(tx.conn(), sql, bind.into_values()).await?.rows_affected();
    if changed == 1 {
        audit::write(tx.conn(), caller, Action::WebhookRetried, Some(id), now).await?;
    }
    tx.commit().await?;
    Ok(changed == 1)
}

/// Why a rejected webhook was not applied now either.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// There is none of this name.
    #[error("there is no such rejected webhook")]
    NotFound,
    /// It is wrong still.
    #[error("{1}")]
    StillWrong(Box<RejectedWebhook>, EventError),
    /// The writer did not take it.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// Reads a rejected webhook afresh and applies it; answers it as it is then. One that was applied before
/// is answered as it is. An event without a timestamp is stamped with the time it came, not with that of
/// this try, so that it does not go before what came since.
pub async fn retry(
    db: &Db,
    ingest: &Ingest,
    id: Uuid,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<RejectedWebhook, RetryError> {
    let webhook = by_id(db, id).await?.ok_or(RetryError::NotFound)?;
    if webhook.applied_at.is_some() {
        return Ok(webhook);
    }
    match event::parse(&webhook.body) {
        Ok(Parsed::Event(mut event)) => {
            event.timestamp.get_or_insert(webhook.received_at);
            ingest.apply(event).await?;
        }
        // It has nothing to apply, and is not wrong any more.
        Ok(Parsed::Ignored) => {}
        Err(error) => return Err(RetryError::StillWrong(Box::new(webhook), error)),
    }
    if mark_applied(db, id, caller, now).await? {
        return Ok(RejectedWebhook { applied_at: Some(now), ..webhook });
    }
    // Another try was faster, or it made room for newer ones meanwhile.
    by_id(db, id).await?.ok_or(RetryError::NotFound)
}

fn webhook_of(row: &QueryResult) -> Result<RejectedWebhook, DbErr> {
    let row = rejected_webhook::Model::from_query_result(row, "")?;
    let id = row.id.parse().map_err(|_| DbErr::Type(format!("'{}' is no UUID", row.id)))?;
    Ok(RejectedWebhook {
        id,
        received_at: row.received_at,
        reason: row.reason,
        body: row.body,
        applied_at: row.applied_at,
    })
}
