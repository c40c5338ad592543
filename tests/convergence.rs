//! Any order, any repeats, any batches: the same rows.

use std::sync::Arc;

use besty::{
    feed::Feed,
    reservations::{
        ReservationEvent, ReservationFilter, batch,
        event::{self, Parsed},
        recent::Recent,
        store,
    },
};
use chrono::{DateTime, Utc};
use migration::MigratorTrait as _;
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::json;

use crate::support::{TestDb, fold, on_both};

on_both!(shuffled_and_repeated_events_end_like_sorted_ones);

/// Little to choose from, so that the same reservation, the same instant, even the same webhook id
/// come up often.
fn any_event() -> impl Strategy<Value = ReservationEvent> {
    let ids = (0..4_u8, 0..3_u8, 0..2_u8);
    let order = (
        0..4_i64,
        prop::sample::select(vec!["confirmed", "modified", "cancelled"]),
        prop::option::of(0..3_u8),
    );
    let guest = (prop::option::of(0..3_u8), prop::option::of(0..3_u8));
    (ids, order, guest, 1..3_i32).prop_map(|((reservation, guest, property), (at, status, webhook), (name, email), people)| {
        // Whole microseconds count, so some events are that close.
        let timestamp = DateTime::<Utc>::from_timestamp_micros(1_770_000_000_000_000 + at).unwrap().to_rfc3339();
        let body = json!({
            "event": "reservation.updated",
            "timestamp": timestamp,
            "webhookId": webhook.map(|webhook| format!("wh_{webhook}")),
            "data": {
                "reservationId": format!("res_{reservation}"),
                "propertyId": format!("property_{property}"),
                "guestId": format!("guest_{guest}"),
                "status": status,
                "checkIn": "2026-04-06",
                "checkOut": "2026-04-13",
                "numGuests": people,
                "totalAmount": "10.50",
                "currency": "USD",
                "guest": { "firstName": name.map(|name| format!("Name {name}")), "email": email.map(|email| format!("{email}@example.com")) },
            },
        });
        match event::parse(body.to_string().as_bytes()) {
            Ok(Parsed::Event(event)) => *event,
            other => panic!("{other:?}"),
        }
    })
}

async fn shuffled_and_repeated_events_end_like_sorted_ones(db: TestDb) {
    let pool = db.connect().await;
    migration::Migrator::up(pool.pool(), None).await.unwrap();
    let feed = Feed::open(pool.clone(), 1).await.unwrap();
    // Kept from case to case, so that all of it is outdated when a case begins.
    let recent = Recent::default();
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() });
    let strategy = (prop::collection::vec(any_event(), 1..40), any::<u64>(), 1..8_usize);
    for _ in 0..runner.config().cases {
        let (events, seed, batch) = strategy.new_tree(&mut runner).unwrap().current();
        for table in ["reservations", "guests", "changes"] {
            besty::db::execute(pool.pool(), format!("DELETE FROM {table}"), []).await.unwrap();
        }
        let mut shuffled: Vec<_> =
            events.iter().chain(events.iter().take(events.len() / 3)).cloned().map(Arc::new).collect();
        shuffled.shuffle(&mut StdRng::seed_from_u64(seed));
        for batch in shuffled.chunks(batch) {
            batch::apply(&feed, &recent, batch, DateTime::UNIX_EPOCH).await.unwrap();
        }
        let rows = store::latest(&pool, &ReservationFilter::default(), 500, 0).await.unwrap();
        eprintln!("seed {seed}, batches of {batch}: {events:#?}");
        fold::check_rows(&rows, &events);
        fold::check_log(&pool, &rows).await;
    }
    pool.close().await.unwrap();
}
