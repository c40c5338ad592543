//! Counts what webhooks are answered, since the provider does, and drops us for it.
//!
//! An answer of 401 counts neither way. It goes to whoever has no secret of ours, so a stranger could
//! raise a false alarm with it; and it is no sign that the provider is served.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::Response,
};

use crate::guest_api::registration::Registration;

/// Looks at the answer as it leaves.
pub(super) async fn count(
    State(registration): State<Registration>,
    request: Request,
    next: Next,
) -> Response {
    let came_at = registration.now();
    let response = next.run(request).await;
    match response.status() {
        StatusCode::UNAUTHORIZED => {}
        status => registration.deliveries().answered(status == StatusCode::OK, came_at),
    }
    response
}
