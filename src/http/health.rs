//! Whether the server lives, and whether it can serve.

use std::time::Duration;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{Reception, answer::Refusal};

/// How long the database may take to answer.
const PING: Duration = Duration::from_secs(1);

/// `GET /api/health`, kept for existing clients.
pub(super) async fn health() -> Json<Value> {
    Json(json!({ "ok": true }))
}

/// `GET /healthz`: the process answers, and its tasks live. Not so once it fails: only a new process mends that.
/// A database that is away is no reason to fail.
pub(super) async fn alive(State(state): State<Reception>) -> Result<&'static str, Refusal> {
    match failing(&state) {
        Some(what) => Err(Refusal::unavailable(what, 1)),
        None => Ok("ok\n"),
    }
}

/// What is wrong with the tasks. While the server stops they end one after the other.
pub(super) fn failing(state: &Reception) -> Option<String> {
    let failing = if state.stopping.is_cancelled() { Vec::new() } else { state.vitals.failing() };
    (!failing.is_empty()).then(|| format!("not alive: {}", failing.join(", ")))
}

/// `GET /readyz`: events can be taken, by the database or, which is said, by the spool; and the rest was ready once.
pub(super) async fn ready(State(state): State<Reception>) -> Result<String, Refusal> {
    let answers = answers(&state).await;
    judge(&state, answers)
}

/// The same, for who knows whether the database answers.
pub(super) fn judge(state: &Reception, answers: bool) -> Result<String, Refusal> {
    if state.leaving.is_cancelled() || state.stopping.is_cancelled() {
        return Err(Refusal::unavailable("stopping", 1));
    }
    if let Some(what) = failing(state) {
        return Err(Refusal::unavailable(what, 1));
    }
    let spool = state.ingest.spool();
    let waiting = spool.usage().borrow().webhooks();
    if !state.is_complete() {
        let message =
            format!("the database has not been reached since the start; spool in use, waiting: {waiting}");
        return Err(Refusal::unavailable(message, 1));
    }
    match (answers, waiting) {
        (true, 0) => Ok("ready\n".to_owned()),
        (true, _) => Ok(format!("ready; spool in use, waiting: {waiting}\n")),
        (false, _) if spool.can_take() => {
            Ok(format!("ready; the database is away; spool in use, waiting: {waiting}\n"))
        }
        (false, _) => Err(Refusal::unavailable("neither the database nor the spool is available", 1)),
    }
}

/// Whether the database answers. Known to be away, it is not asked.
async fn answers(state: &Reception) -> bool {
    if state.ingest.is_database_away() {
        return false;
    }
    match tokio::time::timeout(PING, state.db.pool().ping()).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the database does not answer");
            false
        }
        Err(_) => false,
    }
}
