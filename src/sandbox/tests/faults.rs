//! Faults as the callers of the Guest API meet them.

use std::time::Duration;

use reqwest::{Method, header::RETRY_AFTER};
use serde_json::json;

use super::{Sandbox, body, open, status};
use crate::sandbox::{Effect, Fault, GuestApiSettings, Kind, RetryAfter};

#[tokio::test]
async fn a_fault_answers_in_place_of_the_call() {
    let sandbox = Sandbox::start(open()).await;
    let faults = sandbox.api.faults();
    faults.add(Fault::next(2, Effect::answer(503)).on(Kind::Message).guest("guest_2"));
    let date = RetryAfter::Verbatim("Fri, 31 Dec 2027 23:59:59 GMT".to_owned());
    faults.add(Fault::next(1, Effect::Answer { status: 429, retry_after: Some(date) }).on(Kind::Guest));
    assert_eq!(status(sandbox.message("guest_1", "a")).await, 200);
    assert_eq!(status(sandbox.message("guest_2", "b")).await, 503);
    let limited = sandbox.call(Method::GET, "/guests/guest_2").send().await.unwrap();
    assert_eq!(limited.status().as_u16(), 429);
    assert_eq!(limited.headers()[RETRY_AFTER], "Fri, 31 Dec 2027 23:59:59 GMT");
    assert_eq!(status(sandbox.message("guest_2", "b")).await, 503);
    assert_eq!(status(sandbox.message("guest_2", "b")).await, 200);
    assert_eq!(sandbox.api.report().delivered, 2, "what a fault answered did not reach its guest");
}

#[tokio::test]
async fn a_429_of_the_script_has_to_be_waited_for_too() {
    let sandbox = Sandbox::start(GuestApiSettings { grace: Duration::ZERO, ..open() }).await;
    sandbox.api.faults().add(Fault::next(1, Effect::answer_later(429, 30)));
    assert_eq!(status(sandbox.message("guest_1", "a")).await, 429);
    assert_eq!(status(sandbox.message("guest_1", "a")).await, 200);
    assert_eq!(sandbox.api.report().violations, 1);
}

#[tokio::test]
async fn a_connection_is_cut_after_the_message_or_before_it_and_no_byte_comes_back() {
    let sandbox = Sandbox::start(open()).await;
    sandbox.api.faults().add(Fault::next(1, Effect::cut()));
    sandbox.api.faults().add(Fault::next(1, Effect::Cut { delivered: false }));
    for delivered in [1, 1] {
        let error = sandbox.message("guest_1", "a").send().await.unwrap_err();
        assert!(error.is_request() && !error.is_timeout() && !error.is_connect(), "{error:?}");
        assert_eq!(sandbox.api.report().delivered, delivered);
    }
    assert_eq!(status(sandbox.message("guest_2", "b")).await, 200, "the next one gets a new connection");
    let report = sandbox.api.wait_for(|report| report.in_flight == 0).await;
    assert_eq!((report.requests, report.delivered), (3, 2));
    assert_eq!(sandbox.api.requests().iter().filter(|seen| seen.status.is_none()).count(), 2);
}

#[tokio::test]
async fn a_hanging_call_is_carried_out_and_leaves_when_its_caller_does() {
    let sandbox = Sandbox::start(open()).await;
    sandbox.api.faults().add(Fault::next(1, Effect::hang(Duration::from_mins(10))));
    let caller = tokio::spawn(sandbox.message("guest_1", "a").send());
    let report = sandbox.api.wait_delivered(1).await;
    assert_eq!(report.in_flight, 1);
    caller.abort();
    let report = sandbox.api.wait_for(|report| report.in_flight == 0).await;
    assert_eq!((report.requests, report.max_in_flight), (1, 1));
    assert_eq!(sandbox.api.requests()[0].status, None);
}

#[tokio::test]
async fn faults_are_scripted_over_http_and_not_counted() {
    let sandbox = Sandbox::start(open()).await;
    let post = |script: serde_json::Value| sandbox.call(Method::POST, "/sandbox/faults").json(&script);
    let answer =
        json!({"times": 2, "on": "message", "effect": {"answer": {"status": 500, "retryAfter": "soon"}}});
    assert_eq!(status(post(answer)).await, 201);
    assert_eq!(status(post(json!([{"effect": {"answer": {"status": 418}}}]))).await, 201);
    assert_eq!(status(post(json!({"effect": {"explode": {}}}))).await, 400);
    assert_eq!(status(post(json!({"effect": {"answer": {"status": 99}}}))).await, 400);
    assert_eq!(status(sandbox.message("guest_1", "a")).await, 500);
    assert_eq!(status(sandbox.call(Method::GET, "/guests/guest_1")).await, 418);
    assert_eq!(sandbox.api.faults().pending().len(), 1);
    assert_eq!(body(sandbox.call(Method::GET, "/sandbox/faults")).await[0]["times"], 1);
    assert_eq!(status(sandbox.call(Method::DELETE, "/sandbox/faults")).await, 204);
    assert_eq!(status(sandbox.message("guest_1", "a")).await, 200);
    assert_eq!(sandbox.api.report().requests, 3);
}
