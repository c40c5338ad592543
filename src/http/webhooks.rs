//! `POST /webhooks`: bytes -> secret -> event -> ingest -> status.
//!
//! The secret is checked first; below that check nothing of a stranger's request is looked at. What is
//! wrong with a request that has one is told to the sender, and kept.

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, request::Parts},
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    Reception,
    answer::Refusal,
    body::{self, BodyError},
    guard,
};
use crate::reservations::{
    batch::Applied,
    event::{self, Parsed},
    ingest::{IngestError, Taken},
    rejected::Kept,
    spool::Rejection,
};

/// What a webhook is counted as that is not answered 200, and its answer.
type Refused = (&'static str, Refusal);

/// Takes one event, and counts it by what it was answered: the provider counts too, and drops us for it.
pub(super) async fn receive(
    State(state): State<Reception>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let came_at = state.registration.now();
    let taken = take(&state, request).await;
    let (Ok(result) | Err((result, _))) = &taken;
    state.metrics.webhook(result);
    // These count neither way. They go to whoever has no secret of ours, or is not known to have one, so a
    // stranger could raise a false alarm with them; and they are no sign that the provider is served.
    if !matches!(*result, "unauthorized" | "unread") {
        state.registration.deliveries().answered(taken.is_ok(), came_at);
    }
    taken.map(|result| Json(json!({ "ok": true, "result": result }))).map_err(|(_, refusal)| refusal)
}

async fn take(state: &Reception, request: Request) -> Result<&'static str, Refused> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    // Read before anything is refused, so that the sender gets its answer.
    let body = body::read(body).await;
    let now = state.clock.now();
    if !state.secrets.admit(headers, body.as_deref().ok(), now) {
        return Err(("unauthorized", unauthorized(state, &parts)));
    }
    let body = body.map_err(|error| (unread(state, headers, error, now), error.into()))?;
    match event::parse(&body) {
        Err(error) => Err(Box::pin(reject(state, &body, error.to_string(), now)).await),
        Ok(Parsed::Ignored) => Ok("ignored"),
        Ok(Parsed::Event(event)) => match state.ingest.apply(event).await {
            Ok(Taken::Written(Applied::Applied)) => Ok("applied"),
            Ok(Taken::Written(Applied::Stale)) => Ok("stale"),
            Ok(Taken::Written(Applied::Duplicate)) => Ok("duplicate"),
            Ok(Taken::Queued) => Ok("queued"),
            Err(error @ IngestError::Refused) => {
                Err(Box::pin(reject(state, &body, error.to_string(), now)).await)
            }
            Err(error @ IngestError::Unavailable) => {
                Err(("unavailable", Refusal::unavailable(error.to_string(), 1)))
            }
        },
    }
}

/// Guesses are limited once it is known that they are wrong, so that nothing an address did before is in the way
/// of a secret that is right.
fn unauthorized(state: &Reception, parts: &Parts) -> Refusal {
    if let Err(denied) =
        state.access.wrong_secret(guard::peer(&state.access, &parts.extensions, &parts.headers))
    {
        return guard::refusal(denied);
    }
    let message = "X-Webhook-Secret, or webhook-signature: missing or wrong";
    Refusal::new(StatusCode::UNAUTHORIZED, message)
}

/// What a webhook is counted as whose body was not read. It is the sender's own doing that it did not come; and
/// of one that is too long, a signature proves nothing.
fn unread(state: &Reception, headers: &HeaderMap, error: BodyError, now: DateTime<Utc>) -> &'static str {
    match error {
        // Nobody signs an empty body, so this is whether the secret itself is shown.
        BodyError::TooLong if state.secrets.admit(headers, Some(&[]), now) => "rejected",
        BodyError::TooLong | BodyError::TooSlow | BodyError::Broken => "unread",
    }
}

/// Keeps a body that is wrong, and answers why it is. The answer is the same when it can't be kept.
/// The future is large, and boxed by its callers: that of a good request is moved often.
async fn reject(state: &Reception, body: &[u8], reason: String, now: DateTime<Utc>) -> Refused {
    let webhook = Rejection::new(body, &reason, now);
    let id = webhook.id;
    // The reason may repeat what is in the body, which is of people.
    match state.rejected.keep(&state.ingest, &webhook).await {
        Ok(Kept::Stored) => tracing::warn!(%id, "a webhook was rejected; rejectedWebhooks says why"),
        Ok(Kept::Queued) => {
            tracing::warn!(%id, "a webhook was rejected; rejectedWebhooks says why once the database is back");
        }
        Err(error) => tracing::error!(%error, "a rejected webhook was not kept"),
    }
    ("rejected", Refusal::bad_request(reason))
}
