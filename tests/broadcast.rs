//! A broadcast reaches every guest once, at the provider's pace.

use std::{collections::BTreeSet, time::Duration};

use besty::sandbox::{Effect, Fault, GuestApiSettings, Kind, Limit};
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestDb,
    app::Provider,
    events::{created, named},
    on_both,
};

on_both!(
    everybody_once_and_nothing_while_told_to_wait,
    faults_are_retried_and_refusals_are_not,
    a_429_costs_no_try,
    an_unanswered_message_is_sent_again_with_the_same_key,
);

async fn with_guests(db: &TestDb, provider: &Provider, guests: u32) -> TestApp {
    let app = TestApp::start(db, provider).await;
    for n in 1..=guests {
        app.apply(&created(n)).await;
    }
    app
}

async fn send(app: &TestApp) -> Value {
    let (status, body) = app.post("/api/broadcast", &json!({ "message": "Hello" })).await;
    assert_eq!(status, 200, "{body}");
    body
}

async fn everybody_once_and_nothing_while_told_to_wait(db: TestDb) {
    let limit = Some(Limit { per_second: 50.0, burst: 10 });
    let provider = Provider::start(GuestApiSettings { limit, ..GuestApiSettings::default() }).await;
    let app = TestApp::start(&db, &provider).await;
    for n in 1..=200 {
        app.apply(&named(n)).await;
    }
    let body = send(&app).await;
    assert_eq!((&body["sent"], &body["failed"]), (&json!(200), &json!(0)), "{body}");
    let delivered = provider.api.delivered();
    let guests: BTreeSet<_> = delivered.iter().map(|one| &one.guest_id).collect();
    assert_eq!((delivered.len(), guests.len()), (200, 200), "every guest, once");
    let report = provider.api.report();
    assert_eq!(report.violations, 0, "nothing is sent while told to wait: {report:?}");
    assert!(report.max_in_flight <= 10, "{report:?}");
    assert!(report.limited > 0, "the limit was felt: {report:?}");
    app.stop().await;
}

async fn faults_are_retried_and_refusals_are_not(db: TestDb) {
    let provider = Provider::quick().await;
    let faults = provider.api.faults();
    let on = |guest: &str, times: usize, status: u16| {
        faults.add(Fault::next(times, Effect::answer(status)).on(Kind::Message).guest(guest));
    };
    on("guest_001", 1, 500);
    on("guest_002", 1, 400);
    on("guest_003", 1, 410);
    on("guest_004", 9, 503);
    let app = TestApp::start_with(&db, &provider, &[("BROADCAST_MAX_ATTEMPTS", "2")]).await;
    for n in 1..=5 {
        app.apply(&created(n)).await;
    }
    let body = send(&app).await;
    assert_eq!((&body["sent"], &body["failed"]), (&json!(2), &json!(3)), "{body}");
    let failed: Vec<_> = body["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| failure["guestId"].as_str().unwrap())
        .collect();
    assert_eq!(failed, ["guest_002", "guest_003", "guest_004"]);
    let tries = |guest: &str| {
        let path = format!("/guests/{guest}/messages");
        provider.api.requests().iter().filter(|seen| seen.path.ends_with(&path)).count()
    };
    assert_eq!(["guest_001", "guest_002", "guest_003", "guest_004", "guest_005"].map(tries), [2, 1, 1, 2, 1]);
    app.stop().await;
}

async fn a_429_costs_no_try(db: TestDb) {
    let provider = Provider::quick().await;
    let faults = provider.api.faults();
    faults.add(Fault::next(3, Effect::answer_later(429, 1)).on(Kind::Message));
    faults.add(Fault::next(1, Effect::answer(500)).on(Kind::Message));
    let set = [("BROADCAST_MAX_ATTEMPTS", "2"), ("BROADCAST_CONCURRENCY", "1")];
    let app = TestApp::start_with(&db, &provider, &set).await;
    app.apply(&created(1)).await;
    let body = send(&app).await;
    assert_eq!((&body["sent"], &body["failed"]), (&json!(1), &json!(0)), "two tries are enough: {body}");
    let query = "{ broadcasts(first: 1) { nodes { messages { nodes { attempts } } } } }";
    let data = app.graphql(query, json!({})).await;
    assert_eq!(
        data["broadcasts"]["nodes"][0]["messages"]["nodes"][0]["attempts"], 2,
        "the 500 and the success"
    );
    assert_eq!(provider.api.report().violations, 0);
    app.stop().await;
}

async fn an_unanswered_message_is_sent_again_with_the_same_key(db: TestDb) {
    let settings = GuestApiSettings {
        limit: None,
        latency: Duration::ZERO,
        honours_key: true,
        ..GuestApiSettings::default()
    };
    let provider = Provider::start(settings).await;
    provider.api.faults().add(Fault::next(1, Effect::cut()).on(Kind::Message));
    let app = with_guests(&db, &provider, 2).await;
    let body = send(&app).await;
    assert_eq!(body["sent"], 2, "{body}");
    let report = provider.api.report();
    assert_eq!((report.delivered, report.repeats), (2, 1), "sent twice, delivered once: {report:?}");
    app.stop().await;
}
