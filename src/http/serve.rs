//! Accepts connections and serves them, HTTP/1.1 and HTTP/2, until the server stops, or until nothing is asked on
//! them ([`idle`](super::idle)).
//!
//! The head of a request may be so long; a longer one is answered 431.
//!
//! What [`stalled`](super::stalled) does for a connection is done here for each stream of HTTP/2: one whose
//! client takes nothing is reset, and the others on its connection go on. It is seen where the answer is asked
//! for more: not before what it gave last has gone out.

use std::{
    cell::Cell,
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{ConnectInfo, Request},
    http::{Response, StatusCode, Version},
    response::IntoResponse as _,
    serve::Listener as _,
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    rt::Executor,
    service::{Service, service_fn},
};
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use super::{
    answer::Refusal,
    connections::Spare,
    idle::{Busy, Unused},
    in_place::in_place,
    line::LineStream,
    sockets::Times,
    stalled::{Connection, Listener},
};

/// Bytes of a request's head, its first line included; over HTTP/2, of its headers and 32 for each.
const HEAD_MAX: u32 = 64 * 1024;
/// Headers of a request. Hyper's own limit for HTTP/1, which costs less than one that is set.
const HEADERS_MAX: usize = 100;
/// How long whoever comes when all connections are taken is asked to wait, in seconds.
const RETRY_AFTER: u16 = 5;

tokio::task_local! {
    /// Of the stream that is polled: whether what its answer gave last has not gone out yet. None where the
    /// answer was not asked.
    static HELD: Cell<Option<bool>>;
}

/// Serves until `stopping`, and then until all connections have ended.
pub async fn serve(mut listener: Listener, router: Router, times: Times, stopping: CancellationToken) {
    let (connections, patience) = (TaskTracker::new(), listener.patience());
    while let Some((io, _)) = stopping.run_until_cancelled(listener.accept()).await {
        connections.spawn(in_place(connection(io, router.clone(), patience, times, stopping.clone())));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(
    io: Connection<LineStream>,
    router: Router,
    patience: Duration,
    times: Times,
    stopping: CancellationToken,
) {
    let mut builder = auto::Builder::new(Streams { patience });
    builder.http1().max_buf_size(HEAD_MAX as usize);
    // Connect: for WebSockets over HTTP/2.
    builder.http2().max_header_list_size(HEAD_MAX).enable_connect_protocol();
    let uses = io.uses().clone();
    let is_spare = io.place().spare().is_some();
    let service = service(&io, router);
    let mut serving = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
    let result = tokio::select! {
        biased;
        result = serving.as_mut() => result,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        // On a place beyond the limit, one request.
        () = uses.asked(), if is_spare => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        // After what is spoken, so that it has taken what there is.
        unused = uses.unused(times.head, times.idle) => match unused {
            Unused::Head => return tracing::debug!("a request that does not come to its end is given up"),
            Unused::Idle => {
                serving.as_mut().graceful_shutdown();
                let Ok(result) = tokio::time::timeout(times.head, serving).await else { return };
                result
            }
        },
    };
    if let Err(error) = result {
        tracing::trace!(error, "a connection broke");
    }
}

/// Hands requests to the routes, and marks that one is under way.
fn service(
    io: &Connection<LineStream>,
    router: Router,
) -> impl Service<Request<Incoming>, Response = Response<Answer>, Error = Infallible, Future: Send + 'static> + use<>
{
    let (line, uses, spare) = (io.line().clone(), io.uses().clone(), io.place().spare());
    service_fn(move |request: Request<Incoming>| {
        let busy = uses.begin(request.version() == Version::HTTP_2);
        let answering = check(&request, spare.as_ref()).map(|()| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(line.clone()));
            router.clone().oneshot(request)
        });
        async move {
            let response = match answering {
                Ok(answering) => answering.await?,
                Err(refusal) => refusal.into_response(),
            };
            Ok(response.map(|body| Answer { body, _busy: busy }))
        }
    })
}

/// Whether a route is asked at all.
fn check(request: &Request<Incoming>, spare: Option<&Spare>) -> Result<(), Refusal> {
    if request.headers().len() > HEADERS_MAX {
        let message = format!("headers: more than {HEADERS_MAX}");
        return Err(Refusal::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message));
    }
    if spare.is_some_and(|spare| !spare.admits(request.uri().path())) {
        return Err(Refusal::unavailable("MAX_CONNECTIONS: all connections are taken", RETRY_AFTER));
    }
    Ok(())
}

/// Runs the streams of HTTP/2, each for as long as its client takes something within `patience`.
#[derive(Clone, Debug)]
struct Streams {
    patience: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        tokio::spawn(patiently(stream, self.patience));
    }
}

/// Until it ends, or an answer holds on to something for so long. A stream that is dropped is reset.
async fn patiently(stream: impl Future<Output = ()>, patience: Duration) {
    let (mut stream, mut waiting) = (pin!(stream), None);
    let end = |cx: &mut Context<'_>| {
        let polled = HELD.sync_scope(Cell::new(None), || (stream.as_mut().poll(cx), HELD.with(Cell::get)));
        match polled {
            (Poll::Ready(()), _) => return Poll::Ready(()),
            (Poll::Pending, Some(false)) => waiting = None,
            // Asked, so what was held before is out.
            (Poll::Pending, Some(true)) => waiting = Some(Box::pin(tokio::time::sleep(patience))),
            (Poll::Pending, None) => {}
        }
        let Some(timer) = &mut waiting else { return Poll::Pending };
        timer.as_mut().poll(cx).map(|()| tracing::debug!("a stream that takes nothing is reset"))
    };
    poll_fn(end).await;
}

/// The body of an answer. Its request is under way until it has been given.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        // Only streams of HTTP/2 are watched.
        let _ = HELD.try_with(|held| held.set(Some(frame.is_ready())));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
