//! The SQL of broadcasts and their messages. Every change of a state names the state it leaves.
//!
//! One subject a file: [`start`], [`claim`], [`record`], [`control`], [`suspend`], [`report`], [`lists`],
//! [`forget`].
//! Whoever changes messages locks their broadcast first, so the counts and the states of a broadcast
//! change one transaction at a time; who locks several takes them by id.

use entity::broadcast;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, QueryResult};
use uuid::Uuid;

use super::Broadcast;
use crate::{
    db::{self, Bind},
    feed::log::HEAD_SQL,
};

mod claim;
mod control;
mod forget;
mod lists;
mod record;
mod report;
mod start;
mod suspend;

pub use control::is_sending;
pub use forget::forget_finished;
pub(super) use {
    claim::{Claimed, claim, claimed, open},
    control::{cancel, pause, resume, retry},
    record::{Verdict, orphans, record},
    report::{any_unreported, take_unreported},
    start::{by_key, count_recipients, forget_key, insert, insert_recipients, set_total},
    suspend::suspend_all,
};
pub use {
    lists::{
        MessageSet, broadcast_key, broadcasts_keyset, count, exists_beyond, failures, finished_between,
        message_key, message_pages, messages, messages_by_ids, messages_keyset, page,
    },
    report::{not_done, send_rates},
};

/// One broadcast.
pub async fn by_id(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<Broadcast>, DbErr> {
    let row = db::query_one(conn, "SELECT * FROM broadcasts WHERE id = $1", [id.to_string().into()]).await?;
    row.as_ref().map(broadcast_of).transpose()
}

/// Broadcasts by id, in no order.
pub async fn by_ids(conn: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<Broadcast>, DbErr> {
    let ids: Vec<_> = ids.iter().map(Uuid::to_string).collect();
    let mut bind = Bind::new(conn.get_database_backend());
    let any = bind.any_of("id", ids.iter().map(String::as_str));
    let rows =
        db::query_all(conn, format!("SELECT * FROM broadcasts WHERE {any}"), bind.into_values()).await?;
    rows.iter().map(broadcast_of).collect()
}

/// One broadcast, and the position of the change log in the same snapshot: every step after it is of
/// this state or a later one.
pub async fn by_id_at(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<(Broadcast, i64)>, DbErr> {
    let sql = format!("SELECT broadcasts.*, {HEAD_SQL} AS stream_head FROM broadcasts WHERE id = $1");
    let row = db::query_one(conn, sql, [id.to_string().into()]).await?;
    row.map(|row| Ok((broadcast_of(&row)?, row.try_get("", "stream_head")?))).transpose()
}

/// Reads a broadcast and keeps others from changing it or its messages until the transaction ends.
pub(super) async fn lock(conn: &impl ConnectionTrait, id: Uuid) -> Result<Option<Broadcast>, DbErr> {
    let sql = format!("SELECT * FROM broadcasts WHERE id = $1 {}", for_update(conn));
    let row = db::query_one(conn, sql, [id.to_string().into()]).await?;
    row.as_ref().map(broadcast_of).transpose()
}

/// Locks broadcasts by id, the order in which everybody does who locks several.
async fn lock_in_order(
    conn: &impl ConnectionTrait,
    condition: &str,
    values: impl IntoIterator<Item = sea_orm::Value>,
) -> Result<(), DbErr> {
    let sql = format!("SELECT id FROM broadcasts WHERE {condition} ORDER BY id {}", for_update(conn));
    db::query_all(conn, sql, values).await.map(drop)
}

/// Whether `epoch` is still the lease's, and stays it until the transaction ends: a takeover waits.
async fn is_holder(conn: &impl ConnectionTrait, epoch: i64) -> Result<bool, DbErr> {
    let sql = format!("SELECT 1 AS found FROM sender_lease WHERE id = 1 AND epoch = $1 {}", for_share(conn));
    Ok(db::query_one(conn, sql, [epoch.into()]).await?.is_some())
}

/// SQLite has one writer at a time, so there is nothing to lock.
fn for_update(conn: &impl ConnectionTrait) -> &'static str {
    if conn.get_database_backend() == DbBackend::Sqlite { "" } else { "FOR UPDATE" }
}

fn for_share(conn: &impl ConnectionTrait) -> &'static str {
    if conn.get_database_backend() == DbBackend::Sqlite { "" } else { "FOR SHARE" }
}

/// Changes one broadcast and answers it as it is then: `set` names what, `from` the states it leaves. None
/// when it is in another.
async fn change(
    conn: &impl ConnectionTrait,
    id: Uuid,
    set: &str,
    from: &str,
    mut bind: Bind,
) -> Result<Option<Broadcast>, DbErr> {
    let place = bind.push(id.to_string());
    let sql = format!(
        "UPDATE broadcasts SET {set}, unreported = TRUE WHERE id = {place} AND status IN ({from}) RETURNING *"
    );
    let row = db::query_one(conn, sql, bind.into_values()).await?;
    row.as_ref().map(broadcast_of).transpose()
}

fn broadcast_of(row: &QueryResult) -> Result<Broadcast, DbErr> {
    broadcast::Model::from_query_result(row, "")?.try_into()
}

/// Which message a row is about.
fn message_of(row: &QueryResult) -> Result<(Uuid, String), DbErr> {
    Ok((super::uuid(&row.try_get::<String>("", "broadcast_id")?)?, row.try_get("", "guest_id")?))
}
