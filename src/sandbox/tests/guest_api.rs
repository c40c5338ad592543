//! The Guest API as its callers see it.

use std::time::Duration;

use reqwest::{Method, header::RETRY_AFTER};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Sandbox, body, client, open, status};
use crate::sandbox::{GuestApi, GuestApiSettings, Limit, serve};

#[tokio::test]
async fn guests_are_answered_in_either_spelling_and_strangers_are_not_found() {
    let camel = Sandbox::start(open()).await;
    let guest = body(camel.call(Method::GET, "/guests/guest_012")).await;
    assert_eq!(guest["id"], "guest_012");
    assert!(guest["firstName"].is_string() && guest["phone"].is_string());
    assert_eq!(status(camel.call(Method::GET, "/guests/nobody")).await, 404);
    camel.api.faults().unknown("guest_013");
    assert_eq!(status(camel.call(Method::GET, "/guests/guest_013")).await, 404);
    assert_eq!(status(camel.message("guest_013", "k")).await, 404);
    assert_eq!(status(camel.call(Method::GET, "/elsewhere")).await, 404);
    assert_eq!(camel.api.report().unknown, 3);

    let snake = Sandbox::start(GuestApiSettings { snake_case: true, ..open() }).await;
    let same = body(snake.call(Method::GET, "/guests/guest_012")).await;
    assert_eq!(same["first_name"], guest["firstName"]);
}

#[tokio::test]
async fn a_message_is_recorded_with_its_key_and_must_say_something() {
    let sandbox = Sandbox::start(open()).await;
    assert_eq!(status(sandbox.message("guest_1", "key-1")).await, 200);
    for wrong in ["", "{}", r#"{"message":""}"#, r#"{"message":5}"#, "[", "null"] {
        let request = sandbox.call(Method::POST, "/guests/guest_1/messages").body(wrong);
        assert_eq!(status(request).await, 400, "{wrong}");
    }
    assert_eq!(status(sandbox.message("res_00001", "key-2")).await, 404);
    let delivered = sandbox.api.delivered();
    assert_eq!(delivered.len(), 1);
    assert_eq!((delivered[0].guest_id.as_str(), delivered[0].message.as_str()), ("guest_1", "Welcome"));
    assert_eq!((delivered[0].idempotency_key.as_deref(), delivered[0].repeat), (Some("key-1"), false));
}

#[tokio::test]
async fn a_repeated_key_is_answered_200_and_delivered_again_only_when_keys_are_not_honoured() {
    for (honours_key, reached) in [(false, 2), (true, 1)] {
        let sandbox = Sandbox::start(GuestApiSettings { honours_key, ..open() }).await;
        for _ in 0..2 {
            assert_eq!(status(sandbox.message("guest_1", "same")).await, 200);
        }
        assert_eq!(sandbox.api.delivered().len(), reached);
        assert_eq!(sandbox.api.report().repeats, 1);
    }
}

#[tokio::test]
async fn webhook_urls_are_registered_listed_and_unregistered() {
    let sandbox = Sandbox::start(open()).await;
    let url = json!({"url": "http://127.0.0.1:1/webhooks"});
    let call = |method, path| sandbox.call(method, path).json(&url);
    assert_eq!(status(call(Method::POST, "/webhooks/register")).await, 201);
    assert_eq!(status(call(Method::POST, "/webhooks/register")).await, 201);
    let listed = body(sandbox.call(Method::GET, "/webhooks/registered")).await;
    assert_eq!(listed, json!({"urls": ["http://127.0.0.1:1/webhooks"]}));
    assert_eq!(status(call(Method::DELETE, "/webhooks/unregister")).await, 200);
    assert_eq!(status(call(Method::DELETE, "/webhooks/unregister")).await, 404);
    assert_eq!(sandbox.api.registered_urls(), [""; 0]);
    let nonsense = sandbox.call(Method::POST, "/webhooks/register").json(&json!({"url": "nonsense"}));
    assert_eq!(status(nonsense).await, 400);
}

#[tokio::test]
async fn one_limit_covers_all_calls_and_says_when_to_come_back() {
    let limit = Some(Limit { per_second: 0.4, burst: 3 });
    let sandbox = Sandbox::start(GuestApiSettings { limit, grace: Duration::ZERO, ..open() }).await;
    assert_eq!(status(sandbox.call(Method::GET, "/guests/guest_1")).await, 200);
    assert_eq!(status(sandbox.message("guest_1", "k")).await, 200);
    assert_eq!(status(sandbox.call(Method::GET, "/webhooks/registered")).await, 200);
    let refused = sandbox.message("guest_2", "k").send().await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()[RETRY_AFTER]), (429, &"3".parse().unwrap()));
    assert_eq!(sandbox.api.report().violations, 0);
    assert_eq!(status(sandbox.call(Method::GET, "/guests/guest_1")).await, 429);

    let report = body(sandbox.call(Method::GET, "/sandbox/report")).await;
    let counted =
        ["requests", "delivered", "distinctGuests", "limited", "violations", "maxInFlight", "unknown"];
    assert_eq!(counted.map(|name| report[name].clone()), [5, 1, 1, 2, 1, 1, 0].map(|count| json!(count)));
    let statuses: Vec<_> = sandbox.api.requests().iter().map(|seen| seen.status.unwrap()).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}

#[tokio::test]
async fn it_stops_when_told_and_starts_again_where_it_was() {
    let (api, client) = (GuestApi::new(open()), client());
    for round in 1..=2 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/guests/guest_1", listener.local_addr().unwrap());
        let cancel = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, api.clone(), cancel.clone()));
        assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
        cancel.cancel();
        serving.await.unwrap().unwrap();
        assert!(client.get(&url).send().await.unwrap_err().is_connect());
        assert_eq!(api.report().requests, round);
    }
}
