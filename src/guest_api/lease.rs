//! One process calls the provider: a lease with a fencing epoch.
//!
//! The epoch rises by one at each takeover. What the holder writes names its epoch, so a former
//! holder that was frozen and wakes up changes nothing. Expiry is judged by the clock of the
//! database; the holder itself stops earlier, by its own steady clock.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::memory::Memory;
use crate::db::{self, Db};

/// How long the lease lasts without being renewed; a crash is noticed after it.
const TTL: Duration = Duration::from_secs(9);
/// How long before its end the holder stops by itself.
const MARGIN: Duration = Duration::from_secs(2);
/// How often it is renewed.
const BEAT: Duration = Duration::from_secs(2);
/// How often it is looked whether it can be had: what was given back is taken at once.
const LOOK: Duration = Duration::from_millis(250);

/// A lease that this process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The fencing epoch.
    pub epoch: i64,
    /// Until when requests may leave.
    pub until: Instant,
}

/// Asks for the lease and keeps it, until cancelled; then gives it back. `state` says whether it is
/// held. Whoever calls the provider must have stopped before the cancel.
///
/// Who takes it over knows at once what the former holder had learned of the provider's limit.
pub async fn keep(db: Db, memory: Memory, state: watch::Sender<Option<Held>>, cancel: CancellationToken) {
    let holder = Uuid::new_v4().to_string();
    let mut pause = Duration::ZERO;
    while cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        pause = BEAT;
        // Counted from before the request, so that our end is never later than the database's.
        let until = Instant::now() + TTL - MARGIN;
        let present = *state.borrow();
        let result = match present {
            Some(held) => renew(&db, &holder, held.epoch).await,
            None => acquire(&db, &memory, &holder).await,
        };
        match result {
            Ok(Some(epoch)) => {
                if present.is_none() {
                    tracing::info!(epoch, "this process calls the Guest API now");
                }
                state.send_replace(Some(Held { epoch, until }));
            }
            Ok(None) => {
                if present.is_some() {
                    tracing::warn!("another process calls the Guest API now");
                }
                state.send_if_modified(|held| held.take().is_some());
                pause = LOOK;
            }
            // The database is away: what is held ends by itself.
            Err(error) => tracing::warn!(%error, "the sender's lease can't be renewed"),
        }
    }
    let held = state.send_replace(None);
    if let Some(held) = held
        && let Err(error) = release(&db, &holder, held.epoch).await
    {
        tracing::warn!(%error, "the sender's lease was not given back; it ends by itself");
    }
}

/// The instant `TTL` from now, by the database's own clock.
fn expiry_sql(backend: DbBackend) -> String {
    let seconds = TTL.as_secs();
    match backend {
        DbBackend::Sqlite => format!("strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '+{seconds} seconds')"),
        _ => format!("clock_timestamp() + interval '{seconds} seconds'"),
    }
}

fn now_sql(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Sqlite => "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')",
        _ => "clock_timestamp()",
    }
}

/// Takes a lease that nobody holds or whose time is over. Answers the new epoch.
async fn acquire(db: &Db, memory: &Memory, holder: &str) -> Result<Option<i64>, DbErr> {
    let (expiry, now) = (expiry_sql(db.backend()), now_sql(db.backend()));
    let free = format!("id = 1 AND (holder IS NULL OR expires_at < {now})");
    // Looked first: a statement that may write waits for others that do.
    let look = format!("SELECT 1 AS found FROM sender_lease WHERE {free}");
    if db::query_one(db.pool(), look, []).await?.is_none() {
        return Ok(None);
    }
    let sql = format!(
        "UPDATE sender_lease SET holder = $1, epoch = epoch + 1, expires_at = {expiry} WHERE {free} RETURNING epoch"
    );
    let tx = db.begin_write().await?;
    let epoch = epoch(tx.conn(), sql, vec![holder.into()]).await?;
    if epoch.is_some() {
        memory.recall(tx.conn()).await?;
    }
    tx.commit().await?;
    Ok(epoch)
}

/// Prolongs a lease that is still ours. A lease that ran out but was taken by nobody is still ours.
async fn renew(db: &Db, holder: &str, held: i64) -> Result<Option<i64>, DbErr> {
    let expiry = expiry_sql(db.backend());
    let sql = format!(
        "UPDATE sender_lease SET expires_at = {expiry} WHERE id = 1 AND holder = $1 AND epoch = $2 RETURNING epoch"
    );
    let tx = db.begin_write().await?;
    let epoch = epoch(tx.conn(), sql, vec![holder.into(), held.into()]).await?;
    tx.commit().await?;
    Ok(epoch)
}

async fn release(db: &Db, holder: &str, held: i64) -> Result<(), DbErr> {
    let tx = db.begin_write().await?;
    let sql = "UPDATE sender_lease SET holder = NULL WHERE id = 1 AND holder = $1 AND epoch = $2";
    db::execute(tx.conn(), sql, [holder.into(), held.into()]).await?;
    tx.commit().await
}

async fn epoch(
    conn: &impl ConnectionTrait,
    sql: String,
    values: Vec<sea_orm::Value>,
) -> Result<Option<i64>, DbErr> {
    db::query_one(conn, sql, values).await?.map(|row| row.try_get("", "epoch")).transpose()
}
