//! What the change log is told of, and how fast messages go.

use chrono::{DateTime, TimeDelta, Utc};
use entity::broadcast;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::for_update;
use crate::{
    broadcast::{Broadcast, BroadcastStatus},
    db::{self, Bind, Db},
};

/// The time over which the rate of sending is taken, and the results that are looked at for it.
const RATE_SECONDS: i64 = 10;
const RATE_RESULTS: i64 = 20_000;

/// Whether the change log lacks the present state of some broadcast.
pub(in crate::broadcast) async fn any_unreported(db: &Db) -> Result<bool, DbErr> {
    let sql = "SELECT 1 AS found FROM broadcasts WHERE unreported LIMIT 1";
    Ok(db::query_one(db.pool(), sql, []).await?.is_some())
}

/// How many broadcasts that are not done have this status, and how many messages without a result they have.
pub async fn not_done(db: &Db) -> Result<Vec<(BroadcastStatus, i64, i64)>, DbErr> {
    let sql = "SELECT status, COUNT(*) AS broadcasts, COALESCE(SUM(pending), 0) AS messages \
               FROM broadcasts WHERE completed_at IS NULL GROUP BY status";
    let rows = db::query_all(db.pool(), sql, []).await?;
    rows.iter()
        .map(|row| {
            let status = BroadcastStatus::parse(&row.try_get::<String>("", "status")?)?;
            Ok((status, row.try_get("", "broadcasts")?, row.try_get("", "messages")?))
        })
        .collect()
}

/// Takes the broadcasts whose present state the change log lacks, each with the number of the last
/// result it has. They count as reported once the transaction commits.
pub(in crate::broadcast) async fn take_unreported(
    conn: &impl ConnectionTrait,
) -> Result<Vec<(Broadcast, i64)>, DbErr> {
    let sql = format!("SELECT * FROM broadcasts WHERE unreported ORDER BY id {}", for_update(conn));
    let rows = db::query_all(conn, sql, []).await?;
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

/// Messages sent a second over the last ten seconds, or since the start if that is less: of each of these
/// broadcasts, in one statement.
pub async fn send_rates(
    conn: &impl ConnectionTrait,
    broadcasts: &[Broadcast],
    now: DateTime<Utc>,
) -> Result<Vec<f64>, DbErr> {
    let mut bind = Bind::new(conn.get_database_backend());
    let since = bind.push_instant(now - TimeDelta::seconds(RATE_SECONDS));
    let sent = |(part, broadcast): (usize, &Broadcast)| {
        let (id, newest) =
            (bind.push(broadcast.id.to_string()), bind.push(broadcast.finished_seq - RATE_RESULTS));
        format!(
            "SELECT {part} AS part, COUNT(*) AS n FROM broadcast_recipients WHERE broadcast_id = {id} \
             AND finished_seq > {newest} AND finished_at > {since} AND state = 'sent'"
        )
    };
    let sending = |broadcast: &Broadcast| broadcast.status == BroadcastStatus::Sending;
    let counts: Vec<_> =
        broadcasts.iter().enumerate().filter(|(_, broadcast)| sending(broadcast)).map(sent).collect();
    let mut rates = vec![0.0; broadcasts.len()];
    if counts.is_empty() {
        return Ok(rates);
    }
    for row in db::query_all(conn, counts.join(" UNION ALL "), bind.into_values()).await? {
        let part = usize::try_from(row.try_get::<i32>("", "part")?).unwrap_or(usize::MAX);
        let sent: i64 = row.try_get("", "n")?;
        if let (Some(rate), Some(broadcast)) = (rates.get_mut(part), broadcasts.get(part)) {
            *rate = per_second(sent, now - broadcast.starts_at);
        }
    }
    Ok(rates)
}

fn per_second(sent: i64, since_start: TimeDelta) -> f64 {
    let elapsed = since_start.num_milliseconds().clamp(1_000, RATE_SECONDS * 1_000);
    #[expect(clippy::cast_precision_loss, reason = "both are far below 2^52")]
    let rate = sent as f64 * 1_000.0 / elapsed as f64;
    rate
}
