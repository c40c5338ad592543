//! What is around every answer: the identifier of its request, what it says to browsers, and whether the connection
//! goes on after it. What a request writes to the log has its identifier, and its trace begins here.
//!
//! One layer for all of it: axum boxes each layer, and copies what is in it, for every request.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use tokio_util::sync::CancellationToken;

use super::request_id::{self, Ids};
use crate::telemetry::{self, request_id::RequestId, traces};

/// What every answer says to browsers, unless its route says something else: take it for what it says it is,
/// run nothing of it, show it in no frame, and tell nobody where you were.
const SAID: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// What it takes; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Envelope(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    ids: Ids,
    leaving: CancellationToken,
}

impl Envelope {
    /// `leaving` is cancelled when the server is about to stop.
    pub(super) fn new(leaving: CancellationToken) -> Self {
        Self(Arc::new(Parts { ids: Ids::default(), leaving }))
    }
}

/// Runs a request, and puts around its answer what belongs there.
pub(super) async fn wrap(State(envelope): State<Envelope>, request: Request, next: Next) -> Response {
    let id = request_id::of(request.headers(), &envelope.0.ids);
    let span = traces::request(request.method(), request.uri().path(), request.headers());
    let answering = traces::within(span.clone(), next.run(request));
    let mut response = telemetry::request_id::scope(id.clone(), answering).await;
    if let Some(span) = span {
        traces::answered(&span, response.status());
    }
    address(response.headers_mut(), &id, envelope.0.leaving.is_cancelled());
    response
}

fn address(headers: &mut HeaderMap, id: &RequestId, is_leaving: bool) {
    for (name, value) in SAID {
        headers.entry(name).or_insert(value);
    }
    // It is plain, so it is a header.
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(request_id::HEADER, value);
    }
    // HTTP/1 connections end with their next answer once the server is about to stop, so that none of them brings
    // a request when it is too late.
    if is_leaving {
        headers.entry(header::CONNECTION).or_insert(HeaderValue::from_static("close"));
    }
}
