//! What a person asks of a broadcast: pause, resume, cancel, retry. Each runs in a transaction that has the
//! broadcast locked, changes it only where it is in a state to leave, and answers it as it is then.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use uuid::Uuid;

use super::change;
use crate::{
    broadcast::Broadcast,
    db::{self, Bind, Db},
};

/// The end of a suspension.
const NO_SUSPENSION: &str = "suspension_reason = NULL, resumes_at = NULL";

/// QUEUED, SENDING, SUSPENDED -> PAUSED.
pub(in crate::broadcast) async fn pause(
    conn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<Broadcast>, DbErr> {
    let set = format!("status = 'paused', {NO_SUSPENSION}");
    change(conn, id, &set, "'queued', 'sending', 'suspended'", Bind::new(conn.get_database_backend())).await
}

/// PAUSED, SUSPENDED -> SENDING; QUEUED when its time has not come.
pub(in crate::broadcast) async fn resume(
    conn: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Broadcast>, DbErr> {
    let mut bind = Bind::new(conn.get_database_backend());
    let now = bind.push_instant(now);
    let set =
        format!("status = CASE WHEN starts_at > {now} THEN 'queued' ELSE 'sending' END, {NO_SUSPENSION}");
    change(conn, id, &set, "'paused', 'suspended'", bind).await
}

/// QUEUED, SENDING, SUSPENDED, PAUSED -> CANCELLED. What is PENDING is CANCELLED with it and numbered as a
/// final result; what is SENDING ends as it ends.
pub(in crate::broadcast) async fn cancel(
    conn: &impl ConnectionTrait,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Broadcast>, DbErr> {
    if conn.get_database_backend() == DbBackend::Postgres {
        // Of a table that has just grown it knows nothing, and would compare each message with each.
        db::execute(conn, "SET LOCAL enable_nestloop = off", []).await?;
    }
    let mut bind = Bind::new(conn.get_database_backend());
    let (at, place) = (bind.push_instant(now), bind.push(id.to_string()));
    let sql = format!(
        "UPDATE broadcast_recipients AS r SET state = 'cancelled', finished_at = {at}, not_before = NULL, \
         finished_seq = (SELECT finished_seq FROM broadcasts WHERE id = {place}) + pending.n \
         FROM (SELECT guest_id, ROW_NUMBER() OVER (ORDER BY guest_id) AS n FROM broadcast_recipients \
               WHERE broadcast_id = {place} AND state = 'pending') AS pending \
         WHERE r.broadcast_id = {place} AND r.guest_id = pending.guest_id AND r.state = 'pending'"
    );
    let stopped = db::execute(conn, sql, bind.into_values()).await?.rows_affected();
    let mut bind = Bind::new(conn.get_database_backend());
    let (at, stopped) = (bind.push_instant(now), bind.push(i32::try_from(stopped).unwrap_or(i32::MAX)));
    let set = format!(
        "status = 'cancelled', pending = pending - {stopped}, cancelled = cancelled + {stopped}, \
         finished_seq = finished_seq + {stopped}, {NO_SUSPENSION}, \
         completed_at = CASE WHEN pending = {stopped} THEN {at} END"
    );
    change(conn, id, &set, "'queued', 'sending', 'paused', 'suspended'", bind).await
}

/// COMPLETED -> SENDING: what is FAILED or UNCERTAIN is PENDING again, with all its tries before it.
pub(in crate::broadcast) async fn retry(
    conn: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<Broadcast>, DbErr> {
    let sql = "UPDATE broadcast_recipients SET state = 'pending', tries_before = attempts, not_before = NULL, \
               finished_seq = NULL, finished_at = NULL \
               WHERE broadcast_id = $1 AND state IN ('failed', 'uncertain')";
    let again = db::execute(conn, sql, [id.to_string().into()]).await?.rows_affected();
    let mut bind = Bind::new(conn.get_database_backend());
    let again = bind.push(i32::try_from(again).unwrap_or(i32::MAX));
    let set = format!(
        "status = 'sending', completed_at = NULL, pending = pending + {again}, failed = 0, uncertain = 0, \
         retries = retries + 1"
    );
    change(conn, id, &set, "'completed'", bind).await
}

/// Whether a message of the broadcast is leaving right now.
pub async fn is_sending(db: &Db, id: Uuid) -> Result<bool, DbErr> {
    let sql =
        "SELECT 1 AS found FROM broadcast_recipients WHERE broadcast_id = $1 AND state = 'sending' LIMIT 1";
    Ok(db::query_one(db.pool(), sql, [id.to_string().into()]).await?.is_some())
}
