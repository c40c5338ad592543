//! What we rely on in async-graphql, and that the exported schema is the code's.

use std::time::Duration;

use async_graphql::{EmptyMutation, EmptySubscription, Object, Result, value};

struct Fields {
    optional: Option<Result<i32>>,
}

#[Object]
impl Fields {
    async fn slow(&self) -> i32 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        1
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

#[test]
fn the_exported_schema_is_the_code_s() {
    let committed = include_str!("../../schema.graphql");
    assert!(super::sdl() == committed, "schema.graphql is not what the code answers: run `make schema`");
}
