//! A batch of events -> one transaction: rows, guests and the change log together.
//!
//! Under the feed lock nobody else writes, so the rows are read as they are, the newest event of each
//! reservation is chosen by the order, and rows and changes are written in one go.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use sea_orm::DbErr;

use super::{
    Reservation, ReservationEvent,
    change::{self, Before},
    guests::GuestBook,
    optimistic,
    order::Order,
    recent::Recent,
    store,
};
use crate::feed::{Feed, NewChange};

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The reservation now says what the event says.
    Applied,
    /// A newer event was applied before.
    Stale,
    /// This event was applied before.
    Duplicate,
}

/// Applies events in one transaction; answers in their order. `recent` may be outdated.
pub async fn apply(
    feed: &Feed,
    recent: &Recent,
    events: &[Arc<ReservationEvent>],
    now: DateTime<Utc>,
) -> Result<Vec<Applied>, DbErr> {
    if let Some(connections) = feed.db().batches()
        && let Some(answers) = optimistic::apply(feed, connections, recent, events, now).await?
    {
        return Ok(answers);
    }
    apply_locked(feed, events, now).await
}

/// The same with the feed lock held from before the first read.
async fn apply_locked(
    feed: &Feed,
    events: &[Arc<ReservationEvent>],
    now: DateTime<Utc>,
) -> Result<Vec<Applied>, DbErr> {
    let mut tx = feed.begin().await?;
    let ids: BTreeSet<_> = events.iter().map(|event| event.reservation_id.as_str()).collect();
    let rows = store::by_ids(tx.conn(), &ids.into_iter().collect::<Vec<_>>()).await?;
    let guest_ids = events.iter().map(|event| event.guest_id.as_str()).collect();
    let mut guests = GuestBook::load(tx.conn(), guest_ids).await?;
    guests.learn_from(events);
    let before = rows.iter().map(|row| (row.reservation_id.as_str(), Before { row, image: None })).collect();
    let decision = Decision::new(&before, events, &guests, now)?;
    store::write(&mut tx, &decision.rows, &decision.changes).await?;
    guests.write(tx.conn(), now).await?;
    let done = decision.rows.iter().map(|row| row.reservation_id.as_str()).collect();
    guests.project(&mut tx, &done, now).await?;
    tx.commit().await?;
    Ok(decision.answers)
}

/// What a batch does, given the rows as they are.
pub(super) struct Decision {
    /// The answer to each event.
    pub(super) answers: Vec<Applied>,
    /// The rows to be written.
    pub(super) rows: Vec<Reservation>,
    /// The change of each of them.
    pub(super) changes: Vec<NewChange>,
}

impl Decision {
    /// `before` has the rows that are there, and `guests` has learned from the events.
    pub(super) fn new(
        before: &HashMap<&str, Before<'_>>,
        events: &[Arc<ReservationEvent>],
        guests: &GuestBook,
        now: DateTime<Utc>,
    ) -> Result<Self, DbErr> {
        let (newest, answers) = decide(before, events);
        let (mut rows, mut changes) = (Vec::with_capacity(newest.len()), Vec::with_capacity(newest.len()));
        for event in newest {
            let before = before.get(event.reservation_id.as_str()).copied();
            let after = row_after(before.map(|before| before.row), event, guests, now);
            let change = change::by_event(before, &after, now);
            changes.push(change.map_err(|error| DbErr::Json(error.to_string()))?);
            rows.push(after);
        }
        Ok(Self { answers, rows, changes })
    }
}

/// The newest event of each reservation that is newer than its row, in the order they came, and the
/// answer to each event. An event that a newer one of the same batch outran is stale.
fn decide<'e>(
    before: &HashMap<&str, Before<'_>>,
    events: &'e [Arc<ReservationEvent>],
) -> (Vec<&'e ReservationEvent>, Vec<Applied>) {
    let mut newest: HashMap<&str, usize> = HashMap::with_capacity(events.len());
    let mut answers = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        let id = event.reservation_id.as_str();
        let present = match newest.get(id) {
            Some(&winner) => Some(Order::from(&*events[winner])),
            None => before.get(id).map(|before| Order::from(before.row)),
        };
        let order = Order::from(&**event);
        let answer = match present {
            Some(present) if order == present => Applied::Duplicate,
            Some(present) if order < present => Applied::Stale,
            _ => Applied::Applied,
        };
        if answer == Applied::Applied
            && let Some(outrun) = newest.insert(id, index)
        {
            answers[outrun] = Applied::Stale;
        }
        answers.push(answer);
    }
    let mut winners: Vec<_> = newest.into_values().collect();
    winners.sort_unstable();
    (winners.into_iter().map(|index| &*events[index]).collect(), answers)
}

fn row_after(
    before: Option<&Reservation>,
    event: &ReservationEvent,
    guests: &GuestBook,
    now: DateTime<Utc>,
) -> Reservation {
    Reservation {
        id: before.map_or(0, |row| row.id),
        reservation_id: event.reservation_id.clone(),
        property_id: event.property_id.clone(),
        guest_id: event.guest_id.clone(),
        status: event.status,
        check_in: event.check_in,
        check_out: event.check_out,
        num_guests: event.num_guests,
        total_amount: event.total_amount,
        currency: event.currency.clone(),
        guest: guests.fields(&event.guest_id),
        webhook_id: event.webhook_id.clone(),
        event_timestamp: event.timestamp,
        created_at: before.map_or(Some(now), |row| row.created_at),
        updated_at: Some(now),
    }
}
