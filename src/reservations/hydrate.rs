//! Guests we lack: events carry no names, so each guest is fetched once, in the background.
//!
//! What is due stands in `guests.fetch_after`, so a restart goes on where it stopped. Look-ups use
//! the bulk lane: they leave the Guest API to broadcasts.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::DbErr;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{GuestFields, guests};
use crate::{
    clock::Clock,
    db::{self, Bind},
    feed::Feed,
    guest_api::{Door, GuestRecord, Lane, Outcome},
};

/// Guests taken up at once.
const BATCH: i64 = 100;
/// How often the table is asked when no commit gave a hint.
const POLL: Duration = Duration::from_secs(5);
/// How long the table is left alone after nobody was due: not every commit brings a new guest.
const PACE: Duration = Duration::from_millis(250);
/// How long a guest whom the provider does not know is left alone.
const MISS: TimeDelta = TimeDelta::hours(1);
/// The longest pause after failed look-ups, in seconds.
const BACKOFF_MAX: i64 = 300;
/// Look-ups under way at once.
const CONCURRENCY: usize = 5;

/// Fetches guests until cancelled.
pub async fn run(feed: Feed, door: Door, clock: Clock, cancel: CancellationToken) {
    let mut committed = feed.committed();
    let work = async {
        loop {
            match step(&feed, &door, &clock).await {
                Ok(0) => {}
                Ok(_) => continue,
                Err(error) => tracing::warn!(%error, "guests can't be looked up; trying again"),
            }
            tokio::time::sleep(PACE).await;
            tokio::select! {
                _ = committed.changed() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = work => {}
    }
}

/// Looks up the guests who are due, a batch at most. Answers how many there were.
pub async fn step(feed: &Feed, door: &Door, clock: &Clock) -> Result<usize, DbErr> {
    // Who has no lease would hold a list that others are working off.
    door.held().await;
    let due = due(feed, clock.now()).await?;
    let count = due.len();
    let mut look_ups = JoinSet::new();
    for guest in due {
        // Tasks of their own: futures that share one could keep each other from letting go of a lock.
        if look_ups.len() >= CONCURRENCY {
            ended(look_ups.join_next().await)?;
        }
        look_ups.spawn(look_up(feed.clone(), door.clone(), clock.clone(), guest));
    }
    while let Some(end) = look_ups.join_next().await {
        ended(Some(end))?;
    }
    Ok(count)
}

fn ended(end: Option<Result<Result<(), DbErr>, JoinError>>) -> Result<(), DbErr> {
    match end {
        None => Ok(()),
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(DbErr::Custom(format!("a look-up was cut off: {error}"))),
    }
}

async fn look_up(feed: Feed, door: Door, clock: Clock, guest: Due) -> Result<(), DbErr> {
    let id = guest.id.clone();
    let outcome = door.call(Lane::Bulk, |api| async move { api.guest(&id).await }).await;
    record(&feed, &guest, outcome, clock.now()).await
}

struct Due {
    id: String,
    attempts: i32,
}

async fn due(feed: &Feed, now: DateTime<Utc>) -> Result<Vec<Due>, DbErr> {
    let pool = feed.db().pool();
    let mut bind = Bind::new(feed.db().backend());
    let (now, limit) = (bind.push_instant(now), bind.push(BATCH));
    let sql = format!(
        "SELECT guest_id, fetch_attempts FROM guests WHERE fetch_after <= {now} ORDER BY fetch_after LIMIT {limit}"
    );
    let rows = db::query_all(pool, sql, bind.into_values()).await?;
    rows.iter()
        .map(|row| Ok(Due { id: row.try_get("", "guest_id")?, attempts: row.try_get("", "fetch_attempts")? }))
        .collect()
}

async fn record(
    feed: &Feed,
    guest: &Due,
    outcome: Outcome<GuestRecord>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let again = match outcome {
        Outcome::Done(record) => {
            return guests::learn_from_look_up(feed, &guest.id, &fields_of(record), now).await;
        }
        // The gate is closed for all of us; this was not a try.
        Outcome::Limited { .. } => return Ok(()),
        Outcome::NotFound | Outcome::Refused { .. } => now + MISS,
        Outcome::Unauthorized { .. } | Outcome::Retry { .. } | Outcome::Ambiguous { .. } => {
            let seconds = (1_i64 << guest.attempts.clamp(0, 20)).min(BACKOFF_MAX);
            now + TimeDelta::seconds(seconds)
        }
    };
    let mut bind = Bind::new(feed.db().backend());
    let (again, id) = (bind.push_instant(again), bind.push(guest.id.as_str()));
    let sql = format!(
        "UPDATE guests SET fetch_after = {again}, fetch_attempts = fetch_attempts + 1 \
         WHERE guest_id = {id} AND fetch_after IS NOT NULL"
    );
    let tx = feed.db().begin_write().await?;
    db::execute(tx.conn(), sql, bind.into_values()).await?;
    tx.commit().await
}

/// What of an answer the table can hold. A text that is too long is cut, one that is blank or holds a
/// NUL counts as not known.
fn fields_of(record: GuestRecord) -> GuestFields {
    let fit = |text: Option<String>, max: usize| {
        let text = text.filter(|text| !text.trim().is_empty() && !text.contains('\0'))?;
        Some(text.chars().take(max).collect())
    };
    GuestFields {
        first_name: fit(record.first_name, 100),
        last_name: fit(record.last_name, 100),
        email: fit(record.email, 255),
        phone: fit(record.phone, 50),
    }
}
