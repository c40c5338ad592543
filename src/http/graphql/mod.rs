//! GraphQL over HTTP, WebSocket, server-sent events and multipart: framing only.
//!
//! POST takes JSON and nothing else, so that no page of another origin can send a mutation without
//! asking (CORS); GET runs queries, and subscriptions as an event stream, never a mutation; a WebSocket
//! is opened for pages that may. `Accept` says how the answer comes.

use async_graphql::{Request, Response as GraphqlResponse, ServerError};
use axum::{
    Json,
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use super::{HttpState, answer::Refusal, body};
use crate::graphql::{
    IdempotencyKey,
    document::{self, Operation},
    live::Watch,
};

mod multipart;
mod request;
mod socket;
mod sse;
mod stream;

use request::Accepted;

/// `POST /graphql`.
pub(super) async fn post(
    State(state): State<HttpState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let body = body::read_json(&headers, body).await?;
    let mut request: Request =
        serde_json::from_slice(&body).map_err(|error| Refusal::bad_request(format!("body: {error}")))?;
    if let Some(key) = headers.get("idempotency-key") {
        let key = key.to_str().map_err(|_| Refusal::bad_request("Idempotency-Key: must be visible ASCII"))?;
        request = request.data(IdempotencyKey(key.to_owned()));
    }
    let checked = document::check(&mut request);
    let is_stream = matches!(checked, Ok(Operation::Subscription(_)));
    match (request::accepted(&headers), checked) {
        (Accepted::Events, checked) => {
            let watch = watch(&state, &headers, checked, request);
            stream::respond::<sse::Events>(&state, watch)
        }
        (Accepted::Multipart, checked) if is_stream => {
            let watch = watch(&state, &headers, checked, request);
            stream::respond::<multipart::Parts>(&state, watch)
        }
        (Accepted::Multipart | Accepted::Json, checked) => Ok(execute(&state, checked, request).await),
    }
}

/// `GET /graphql`: a WebSocket when one is asked for, else a query or a stream of events.
pub(super) async fn get(
    State(state): State<HttpState>,
    RawQuery(query): RawQuery,
    mut parts: Parts,
) -> Result<Response, Refusal> {
    if parts.headers.contains_key(header::UPGRADE) {
        return Ok(socket::open(state, &mut parts).await.unwrap_or_else(|refusal| refusal));
    }
    let mut request = request::parse_query(query.as_deref().unwrap_or_default())?;
    let checked = document::check(&mut request);
    match (request::accepted(&parts.headers), checked) {
        (_, Ok(Operation::Mutation)) => Ok(not_by_get("send a mutation by POST")),
        (Accepted::Events, checked) => {
            let watch = watch(&state, &parts.headers, checked, request);
            stream::respond::<sse::Events>(&state, watch)
        }
        (_, Ok(Operation::Subscription(_))) => {
            Ok(not_by_get("ask for a subscription by POST, by WebSocket, or with Accept: text/event-stream"))
        }
        (_, checked) => Ok(execute(&state, checked, request).await),
    }
}

/// One answer in JSON.
async fn execute(state: &HttpState, checked: Result<Operation, ServerError>, request: Request) -> Response {
    let answer = match checked {
        Ok(_) => state.schema.execute(request).await,
        Err(error) => GraphqlResponse::from_errors(vec![error]),
    };
    Json(answer).into_response()
}

fn watch(
    state: &HttpState,
    headers: &HeaderMap,
    checked: Result<Operation, ServerError>,
    request: Request,
) -> Watch {
    let last = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("not a text").to_owned());
    let last = last.filter(|cursor| !cursor.is_empty());
    match checked {
        Ok(operation) => state.live.watch_checked(&operation, request, last),
        Err(error) => state.live.refuse(error),
    }
}

fn not_by_get(how: &str) -> Response {
    let error = ServerError::new(format!("GET runs queries only; {how}"), None);
    let answer = Json(GraphqlResponse::from_errors(vec![error]));
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")], answer).into_response()
}
