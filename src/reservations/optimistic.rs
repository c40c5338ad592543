//! PostgreSQL's short way to write a batch: two calls, and the feed lock held only for the second.
//!
//! The first reads what the batch is decided upon, with the version of every row and no lock; what
//! this process wrote itself is [remembered](super::recent), and left out there. The second
//! takes the feed lock and writes what was decided where every version is still the same, or nothing at all.
//! So it ends in what a batch that had held the lock all along would have written. What it can't do (rows of
//! a guest whose fields change, or whom others met first, and a row it can't read) and what was outrun is left
//! to that longer way.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use entity::{guest, reservation};
use sea_orm::{
    DbErr, FromQueryResult, QueryResult, SqlxError,
    sqlx::{PgConnection, query, query_as},
};

use super::{
    Reservation, ReservationEvent,
    batch::{Applied, Decision},
    change::Before,
    guests::GuestBook,
    recent::{self, Recent, Taken},
};
use crate::{
    db::{self, KeptConnections},
    feed::{Feed, NewChange},
};

/// What a batch is decided upon.
#[derive(Default)]
struct Known {
    rows: HashMap<String, recent::Known>,
    guests: GuestBook,
}

/// What became of a try.
enum Attempt {
    /// It is committed up to this sequence, and this is known by it.
    Written(Vec<Applied>, i64, Taken),
    /// Something was not as it was remembered or read. Nothing is written.
    Outrun,
    /// This can't be done here. Nothing is written.
    Unsuited,
}

/// Reservation ids, and beside each the guest of the event. A guest who is met for the first time may have rows all
/// the same, which others wrote. No `EXISTS`: of a table that was never analysed, PostgreSQL reads the whole index for
/// that.
const READ: &str = "SELECT r.*, r.xmin::text AS version, g.xmin::text AS known_version, \
     g.guest_id AS known_guest_id, g.fetch_after AS known_fetch_after, \
     g.fetch_attempts AS known_fetch_attempts, \
     g.first_name AS known_first_name, g.first_name_order AS known_first_name_order, \
     g.last_name AS known_last_name, g.last_name_order AS known_last_name_order, \
     g.email AS known_email, g.email_order AS known_email_order, \
     g.phone AS known_phone, g.phone_order AS known_phone_order, \
     g.guest_id IS NULL AND (SELECT TRUE FROM reservations AS o WHERE o.guest_id = e.guest_id LIMIT 1) IS NOT NULL \
     AS met_by_others \
     FROM unnest($1::text[], $2::text[]) AS e(reservation_id, guest_id) \
     LEFT JOIN reservations AS r ON r.reservation_id = e.reservation_id \
     LEFT JOIN guests AS g ON g.guest_id = e.guest_id";

/// Answers the version of what was written, and the newest sequence if anything was appended. The function stands
/// where rows come from, so it is called before the rest is worked out.
const APPLY: &str = "SELECT pg_current_xact_id()::xid::text, \
     CASE WHEN cardinality($4) > 0 THEN currval('changes_seq_seq') ELSE 0 END \
     FROM besty_apply_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
     $20)";

/// Applies events; answers in their order, or `None` when that takes the longer way. Then nothing is written.
///
/// What is remembered is tried first. It may be outdated, and then it is read.
pub(super) async fn apply(
    feed: &Feed,
    connections: &KeptConnections,
    recent: &Recent,
    events: &[Arc<ReservationEvent>],
    now: DateTime<Utc>,
) -> Result<Option<Vec<Applied>>, DbErr> {
    // An array holds no NULL. Ingest stamps what comes without a timestamp, so this is not the common case.
    if events.iter().any(|event| event.timestamp.is_none()) {
        return Ok(None);
    }
    let mut connection = connections.lend().await?;
    let remembered = recent.take(events, connections.opened());
    let mut attempt = Attempt::Outrun;
    if !remembered.rows.is_empty() || !remembered.guests.is_empty() {
        let known = Known { rows: remembered.rows, guests: GuestBook::recall(remembered.guests) };
        attempt = try_upon(&mut connection, feed, known, true, events, now).await?;
    }
    if matches!(attempt, Attempt::Outrun) {
        attempt = try_upon(&mut connection, feed, Known::default(), false, events, now).await?;
    }
    connections.keep(connection);
    Ok(match attempt {
        Attempt::Written(answers, seq, known) => {
            feed.appended(seq);
            recent.put(known);
            Some(answers)
        }
        Attempt::Outrun | Attempt::Unsuited => None,
    })
}

/// Reads what is not known yet, decides, and writes what was decided.
async fn try_upon(
    connection: &mut PgConnection,
    feed: &Feed,
    mut known: Known,
    is_remembered: bool,
    events: &[Arc<ReservationEvent>],
    now: DateTime<Utc>,
) -> Result<Attempt, DbErr> {
    if !read(connection, &mut known, events).await? {
        return Ok(Attempt::Unsuited);
    }
    known.guests.begin(events);
    known.guests.learn_from(events);
    if known.guests.has_changed_rows() {
        return Ok(Attempt::Unsuited);
    }
    let before = known.rows.iter().map(|(id, known)| (id.as_str(), Before::from(known))).collect();
    let decision = Decision::new(&before, events, &known.guests, now)?;
    // Only what is written is checked, and the row that made an event old news may be gone by now.
    if is_remembered && decision.answers.iter().any(|answer| *answer != Applied::Applied) {
        return Ok(Attempt::Outrun);
    }
    let news = known.guests.news_json();
    let (version, seq) = if decision.rows.is_empty() && news.is_none() {
        Default::default()
    } else {
        match call(connection, feed, &known, &decision, news, now).await {
            Ok(written) => written,
            Err(error) if is_outrun(&error) => return Ok(Attempt::Outrun),
            Err(error) => return Err(db::query_error(error)),
        }
    };
    let (answers, written) = (decision.answers, decision.rows.into_iter().zip(decision.changes));
    Ok(Attempt::Written(answers, seq, settled(known, written, &version)))
}

/// What is known once the rows are committed in this version. The number of a new row is not.
fn settled(known: Known, written: impl Iterator<Item = (Reservation, NewChange)>, version: &str) -> Taken {
    let mut rows = known.rows;
    for (row, change) in written {
        if row.id != 0 {
            let known = recent::Known { row, version: version.to_owned(), image: Some(change.after) };
            rows.insert(change.key, known);
        }
    }
    Taken { rows, guests: known.guests.settle(version) }
}

/// Reads what the events are about and is not known yet; answers whether a batch can be decided upon that.
async fn read(
    connection: &mut PgConnection,
    known: &mut Known,
    events: &[Arc<ReservationEvent>],
) -> Result<bool, DbErr> {
    let is_unknown = |event: &&Arc<ReservationEvent>| {
        !known.rows.contains_key(&event.reservation_id) || !known.guests.knows(&event.guest_id)
    };
    let pair = |event: &Arc<ReservationEvent>| (event.reservation_id.clone(), event.guest_id.clone());
    let pairs: BTreeSet<_> = events.iter().filter(is_unknown).map(pair).collect();
    if pairs.is_empty() {
        return Ok(true);
    }
    let (ids, guests): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    for row in query(READ).bind(ids).bind(guests).fetch_all(connection).await.map_err(db::query_error)? {
        let row = QueryResult::from(row);
        if row.try_get("", "met_by_others")? {
            return Ok(false);
        }
        if let Some(version) = row.try_get::<Option<String>>("", "version")? {
            let Some(row) = readable(&row)? else { return Ok(false) };
            known.rows.insert(row.reservation_id.clone(), recent::Known { row, version, image: None });
        }
        if let Some(version) = row.try_get::<Option<String>>("", "known_version")? {
            known.guests.know(guest::Model::from_query_result(&row, "known_")?, version);
        }
    }
    Ok(true)
}

fn readable(row: &QueryResult) -> Result<Option<Reservation>, DbErr> {
    Ok(Reservation::try_from(reservation::Model::from_query_result(row, "")?).ok())
}

/// Writes; answers the version that what was written has, and the newest sequence, 0 when there is none.
async fn call(
    connection: &mut PgConnection,
    feed: &Feed,
    known: &Known,
    decision: &Decision,
    news: Option<serde_json::Value>,
    now: DateTime<Utc>,
) -> Result<(String, i64), SqlxError> {
    let version = |id: &str| known.rows.get(id).map_or("", |known| &*known.version);
    let (rows, changes) = (&decision.rows, &decision.changes);
    query_as(APPLY)
        .bind(feed.lock())
        .bind(now)
        .bind(news)
        .bind(rows.iter().map(|row| row.id).collect::<Vec<_>>())
        .bind(texts(rows, |row| version(&row.reservation_id)))
        .bind(texts(rows, |row| &row.reservation_id))
        .bind(texts(rows, |row| &row.property_id))
        .bind(texts(rows, |row| &row.guest_id))
        .bind(texts(rows, |row| known.guests.version(&row.guest_id)))
        .bind(texts(rows, |row| row.status.as_str()))
        .bind(rows.iter().map(|row| row.check_in).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.check_out).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.num_guests).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.total_amount).collect::<Vec<_>>())
        .bind(texts(rows, |row| &row.currency))
        .bind(texts(rows, |row| row.webhook_id.as_deref().unwrap_or_default()))
        .bind(rows.iter().filter_map(|row| row.event_timestamp).collect::<Vec<_>>())
        .bind(texts(changes, |change| change.kind))
        .bind(texts(changes, |change| change.before.as_deref().unwrap_or_default()))
        .bind(texts(changes, |change| &change.after))
        .fetch_one(connection)
        .await
}

fn texts<'t, T>(items: &'t [T], text: impl Fn(&'t T) -> &'t str) -> Vec<&'t str> {
    items.iter().map(text).collect()
}

/// Whether a version was another one by then.
fn is_outrun(error: &SqlxError) -> bool {
    matches!(error, SqlxError::Database(error) if error.code().as_deref() == Some("40001"))
}
