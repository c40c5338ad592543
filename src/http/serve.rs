//! Accepts connections and serves them, HTTP/1.1 and HTTP/2, until the server stops.
//!
//! What [`stalled`](super::stalled) does for a connection is done here for each stream of HTTP/2: one whose
//! client takes nothing is reset, and the others on its connection go on. It is seen where the answer is asked
//! for more: not before what it gave last has gone out.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{ConnectInfo, Request},
    response::Response,
    serve::Listener as _,
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    rt::Executor,
};
use hyper_util::{rt::TokioIo, server::conn::auto, service::TowerToHyperService};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use super::{
    line::LineStream,
    stalled::{Connection, Listener},
};

tokio::task_local! {
    /// Of the stream that is polled: whether what its answer gave last has not gone out yet. None where the
    /// answer was not asked.
    static HELD: Cell<Option<bool>>;
}

/// Serves until `stopping`, and then until all connections have ended.
pub async fn serve(mut listener: Listener, router: Router, stopping: CancellationToken) {
    let (connections, patience) = (TaskTracker::new(), listener.patience());
    while let Some((io, _)) = stopping.run_until_cancelled(listener.accept()).await {
        connections.spawn(connection(io, router.clone(), patience, stopping.clone()));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(
    io: Connection<LineStream>,
    router: Router,
    patience: Duration,
    stopping: CancellationToken,
) {
    let line = io.line().clone();
    let service = router
        .map_request(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(line.clone()));
            request
        })
        // Only a stream of HTTP/2 asks.
        .map_response(|response: Response| match HELD.try_with(|_| ()) {
            Ok(()) => response.map(|body| Body::new(Answer(body))),
            Err(_) => response,
        });
    let mut builder = auto::Builder::new(Streams { patience });
    // For WebSockets over HTTP/2.
    builder.http2().enable_connect_protocol();
    let service = TowerToHyperService::new(service);
    let mut serving = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::trace!(error, "a connection broke");
    }
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

/// The body of an answer on a stream.
struct Answer(Body);

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.0).poll_frame(cx);
        // Nobody watches a body that is read elsewhere.
        let _ = HELD.try_with(|held| held.set(Some(frame.is_ready())));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
