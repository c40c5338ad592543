//! One execution: responses as they come, told apart and turned into bytes.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_graphql::{Request, Response, Value};
use futures::{StreamExt as _, stream::BoxStream};

use super::{
    Answer, Inner,
    counts::{Counted, What},
};
use crate::graphql::told::{Begin, Told};

pub(super) struct Execution {
    responses: BoxStream<'static, Response>,
    told: Arc<Told>,
    /// Only subscriptions are counted.
    counted: Option<Counted>,
}

impl Execution {
    pub(super) fn new(inner: &Inner, request: Request, begin: Begin, is_stream: bool) -> Self {
        let told = Told::new(begin);
        let responses = inner.schema.execute_stream(request.data(Arc::clone(&told)));
        let counted = is_stream.then(|| Counted::new(&inner.counts, What::Execution));
        Self { responses, told, counted }
    }

    /// The next answer; none at the end.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        let Some(response) = ready!(self.responses.poll_next_unpin(cx)) else {
            return Poll::Ready(None);
        };
        let seq = self.told.take();
        // Before its first event a subscription fails as a request; a query does before its first field.
        let is_refused = match self.counted {
            Some(_) => seq.is_none(),
            None => response.data == Value::Null && response.errors.iter().all(|error| error.path.is_empty()),
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
            r#"{"data":null,"errors":[{"message":"internal error"}]}"#.into()
        }
    }
}
