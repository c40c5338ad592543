//! Running what has one answer.

use std::time::Duration;

use async_graphql::{Executor, Request, Response};

use super::{
    document::Operation,
    errors::{self, Code},
};

/// How long a query may take. A mutation is not given up once it has begun: its steps have limits of their
/// own.
pub const QUERY_TIME: Duration = Duration::from_secs(30);

/// Runs a query or a mutation. Every error has a code.
pub async fn once(schema: &impl Executor, request: Request, operation: &Operation) -> Response {
    let run = schema.execute(request);
    let mut response = match operation {
        Operation::Query => tokio::time::timeout(QUERY_TIME, run).await.unwrap_or_else(|_| given_up()),
        Operation::Mutation | Operation::Subscription(_) => run.await,
    };
    errors::finish(&mut response);
    response
}

fn given_up() -> Response {
    tracing::warn!("a query took longer than {QUERY_TIME:?}, and was given up");
    let problem = format!("the query took longer than {} s; ask for less", QUERY_TIME.as_secs());
    Response::from_errors(vec![Code::TimedOut.error(problem)])
}
