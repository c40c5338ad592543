//! What events come to, worked out without the code under test but for the order: sort and fold.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use besty::{
    db::Db,
    feed::{Entry, Feed},
    reservations::{Reservation, ReservationEvent, change::ReservationChange, order::Order},
};

/// A row is the last event of its reservation; a guest's field is the one of the last event that has
/// it, where equal orders are told apart by the value.
pub fn folded(events: &[ReservationEvent]) -> BTreeMap<String, (ReservationEvent, [Option<String>; 2])> {
    let mut rows: BTreeMap<String, ReservationEvent> = BTreeMap::new();
    for event in events {
        let newer = rows.get(&event.reservation_id).is_none_or(|row| Order::from(event) > Order::from(row));
        if newer {
            rows.insert(event.reservation_id.clone(), event.clone());
        }
    }
    let last = |guest: &str, field: fn(&ReservationEvent) -> &Option<String>| {
        events
            .iter()
            .filter(|event| event.guest_id == guest)
            .filter_map(|event| {
                let place = (event.timestamp, event.status, event.webhook_id.clone().unwrap_or_default());
                field(event).clone().map(|value| (place, value))
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
        assert_eq!(Order::from(row), Order::from(event), "{id}");
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
