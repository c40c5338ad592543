//! Events that disagree as much as events can, and many connections that post them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use besty::reservations::ReservationEvent;
use chrono::{DateTime, SecondsFormat, Utc};
use rand::{RngExt as _, rngs::StdRng};
use serde_json::{Value, json};

use crate::support::{app::SECRET, fold};

/// `count` events about `reservations`: few instants, so that many are equal; names that are missing
/// or differ; webhook ids that are missing or used for different contents.
pub fn events(count: usize, reservations: usize, rng: &mut StdRng) -> Vec<Value> {
    (0..count)
        .map(|_| {
            let reservation = rng.random_range(0..reservations);
            let micros = 1_770_000_000_000_000 + rng.random_range(0..20_i64);
            let at = DateTime::<Utc>::from_timestamp_micros(micros).unwrap();
            let pick = |rng: &mut StdRng, from: &[&str]| from[rng.random_range(0..from.len())].to_owned();
            let some = |rng: &mut StdRng, text: String| rng.random_bool(0.3).then_some(text);
            let (name, email) = (rng.random_range(0..5), rng.random_range(0..5));
            let webhook = rng.random_range(0..4);
            json!({
                "event": "reservation.updated",
                "timestamp": at.to_rfc3339_opts(SecondsFormat::Micros, true),
                "webhookId": rng.random_bool(0.8).then(|| format!("wh_{webhook}")),
                "data": {
                    "reservationId": format!("res_{reservation}"),
                    "propertyId": format!("property_{}", rng.random_range(0..3)),
                    "guestId": format!("guest_{}", (reservation + rng.random_range(0..2_usize)) % 700),
                    "status": pick(rng, &["confirmed", "modified", "cancelled"]),
                    "checkIn": "2026-04-06",
                    "checkOut": pick(rng, &["2026-04-13", "2026-04-14"]),
                    "numGuests": rng.random_range(1..4),
                    "totalAmount": pick(rng, &["10.50", "1869.59"]),
                    "currency": "USD",
                    "guest": {
                        "firstName": some(rng, format!("Name {name}")),
                        "email": some(rng, format!("{email}@example.com")),
                    },
                },
            })
        })
        .collect()
}

/// How many events differ from another one in nothing but what they say: same reservation, timestamp, status and
/// webhook id. Only the end of the order tells them apart.
pub fn conflicts(events: &[ReservationEvent]) -> usize {
    let mut said: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for event in events {
        let (moment, property_and_guest, dates, people, amount, currency) = fold::place(event);
        let told = (property_and_guest, dates, people, amount, currency);
        said.entry((&event.reservation_id, moment)).or_default().insert(told);
    }
    said.values().map(|said| said.len() - 1).sum()
}

/// Posts every event once, from many connections at once, to these servers in turn; answers each one's status and
/// result. `None`: the connection broke before the answer.
pub async fn post_all(
    urls: &[String],
    events: Arc<Vec<Value>>,
    connections: usize,
) -> Vec<(usize, Option<(u16, Value)>)> {
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..connections)
        .map(|n| {
            let url = format!("{}/webhooks", urls[n % urls.len()]);
            let (next, events) = (Arc::clone(&next), Arc::clone(&events));
            tokio::spawn(async move {
                let (http, mut answers) = (besty::app::http_client().unwrap(), Vec::new());
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(event) = events.get(n) else { return answers };
                    let post = http.post(&url).header("x-webhook-secret", SECRET).body(event.to_string());
                    let got = attempt(post).await;
                    let broken = got.is_none();
                    answers.push((n, got));
                    if broken {
                        return answers;
                    }
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await.unwrap());
    }
    all
}

/// Status and JSON, none when the connection broke first.
async fn attempt(request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.json().await.ok()?))
}
