//! What we rely on in async-graphql, and that the exported schema is the code's.

use std::time::Duration;

use async_graphql::{EmptyMutation, EmptySubscription, Object, Result, value};

use super::{document::Operation, once::once};

struct Fields {
    optional: Option<Result<i32>>,
}

#[Object]
impl Fields {
    async fn slow(&self) -> i32 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        1
    }

    async fn stuck(&self) -> i32 {
        std::future::pending().await
    }

    /// What a library says of its inside, passed on by a `?` that was not thought about.
    async fn careless(&self) -> Result<i32> {
        let port: u16 = std::future::ready("postgres://10.0.0.7").await.parse()?;
        Ok(port.into())
    }

    async fn takes(&self, date: super::scalars::Date) -> String {
        date.0.to_string()
    }

    async fn fast(&self) -> i32 {
        2
    }

    fn optional(&self) -> Option<Result<i32>> {
        self.optional.clone()
    }

    async fn child(&self) -> Option<Child> {
        Some(Child { failing: no_answer() })
    }
}

struct Child {
    failing: Result<i32>,
}

#[Object]
impl Child {
    async fn sound(&self) -> i32 {
        1
    }

    fn failing(&self) -> Result<i32> {
        self.failing.clone()
    }
}

fn no_answer() -> Result<i32> {
    Err("no answer".into())
}

fn schema() -> async_graphql::Schema<Fields, EmptyMutation, EmptySubscription> {
    let fields = Fields { optional: Some(no_answer()) };
    async_graphql::Schema::new(fields, EmptyMutation, EmptySubscription)
}

#[tokio::test(start_paused = true)]
async fn fields_are_answered_in_the_order_asked() {
    let answer = schema().execute("{ slow fast again: slow }").await;
    assert_eq!(answer.data.to_string(), "{slow: 1, fast: 2, again: 1}");
}

#[tokio::test]
async fn a_failed_non_null_field_makes_its_parent_null() {
    let answer = schema().execute("{ fast child { sound failing } }").await;
    assert_eq!(answer.data, value!({ "fast": 2, "child": null }));
    assert_eq!(answer.errors.len(), 1, "{:?}", answer.errors);
}

#[tokio::test]
async fn a_failed_nullable_field_makes_itself_null() {
    let answer = schema().execute("{ optional fast }").await;
    assert_eq!(answer.data, value!({ "optional": null, "fast": 2 }));
    assert_eq!(answer.errors.len(), 1, "{:?}", answer.errors);
}

/// The codes and the messages of the errors.
fn told(answer: &async_graphql::Response) -> Vec<(String, &str)> {
    let code = |error: &async_graphql::ServerError| {
        error.extensions.as_ref().and_then(|all| all.get("code")).map(ToString::to_string).unwrap_or_default()
    };
    answer.errors.iter().map(|error| (code(error), error.message.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_query_that_takes_too_long_is_given_up() {
    let begun = tokio::time::Instant::now();
    let (schema, patience) = (schema(), Duration::from_mins(5));
    let answer = tokio::time::timeout(patience, once(&schema, "{ fast stuck }".into(), &Operation::Query));
    let answer = answer.await.expect("an answer");
    assert_eq!(begun.elapsed().as_secs(), 30);
    let wanted = "the query took longer than 30 s; ask for less";
    assert_eq!(told(&answer), [("\"REQUEST_TIMEOUT\"".to_owned(), wanted)]);
    assert!(super::errors::is_refused(&answer));
}

/// What the one mutation of a schema waits for, and says when it is done.
#[derive(Clone, Default)]
struct Gate {
    open: std::sync::Arc<tokio::sync::Notify>,
    done: std::sync::Arc<tokio::sync::Notify>,
}

struct Slow(Gate);

#[Object]
impl Slow {
    async fn change(&self) -> i32 {
        self.0.open.notified().await;
        self.0.done.notify_one();
        1
    }
}

#[tokio::test(start_paused = true)]
async fn a_mutation_is_not_waited_for_without_end_and_still_done() {
    let gate = Gate::default();
    let fields = Fields { optional: Some(no_answer()) };
    let schema = async_graphql::Schema::new(fields, Slow(gate.clone()), EmptySubscription);
    let begun = tokio::time::Instant::now();
    let patience = Duration::from_mins(5);
    let answer =
        tokio::time::timeout(patience, once(&schema, "mutation { change }".into(), &Operation::Mutation));
    let answer = answer.await.expect("an answer");
    assert_eq!(begun.elapsed().as_secs(), 60);
    let wanted = "the mutation took longer than 60 s; it may still be done, so look before you repeat it";
    assert_eq!(told(&answer), [("\"REQUEST_TIMEOUT\"".to_owned(), wanted)]);
    gate.open.notify_one();
    tokio::time::timeout(patience, gate.done.notified()).await.expect("it is done");
}

#[tokio::test]
async fn what_a_library_says_of_our_inside_is_not_told() {
    let answer = once(&schema(), "{ careless }".into(), &Operation::Query).await;
    assert_eq!(told(&answer), [("\"INTERNAL_SERVER_ERROR\"".to_owned(), "internal error")]);
    assert!(!super::errors::is_refused(&answer), "it ran");
}

#[tokio::test]
async fn a_literal_that_no_scalar_is_fails_validation() {
    let answer = once(&schema(), "{ takes(date: \"2026-02-30\") }".into(), &Operation::Query).await;
    let told = told(&answer);
    assert_eq!(told[0].0, "\"GRAPHQL_VALIDATION_FAILED\"", "{told:?}");
    assert!(super::errors::is_refused(&answer));
}

#[test]
fn the_exported_schema_is_the_code_s() {
    let committed = include_str!("../../schema.graphql");
    assert!(super::sdl() == committed, "schema.graphql is not what the code answers: run `make schema`");
}
