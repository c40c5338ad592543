//! Running what has one answer, which nobody waits for without end.

use std::time::Duration;

use async_graphql::{Executor, Request, Response};
use tracing::Instrument as _;

use super::{
    document::Operation,
    errors::{self, Code},
};
use crate::telemetry::{request_id, traces};

/// How long a query may take.
pub const QUERY_TIME: Duration = Duration::from_secs(30);

/// How long the answer to a mutation is waited for: longer than the steps of any of ours may take, which have
/// limits of their own.
pub const MUTATION_TIME: Duration = Duration::from_mins(1);

/// Runs a query or a mutation. Every error has a code. A query that takes too long is given up. A mutation is not
/// once it has begun, not even when nobody waits for its answer any more.
pub async fn once(schema: &impl Executor, request: Request, operation: &Operation) -> Response {
    let mut response = match operation {
        Operation::Query => {
            let run = tokio::time::timeout(QUERY_TIME, schema.execute(request));
            run.await.unwrap_or_else(|_| given_up("the query", QUERY_TIME, "ask for less"))
        }
        Operation::Mutation | Operation::Subscription(_) => to_its_end(schema.clone(), request).await,
    };
    errors::finish(&mut response);
    response
}

async fn to_its_end(schema: impl Executor, request: Request) -> Response {
    let run = async move { schema.execute(request).await };
    let run = traces::within(traces::current(), request_id::scope_if(request_id::current(), run));
    let run = tokio::spawn(run.in_current_span());
    match tokio::time::timeout(MUTATION_TIME, run).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::error!(%error, "a mutation came to no end");
            Response::from_errors(vec![Code::Internal.error("internal error")])
        }
        Err(_) => {
            given_up("the mutation", MUTATION_TIME, "it may still be done, so look before you repeat it")
        }
    }
}

fn given_up(what: &str, after: Duration, advice: &str) -> Response {
    tracing::warn!("{what} took longer than {after:?}, and was not waited for");
    let problem = format!("{what} took longer than {} s; {advice}", after.as_secs());
    Response::from_errors(vec![Code::TimedOut.error(problem)])
}
