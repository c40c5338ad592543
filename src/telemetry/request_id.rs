//! Which request a task works for at the moment.
//!
//! It is known to the task alone, and read when a line of the log is written: a request that says nothing pays
//! nothing for it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{Stream, stream};

/// An identifier of plain characters; cheap to clone.
pub type RequestId = Arc<str>;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// Runs a request.
pub async fn scope<F: Future>(id: RequestId, request: F) -> F::Output {
    CURRENT.scope(id, request).await
}

/// The request that is being worked for.
#[must_use]
pub fn current() -> Option<RequestId> {
    CURRENT.try_with(Arc::clone).ok()
}

/// What goes on after the answer, perhaps for a request: a WebSocket for example.
pub async fn scope_if<F: Future>(id: Option<RequestId>, work: F) -> F::Output {
    match id {
        Some(id) => scope(id, work).await,
        None => work.await,
    }
}

/// A body that is made while it is sent, for the same request.
pub fn within<S: Stream>(items: S) -> impl Stream<Item = S::Item> {
    let (id, mut items) = (current(), Box::pin(items));
    stream::poll_fn(move |cx| match &id {
        Some(id) => CURRENT.sync_scope(Arc::clone(id), || poll(&mut items, cx)),
        None => poll(&mut items, cx),
    })
}

fn poll<S: Stream>(items: &mut Pin<Box<S>>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
    items.as_mut().poll_next(cx)
}
