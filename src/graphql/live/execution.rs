//! One execution: responses as they come, told apart and turned into bytes.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_graphql::{Request, Response};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};

use super::{
    Answer, Inner,
    counts::{Counted, What},
};
use crate::graphql::{
    document::Operation,
    errors,
    once::once,
    told::{Begin, Told},
};

pub(super) struct Execution {
    responses: BoxStream<'static, Response>,
    told: Arc<Told>,
    /// Only subscriptions are counted.
    counted: Option<Counted>,
}

impl Execution {
    /// A subscription.
    pub(super) fn new(inner: &Inner, request: Request, begin: Begin) -> Self {
        let told = Told::new(begin);
        let responses = inner.schema.execute_stream(request.data(Arc::clone(&told)));
        Self { responses, told, counted: Some(Counted::new(&inner.counts, What::Execution)) }
    }

    /// A query or a mutation.
    pub(super) fn once(inner: &Inner, request: Request, operation: Operation) -> Self {
        let schema = inner.schema.clone();
        let answer = async move { once(&schema, request, &operation).await };
        Self { responses: stream::once(answer).boxed(), told: Told::new(Begin::Argument), counted: None }
    }

    /// The next answer; none at the end.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        let Some(mut response) = ready!(self.responses.poll_next_unpin(cx)) else {
            return Poll::Ready(None);
        };
        errors::finish(&mut response);
        let seq = self.told.take();
        // Before its first event a subscription fails as a request; a query does before its first field.
        let is_refused = match self.counted {
            Some(_) => seq.is_none(),
            None => errors::is_refused(&response),
        };
        Poll::Ready(Some(if is_refused && !response.errors.is_empty() {
            Answer::Refused(response.errors.into())
        } else {
            Answer::Next { seq, body: serialise(&response) }
        }))
    }
}

fn serialise(response: &Response) -> Arc<str> {
    match serde_json::to_string(response) {
        Ok(body) => body.into(),
        Err(error) => {
            tracing::error!(%error, "a response can't be written");
            r#"{"data":null,"errors":[{"message":"internal error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}"#.into()
        }
    }
}
