//! The webhook URL is kept registered, or off the list when that was asked for; what may have been
//! missed is told.

use std::time::Duration;

use besty::{
    clock::Clock,
    sandbox::{Effect, Fault, Kind},
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    TestApp, TestDb,
    app::{Provider, SECRET, answer},
    binary::Server,
    events::named,
    on_both, within,
};

on_both!(
    a_dropped_registration_is_back_within_twenty_seconds,
    a_drop_while_the_server_was_down_is_a_gap,
    unregistered_stays_off_across_a_restart,
    a_guest_api_that_refuses_is_told_and_tried_again,
    who_asks_is_answered_in_bounded_time,
    without_a_url_there_is_nothing_to_register,
    answers_other_than_200_are_counted,
);

const URL: &str = "http://127.0.0.1:9/webhooks";
const REGISTRATION: &str =
    "{ webhookRegistration { url isRegistered checkedAt lastEventAt gaps { from to } } }";
const PAYLOAD: &str =
    "{ registration { url isRegistered gaps { from to } } userErrors { code message field } }";

/// The app with a URL to register.
async fn start(db: &TestDb, provider: &Provider) -> TestApp {
    TestApp::start_with(db, provider, &[("PUBLIC_WEBHOOK_URL", URL)]).await
}

async fn registered(provider: &Provider) {
    let there = provider.api.registry().wait_for(|urls| urls.iter().any(|url| url == URL));
    within("the URL to be registered", there).await;
}

async fn mutate(app: &TestApp, mutation: &str) -> Value {
    app.graphql(&format!("mutation {{ {mutation} {PAYLOAD} }}"), json!({})).await[mutation].take()
}

/// How the registration stands after the rounds that are under way: an answer comes after them.
async fn settled(app: &TestApp) -> Value {
    let payload = mutate(app, "webhookRegister").await;
    assert_eq!(payload["userErrors"], json!([]), "{payload}");
    app.graphql(REGISTRATION, json!({})).await["webhookRegistration"].take()
}

fn instant(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap_or_else(|| panic!("no instant: {value}")).parse().unwrap()
}

fn calls(provider: &Provider, call: &str) -> usize {
    provider.api.requests().iter().filter(|seen| seen.path == call).count()
}

async fn a_dropped_registration_is_back_within_twenty_seconds(db: TestDb) {
    let provider = Provider::quick().await;
    let app = start(&db, &provider).await;
    registered(&provider).await;
    let before = settled(&app).await;
    assert_eq!((&before["url"], &before["isRegistered"]), (&json!(URL), &json!(true)), "{before}");
    assert_eq!((&before["gaps"], &before["lastEventAt"]), (&json!([]), &Value::Null), "{before}");
    app.apply(&named(1)).await;

    let (dropped, dropped_at) = (Instant::now(), Clock::system().now());
    assert!(provider.api.registry().unregister(URL));
    registered(&provider).await;
    let took = dropped.elapsed();
    println!("registered again after {took:?}");
    assert!(took < Duration::from_secs(20), "registered again after {took:?}");

    let after = settled(&app).await;
    assert_eq!((&after["isRegistered"], after["gaps"].as_array().map(Vec::len)), (&json!(true), Some(1)));
    let (from, to) = (instant(&after["gaps"][0]["from"]), instant(&after["gaps"][0]["to"]));
    assert!(from >= instant(&after["lastEventAt"]) && from <= dropped_at, "{after}");
    assert!(to >= dropped_at && to <= instant(&after["checkedAt"]), "{after}");
    assert_eq!(app.metric("besty_registration_gaps_total").await, 1);
    app.stop().await;
}

async fn a_drop_while_the_server_was_down_is_a_gap(db: TestDb) {
    let provider = Provider::quick().await;
    let app = start(&db, &provider).await;
    registered(&provider).await;
    settled(&app).await;
    app.apply(&named(1)).await;
    app.stop().await;
    let stopped_at = Clock::system().now();
    assert!(provider.api.registry().unregister(URL));

    let app = start(&db, &provider).await;
    registered(&provider).await;
    let after = settled(&app).await;
    let from = instant(&after["gaps"][0]["from"]);
    assert!(from >= instant(&after["lastEventAt"]) && from <= stopped_at, "the last event was kept: {after}");
    assert!(instant(&after["gaps"][0]["to"]) >= stopped_at, "{after}");
    app.stop().await;
}

async fn unregistered_stays_off_across_a_restart(db: TestDb) {
    let provider = Provider::quick().await;
    let app = start(&db, &provider).await;
    registered(&provider).await;
    let off = json!({ "registration": { "url": URL, "isRegistered": false, "gaps": [] }, "userErrors": [] });
    assert_eq!(mutate(&app, "webhookUnregister").await, off);
    assert_eq!(provider.api.registered_urls(), [""; 0]);
    assert_eq!(mutate(&app, "webhookUnregister").await, off, "what is off may be taken off");
    app.stop().await;

    let seen = provider.api.report().requests;
    let registrations = calls(&provider, "POST /webhooks/register");
    let app = start(&db, &provider).await;
    within("a look at the list", provider.api.wait_for(|report| report.requests > seen)).await;
    // Answered after the round that has begun.
    assert_eq!(mutate(&app, "webhookUnregister").await, off);
    assert_eq!(calls(&provider, "POST /webhooks/register"), registrations);
    assert_eq!(provider.api.registered_urls(), [""; 0]);

    let after = settled(&app).await;
    assert_eq!((&after["isRegistered"], &after["gaps"]), (&json!(true), &json!([])), "no gap on purpose");
    assert_eq!(provider.api.registered_urls(), [URL]);
    app.stop().await;
}

async fn a_guest_api_that_refuses_is_told_and_tried_again(db: TestDb) {
    let provider = Provider::quick().await;
    provider.api.faults().add(Fault::always(Effect::answer(500)).on(Kind::Webhooks));
    let app = start(&db, &provider).await;
    let payload = mutate(&app, "webhookRegister").await;
    assert_eq!(payload["registration"]["isRegistered"], false);
    assert_eq!(
        payload["userErrors"],
        json!([{ "code": "UPSTREAM_FAILED", "message": "the Guest API answered 500", "field": null }])
    );
    let (status, _) = app.post("/api/webhooks/register", &json!({})).await;
    assert_eq!(status, 500, "the Guest API's answer, as it came");
    provider.api.faults().clear();
    registered(&provider).await;
    app.stop().await;

    let gone = [("PUBLIC_WEBHOOK_URL", URL), ("GUEST_API_BASE_URL", "http://127.0.0.1:9")];
    let app = TestApp::start_with(&db, &provider, &gone).await;
    let payload = mutate(&app, "webhookUnregister").await;
    assert_eq!(payload["userErrors"][0]["code"], "UPSTREAM_FAILED", "{payload}");
    let (status, body) = app.post("/api/webhooks/register", &json!({})).await;
    assert_eq!(status, 502, "{body}");
    app.stop().await;
}

async fn who_asks_is_answered_in_bounded_time(db: TestDb) {
    let provider = Provider::quick().await;
    provider.api.faults().add(Fault::always(Effect::hang(Duration::from_mins(5))).on(Kind::Webhooks));
    let app = start(&db, &provider).await;
    let asked = Instant::now();
    let request = app.http().post(app.url("/api/webhooks/register"));
    let (rest, payload) = tokio::join!(answer(request), mutate(&app, "webhookRegister"));
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    assert_eq!(rest.0, 503, "{}", rest.1);
    assert_eq!(payload["userErrors"][0]["code"], "UPSTREAM_FAILED", "{payload}");
    app.stop().await;
}

async fn without_a_url_there_is_nothing_to_register(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    assert_eq!(app.graphql(REGISTRATION, json!({})).await["webhookRegistration"], Value::Null);
    for mutation in ["webhookRegister", "webhookUnregister"] {
        let payload = mutate(&app, mutation).await;
        assert_eq!(payload["registration"], Value::Null);
        assert_eq!(payload["userErrors"][0]["code"], "INVALID");
        assert!(payload["userErrors"][0]["message"].as_str().unwrap().contains("PUBLIC_WEBHOOK_URL"));
    }
    app.stop().await;
}

async fn answers_other_than_200_are_counted(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    let count = || app.running().registration().deliveries().failures_in_a_row();
    for failures in 1..=3 {
        assert_eq!(app.webhook_bytes(b"{".to_vec()).await.0, 400);
        assert_eq!(count(), failures);
    }
    let stranger = app.http().post(app.url("/webhooks")).body("{");
    assert_eq!((answer(stranger).await.0, count()), (401, 3), "a stranger counts neither way");
    assert_eq!(app.metric("besty_webhook_failures_in_a_row").await, 3);
    app.apply(&named(1)).await;
    assert_eq!(count(), 0);
    app.stop().await;
}

/// Who reads the log alone is told, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_tells_of_failures_and_of_gaps() {
    let (db, provider) = (TestDb::sqlite(), Provider::quick().await);
    let server = Server::start(&db, &provider.url, &[("PUBLIC_WEBHOOK_URL", URL)]).await;
    let http = besty::app::http_client().unwrap();
    let post = |body: &'static str| {
        http.post(format!("{}/webhooks", server.url)).header("x-webhook-secret", SECRET).body(body)
    };
    let failures = "webhooks were not answered 200, one after the other";
    for n in 1..=3 {
        assert!(!server.has_said(failures), "after {} failures", n - 1);
        assert_eq!(answer(post("{")).await.0, 400);
    }
    server.says(failures).await;

    // Known to be registered, or there is nothing to be dropped from.
    server.says("the webhook URL is registered with the Guest API").await;
    assert!(provider.api.registry().unregister(URL));
    server.says("the Guest API dropped the webhook URL; events may have been missed").await;
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_process_may_be_asked() {
    let db = TestDb::postgres().await;
    let provider = Provider::quick().await;
    let holder = start(&db, &provider).await;
    registered(&provider).await;
    let other = start(&db, &provider).await;
    let (status, body) = other.post("/api/webhooks/register", &json!({})).await;
    assert_eq!((status, body), (201, json!({ "url": URL })), "as the Guest API answered");
    let payload = mutate(&other, "webhookUnregister").await;
    assert_eq!(
        (&payload["userErrors"], &payload["registration"]["isRegistered"]),
        (&json!([]), &json!(false))
    );
    assert_eq!(provider.api.registered_urls(), [""; 0]);

    other.apply(&named(1)).await;
    holder.stop().await;
    let after = settled(&other).await;
    assert_eq!(after["isRegistered"], true, "the other goes on: {after}");
    assert_eq!(provider.api.registered_urls(), [URL]);
    other.stop().await;
}
