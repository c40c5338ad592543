//! A new broadcast and its recipients.

use chrono::{DateTime, Utc};
use entity::broadcast;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use uuid::Uuid;

use super::broadcast_of;
use crate::{
    broadcast::{Broadcast, BroadcastStatus, start::StartInput},
    db::{self, Bind, Db},
    reservations::ReservationFilter,
};

/// How many guests a filter selects.
pub(in crate::broadcast) async fn count_recipients(
    db: &Db,
    filter: &ReservationFilter,
) -> Result<i32, DbErr> {
    let mut bind = Bind::new(db.backend());
    let condition = filter.to_sql(&mut bind);
    let sql = format!("SELECT COUNT(DISTINCT guest_id) AS n FROM reservations WHERE {condition}");
    let row = db::query_one(db.pool(), sql, bind.into_values()).await?;
    let count: i64 = row.map_or(Ok(0), |row| row.try_get("", "n"))?;
    Ok(i32::try_from(count).unwrap_or(i32::MAX))
}

/// The broadcast that a key belongs to, with the digest of its input.
pub(in crate::broadcast) async fn by_key(
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
pub(in crate::broadcast) async fn forget_key(conn: &impl ConnectionTrait, key: &str) -> Result<(), DbErr> {
    let sql = "UPDATE broadcasts SET idempotency_key = NULL WHERE idempotency_key = $1";
    db::execute(conn, sql, [key.into()]).await.map(drop)
}

/// Writes a broadcast without recipients.
pub(in crate::broadcast) async fn insert(
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
pub(in crate::broadcast) async fn insert_recipients(
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
pub(in crate::broadcast) async fn set_total(
    conn: &impl ConnectionTrait,
    id: Uuid,
    total: i32,
) -> Result<Broadcast, DbErr> {
    let sql = "UPDATE broadcasts SET total = $2, pending = $2 WHERE id = $1 AND total = 0 RETURNING *";
    let row = db::query_one(conn, sql, [id.to_string().into(), total.into()]).await?;
    row.as_ref().map_or_else(|| Err(DbErr::RecordNotFound(id.to_string())), broadcast_of)
}
