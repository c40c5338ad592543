//! `POST /api/webhooks/register`: asks the provider to post to us; its answer is passed on.

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    guest_api::{Lane, Outcome, PassedOn},
    http::{HttpState, answer::Refusal},
};

/// How long the Guest API may keep us waiting, its answer or its limit.
const PATIENCE: Duration = Duration::from_secs(15);

/// Registers our webhook URL.
pub(in crate::http) async fn register(State(state): State<HttpState>) -> Result<Response, Refusal> {
    let Some(url) = state.public_webhook_url.clone() else {
        return Err(Refusal::bad_request("PUBLIC_WEBHOOK_URL is not set"));
    };
    let bad_gateway =
        |reason: String| Refusal::new(StatusCode::BAD_GATEWAY, format!("the Guest API {reason}"));
    let call = state.door.call(Lane::Urgent, |api| async move { api.register(&url).await });
    let Ok(outcome) = tokio::time::timeout(PATIENCE, call).await else {
        return Err(Refusal::unavailable("the Guest API says to come back later", 15));
    };
    match outcome {
        Outcome::Done(answer) => Ok(passed_on(answer)),
        Outcome::Limited { wait } => {
            let seconds = u16::try_from(wait.as_secs().max(1)).unwrap_or(u16::MAX);
            Err(Refusal::unavailable("the Guest API says to come back later", seconds))
        }
        Outcome::NotFound => Err(bad_gateway("has no such route".to_owned())),
        Outcome::Refused { reason }
        | Outcome::Unauthorized { reason }
        | Outcome::Retry { reason }
        | Outcome::Ambiguous { reason } => Err(bad_gateway(format!("did not answer: {reason}"))),
    }
}

fn passed_on(answer: PassedOn) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = (status, Body::from(answer.body)).into_response();
    if let Some(kind) = answer.content_type.and_then(|kind| HeaderValue::from_str(&kind).ok()) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}
