//! `POST /webhooks` answers as the contract says.

use besty::clock::Clock;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    TestApp, TestDb,
    app::{Provider, SECRET, answer},
    events::{created, event},
    on_both, within,
};

on_both!(
    an_event_is_applied_once,
    an_older_event_changes_nothing,
    other_event_types,
    what_is_wrong_is_named,
    values_in_other_forms,
    bodies_that_are_no_event,
    the_secret_is_checked_first,
    a_signature_stands_for_the_secret,
    long_bodies,
    an_event_without_a_timestamp_is_stamped,
);

async fn start(db: &TestDb) -> (TestApp, Provider) {
    let provider = Provider::quick().await;
    (TestApp::start(db, &provider).await, provider)
}

async fn only_row(app: &TestApp) -> Value {
    let (_, list) = app.get("/api/reservations").await;
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
    list["data"][0].clone()
}

async fn an_event_is_applied_once(db: TestDb) {
    let (app, _provider) = start(&db).await;
    assert_eq!(app.webhook(&created(1)).await, (200, json!({ "ok": true, "result": "applied" })));
    assert_eq!(app.webhook(&created(1)).await, (200, json!({ "ok": true, "result": "duplicate" })));
    let row = only_row(&app).await;
    assert_eq!(row["reservation_id"], "res_00001");
    assert_eq!(row["total_amount"], "1869.59");
    assert_eq!(row["check_in"], "2026-04-06");
    assert_eq!(row["event_timestamp"], "2026-03-01T22:00:01.250Z");
    app.stop().await;
}

async fn an_older_event_changes_nothing(db: TestDb) {
    let (app, _provider) = start(&db).await;
    app.apply(&event("res_1", "guest_001", "cancelled", 20)).await;
    let before = only_row(&app).await;
    let (status, body) = app.webhook(&event("res_1", "guest_001", "modified", 10)).await;
    assert_eq!((status, &body["result"]), (200, &json!("stale")));
    let after = only_row(&app).await;
    assert_eq!(after["status"], "cancelled");
    assert_eq!(after["webhook_id"], before["webhook_id"]);
    app.apply(&event("res_1", "guest_001", "confirmed", 30)).await;
    assert_eq!(only_row(&app).await["status"], "confirmed", "a later event may revive it");
    app.stop().await;
}

async fn other_event_types(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let mut other = created(1);
    other["event"] = json!("reservation.reminded");
    assert_eq!(app.webhook(&other).await.1["result"], "applied", "its status is one of the three");
    other["data"]["status"] = json!("pending");
    assert_eq!(app.webhook(&other).await, (200, json!({ "ok": true, "result": "ignored" })));
    let (status, body) = app.webhook(&json!({ "event": "guest.created", "data": { "id": 1 } })).await;
    assert_eq!((status, &body["result"]), (200, &json!("ignored")));
    app.stop().await;
}

async fn what_is_wrong_is_named(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let with = |field: &str, value: Value| {
        let mut event = created(1);
        event["data"][field] = value;
        event
    };
    for (event, field) in [
        (with("reservationId", Value::Null), "reservationId"),
        (with("reservationId", json!("x".repeat(51))), "reservationId"),
        (with("propertyId", json!("a\u{0}b")), "propertyId"),
        (with("totalAmount", json!(100_000_000)), "totalAmount"),
        (with("checkIn", json!("2026-02-30")), "checkIn"),
        (with("checkOut", json!("2026-04-06")), "checkOut"),
        (with("checkOut", json!("2026-13-01")), "checkOut"),
        (with("totalAmount", json!("99999999.995")), "totalAmount"),
        (with("totalAmount", json!("a lot")), "totalAmount"),
        (with("numGuests", json!("2.5")), "numGuests"),
        (with("numGuests", json!(-1)), "numGuests"),
        (with("status", json!("pending")), "status"),
        (json!({ "data": { "reservationId": "r" } }), "event"),
    ] {
        let (status, body) = app.webhook(&event).await;
        let error = body["error"].as_str().unwrap_or_default();
        assert_eq!(status, 400, "{event}");
        assert!(error.starts_with(&format!("{field}:")), "{error}");
    }
    let (status, body) = app.webhook_bytes(b"{not json".to_vec()).await;
    assert_eq!(status, 400);
    assert!(body["error"].as_str().unwrap().starts_with("body:"), "{body}");
    assert_eq!(app.get("/api/reservations").await.1, json!({ "data": [] }));
    app.stop().await;
}

async fn values_in_other_forms(db: TestDb) {
    let (app, _provider) = start(&db).await;
    for (amount, kept) in [
        (json!("1869.59"), "1869.59"),
        (json!("10.005"), "10.01"),
        (json!("-10.005"), "-10.01"),
        (json!("99999999.994"), "99999999.99"),
    ] {
        let mut event = event(&format!("res_{kept}"), "guest_001", "confirmed", 1);
        event["data"]["totalAmount"] = amount;
        event["data"]["numGuests"] = json!("5");
        app.apply(&event).await;
        let (_, list) = app.get(&format!("/api/reservations?search=res_{kept}")).await;
        let row = &list["data"][0];
        assert_eq!((&row["total_amount"], &row["num_guests"]), (&json!(kept), &json!(5)), "{list}");
    }
    // A number with more decimals than a double holds: no binary fraction comes in between.
    let text = created(1).to_string().replace("1869.59", "1869.58500000000000000001");
    assert_eq!(app.webhook_bytes(text.into_bytes()).await.0, 200);
    let (_, list) = app.get("/api/reservations?search=res_00001").await;
    assert_eq!(list["data"][0]["total_amount"], "1869.59");
    app.stop().await;
}

async fn bodies_that_are_no_event(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let text = created(1).to_string();
    let invalid_utf8 = {
        let at = text.find("property_018").unwrap();
        let mut bytes = text.clone().into_bytes();
        bytes[at] = 0xff;
        bytes
    };
    let deep = |depth| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)).into_bytes();
    let repeated = text.replace("\"guestId\"", "\"guestId\":\"guest_001\",\"guestId\"");
    let escaped_nul = text.replace("guest_001", "guest_\\u0000");
    for (body, field) in [
        (invalid_utf8, "body"),
        (deep(200), "body"),
        (deep(100_000), "body"),
        (repeated.into_bytes(), "guestId"),
        (escaped_nul.into_bytes(), "guestId"),
        (text.replace("guest_001", "guest_\0").into_bytes(), "body"),
        (text.replace("guest_001", "\\ud800").into_bytes(), "body"),
        (format!("{text}{text}").into_bytes(), "body"),
        (text.as_bytes()[..100].to_vec(), "body"),
        (b"[]".to_vec(), "body"),
        (Vec::new(), "body"),
    ] {
        let shown = String::from_utf8_lossy(&body).chars().take(300).collect::<String>();
        let (status, answer) = app.webhook_bytes(body).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert_eq!(status, 400, "{shown}");
        assert!(error.starts_with(&format!("{field}: ")), "{error} for {shown}");
    }
    assert_eq!(app.get("/api/reservations").await.1, json!({ "data": [] }));
    app.stop().await;
}

async fn a_signature_stands_for_the_secret(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start_with(&db, &provider, &[("WEBHOOK_SECRET", "plain, whsec_bmV3ZXI=")]).await;
    let now = Clock::system().now().timestamp();
    let post = |key: &[u8], at: i64, signed: &Value, sent: &Value| {
        let signer = Webhook::from_bytes(key.to_vec()).unwrap();
        let signature = signer.sign("msg_1", at, signed.to_string().as_bytes()).unwrap();
        let request = app.http().post(app.url("/webhooks")).body(sent.to_string());
        let request = request.header("webhook-id", "msg_1").header("webhook-timestamp", at.to_string());
        answer(request.header("webhook-signature", signature))
    };
    let (one, two) = (created(1), created(2));
    assert_eq!(post(b"plain", now, &one, &one).await.0, 200);
    assert_eq!(post(b"newer", now, &two, &two).await.0, 200, "the bytes behind whsec_");
    for (key, at, signed) in [
        (&b"other"[..], now, &one),
        (b"whsec_bmV3ZXI=", now, &one),
        (b"plain", now - 600, &one),
        (b"plain", now + 600, &one),
        (b"plain", now, &two),
    ] {
        assert_eq!(post(key, at, signed, &one).await.0, 401, "{key:?} {at}");
    }
    let mut wrong = one.clone();
    wrong["data"]["checkIn"] = json!("2026-02-30");
    assert_eq!(post(b"plain", now, &wrong, &wrong).await.0, 400);
    let long = json!({ "event": "x".repeat(1024 * 1024) });
    assert_eq!(post(b"plain", now, &long, &long).await.0, 413);
    app.stop().await;
}

async fn the_secret_is_checked_first(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start_with(&db, &provider, &[("WEBHOOK_SECRET", "new, old")]).await;
    let post = |secret: Option<&str>, body: String| {
        let mut request = app.http().post(app.url("/webhooks")).body(body);
        if let Some(secret) = secret {
            request = request.header("x-webhook-secret", secret);
        }
        answer(request)
    };
    for secret in [None, Some(""), Some("wrong"), Some("new, old")] {
        let (status, body) = post(secret, "not json".to_owned()).await;
        assert_eq!(status, 401, "{secret:?}");
        assert!(body["error"].is_string(), "{body}");
    }
    assert_eq!(post(Some("new"), created(1).to_string()).await.0, 200);
    assert_eq!(post(Some("old"), created(2).to_string()).await.0, 200);
    app.stop().await;
}

async fn long_bodies(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let padded = |bytes: usize| {
        let mut text = created(1).to_string();
        let padding = bytes - text.len();
        text.push_str(&" ".repeat(padding));
        text.into_bytes()
    };
    assert_eq!(app.webhook_bytes(padded(1024 * 1024)).await.0, 200, "1 MiB is not over 1 MiB");
    let (status, body) = app.webhook_bytes(padded(1024 * 1024 + 1)).await;
    assert_eq!(status, 413, "{body}");
    assert_eq!(
        app.webhook_bytes(padded(4 * 1024 * 1024)).await.0,
        413,
        "read off, so that the answer arrives"
    );
    let answer = within("the answer", chunked(&app, &padded(3 * 1024 * 1024))).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "without a length, too: {answer}");
    app.stop().await;
}

/// Posts a body whose length is not said before; answers the response as it came.
async fn chunked(app: &TestApp, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(app.running().addr()).await.unwrap();
    let head = format!(
        "POST /webhooks HTTP/1.1\r\nhost: besty\r\nconnection: close\r\nx-webhook-secret: {SECRET}\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for chunk in body.chunks(64 * 1024) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.unwrap();
        stream.write_all(chunk).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn an_event_without_a_timestamp_is_stamped(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let mut bare = created(1);
    bare.as_object_mut().unwrap().remove("timestamp");
    app.apply(&bare).await;
    assert!(only_row(&app).await["event_timestamp"].is_string());
    let (_, body) = app.webhook(&created(1)).await;
    assert_eq!(body["result"], "stale", "the stamp is later than 2026-03-01");
    app.stop().await;
}
