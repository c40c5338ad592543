//! Stories that make sense, and come out the same.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, SubsecRound, Utc};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::sandbox::{BookingSettings, Event, EventType, events, events_iter};

const SMALL: BookingSettings = BookingSettings { reservations: 300, properties: 3, guests: 7 };

fn now() -> DateTime<Utc> {
    "2026-03-01T22:33:06.252777Z".parse().unwrap()
}

/// What has to hold for any stream, finite or not.
fn check(events: &[Event]) {
    let mut last: HashMap<&str, EventType> = HashMap::new();
    for event in events {
        let id = event.data.reservation_id.as_str();
        assert_eq!(event.data.status, event.event.status());
        assert!(event.data.check_in < event.data.check_out);
        match last.insert(id, event.event) {
            None => assert_eq!(event.event, EventType::Created, "{id}"),
            Some(before) => {
                assert_ne!(before, EventType::Cancelled, "{id}");
                assert_ne!(event.event, EventType::Created, "{id}");
            }
        }
    }
    assert!(events.windows(2).all(|pair| pair[0].timestamp < pair[1].timestamp), "timestamps rise");
    assert!(events.iter().all(|event| event.timestamp == event.timestamp.trunc_subsecs(3)));
    let ids: HashSet<_> = events.iter().map(|event| &event.webhook_id).collect();
    assert_eq!(ids.len(), events.len(), "webhook ids differ");
}

#[test]
fn a_finite_story_makes_every_reservation_in_causal_order() {
    for seed in 0..20 {
        let events = events(SMALL, &mut StdRng::seed_from_u64(seed), now());
        check(&events);
        let count = |kind| events.iter().filter(|event| event.event == kind).count();
        assert_eq!(count(EventType::Created), 300);
        assert!(count(EventType::Updated) > 100 && count(EventType::Cancelled) > 20);
        assert!(events.iter().all(|event| event.timestamp <= now()));
    }
}

#[test]
fn an_endless_story_starts_with_reservations_then_mixes() {
    let events: Vec<_> = events_iter(SMALL, StdRng::seed_from_u64(1), now).take(3_000).collect();
    check(&events);
    assert!(events[..300].iter().all(|event| event.event == EventType::Created));
    for kind in [EventType::Created, EventType::Updated, EventType::Cancelled] {
        assert!(events[300..].iter().filter(|event| event.event == kind).count() > 200, "{kind:?}");
    }
}

#[test]
fn the_same_seed_tells_the_same_story_another_seed_another() {
    let finite = |seed| events(SMALL, &mut StdRng::seed_from_u64(seed), now());
    let endless = |seed| events_iter(SMALL, StdRng::seed_from_u64(seed), now).take(500).collect::<Vec<_>>();
    assert_eq!(finite(7), finite(7));
    assert_ne!(finite(7), finite(8));
    assert_eq!(endless(7), endless(7));
    assert_ne!(endless(7), endless(8));
}

#[test]
fn nothing_to_book_is_no_story() {
    let none = BookingSettings { reservations: 0, properties: 0, guests: 0 };
    assert_eq!(events(none, &mut StdRng::seed_from_u64(1), now()), []);
    check(&events_iter(none, StdRng::seed_from_u64(1), now).take(50).collect::<Vec<_>>());
}
