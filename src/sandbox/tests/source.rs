//! The source as its receivers see it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::client;
use crate::sandbox::{BookingSettings, Event, Registry, Source, SourceSettings, events};

fn now() -> DateTime<Utc> {
    "2026-03-01T22:33:06.252Z".parse().unwrap()
}

fn settings() -> SourceSettings {
    let booking = BookingSettings { reservations: 20, ..BookingSettings::default() };
    SourceSettings { booking, rate: None, concurrency: 1, ..SourceSettings::default() }
}

fn story() -> Vec<Event> {
    events(settings().booking, &mut StdRng::seed_from_u64(1), now())
}

/// A receiver that answers what the script says for the nth event; its URL, and the bodies as they come.
async fn receiver(
    script: impl Fn(usize) -> u16 + Send + Sync + 'static,
) -> (String, watch::Receiver<Vec<Value>>) {
    let (bodies, seen) = watch::channel(Vec::new());
    let shared = Arc::new((script, Mutex::new(bodies)));
    let handler = move |headers: HeaderMap, axum::Json(body): axum::Json<Value>| {
        let shared = Arc::clone(&shared);
        async move {
            assert_eq!(headers["x-webhook-secret"], "secret");
            let bodies = shared.1.lock().unwrap();
            let number = bodies.borrow().len();
            bodies.send_modify(|bodies| bodies.push(body));
            StatusCode::from_u16((shared.0)(number)).unwrap()
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/webhooks", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, Router::new().route("/webhooks", post(handler))).await });
    (url, seen)
}

#[tokio::test]
async fn events_arrive_as_they_are_with_the_secret() {
    let (url, seen) = receiver(|_| 200).await;
    let source = Source::new(settings(), "secret", client(), Registry::fixed(url));
    let summary = source.run(story(), &CancellationToken::new()).await;
    assert_eq!((summary.events, summary.delivered, summary.failed, summary.lost), (40, 40, 0, 0));
    let sent: Vec<_> = story().iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    assert_eq!(*seen.borrow(), sent);
}

#[tokio::test]
async fn seven_failures_in_a_row_unregister_a_url_and_nothing_is_sent_twice() {
    // Six failures, a success, then failures for good.
    let (url, seen) = receiver(|number| if number == 6 { 200 } else { 500 }).await;
    let registry = Registry::fixed(url.clone());
    let source = Source::new(settings(), "secret", client(), registry.clone());
    let summary = source.run(story(), &CancellationToken::new()).await;
    assert_eq!((summary.delivered, summary.failed, summary.lost), (1, 13, 40 - 14));
    assert_eq!(summary.unregistered, [url]);
    assert!(registry.urls().is_empty());
    assert_eq!(seen.borrow().len(), 14);
}

#[tokio::test]
async fn any_answer_but_200_is_a_failure() {
    let (url, _seen) = receiver(|number| if number % 2 == 0 { 202 } else { 204 }).await;
    let source = Source::new(settings(), "secret", client(), Registry::fixed(url));
    assert_eq!(source.run(story(), &CancellationToken::new()).await.failed, 7);
}

#[tokio::test]
async fn nobody_listening_and_nobody_answering_are_failures_too() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let registry = Registry::fixed(closed.clone());
    registry.register(silent_url.clone());
    let settings = SourceSettings { timeout: Duration::from_millis(20), max_failures: 2, ..settings() };
    let source = Source::new(settings, "secret", client(), registry);
    let summary = source.run(story(), &CancellationToken::new()).await;
    assert_eq!((summary.delivered, summary.failed, summary.lost), (0, 4, 38));
    assert_eq!(summary.unregistered, [closed, silent_url]);
}

#[tokio::test]
async fn a_live_source_waits_for_its_first_receiver_and_stops_when_told() {
    let (url, mut seen) = receiver(|_| 200).await;
    let (registry, cancel) = (Registry::default(), CancellationToken::new());
    let source = Source::new(settings(), "secret", client(), registry.clone());
    let stop = cancel.clone();
    let running = tokio::spawn(async move { source.run_live(now, StdRng::seed_from_u64(5), &stop).await });
    registry.register(url.clone());
    seen.wait_for(|bodies| bodies.len() >= 100).await.unwrap();
    assert!(registry.unregister(&url), "from here on every event is lost, at once");
    cancel.cancel();
    let summary = running.await.unwrap();
    assert!(summary.events >= 100 && summary.failed == 0, "{summary:?}");
    let ids: std::collections::HashSet<_> =
        seen.borrow().iter().map(|body| body["webhookId"].to_string()).collect();
    assert!(ids.len() < seen.borrow().len(), "some came twice");
}

#[tokio::test(start_paused = true)]
async fn the_opening_goes_out_at_once_and_the_rest_at_the_rate() {
    let settings = SourceSettings { rate: Some(4.0), ..settings() };
    let source = Source::new(settings, "secret", client(), Registry::default());
    let start = tokio::time::Instant::now();
    let times: Vec<_> = source.paced(story()).map(|_| start.elapsed().as_millis()).collect().await;
    let expected = (0..40).map(|number: u128| number.saturating_sub(20) * 250);
    assert_eq!(times, expected.collect::<Vec<_>>());
}
