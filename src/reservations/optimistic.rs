//! PostgreSQL's short way to write a batch: two calls, and the feed lock held only for the second.
//!
//! The first reads what the batch is decided upon, with the version of every row and no lock. The second
//! takes the feed lock and writes what was decided where every version is still the same, or nothing at all.
//! So it ends in what a batch that had held the lock all along would have written. What it can't do (rows of
//! a guest whose fields change, a row it can't read) and what was outrun is left to that longer way.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
};

use chrono::{DateTime, Utc};
use entity::{guest, reservation};
use sea_orm::{DbErr, FromQueryResult, QueryResult, RuntimeErr, SqlxError};

use super::{
    Reservation, ReservationEvent,
    batch::{Applied, Decision},
    guests::GuestBook,
    store,
};
use crate::{
    db::{self, Bind},
    feed::Feed,
};

/// Row or guest -> its version.
type Versions = HashMap<String, String>;

/// What a batch is decided upon.
struct Known {
    rows: Vec<Reservation>,
    versions: Versions,
    guests: GuestBook,
    guest_versions: Versions,
}

/// Applies events; answers in their order, or `None` when that takes the longer way. Then nothing is written.
pub(super) async fn apply(
    feed: &Feed,
    events: &[ReservationEvent],
    now: DateTime<Utc>,
) -> Result<Option<Vec<Applied>>, DbErr> {
    // An array holds no NULL. Ingest stamps what comes without a timestamp, so this is not the common case.
    if events.iter().any(|event| event.timestamp.is_none()) {
        return Ok(None);
    }
    let Some(mut known) = read(feed, events).await? else { return Ok(None) };
    known.guests.learn_from(events);
    if known.guests.has_changed_rows() {
        return Ok(None);
    }
    let decision = Decision::new(&known.rows, events, &known.guests, now)?;
    let news = known.guests.news_json(&known.guest_versions);
    if decision.rows.is_empty() && news.is_none() {
        return Ok(Some(decision.answers));
    }
    match write(feed, &known, &decision, news, now).await {
        Ok(()) => {
            feed.appended();
            Ok(Some(decision.answers))
        }
        Err(error) if is_outrun(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn read(feed: &Feed, events: &[ReservationEvent]) -> Result<Option<Known>, DbErr> {
    let pairs: BTreeSet<_> = events.iter().map(|event| (&*event.reservation_id, &*event.guest_id)).collect();
    let pool = feed.db().batches();
    let mut bind = Bind::new(feed.db().backend());
    let ids = bind.push_array(pairs.iter().map(|(id, _)| *id));
    let guests = bind.push_array(pairs.iter().map(|(_, guest)| *guest));
    let sql = format!(
        "SELECT r.*, r.xmin::text AS version, g.xmin::text AS known_version, \
         g.guest_id AS known_guest_id, g.fetch_after AS known_fetch_after, \
         g.fetch_attempts AS known_fetch_attempts, \
         g.first_name AS known_first_name, g.first_name_order AS known_first_name_order, \
         g.last_name AS known_last_name, g.last_name_order AS known_last_name_order, \
         g.email AS known_email, g.email_order AS known_email_order, \
         g.phone AS known_phone, g.phone_order AS known_phone_order \
         FROM unnest({ids}::text[], {guests}::text[]) AS e(reservation_id, guest_id) \
         LEFT JOIN reservations AS r ON r.reservation_id = e.reservation_id \
         LEFT JOIN guests AS g ON g.guest_id = e.guest_id"
    );
    let found = db::query_all(pool, sql, bind.into_values()).await?;

    let (mut rows, mut versions) = (Vec::with_capacity(found.len()), Versions::with_capacity(found.len()));
    let (mut guests, mut guest_versions) = (GuestBook::default(), Versions::with_capacity(found.len()));
    for row in &found {
        if let Some(version) = row.try_get::<Option<String>>("", "version")? {
            let Some(row) = readable(row)? else { return Ok(None) };
            if versions.insert(row.reservation_id.clone(), version).is_none() {
                rows.push(row);
            }
        }
        if let Some(version) = row.try_get::<Option<String>>("", "known_version")? {
            let guest = guest::Model::from_query_result(row, "known_")?;
            guest_versions.insert(guest.guest_id.clone(), version);
            guests.know(guest);
        }
    }
    let new: Vec<_> = pairs.iter().map(|(_, guest)| *guest).filter(|id| !guests.knows(id)).collect();
    if !new.is_empty() && !store::of_guests(pool, &new).await?.is_empty() {
        return Ok(None);
    }
    guests.begin(&new);
    Ok(Some(Known { rows, versions, guests, guest_versions }))
}

fn readable(row: &QueryResult) -> Result<Option<Reservation>, DbErr> {
    Ok(Reservation::try_from(reservation::Model::from_query_result(row, "")?).ok())
}

async fn write(
    feed: &Feed,
    known: &Known,
    decision: &Decision,
    news: Option<serde_json::Value>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let version = |versions: &Versions, id: &str| versions.get(id).cloned().unwrap_or_default();
    let guest_version = |id: &str| {
        let is_learned = known.guests.is_learned(id);
        if is_learned { String::new() } else { version(&known.guest_versions, id) }
    };
    let (rows, changes) = (&decision.rows, &decision.changes);
    let mut bind = Bind::new(feed.db().backend());
    bind.push(feed.lock());
    bind.push(now);
    bind.push(news);
    bind.push(rows.iter().map(|row| row.id).collect::<Vec<_>>());
    bind.push_array(rows.iter().map(|row| version(&known.versions, &row.reservation_id)));
    bind.push_array(rows.iter().map(|row| row.reservation_id.as_str()));
    bind.push_array(rows.iter().map(|row| row.property_id.as_str()));
    bind.push_array(rows.iter().map(|row| row.guest_id.as_str()));
    bind.push_array(rows.iter().map(|row| guest_version(&row.guest_id)));
    bind.push_array(rows.iter().map(|row| row.status.as_str()));
    bind.push(rows.iter().map(|row| row.check_in).collect::<Vec<_>>());
    bind.push(rows.iter().map(|row| row.check_out).collect::<Vec<_>>());
    bind.push(rows.iter().map(|row| row.num_guests).collect::<Vec<_>>());
    bind.push(rows.iter().map(|row| row.total_amount).collect::<Vec<_>>());
    bind.push_array(rows.iter().map(|row| row.currency.as_str()));
    bind.push_array(rows.iter().map(|row| row.webhook_id.as_deref().unwrap_or_default()));
    bind.push(rows.iter().filter_map(|row| row.event_timestamp).collect::<Vec<_>>());
    bind.push_array(changes.iter().map(|change| change.kind));
    bind.push_array(changes.iter().map(|change| change.before.as_deref().unwrap_or_default()));
    bind.push_array(changes.iter().map(|change| change.after.as_str()));
    let values = bind.into_values();
    let mut sql = "SELECT besty_apply_batch($1".to_owned();
    for place in 2..=values.len() {
        let _ = write!(sql, ", ${place}");
    }
    sql.push(')');
    db::execute(feed.db().batches(), sql, values).await.map(drop)
}

/// Whether a version was another one by then.
fn is_outrun(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return false;
    };
    matches!(&**error, SqlxError::Database(error) if error.code().as_deref() == Some("40001"))
}
