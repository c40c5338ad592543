//! The HTTP side of the stand-in Guest API.
//!
//! Every call of the API passes [`gate`]: it is counted, limited, and may meet a fault. The calls under `/sandbox/` are
//! ours, for people and tests, and pass by it:
//!
//! - `GET /sandbox/report`: the numbers of [`super::Report`].
//! - `POST /sandbox/faults`: one [`Fault`] or a list of them goes to the end of the script; 201 with the script.
//! - `GET /sandbox/faults`: the script. `DELETE /sandbox/faults`: forget it; 204.
//!
//! ```text
//! {"times": 3, "on": "message", "guest": "guest_001", "effect": {"answer": {"status": 503, "retryAfter": 2}}}
//! {"effect": {"hang": {"ms": 15000}}}
//! {"times": null, "on": "guest", "effect": {"cut": {"delivered": false}}}
//! ```
//! `times` absent is once, `null` is until cleared; `on` is `guest`, `message`, `webhooks` or `other`; `on` and `guest`
//! absent fit every call; `retryAfter` is a number of seconds or a text sent as it is.

use std::io;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::effect::{Effect, Kind, RetryAfter};
use super::faults::Fault;
use super::guest_api::GuestApi;
use super::report::Report;
use super::{guests, limit};

pub(super) fn router(api: GuestApi) -> Router {
    let provider = Router::new()
        .route("/guests/{id}", get(show_guest))
        .route("/guests/{id}/messages", post(take_message))
        .route("/webhooks/register", post(register))
        .route("/webhooks/registered", get(registered))
        .route("/webhooks/unregister", delete(unregister))
        .fallback(nothing_here)
        .layer(middleware::from_fn_with_state(api.clone(), gate));
    let ours = Router::new()
        .route("/sandbox/report", get(report))
        .route("/sandbox/faults", get(pending_faults).post(add_faults).delete(clear_faults));
    provider.merge(ours).with_state(api)
}

/// What every call of the API goes through.
async fn gate(State(api): State<GuestApi>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let (kind, guest) = classify(path);
    let (visit, over_limit) = api.arrive(kind, format!("{} {path}", request.method()));
    let effect = if over_limit.is_none() { api.faults().take(kind, guest) } else { None };
    let mut delay = api.settings().latency;
    let response = match (over_limit, effect) {
        (Some(wait), _) => {
            refuse(StatusCode::TOO_MANY_REQUESTS, Some(RetryAfter::Seconds(limit::retry_after(wait))))
        }
        (None, None) => next.run(request).await,
        (None, Some(Effect::Answer { status, retry_after })) => {
            refuse(usable(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), retry_after)
        }
        (None, Some(Effect::Hang { ms })) => {
            delay = delay.saturating_add(Duration::from_millis(ms));
            next.run(request).await
        }
        (None, Some(Effect::Cut { delivered })) => {
            if delivered {
                next.run(request).await;
            }
            tokio::time::sleep(delay).await;
            return cut();
        }
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    tracing::debug!(?kind, status = response.status().as_u16(), "guest api answered");
    visit.answer(response.status().as_u16(), told_to_wait(&response));
    response
}

/// The kind of a call, and the guest that it is about.
fn classify(path: &str) -> (Kind, Option<&str>) {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["guests", id] => (Kind::Guest, Some(id)),
        ["guests", id, "messages"] => (Kind::Message, Some(id)),
        ["webhooks", ..] => (Kind::Webhooks, None),
        _ => (Kind::Other, None),
    }
}

fn refuse(status: StatusCode, retry_after: Option<RetryAfter>) -> Response {
    let mut response = error(status, status.canonical_reason().unwrap_or("refused"));
    let value = match retry_after {
        Some(RetryAfter::Seconds(seconds)) => Some(HeaderValue::from(seconds)),
        Some(RetryAfter::Verbatim(text)) => HeaderValue::from_str(&text).ok(),
        None => None,
    };
    if let Some(value) = value {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

/// A status that can end a call: 1xx can't.
fn usable(status: u16) -> Option<StatusCode> {
    StatusCode::from_u16(status).ok().filter(|_| (200..600).contains(&status))
}

/// How long an answer tells to wait, when it says so in seconds.
fn told_to_wait(response: &Response) -> Option<Duration> {
    let text = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

/// A body that fails before its first byte: the server closes the connection, and the head, not flushed yet, is lost
/// with it. A test holds the server to that.
fn cut() -> Response {
    let broken: Result<Bytes, io::Error> = Err(io::ErrorKind::ConnectionAborted.into());
    Body::from_stream(futures::stream::iter([broken])).into_response()
}

fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

async fn show_guest(State(api): State<GuestApi>, Path(id): Path<String>) -> Response {
    match guests::guest(&id, api.settings().snake_case) {
        Some(guest) => Json(guest).into_response(),
        None => error(StatusCode::NOT_FOUND, "guest not found"),
    }
}

async fn take_message(
    State(api): State<GuestApi>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if guests::number(&id).is_none() {
        return error(StatusCode::NOT_FOUND, "guest not found");
    }
    let Some(message) = text_field(&body, "message") else {
        return error(StatusCode::BAD_REQUEST, "message is required");
    };
    let key = headers.get("idempotency-key").map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
    api.accept(id, message, key);
    Json(json!({ "success": true })).into_response()
}

async fn register(State(api): State<GuestApi>, body: Bytes) -> Response {
    match text_field(&body, "url").filter(|url| reqwest::Url::parse(url).is_ok_and(|url| url.has_host())) {
        Some(url) => {
            api.registry().register(url.clone());
            (StatusCode::CREATED, Json(json!({ "url": url }))).into_response()
        }
        None => error(StatusCode::BAD_REQUEST, "url is required"),
    }
}

async fn registered(State(api): State<GuestApi>) -> Json<Value> {
    Json(json!({ "urls": api.registered_urls() }))
}

async fn unregister(State(api): State<GuestApi>, body: Bytes) -> Response {
    match text_field(&body, "url") {
        Some(url) if api.registry().unregister(&url) => Json(json!({ "url": url })).into_response(),
        Some(_) => error(StatusCode::NOT_FOUND, "url is not registered"),
        None => error(StatusCode::BAD_REQUEST, "url is required"),
    }
}

async fn nothing_here() -> Response {
    error(StatusCode::NOT_FOUND, "not found")
}

async fn report(State(api): State<GuestApi>) -> Json<Report> {
    Json(api.report())
}

async fn pending_faults(State(api): State<GuestApi>) -> Json<Vec<Fault>> {
    Json(api.faults().pending())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(Fault),
    More(Vec<Fault>),
}

async fn add_faults(State(api): State<GuestApi>, body: Bytes) -> Response {
    let faults = match serde_json::from_slice(&body) {
        Ok(OneOrMore::One(fault)) => vec![fault],
        Ok(OneOrMore::More(faults)) => faults,
        Err(_) => return error(StatusCode::BAD_REQUEST, "not a fault, nor a list of faults"),
    };
    let unusable =
        |fault: &Fault| matches!(fault.effect, Effect::Answer { status, .. } if usable(status).is_none());
    if faults.iter().any(unusable) {
        return error(StatusCode::BAD_REQUEST, "status is 200 to 599");
    }
    for fault in faults {
        api.faults().add(fault);
    }
    (StatusCode::CREATED, Json(api.faults().pending())).into_response()
}

async fn clear_faults(State(api): State<GuestApi>) -> StatusCode {
    api.faults().clear();
    StatusCode::NO_CONTENT
}

/// A field of a JSON object, when it is a text with something in it.
fn text_field(body: &[u8], name: &str) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}
