//! Which messages may leave: what is due starts, and messages are marked SENDING before they do.
//!
//! Only the holder of the lease gets anything here, and only of a broadcast that is SENDING at the commit: a
//! pause that has committed is never followed by a claim.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use super::{broadcast_of, for_share, for_update, is_holder, lock_in_order, message_of};
use crate::{
    broadcast::{Broadcast, BroadcastStatus},
    db::{self, Bind, Db},
};

/// Starts what is due: QUEUED whose time has come, SUSPENDED whose wait is over. Answers the broadcasts that
/// are SENDING then, oldest first.
pub(in crate::broadcast) async fn open(
    db: &Db,
    epoch: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Broadcast>, DbErr> {
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
    if !is_holder(tx.conn(), epoch).await? {
        return Ok(Vec::new());
    }
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
pub(in crate::broadcast) struct Claimed {
    /// The broadcast.
    pub(in crate::broadcast) broadcast_id: Uuid,
    /// The guest.
    pub(in crate::broadcast) guest_id: String,
    /// Tries so far, since the last retry of the broadcast.
    pub(in crate::broadcast) attempts: i32,
}

/// Marks messages SENDING, up to the number wanted of each broadcast. Committed when it returns.
pub(in crate::broadcast) async fn claim(
    db: &Db,
    wanted: &[(Uuid, usize)],
    epoch: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Claimed>, DbErr> {
    let tx = db.begin_write().await?;
    let sending = sending(tx.conn(), wanted, epoch).await?;
    let mut claimed = Vec::new();
    for (id, limit) in wanted.iter().filter(|(id, _)| sending.contains(id)) {
        claimed.extend(mark(tx.conn(), *id, *limit, epoch, now).await?);
    }
    tx.commit().await?;
    Ok(claimed)
}

/// Those of the broadcasts that are SENDING, if `epoch` is the lease's. Both stay so until the transaction
/// ends. A takeover waits for it, and so finds its messages; a pause waits for it, and so sees them leave.
async fn sending(
    conn: &impl ConnectionTrait,
    wanted: &[(Uuid, usize)],
    epoch: i64,
) -> Result<BTreeSet<Uuid>, DbErr> {
    let mut bind = Bind::new(conn.get_database_backend());
    let epoch = bind.push(epoch);
    let ids: Vec<_> = wanted.iter().map(|(id, _)| id.to_string()).collect();
    let any = bind.any_of("b.id", ids.iter().map(String::as_str));
    let sql = format!(
        "SELECT b.id FROM broadcasts b JOIN sender_lease l ON l.id = 1 \
         WHERE l.epoch = {epoch} AND b.status = 'sending' AND {any} ORDER BY b.id {}",
        for_share(conn)
    );
    let rows = db::query_all(conn, sql, bind.into_values()).await?;
    rows.iter().map(|row| crate::broadcast::uuid(&row.try_get::<String>("", "id")?)).collect()
}

/// First those that were never tried, then those whose pause is over, the earliest first.
async fn mark(
    conn: &impl ConnectionTrait,
    id: Uuid,
    limit: usize,
    epoch: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Claimed>, DbErr> {
    let mut bind = Bind::new(conn.get_database_backend());
    let (place, now) = (bind.push(id.to_string()), bind.push_instant(now));
    let (limit, epoch) = (bind.push(i64::try_from(limit).unwrap_or(i64::MAX)), bind.push(epoch));
    let pending = format!(
        "SELECT guest_id FROM broadcast_recipients WHERE broadcast_id = {place} AND state = 'pending'"
    );
    let any = if bind.is_sqlite() { "IN (SELECT" } else { "= ANY(ARRAY(SELECT" };
    let end = if bind.is_sqlite() { ")" } else { "))" };
    // MATERIALIZED: as plain subqueries PostgreSQL may run them once a row, and take more than `limit`. The
    // other two oddities make it look the picked rows up by the primary key: of a table that has just grown
    // it knows nothing, and would rather go through all that is pending.
    let sql = format!(
        "WITH fresh AS MATERIALIZED ({pending} AND not_before IS NULL LIMIT {limit}), \
         again AS MATERIALIZED ({pending} AND not_before <= {now} ORDER BY not_before LIMIT {limit}), \
         picked AS MATERIALIZED ( \
           SELECT guest_id FROM fresh UNION ALL SELECT guest_id FROM again LIMIT {limit}) \
         UPDATE broadcast_recipients SET state = 'sending', epoch = {epoch} \
         WHERE broadcast_id = {place} AND state || '' = 'pending' AND guest_id {any} guest_id FROM picked{end} \
         RETURNING guest_id, attempts - tries_before AS attempts"
    );
    let rows = db::query_all(conn, sql, bind.into_values()).await?;
    rows.iter()
        .map(|row| {
            let (guest_id, attempts) = (row.try_get("", "guest_id")?, row.try_get("", "attempts")?);
            Ok(Claimed { broadcast_id: id, guest_id, attempts })
        })
        .collect()
}

/// Every message that was marked SENDING with `epoch`. A claim whose outcome nobody knows ends before this
/// answers: it has the lease locked until then.
pub(in crate::broadcast) async fn claimed(db: &Db, epoch: i64) -> Result<Vec<(Uuid, String)>, DbErr> {
    let tx = db.begin_write().await?;
    let sql = format!("SELECT 1 AS found FROM sender_lease WHERE id = 1 {}", for_update(tx.conn()));
    db::query_one(tx.conn(), sql, []).await?;
    let sql =
        "SELECT broadcast_id, guest_id FROM broadcast_recipients WHERE state = 'sending' AND epoch = $1";
    let rows = db::query_all(tx.conn(), sql, [epoch.into()]).await?;
    rows.iter().map(message_of).collect()
}

#[cfg(test)]
mod tests {
    use migration::MigratorTrait as _;

    use super::*;

    /// Why a pause may answer: no claim comes after it, whatever the sender knew before.
    #[tokio::test]
    async fn only_the_holder_claims_and_only_of_what_is_sending() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open_file(&folder.path().join("besty.db")).await.unwrap();
        migration::Migrator::up(db.pool(), None).await.unwrap();
        let (id, now) = (Uuid::from_u128(1), DateTime::UNIX_EPOCH);
        let setup = format!(
            "INSERT INTO broadcasts (id, message, status, total, pending, on_uncertain, input_digest, created_at, \
             starts_at) VALUES ('{id}', 'Hello', 'paused', 1, 1, 'resend', '', '', '')"
        );
        db::execute(db.pool(), setup, []).await.unwrap();
        let message = "INSERT INTO broadcast_recipients (broadcast_id, guest_id) VALUES ($1, 'guest_1')";
        db::execute(db.pool(), message, [id.to_string().into()]).await.unwrap();
        for (status, epoch, claimed) in
            [("paused", 0, 0), ("suspended", 0, 0), ("sending", 1, 0), ("sending", 0, 1)]
        {
            let set = "UPDATE broadcasts SET status = $1";
            db::execute(db.pool(), set, [status.into()]).await.unwrap();
            let got = claim(&db, &[(id, 5)], epoch, now).await.unwrap();
            assert_eq!(got.len(), claimed, "{status}, epoch {epoch}");
        }
    }
}
