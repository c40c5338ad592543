//! Answers as a stream in the body of an HTTP response, framed by one of the protocols below.
//!
//! Each frame is a chunk of its own, whole, so it is delivered when it is sent. The body is asked for
//! more only when the connection has taken what it has.

use async_graphql::ServerError;
use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};

use crate::{
    access::Caller,
    graphql::live::{Answer, Live, Watch},
    http::{
        HttpState,
        answer::Refusal,
        sockets::{Place, Transport},
    },
    telemetry::request_id,
};

/// How a protocol writes things down.
pub(super) trait Framing: 'static {
    /// What it counts as.
    const TRANSPORT: Transport;
    /// The media type.
    const CONTENT_TYPE: &'static str;
    /// A sign of life.
    const ALIVE: &'static str;
    /// The end of the operation.
    const COMPLETE: &'static str;
    /// The end of the connection, though the operation would go on.
    const STOPPING: &'static str;
    /// The same, since the token is good no longer.
    const UNAUTHENTICATED: &'static str;

    /// What comes first; `cursor` is where the stream begins, if it begins now.
    fn begin(cursor: Option<&str>) -> String;
    /// A response; `cursor` is that of its event.
    fn next(cursor: Option<&str>, body: &str) -> String;
}

/// A response that streams the answers.
pub(super) fn respond<F: Framing>(
    state: &HttpState,
    watch: Watch,
    caller: &Caller,
) -> Result<Response, Refusal> {
    let place = state.sockets.take(F::TRANSPORT)?;
    let frames = request_id::within(frames::<F>(state, watch, caller, place));
    let body = Body::from_stream(frames.map(Ok::<_, std::convert::Infallible>));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(F::CONTENT_TYPE)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        // nginx would collect the events otherwise.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, body).into_response())
}

fn frames<F: Framing>(
    state: &HttpState,
    mut watch: Watch,
    caller: &Caller,
    place: Place,
) -> impl Stream<Item = Bytes> + Send + use<F> {
    let (live, stopping) = (state.live.clone(), state.stopping.clone());
    let ping = state.sockets.limits().times.ping;
    let ended = caller.ended();
    async_stream::stream! {
        let _place = place;
        let mut ended = std::pin::pin!(ended);
        let begin = watch.begins_now().map(|seq| live.cursor(seq));
        yield Bytes::from(F::begin(begin.as_deref()));
        loop {
            let answer = tokio::select! {
                biased;
                () = stopping.cancelled() => {
                    yield Bytes::from_static(F::STOPPING.as_bytes());
                    return;
                }
                () = &mut ended => {
                    yield Bytes::from_static(F::UNAUTHENTICATED.as_bytes());
                    return;
                }
                answer = watch.next() => answer,
                () = tokio::time::sleep(ping) => {
                    yield Bytes::from_static(F::ALIVE.as_bytes());
                    continue;
                }
            };
            match answer {
                Some(answer) => yield Bytes::from(frame::<F>(&live, &answer)),
                None => break,
            }
        }
        yield Bytes::from_static(F::COMPLETE.as_bytes());
    }
}

fn frame<F: Framing>(live: &Live, answer: &Answer) -> String {
    match answer {
        Answer::Next { seq, body } => F::next(seq.map(|seq| live.cursor(seq)).as_deref(), body),
        Answer::Refused(errors) => F::next(None, &refusal(errors)),
    }
}

/// A response that has errors only.
fn refusal(errors: &[ServerError]) -> String {
    serde_json::json!({ "errors": errors }).to_string()
}
