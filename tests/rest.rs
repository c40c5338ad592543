//! The REST routes kept for existing clients.

use std::time::Duration;

use besty::sandbox::{Effect, Fault, Kind};
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestDb,
    app::{Provider, answer},
    events::{created, event},
    on_both,
    sse::Sse,
    within,
};

on_both!(
    the_list_filters_and_pages,
    the_list_refuses_what_it_can_not_read,
    events_stream_and_resume,
    a_broadcast_is_answered_with_its_figures,
    a_broadcast_may_be_answered_at_once,
    a_broadcast_names_what_is_wrong,
    a_stop_answers_who_waits,
    registration_is_passed_on,
    health,
);

async fn start(db: &TestDb) -> (TestApp, Provider) {
    let provider = Provider::quick().await;
    (TestApp::start(db, &provider).await, provider)
}

async fn ids(app: &TestApp, query: &str) -> Vec<String> {
    let (status, list) = app.get(&format!("/api/reservations{query}")).await;
    assert_eq!(status, 200, "{query}: {list}");
    let rows = list["data"].as_array().unwrap();
    rows.iter().map(|row| row["reservation_id"].as_str().unwrap().to_owned()).collect()
}

async fn the_list_filters_and_pages(db: TestDb) {
    let provider = Provider::quick().await;
    // No look-ups: they would write the rows again, and so change their order.
    provider.api.faults().add(Fault::always(Effect::answer(404)).on(Kind::Guest));
    let app = TestApp::start(&db, &provider).await;
    for n in 1..=3 {
        app.apply(&created(n)).await;
    }
    let mut fourth = event("res_00004", "guest_100%", "cancelled", 4);
    fourth["data"]["propertyId"] = json!("property_004");
    fourth["data"]["checkIn"] = json!("2026-04-10");
    fourth["data"]["guest"] = json!({ "firstName": "Zoë", "email": "zoe@example.com" });
    app.apply(&fourth).await;

    assert_eq!(
        ids(&app, "").await,
        ["res_00004", "res_00003", "res_00002", "res_00001"],
        "newest write first"
    );
    assert_eq!(ids(&app, "?limit=2&offset=1").await, ["res_00003", "res_00002"]);
    assert_eq!(ids(&app, "?limit=0").await.len(), 1, "clamped");
    assert_eq!(ids(&app, "?limit=9999&offset=-5&status=&utm=1").await.len(), 4);
    for query in [
        "?status=cancelled",
        "?propertyId=property_004",
        "?guestId=guest_100%25",
        "?checkInFrom=2026-04-07",
        "?checkInFrom=2026-04-10&checkInTo=2026-04-10",
        "?search=ZO%C3%AB",
        "?search=OE@EXAMPLE",
        "?search=100%25",
        "?search=res_00004",
    ] {
        assert_eq!(ids(&app, query).await, ["res_00004"], "{query}");
    }
    for query in [
        "?search=ZO%C3%8B",
        "?search=guest%25002",
        "?search=res.00004",
        "?checkInTo=2026-04-05",
        "?search=_00%25",
    ] {
        assert!(ids(&app, query).await.is_empty(), "{query}");
    }
    app.stop().await;
}

async fn the_list_refuses_what_it_can_not_read(db: TestDb) {
    let (app, _provider) = start(&db).await;
    for (query, field) in [
        ("?status=pending", "status"),
        ("?checkInFrom=06.04.2026", "checkInFrom"),
        ("?checkInTo=2026-02-30", "checkInTo"),
        ("?limit=many", "limit"),
        ("?offset=1.5", "offset"),
        ("?search=a%00b", "search"),
        ("?guestId=%00", "guestId"),
        ("?checkInFrom=2026-4-6", "checkInFrom"),
    ] {
        let (status, body) = app.get(&format!("/api/reservations{query}")).await;
        assert_eq!(status, 400, "{query}");
        assert!(body["error"].as_str().unwrap().starts_with(&format!("{field}:")), "{body}");
    }
    app.stop().await;
}

async fn events_stream_and_resume(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let mut stream = Sse::open(app.http(), app.url("/api/events"), None).await;
    let ready = stream.next().await;
    assert_eq!(ready.kind, "ready");
    app.apply(&event("res_1", "guest_001", "confirmed", 1)).await;
    let first = stream.next().await;
    assert_eq!(first.kind, "reservation.updated");
    assert_eq!(first.data, json!({ "reservationId": "res_1", "status": "confirmed" }));
    drop(stream);
    app.apply(&event("res_2", "guest_001", "confirmed", 2)).await;
    app.apply(&event("res_2", "guest_001", "cancelled", 3)).await;

    let mut resumed = Sse::open(app.http(), app.url("/api/events"), Some(&first.id)).await;
    assert_eq!(resumed.next().await.kind, "ready");
    let mut missed = Vec::new();
    while missed.len() < 2 {
        let event = resumed.next().await;
        // What the look-up of the guest changes comes in between, whenever it is answered.
        if event.data["reservationId"] == "res_2" && missed.last() != Some(&event.data["status"]) {
            missed.push(event.data["status"].clone());
        }
    }
    assert_eq!(missed, ["confirmed", "cancelled"]);

    let foreign = besty::feed::Cursor { epoch: 1, seq: 1 }.to_string();
    for id in ["garbage", foreign.as_str()] {
        let request = app.http().get(app.url("/api/events")).header("Last-Event-ID", id);
        assert_eq!(answer(request).await.0, 400, "{id}");
    }
    app.stop().await;
    within("the end of the stream", async { while resumed.read().await.is_some() {} }).await;
}

async fn three_guests(app: &TestApp) {
    for n in 1..=3 {
        app.apply(&created(n)).await;
    }
    app.apply(&event("res_again", "guest_003", "confirmed", 9)).await;
}

async fn a_broadcast_is_answered_with_its_figures(db: TestDb) {
    let (app, provider) = start(&db).await;
    three_guests(&app).await;
    provider.api.faults().unknown("guest_002");
    let (status, body) = app.post("/api/broadcast", &json!({ "message": "Hello", "filters": {} })).await;
    assert_eq!(status, 200);
    assert_eq!((&body["totalMatched"], &body["attempted"]), (&json!(3), &json!(3)), "{body}");
    assert_eq!((&body["sent"], &body["failed"]), (&json!(2), &json!(1)), "{body}");
    assert_eq!(body["failures"][0]["guestId"], "guest_002");
    assert!(!body["failures"][0]["reason"].as_str().unwrap().is_empty());
    let mut guests: Vec<_> =
        provider.api.delivered().into_iter().map(|one| (one.guest_id, one.message)).collect();
    guests.sort();
    let hello = |guest: &str| (guest.to_owned(), "Hello".to_owned());
    assert_eq!(
        guests,
        [hello("guest_001"), hello("guest_003")],
        "one message a guest, not one a reservation"
    );

    let keyed = || {
        let request = app.http().post(app.url("/api/broadcast")).header("Idempotency-Key", "k2");
        answer(request.json(&json!({ "message": "Once more", "filters": { "guestId": "guest_001" } })))
    };
    let first = keyed().await;
    assert_eq!(first.1["sent"], 1);
    assert_eq!(within("the answer to the repeat", keyed()).await, first);

    let nobody = json!({ "message": "Hello", "filters": { "status": "cancelled" } });
    let none = json!({ "totalMatched": 0, "attempted": 0, "sent": 0, "failed": 0, "failures": [] });
    assert_eq!(app.post("/api/broadcast", &nobody).await, (200, none));
    app.stop().await;
}

async fn a_broadcast_may_be_answered_at_once(db: TestDb) {
    let (app, provider) = start(&db).await;
    three_guests(&app).await;
    let send = || {
        let request = app.http().post(app.url("/api/broadcast")).header("Prefer", "wait=5, respond-async");
        request.header("Idempotency-Key", "k1").json(&json!({ "message": "Hello" }))
    };
    let response = send().send().await.unwrap();
    assert_eq!(response.status(), 202);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let id = response.json::<Value>().await.unwrap()["id"].clone();
    let (status, again) = answer(send()).await;
    assert_eq!((status, &again["id"]), (202, &id), "the same key answers the first broadcast");
    within("all messages", provider.api.wait_delivered(3)).await;
    let (status, told) = app.get(&location).await;
    assert_eq!((status, &told["data"]["broadcast"]["counts"]["total"]), (200, &json!(3)), "{told}");
    let other = app.http().post(app.url("/api/broadcast")).header("Idempotency-Key", "k1");
    let (status, _) = answer(other.json(&json!({ "message": "Other" }))).await;
    assert_eq!(status, 422);
    app.stop().await;
    assert_eq!(provider.api.report().delivered, 3);
}

async fn a_broadcast_names_what_is_wrong(db: TestDb) {
    let (app, provider) = start(&db).await;
    three_guests(&app).await;
    let required = json!({ "error": "message is required" });
    for body in
        [json!({}), json!({ "message": "" }), json!({ "message": 5 }), json!({ "filters": { "statu": 1 } })]
    {
        assert_eq!(app.post("/api/broadcast", &body).await, (400, required.clone()), "{body}");
    }
    for (body, field) in [
        (json!({ "message": "Hello", "filter": {} }), "filter"),
        (json!({ "message": "Hello", "filters": { "statu": "confirmed" } }), "statu"),
        (json!({ "message": "Hello", "filters": { "status": "pending" } }), "status"),
        (json!({ "message": "x".repeat(2_001) }), "message"),
    ] {
        let (status, answer) = app.post("/api/broadcast", &body).await;
        assert_eq!(status, 400, "{body}");
        assert!(answer["error"].as_str().unwrap().contains(field), "{answer}");
    }
    let simple = app.http().post(app.url("/api/broadcast")).header("content-type", "text/plain");
    assert_eq!(
        answer(simple.body(r#"{"message":"Hello"}"#)).await.0,
        415,
        "what any page may send is refused"
    );
    app.stop().await;
    assert_eq!(provider.api.report().delivered, 0);
}

async fn a_stop_answers_who_waits(db: TestDb) {
    let (app, provider) = start(&db).await;
    three_guests(&app).await;
    provider.api.faults().add(Fault::always(Effect::answer_later(429, 60)).on(Kind::Message));
    let request = app.http().post(app.url("/api/broadcast")).json(&json!({ "message": "Hello" }));
    let waiting = tokio::spawn(answer(request));
    within("the first refusal", provider.api.wait_for(|report| report.limited > 0)).await;
    app.stop().await;
    let (status, body) = waiting.await.unwrap();
    assert_eq!(status, 202, "{body}");
    assert!(body["id"].is_string());
}

async fn registration_is_passed_on(db: TestDb) {
    let (app, provider) = start(&db).await;
    let (status, body) = app.post("/api/webhooks/register", &json!({})).await;
    assert_eq!(status, 400);
    assert!(body["error"].as_str().unwrap().contains("PUBLIC_WEBHOOK_URL"));
    app.stop().await;

    let url = "http://127.0.0.1:9/webhooks";
    let app = TestApp::start_with(&db, &provider, &[("PUBLIC_WEBHOOK_URL", url)]).await;
    let (status, _) = app.post("/api/webhooks/register", &json!({})).await;
    assert_eq!(status, 201, "the status of the Guest API");
    assert_eq!(provider.api.registered_urls(), [url]);
    assert!(provider.api.registry().unregister(url));
    within("the URL to be registered again", provider.api.registry().wait_for(|urls| !urls.is_empty())).await;
    provider.api.faults().add(Fault::next(1, Effect::answer_later(429, 1)).on(Kind::Webhooks));
    let request = app.http().post(app.url("/api/webhooks/register")).timeout(Duration::from_secs(20));
    let (status, _) = answer(request).await;
    assert!(matches!(status, 201 | 503), "{status}");
    app.stop().await;
}

async fn health(db: TestDb) {
    let (app, _provider) = start(&db).await;
    assert_eq!(app.get("/api/health").await, (200, json!({ "ok": true })));
    assert_eq!(app.get("/healthz").await.0, 200);
    assert_eq!(app.get("/readyz").await.0, 200);
    app.stop().await;
}
