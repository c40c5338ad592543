//! `POST /webhooks`: bytes -> secret -> event -> ingest -> status.
//!
//! The secret is checked first; below that check nothing of a stranger's request is looked at.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::{HttpState, answer::Refusal, body};
use crate::reservations::{
    batch::Applied,
    event::{self, Parsed},
};

/// Takes one event.
pub(super) async fn receive(
    State(state): State<HttpState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    // Read before anything is refused, so that the sender gets its answer.
    let body = body::read(body).await;
    let now = state.services.clock.now();
    if !state.secrets.admit(&headers, body.as_deref().ok(), now) {
        let message = "X-Webhook-Secret or a signature (webhook-id, webhook-timestamp, webhook-signature): missing or wrong";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, message));
    }
    let body = body?;
    let result = match event::parse(&body) {
        Err(error) => return Err(Refusal::bad_request(error.to_string())),
        Ok(Parsed::Ignored) => "ignored",
        Ok(Parsed::Event(event)) => {
            let applied = state.ingest.apply(*event).await;
            match applied.map_err(|error| Refusal::unavailable(error.to_string(), 1))? {
                Applied::Applied => "applied",
                Applied::Stale => "stale",
                Applied::Duplicate => "duplicate",
            }
        }
    };
    Ok(Json(json!({ "ok": true, "result": result })))
}
