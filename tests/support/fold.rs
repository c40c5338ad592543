//! What events come to, worked out without the code under test: sort and fold. The order, too, is written here
//! once more, so that a wrong one is not taken for right.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use besty::{
    db::Db,
    feed::{Entry, Feed},
    reservations::{Reservation, ReservationEvent, Status, change::ReservationChange},
};
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;

/// When, what, and under which webhook id: as far as it goes, later is newer.
type Moment = (Option<DateTime<Utc>>, u8, String);

/// An event's place among all: by its moment, then by what it says.
pub type Place = (Moment, [String; 2], [NaiveDate; 2], i32, Decimal, String);

fn moment(at: Option<DateTime<Utc>>, status: Status, webhook_id: Option<&String>) -> Moment {
    let rank = match status {
        Status::Confirmed => 0,
        Status::Modified => 1,
        Status::Cancelled => 2,
    };
    (at, rank, webhook_id.cloned().unwrap_or_default())
}

/// The place of an event.
pub fn place(event: &ReservationEvent) -> Place {
    (
        moment(event.timestamp, event.status, event.webhook_id.as_ref()),
        [event.property_id.clone(), event.guest_id.clone()],
        [event.check_in, event.check_out],
        event.num_guests,
        event.total_amount,
        event.currency.clone(),
    )
}

/// The place of the event that a row was written by.
pub fn place_of_row(row: &Reservation) -> Place {
    (
        moment(row.event_timestamp, row.status, row.webhook_id.as_ref()),
        [row.property_id.clone(), row.guest_id.clone()],
        [row.check_in, row.check_out],
        row.num_guests,
        row.total_amount,
        row.currency.clone(),
    )
}

/// A row is the last event of its reservation; a guest's field is the one of the last event that has
/// it, where equal orders are told apart by the value.
pub fn folded(events: &[ReservationEvent]) -> BTreeMap<String, (ReservationEvent, [Option<String>; 2])> {
    let mut rows: BTreeMap<String, ReservationEvent> = BTreeMap::new();
    for event in events {
        let newer = rows.get(&event.reservation_id).is_none_or(|row| place(event) > place(row));
        if newer {
            rows.insert(event.reservation_id.clone(), event.clone());
        }
    }
    let last = |guest: &str, field: fn(&ReservationEvent) -> &Option<String>| {
        events
            .iter()
            .filter(|event| event.guest_id == guest)
            .filter_map(|event| {
                let moment = moment(event.timestamp, event.status, event.webhook_id.as_ref());
                field(event).clone().map(|value| (moment, value))
            })
            .max()
            .map(|(_, value)| value)
    };
    rows.into_iter()
        .map(|(id, row)| {
            let names = [
                last(&row.guest_id, |event| &event.guest.first_name),
                last(&row.guest_id, |event| &event.guest.email),
            ];
            (id, (row, names))
        })
        .collect()
}

/// The rows are what the events come to.
pub fn check_rows(rows: &[Reservation], events: &[ReservationEvent]) {
    let found: BTreeMap<_, _> = rows.iter().map(|row| (row.reservation_id.clone(), row)).collect();
    let wanted = folded(events);
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (id, (event, names)) in &wanted {
        let row = found[id];
        assert_eq!(place_of_row(row), place(event), "{id}");
        assert_eq!(&[row.guest.first_name.clone(), row.guest.email.clone()], names, "{id}");
    }
}

/// The images of a reservation follow each other, and the last one is the row.
pub async fn check_log(pool: &Db, rows: &[Reservation]) -> Vec<Arc<Entry>> {
    let feed = Feed::open(pool.clone(), 2).await.unwrap();
    let entries = feed.read_after(0, 1_000_000).await.unwrap();
    let mut last: BTreeMap<String, Reservation> = BTreeMap::new();
    for entry in &entries {
        let change = ReservationChange::of(entry).unwrap();
        assert_eq!(change.before.as_ref(), last.get(&entry.key), "what is before is what was after");
        last.insert(entry.key.clone(), change.after.clone());
    }
    let logged: BTreeSet<_> = last.values().map(|row| format!("{row:?}")).collect();
    let stored: BTreeSet<_> =
        rows.iter().map(|row| format!("{:?}", Reservation { id: 0, ..row.clone() })).collect();
    assert_eq!(logged, stored);
    entries
}
