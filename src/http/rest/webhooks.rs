//! `POST /api/webhooks/register`: asks the provider to post to us; its answer is passed on.

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    access::Caller,
    guest_api::{PassedOn, registration::AskError},
    http::{HttpState, answer::Refusal},
};

/// Registers our webhook URL, and keeps it registered.
pub(in crate::http) async fn register(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Refusal> {
    let answer = state.services.registration.ask(true, &caller).await;
    answer.map(passed_on).map_err(|error| refusal(&error))
}

fn refusal(error: &AskError) -> Refusal {
    match error {
        AskError::NotConfigured => Refusal::bad_request(error.to_string()),
        AskError::NotYet => Refusal::unavailable(error.to_string(), 15),
        AskError::Overtaken => Refusal::new(StatusCode::CONFLICT, error.to_string()),
        AskError::Failed(_) => Refusal::new(StatusCode::BAD_GATEWAY, error.to_string()),
        AskError::Database(error) => Refusal::internal(error),
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
