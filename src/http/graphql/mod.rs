//! GraphQL over HTTP, WebSocket, server-sent events and multipart: framing only.
//!
//! POST takes JSON and nothing else, so that no page of another origin can send a mutation without
//! asking (CORS); GET runs queries, and subscriptions as an event stream, never a mutation; a WebSocket
//! is opened for pages that may. `Accept` says how the answer comes. A request has one operation: batches
//! are refused, since the bounds are those of one.

use async_graphql::{Request, ServerError};
use axum::{
    Extension,
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::Response,
};

use super::{HttpState, answer::Refusal, body};
use crate::{
    access::{Caller, Denied},
    graphql::{IdempotencyKey, document::Operation, live::Watch, once::once, written},
};

mod answer;
mod multipart;
mod request;
mod socket;
mod sse;
mod stream;

use answer::Media;
use request::Protocol;

/// `POST /graphql`.
pub(super) async fn post(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let accepted = request::accepted(&headers);
    let answer = async {
        let mut request = request::parse_body(&body::read_json(&headers, body).await?)?;
        if let Some(key) = headers.get("idempotency-key") {
            let bad = |_| Refusal::bad_request("Idempotency-Key: must be visible ASCII");
            request = request.data(IdempotencyKey(key.to_str().map_err(bad)?.to_owned()));
        }
        let admitted = state.live.admission().admit(&mut request, &caller);
        let is_stream = matches!(admitted, Ok(Operation::Subscription(_)));
        match accepted.protocol {
            Some(Protocol::Events) => {
                let watch = watch(&state, &headers, admitted, request, &caller);
                stream::respond::<sse::Events>(&state, watch, &caller)
            }
            Some(Protocol::Multipart) if is_stream => {
                let watch = watch(&state, &headers, admitted, request, &caller);
                stream::respond::<multipart::Parts>(&state, watch, &caller)
            }
            None if is_stream => Err(Refusal::new(
                StatusCode::NOT_ACCEPTABLE,
                "Accept: a subscription comes as text/event-stream, multipart/mixed;subscriptionSpec=1.0, or by WebSocket",
            )),
            Some(Protocol::Multipart) | None => Ok(execute(&state, admitted, request, accepted.media).await),
        }
    };
    answer.await.unwrap_or_else(|refusal| accepted.media.refusal(refusal))
}

/// `GET /graphql`: a WebSocket when one is asked for, else a query or a stream of events.
pub(super) async fn get(
    State(state): State<HttpState>,
    RawQuery(query): RawQuery,
    mut parts: Parts,
) -> Response {
    let accepted = request::accepted(&parts.headers);
    let answer = async {
        if parts.headers.contains_key(header::UPGRADE) {
            return socket::open(state, &mut parts).await;
        }
        // Let through without one was a WebSocket only.
        let caller = parts.extensions.get::<Caller>().cloned();
        let caller =
            caller.ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, Denied::Missing.to_string()))?;
        let mut request = request::parse_query(query.as_deref().unwrap_or_default())?;
        let admitted = state.live.admission().admit(&mut request, &caller);
        match (accepted.protocol, admitted) {
            (_, Ok(Operation::Mutation)) => Err(not_by_get("send a mutation by POST")),
            (Some(Protocol::Events), admitted) => {
                let watch = watch(&state, &parts.headers, admitted, request, &caller);
                stream::respond::<sse::Events>(&state, watch, &caller)
            }
            (_, Ok(Operation::Subscription(_))) => Err(not_by_get(
                "ask for a subscription by POST, by WebSocket, or with Accept: text/event-stream",
            )),
            (_, admitted) => Ok(execute(&state, admitted, request, accepted.media).await),
        }
    };
    answer.await.unwrap_or_else(|refusal| accepted.media.refusal(refusal))
}

/// What is told whoever comes too early.
pub(super) fn refuse(headers: &HeaderMap, refusal: Refusal) -> Response {
    request::accepted(headers).media.refusal(refusal)
}

/// One answer in JSON.
async fn execute(
    state: &HttpState,
    admitted: Result<Operation, ServerError>,
    request: Request,
    media: Media,
) -> Response {
    match admitted {
        Ok(operation) => {
            let request = written::allow(request);
            media.answer(&once(&state.schema, request, &operation).await)
        }
        Err(error) => media.refused(&[error]),
    }
}

fn watch(
    state: &HttpState,
    headers: &HeaderMap,
    admitted: Result<Operation, ServerError>,
    request: Request,
    caller: &Caller,
) -> Watch {
    let last = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("not a text").to_owned());
    let last = last.filter(|cursor| !cursor.is_empty());
    match admitted {
        Ok(operation) => state.live.watch_checked(&operation, request, caller.role(), last),
        Err(error) => state.live.refuse(error),
    }
}

fn not_by_get(how: &str) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("GET runs queries only; {how}"))
}
