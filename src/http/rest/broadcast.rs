//! `POST /api/broadcast`: sends, waits until every message has a result, and answers the figures.
//!
//! The answer may take as long as the sending. After ten minutes, when the server stops, or when the
//! client would rather not wait, it is 202 with the broadcast's id, and the sending goes on.

use std::time::Duration;

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::filter::RestFilter;
use crate::{
    access::Caller,
    broadcast::{
        Broadcast, UncertainPolicy,
        progress::Progress,
        start::{self, StartError, StartInput, Started},
        store,
    },
    feed::{Hub, Topic},
    graphql::ids,
    http::{HttpState, answer::Refusal, body},
};

/// How long a client waits for the end at most.
const WAIT: Duration = Duration::from_mins(10);
/// How often the table is asked in case the log tells nothing.
const POLL: Duration = Duration::from_secs(5);
/// Failures that are listed.
const FAILURES: u32 = 100;

/// The request. An unknown field is refused: a misspelt filter would write to everybody.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    #[serde(default)]
    message: Value,
    #[serde(default)]
    filters: Option<RestFilter>,
}

/// The answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    total_matched: i32,
    attempted: i32,
    sent: i32,
    failed: i32,
    failures: Vec<Failure>,
}

/// A guest who did not get the message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    guest_id: String,
    reason: String,
}

/// Sends a message to the guests of every reservation that matches.
pub(in crate::http) async fn send(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let body = body::read_json(&headers, body).await?;
    let input = parse(&body, &headers)?;
    let broadcast = match start::start(&state.services.db, &input, &caller, state.services.clock.now()).await
    {
        Ok(Started::New(broadcast) | Started::Replay(broadcast)) => broadcast,
        Ok(Started::DryRun(_)) | Err(StartError::NoRecipients) => {
            return Ok(Json(Figures::default()).into_response());
        }
        Err(error) => return Err(refusal(error)),
    };
    state.services.woken.notify_one();
    state.services.changed.notify_one();
    if prefers_async(&headers) {
        return Ok(accepted(broadcast.id));
    }
    let ended = tokio::select! {
        ended = ended(&state.services.hub, broadcast.id) => Some(ended),
        () = tokio::time::sleep(WAIT) => None,
        () = state.stopping.cancelled() => None,
    };
    match ended {
        Some(Ok(broadcast)) => figures(&state, &broadcast).await,
        Some(Err(error)) => Err(Refusal::internal(&error)),
        None => Ok(accepted(broadcast.id)),
    }
}

fn parse(body: &[u8], headers: &HeaderMap) -> Result<StartInput, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(format!("body: not JSON: {error}")))?;
    // Said before anything else, as existing clients know it.
    let has_message = value.get("message").and_then(Value::as_str).is_some_and(|message| !message.is_empty());
    if !has_message {
        return Err(Refusal::bad_request("message is required"));
    }
    let input: Input =
        serde_json::from_value(value).map_err(|error| Refusal::bad_request(format!("body: {error}")))?;
    let key = headers
        .get("idempotency-key")
        .map(|key| key.to_str().map(str::to_owned))
        .transpose()
        .map_err(|_| Refusal::bad_request("Idempotency-Key: must be visible ASCII"))?;
    Ok(StartInput {
        message: input.message.as_str().unwrap_or_default().to_owned(),
        filter: input.filters.unwrap_or_default().try_into()?,
        expected_recipients: None,
        idempotency_key: key,
        starts_at: None,
        on_uncertain: UncertainPolicy::Resend,
        dry_run: false,
    })
}

/// RFC 7240.
fn prefers_async(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}

/// The broadcast once every message has a result. A step of it in the log is the signal to look;
/// the clock is the floor under that.
async fn ended(hub: &Hub, id: Uuid) -> Result<Broadcast, sea_orm::DbErr> {
    let mut watcher = hub.watch(hub.head());
    let key = id.to_string();
    let mut poll = tokio::time::interval(POLL);
    let mut look = true;
    loop {
        if look
            && let Some(broadcast) = store::by_id(hub.feed().db().pool(), id).await?
            && broadcast.completed_at.is_some()
        {
            return Ok(broadcast);
        }
        look = tokio::select! {
            entries = watcher.next() => entries?
                .iter()
                .filter(|entry| entry.topic == Topic::Broadcast && entry.key == key)
                .filter_map(|entry| Progress::of(entry))
                .any(|step| step.broadcast.completed_at.is_some()),
            _ = poll.tick() => true,
        };
    }
}

async fn figures(state: &HttpState, broadcast: &Broadcast) -> Result<Response, Refusal> {
    let counts = broadcast.counts;
    let failures = store::failures(&state.services.db, broadcast.id, FAILURES)
        .await
        .map_err(|error| Refusal::internal(&error))?;
    let failures = failures
        .into_iter()
        .map(|message| Failure { guest_id: message.guest_id, reason: message.last_error.unwrap_or_default() })
        .collect();
    let failed = counts.failed + counts.uncertain;
    let attempted = counts.sent + failed;
    let figures = Figures { total_matched: counts.total, attempted, sent: counts.sent, failed, failures };
    Ok(Json(figures).into_response())
}

/// 202: the id, and a query that answers how it goes.
fn accepted(id: Uuid) -> Response {
    let id = ids::broadcast(id);
    let query = format!(
        "{{broadcast(id:\"{id}\"){{status counts{{total pending sent failed uncertain cancelled}}}}}}"
    );
    let location = serde_urlencoded::to_string([("query", query)]).unwrap_or_default();
    let location = [(header::LOCATION, format!("/graphql?{location}"))];
    (StatusCode::ACCEPTED, location, Json(json!({ "id": id }))).into_response()
}

fn refusal(error: StartError) -> Refusal {
    match error {
        StartError::Message(problem) => Refusal::bad_request(format!("message: {problem}")),
        StartError::Key(problem) => Refusal::bad_request(format!("Idempotency-Key: {problem}")),
        StartError::Filter(error) => Refusal::bad_request(format!("filters.{error}")),
        StartError::NoRecipients | StartError::RecipientsChanged { .. } => {
            Refusal::bad_request(error.to_string())
        }
        StartError::KeyReused => {
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, format!("Idempotency-Key: {error}"))
        }
        StartError::Database(error) => Refusal::internal(&error),
    }
}
