//! Reading a body, up to a limit. One that is too long is read off for a while, so that a sender that
//! writes first and reads then gets its answer instead of a broken connection.

use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;

use super::answer::Refusal;

/// Bytes a body may have.
pub(super) const BODY_MAX: usize = 1024 * 1024;
/// Bytes that are read off at most.
const READ_OFF_MAX: usize = 4 * BODY_MAX;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// More than 1 MiB.
    TooLong,
    /// The connection broke.
    Broken,
}

/// The whole body.
pub(super) async fn read(body: Body) -> Result<Bytes, BodyError> {
    let mut stream = body.into_data_stream();
    let mut kept = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| BodyError::Broken)?;
        if kept.len() + chunk.len() > BODY_MAX {
            read_off(&mut stream, READ_OFF_MAX.saturating_sub(kept.len() + chunk.len())).await;
            return Err(BodyError::TooLong);
        }
        kept.extend_from_slice(&chunk);
    }
    Ok(kept.freeze())
}

async fn read_off(stream: &mut BodyDataStream, mut rest: usize) {
    while let Some(Ok(chunk)) = stream.next().await {
        rest = rest.saturating_sub(chunk.len());
        if rest == 0 {
            return;
        }
    }
}

/// The body of a JSON request. Another content type is refused: a page of another origin may send
/// those without asking.
pub(super) async fn read_json(headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|essence| essence.trim().to_ascii_lowercase());
    if essence.as_deref() != Some("application/json") {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-type: must be application/json",
        ));
    }
    Ok(read(body).await?)
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLong => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body: longer than 1 MiB"),
            BodyError::Broken => Self::bad_request("body: the connection broke"),
        }
    }
}
