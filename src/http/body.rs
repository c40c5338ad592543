//! Reading a body, up to a limit. One that is too long is read off for a while, so that a sender that
//! writes first and reads then gets its answer instead of a broken connection.

use std::time::Duration;

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
/// How long a sender may take for all of it.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// More than 1 MiB.
    TooLong,
    /// The connection broke.
    Broken,
    /// It did not all come in time.
    TooSlow,
}

/// The whole body.
pub(super) async fn read(body: Body) -> Result<Bytes, BodyError> {
    tokio::time::timeout(BODY_TIME, collect(body)).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn collect(body: Body) -> Result<Bytes, BodyError> {
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
/// those without asking. JSON is UTF-8.
pub(super) async fn read_json(headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    if !is_json(headers) {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-type: must be application/json, in UTF-8",
        ));
    }
    Ok(read(body).await?)
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(text)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let text = text.to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    parts.next() == Some("application/json")
        && parts
            .filter_map(|part| part.strip_prefix("charset="))
            .all(|name| name.trim_matches('"') == "utf-8")
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLong => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body: longer than 1 MiB"),
            BodyError::TooSlow => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "body: did not all come within 30 seconds")
            }
            BodyError::Broken => Self::bad_request("body: the connection broke"),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_given_up() {
        let begun = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
        let body = Body::from_stream(begun.chain(stream::pending()));
        assert_eq!(read(body).await, Err(BodyError::TooSlow));
    }

    #[test]
    fn json_is_told_by_its_content_type() {
        for (text, wanted) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json;charset=\"utf-8\"", true),
            ("application/json; charset=utf-16", false),
            ("application/jsonp", false),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data; boundary=application/json", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, text.parse().unwrap())]);
            assert_eq!(is_json(&headers), wanted, "{text}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
