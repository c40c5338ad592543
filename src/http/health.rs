//! Whether the server lives, and whether it can serve.

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{HttpState, answer::Refusal};

/// `GET /api/health`, kept for existing clients.
pub(super) async fn health() -> Json<Value> {
    Json(json!({ "ok": true }))
}

/// `GET /healthz`: the process answers.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the database answers too.
pub(super) async fn ready(State(state): State<HttpState>) -> Result<&'static str, Refusal> {
    if state.stopping.is_cancelled() {
        return Err(Refusal::unavailable("stopping", 1));
    }
    match state.services.db.pool().ping().await {
        Ok(()) => Ok("ready\n"),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            Err(Refusal::unavailable("the database does not answer", 1))
        }
    }
}
