//! The SQL of broadcasts and their messages. Every change of a state names the state it leaves.
//!
//! What is read in pages is in [`lists`].

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use entity::broadcast;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, QueryResult};
use uuid::Uuid;

use super::{Broadcast, BroadcastStatus, MessageState, SuspensionReason, start::StartInput};
use crate::{
    db::{self, Bind, Db},
    feed::log::HEAD_SQL,
    reservations::ReservationFilter,
};

mod lists;

pub use lists::{
    broadcast_key, broadcasts_keyset, count, exists_beyond, failures, finished_between, message_key,
    messages, messages_condition, messages_keyset, page,
};

/// The time over which the rate of sending is taken, and the results that are looked at for it.
const RATE_SECONDS: i64 = 10;
const RATE_RESULTS: i64 = 20_000;

/// How many guests a filter selects.
pub async fn count_recipients(db: &Db, filter: &ReservationFilter) -> Result<i32, DbErr> {
    let mut bind = Bind::new(db.backend());
    let condition = filter.to_sql(&mut bind);
    let sql = format!("SELECT COUNT(DISTINCT guest_id) AS n FROM reservations WHERE {condition}");
    let row = db::query_one(db.pool(), sql, bind.into_values()).await?;
    let count: i64 = row.map_or(Ok(0), |row| row.try_get("", "n"))?;
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}

/// The broadcast that a key belongs to, with the digest of its input.
pub(super) async fn by_key(
    conn: &impl ConnectionTrait,
    key: &str,
) -> Result<Option<(Broadcast, String)>, DbErr> {
    let row =
        db::query_one(conn, "SELECT * FROM broadcasts WHERE idempotency_key = $1", [key.into()]).await?;
    row.map(|row| {
        let row = broadcast::Model::from_query_result(&row, "")?;
        let digest = row.input_digest.clone();
        Ok((row.try_into()?, digest))
    })
    .transpose()
}

/// Sets a key free that was remembered for long enough.
pub(super) async fn forget_key(conn: &impl ConnectionTrait, key: &str) -> Result<(), DbErr> {
    let sql = "UPDATE broadcasts SET idempotency_key = NULL WHERE idempotency_key = $1";
    db::execute(conn, sql, [key.into()]).await.map(drop)
}

/// Writes a broadcast without recipients.
pub(super) async fn insert(
    conn: &impl ConnectionTrait,
    id: Uuid,
    input: &StartInput,
    digest: &str,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let mut bind = Bind::new(conn.get_database_backend());
    let places = [
        bind.push(id.to_string()),
        bind.push(input.message.as_str()),
        bind.push(BroadcastStatus::Queued.as_str()),
        bind.push(input.on_uncertain.as_str()),
        bind.push(input.idempotency_key.clone()),
        bind.push(digest),
        bind.push_instant(now),
        bind.push_instant(input.starts_at.unwrap_or(now)),
    ];
    let sql = format!(
        "INSERT INTO broadcasts (total, pending, id, message, status, on_uncertain, idempotency_key, \
         input_digest, created_at, starts_at) VALUES (0, 0, {})",
        places.join(", ")
    );
    db::execute(conn, sql, bind.into_values()).await.map(drop)
}

/// Writes one message for each guest the filter selects. Answers how many.
pub(super) async fn insert_recipients(
    conn: &impl ConnectionTrait,
    id: Uuid,
    filter: &ReservationFilter,
) -> Result<i32, DbErr> {
    let mut bind = Bind::new(conn.get_database_backend());
    let id = bind.push(id.to_string());
    let condition = filter.to_sql(&mut bind);
    let sql = format!(
        "INSERT INTO broadcast_recipients (broadcast_id, guest_id) \
         SELECT DISTINCT CAST({id} AS VARCHAR(36)), guest_id FROM reservations WHERE {condition}"
    );
    let written = db::execute(conn, sql, bind.into_values()).await?.rows_affected();
    i32::try_from(written).map_err(|_| DbErr::Custom("more recipients than can be counted".to_owned()))
}

/// Completes a new broadcast with the number of its recipients.
pub(super) async fn set_total(conn: &impl ConnectionTrait, id: Uuid, total: i32) -> Result<Broadcast, DbErr> {
    let sql = "UPDATE broadcasts SET total = $2, pending = $2 WHERE id = $1 AND total = 0 RETURNING *";
    let row = db::query_one(conn, sql, [id.to_string().into(), total.into()]).await?;
    row.as_ref().map_or_else(|| Err(DbErr::RecordNotFound(id.to_string())), broadcast_of)
}

/// One broadcast.
pub async fn by_id(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<Broadcast>, DbErr> {
    let row = db::query_one(conn, "SELECT * FROM broadcasts WHERE id = $1", [id.to_string().into()]).await?;
    row.as_ref().map(broadcast_of).transpose()
}

/// One broadcast, and the position of the change log in the same snapshot: every step after it is of
/// this state or a later one.
pub async fn by_id_at(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<(Broadcast, i64)>, DbErr> {
    let sql = format!("SELECT broadcasts.*, {HEAD_SQL} AS stream_head FROM broadcasts WHERE id = $1");
    let row = db::query_one(conn, sql, [id.to_string().into()]).await?;
    row.map(|row| Ok((broadcast_of(&row)?, row.try_get("", "stream_head")?))).transpose()
}

/// Starts what is due: QUEUED whose time has come, SUSPENDED whose wait is over. Answers the
/// broadcasts that are SENDING then, oldest first.
pub(super) async fn open(db: &Db, now: DateTime<Utc>) -> Result<Vec<Broadcast>, DbErr> {
    let mut bind = Bind::new(db.backend());
    let now = bind.push_instant(now);
    let due = format!(
        "(status = 'queued' AND starts_at <= {now}) OR (status = 'suspended' AND resumes_at <= {now})"
    );
    let open = format!(
        "SELECT * FROM broadcasts WHERE completed_at IS NULL AND (status = 'sending' OR {due}) ORDER BY starts_at, id"
    );
    let values = bind.into_values();
    let rows = db::query_all(db.pool(), open.clone(), values.clone()).await?;
    let broadcasts = rows.iter().map(broadcast_of).collect::<Result<Vec<_>, _>>()?;
    if broadcasts.iter().all(|broadcast| broadcast.status == BroadcastStatus::Sending) {
        return Ok(broadcasts);
    }
    let tx = db.begin_write().await?;
    let start = format!(
        "UPDATE broadcasts SET status = 'sending', suspension_reason = NULL, resumes_at = NULL, unreported = TRUE \
         WHERE completed_at IS NULL AND ({due})"
    );
    lock_in_order(tx.conn(), &format!("completed_at IS NULL AND ({due})"), values.clone()).await?;
    db::execute(tx.conn(), start, values.clone()).await?;
    let rows = db::query_all(tx.conn(), open, values).await?;
    let broadcasts = rows.iter().map(broadcast_of).collect();
    tx.commit().await?;
    broadcasts
}

/// A message that was marked SENDING.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The broadcast.
    pub broadcast_id: Uuid,
    /// The guest.
    pub guest_id: String,
    /// Tries so far.
    pub attempts: i32,
}

/// Marks up to `limit` messages of a broadcast SENDING, if `epoch` is still the lease's. Committed
/// when it returns.
pub(super) async fn claim(
    db: &Db,
    broadcast_id: Uuid,
    limit: usize,
    epoch: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Claimed>, DbErr> {
    let mut bind = Bind::new(db.backend());
    // Only a row that nobody else is changing: a cancel waits for nothing of ours.
    let lock = if bind.is_sqlite() { "" } else { "FOR UPDATE SKIP LOCKED" };
    // A takeover waits for this claim, and so finds its messages; a claim after it finds the new epoch.
    let share = if bind.is_sqlite() { "" } else { "FOR SHARE" };
    let (id, now) = (bind.push(broadcast_id.to_string()), bind.push_instant(now));
    let (limit, epoch) = (bind.push(i64::try_from(limit).unwrap_or(i64::MAX)), bind.push(epoch));
    // MATERIALIZED: as a plain subquery PostgreSQL may run it once a row, and take more than `limit`.
    let sql = format!(
        "WITH picked AS MATERIALIZED ( \
           SELECT guest_id FROM broadcast_recipients \
           WHERE broadcast_id = {id} AND state = 'pending' AND (not_before IS NULL OR not_before <= {now}) \
           LIMIT {limit} {lock}) \
         UPDATE broadcast_recipients SET state = 'sending', epoch = {epoch} \
         WHERE broadcast_id = {id} AND state = 'pending' AND guest_id IN (SELECT guest_id FROM picked) \
         AND (SELECT epoch FROM sender_lease WHERE id = 1 {share}) = {epoch} \
         RETURNING guest_id, attempts"
    );
    let tx = db.begin_write().await?;
    let rows = db::query_all(tx.conn(), sql, bind.into_values()).await?;
    tx.commit().await?;
    rows.iter()
        .map(|row| {
            let (guest_id, attempts) = (row.try_get("", "guest_id")?, row.try_get("", "attempts")?);
            Ok(Claimed { broadcast_id, guest_id, attempts })
        })
        .collect()
}

/// What became of a message that was SENDING.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The broadcast.
    pub broadcast_id: Uuid,
    /// The guest.
    pub guest_id: String,
    /// The epoch it was claimed with.
    pub epoch: i64,
    /// The state it enters. PENDING becomes CANCELLED where the broadcast was cancelled meanwhile.
    pub state: MessageState,
    /// Tries this cost: 0 or 1.
    pub tries: i32,
    /// Earliest time of the next try.
    pub not_before: Option<DateTime<Utc>>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Writes results, and with them the counts; the last result completes the broadcast. A result whose
/// epoch is no longer the row's changes nothing. Answers how many were written.
pub(super) async fn record(db: &Db, verdicts: &[Verdict], now: DateTime<Utc>) -> Result<usize, DbErr> {
    let mut of_broadcast: BTreeMap<Uuid, Vec<&Verdict>> = BTreeMap::new();
    for verdict in verdicts {
        of_broadcast.entry(verdict.broadcast_id).or_default().push(verdict);
    }
    let mut written = 0;
    for (id, verdicts) in of_broadcast {
        let tx = db.begin_write().await?;
        let broadcast = lock(tx.conn(), id).await?;
        let mut tally = Tally::default();
        for verdict in verdicts {
            let state = match verdict.state {
                MessageState::Pending if broadcast.status == BroadcastStatus::Cancelled => {
                    MessageState::Cancelled
                }
                state => state,
            };
            let seq = broadcast.finished_seq + tally.finished() + 1;
            if settle(tx.conn(), verdict, state, seq, now).await? {
                tally.add(state);
                written += 1;
            }
        }
        tally.apply(tx.conn(), id, now).await?;
        tx.commit().await?;
    }
    Ok(written)
}

/// Reads a broadcast and keeps others from changing it until the transaction ends.
async fn lock(conn: &impl ConnectionTrait, id: Uuid) -> Result<Broadcast, DbErr> {
    let mut bind = Bind::new(conn.get_database_backend());
    let lock = if bind.is_sqlite() { "" } else { "FOR UPDATE" };
    let place = bind.push(id.to_string());
    let sql = format!("SELECT * FROM broadcasts WHERE id = {place} {lock}");
    let row = db::query_one(conn, sql, bind.into_values()).await?;
    row.as_ref().map_or_else(|| Err(DbErr::RecordNotFound(id.to_string())), broadcast_of)
}

async fn settle(
    conn: &impl ConnectionTrait,
    verdict: &Verdict,
    state: MessageState,
    seq: i64,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let is_final = state != MessageState::Pending;
    let mut bind = Bind::new(conn.get_database_backend());
    let set = [
        format!("state = {}", bind.push(state.as_str())),
        format!("attempts = attempts + {}", bind.push(verdict.tries)),
        format!("not_before = {}", bind.push_instant(verdict.not_before.filter(|_| !is_final))),
        // What held a message back for a while does not hide why its last try failed.
        format!("last_error = COALESCE({}, last_error)", bind.push(verdict.error.clone())),
        format!("finished_seq = {}", bind.push(is_final.then_some(seq))),
        format!("finished_at = {}", bind.push_instant(is_final.then_some(now))),
    ];
    let id = bind.push(verdict.broadcast_id.to_string());
    let (guest, epoch) = (bind.push(verdict.guest_id.as_str()), bind.push(verdict.epoch));
    let sql = format!(
        "UPDATE broadcast_recipients SET {} \
         WHERE broadcast_id = {id} AND guest_id = {guest} AND state = 'sending' AND epoch = {epoch}",
        set.join(", ")
    );
    Ok(db::execute(conn, sql, bind.into_values()).await?.rows_affected() == 1)
}

/// Final results by state.
#[derive(Debug, Default)]
struct Tally {
    sent: i32,
    failed: i32,
    uncertain: i32,
    cancelled: i32,
}

impl Tally {
    fn add(&mut self, state: MessageState) {
        match state {
            MessageState::Sent => self.sent += 1,
            MessageState::Failed => self.failed += 1,
            MessageState::Uncertain => self.uncertain += 1,
            MessageState::Cancelled => self.cancelled += 1,
            MessageState::Pending | MessageState::Sending => {}
        }
    }

    fn finished(&self) -> i64 {
        i64::from(self.sent + self.failed + self.uncertain + self.cancelled)
    }

    /// Moves the counts. The result that leaves nothing pending ends the broadcast: SENDING becomes
    /// COMPLETED, what was paused or suspended with its last message under way does so too.
    async fn apply(&self, conn: &impl ConnectionTrait, id: Uuid, now: DateTime<Utc>) -> Result<(), DbErr> {
        if self.finished() == 0 {
            return Ok(());
        }
        let mut bind = Bind::new(conn.get_database_backend());
        let (sent, failed) = (bind.push(self.sent), bind.push(self.failed));
        let (uncertain, cancelled) = (bind.push(self.uncertain), bind.push(self.cancelled));
        let (finished, now, id) =
            (bind.push(self.finished()), bind.push_instant(now), bind.push(id.to_string()));
        let rest = format!("pending - {sent} - {failed} - {uncertain} - {cancelled}");
        let sql = format!(
            "UPDATE broadcasts SET pending = {rest}, sent = sent + {sent}, failed = failed + {failed}, \
             uncertain = uncertain + {uncertain}, cancelled = cancelled + {cancelled}, \
             finished_seq = finished_seq + {finished}, unreported = TRUE, \
             completed_at = CASE WHEN {rest} = 0 THEN {now} END, \
             status = CASE WHEN {rest} = 0 AND status <> 'cancelled' THEN 'completed' ELSE status END \
             WHERE id = {id} AND completed_at IS NULL"
        );
        db::execute(conn, sql, bind.into_values()).await.map(drop)
    }
}

/// Messages that a former sender left SENDING: nobody knows what became of them. By the policy of
/// their broadcast they are to be sent again, or UNCERTAIN.
pub(super) async fn orphans(db: &Db, epoch: i64) -> Result<Vec<Verdict>, DbErr> {
    let sql = "SELECT r.broadcast_id, r.guest_id, r.epoch, b.on_uncertain FROM broadcast_recipients r \
               JOIN broadcasts b ON b.id = r.broadcast_id WHERE r.state = 'sending' AND r.epoch < $1";
    let rows = db::query_all(db.pool(), sql, [epoch.into()]).await?;
    rows.iter()
        .map(|row| {
            let policy: String = row.try_get("", "on_uncertain")?;
            let state = if policy == "hold" { MessageState::Uncertain } else { MessageState::Pending };
            Ok(Verdict {
                broadcast_id: super::uuid(&row.try_get::<String>("", "broadcast_id")?)?,
                guest_id: row.try_get("", "guest_id")?,
                epoch: row.try_get("", "epoch")?,
                state,
                tries: 1,
                not_before: None,
                error: Some("the server stopped before the answer came".to_owned()),
            })
        })
        .collect()
}

/// Suspends every broadcast that is SENDING.
pub(super) async fn suspend_all(
    db: &Db,
    reason: SuspensionReason,
    resumes_at: DateTime<Utc>,
) -> Result<(), DbErr> {
    let mut bind = Bind::new(db.backend());
    let (reason, at) = (bind.push(reason.as_str()), bind.push_instant(resumes_at));
    let sql = format!(
        "UPDATE broadcasts SET status = 'suspended', suspension_reason = {reason}, resumes_at = {at}, \
         unreported = TRUE WHERE status = 'sending' AND completed_at IS NULL"
    );
    let tx = db.begin_write().await?;
    lock_in_order(tx.conn(), "status = 'sending'", []).await?;
    db::execute(tx.conn(), sql, bind.into_values()).await?;
    tx.commit().await
}

/// Locks broadcasts by id, the order in which everybody does who locks several.
async fn lock_in_order(
    conn: &impl ConnectionTrait,
    condition: &str,
    values: impl IntoIterator<Item = sea_orm::Value>,
) -> Result<(), DbErr> {
    if conn.get_database_backend() == sea_orm::DbBackend::Sqlite {
        return Ok(());
    }
    let sql = format!("SELECT id FROM broadcasts WHERE {condition} ORDER BY id FOR UPDATE");
    db::query_all(conn, sql, values).await.map(drop)
}

/// Stops a broadcast for good: what is PENDING is CANCELLED, what is SENDING ends as it ends. Answers
/// the broadcast as it is then, and whether this call stopped it.
pub async fn cancel(db: &Db, id: Uuid, now: DateTime<Utc>) -> Result<Option<(Broadcast, bool)>, DbErr> {
    let tx = db.begin_write().await?;
    let broadcast = match lock(tx.conn(), id).await {
        Ok(broadcast) => broadcast,
        Err(DbErr::RecordNotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    if broadcast.status.is_final() {
        return Ok(Some((broadcast, false)));
    }
    let mut bind = Bind::new(db.backend());
    let (at, place) = (bind.push_instant(now), bind.push(id.to_string()));
    let sql = format!(
        "UPDATE broadcast_recipients SET state = 'cancelled', finished_at = {at}, not_before = NULL \
         WHERE broadcast_id = {place} AND state = 'pending'"
    );
    let stopped = db::execute(tx.conn(), sql, bind.into_values()).await?.rows_affected();
    let stopped = i32::try_from(stopped).unwrap_or(i32::MAX);
    let mut bind = Bind::new(db.backend());
    let (at, place, stopped) = (bind.push_instant(now), bind.push(id.to_string()), bind.push(stopped));
    let sql = format!(
        "UPDATE broadcasts SET status = 'cancelled', pending = pending - {stopped}, \
         cancelled = cancelled + {stopped}, suspension_reason = NULL, resumes_at = NULL, unreported = TRUE, \
         completed_at = CASE WHEN pending = {stopped} THEN {at} END \
         WHERE id = {place} AND status IN ('queued', 'sending', 'paused', 'suspended') RETURNING *"
    );
    let row = db::query_one(tx.conn(), sql, bind.into_values()).await?;
    let cancelled = row.as_ref().map(broadcast_of).transpose()?;
    tx.commit().await?;
    Ok(cancelled.map(|broadcast| (broadcast, true)))
}

/// Whether a message of the broadcast is leaving right now.
pub async fn is_sending(db: &Db, id: Uuid) -> Result<bool, DbErr> {
    let sql =
        "SELECT 1 AS found FROM broadcast_recipients WHERE broadcast_id = $1 AND state = 'sending' LIMIT 1";
    Ok(db::query_one(db.pool(), sql, [id.to_string().into()]).await?.is_some())
}

/// Whether the change log lacks the present state of some broadcast.
pub(super) async fn any_unreported(db: &Db) -> Result<bool, DbErr> {
    let sql = "SELECT 1 AS found FROM broadcasts WHERE unreported LIMIT 1";
    Ok(db::query_one(db.pool(), sql, []).await?.is_some())
}

/// Takes the broadcasts whose present state the change log lacks, each with the number of the last
/// result it has. They count as reported once the transaction commits.
pub(super) async fn take_unreported(conn: &impl ConnectionTrait) -> Result<Vec<(Broadcast, i64)>, DbErr> {
    let lock = if conn.get_database_backend() == sea_orm::DbBackend::Sqlite { "" } else { "FOR UPDATE" };
    let rows =
        db::query_all(conn, format!("SELECT * FROM broadcasts WHERE unreported ORDER BY id {lock}"), [])
            .await?;
    let mut taken = Vec::with_capacity(rows.len());
    for row in &rows {
        let row = broadcast::Model::from_query_result(row, "")?;
        let sql = "UPDATE broadcasts SET unreported = FALSE, reported_seq = finished_seq WHERE id = $1";
        db::execute(conn, sql, [row.id.clone().into()]).await?;
        let reported = row.reported_seq;
        taken.push((row.try_into()?, reported));
    }
    Ok(taken)
}

/// Messages sent a second over the last ten seconds, or since the start if that is less.
pub async fn send_rate(
    conn: &impl ConnectionTrait,
    broadcast: &Broadcast,
    now: DateTime<Utc>,
) -> Result<f64, DbErr> {
    if broadcast.status != BroadcastStatus::Sending {
        return Ok(0.0);
    }
    let mut bind = Bind::new(conn.get_database_backend());
    let (id, newest) =
        (bind.push(broadcast.id.to_string()), bind.push(broadcast.finished_seq - RATE_RESULTS));
    let since = bind.push_instant(now - TimeDelta::seconds(RATE_SECONDS));
    let sql = format!(
        "SELECT COUNT(*) AS n FROM broadcast_recipients WHERE broadcast_id = {id} AND finished_seq > {newest} \
         AND finished_at > {since} AND state = 'sent'"
    );
    let row = db::query_one(conn, sql, bind.into_values()).await?;
    let sent: i64 = row.map_or(Ok(0), |row| row.try_get("", "n"))?;
    let elapsed = (now - broadcast.starts_at).num_milliseconds().clamp(1_000, RATE_SECONDS * 1_000);
    #[expect(clippy::cast_precision_loss, reason = "both are far below 2^52")]
    let rate = sent as f64 * 1_000.0 / elapsed as f64;
    Ok(rate)
}

fn broadcast_of(row: &QueryResult) -> Result<Broadcast, DbErr> {
    broadcast::Model::from_query_result(row, "")?.try_into()
}
