//! What is refused, by which bound, and that the bounds can be reached by no other way.

use std::sync::LazyLock;

use async_graphql::Variables;
use serde_json::json;
use tokio::time::{Duration, Instant};

use super::{scan::TOKENS_MAX, *};

fn rules() -> &'static Rules {
    static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::new(&crate::graphql::sdl(), true).unwrap());
    &RULES
}

fn asks(query: &str) -> Result<Operation, String> {
    rules().check(&mut Request::new(query)).map_err(|error| error.message)
}

/// Refused, and within 10 ms though nothing is optimised here. The quickest of some tries counts:
/// in the others, other tests had the processor.
fn refused(query: &str, why: &str) {
    let took = (0..5).map(|_| {
        let begun = Instant::now();
        let error = asks(query).expect_err(why);
        let took = begun.elapsed();
        assert!(error.contains(why), "{error}");
        took
    });
    let took = took.min().unwrap();
    assert!(took < Duration::from_millis(10), "{took:?} for {why}");
}

#[test]
fn fragments_that_double_twenty_times_are_refused() {
    let twice = |n: usize| format!("fragment f{n} on Query {{ ...f{0} ...f{0} }} ", n + 1);
    let fragments: String = (0..20).map(twice).collect();
    let query = format!("{{ ...f0 }} {fragments} fragment f20 on Query {{ reservations {{ totalCount }} }}");
    refused(&query, "more than 5000 fields and spreads");
    // Nothing is in them, but each would be looked into.
    let empty: String = (0..25).map(twice).collect();
    for last in ["{ ...nowhere }", "{ ... on Query { ...nowhere } }"] {
        refused(
            &format!("{{ ...f0 }} {empty} fragment f25 on Query {last}"),
            "more than 5000 fields and spreads",
        );
    }
}

#[test]
fn operations_that_share_large_fragments_are_refused() {
    let twice = |n: usize| format!("fragment f{n} on Query {{ ...f{0} ...f{0} }} ", n + 1);
    let fragments: String = (0..10).map(twice).collect();
    let operations: Vec<_> = (0..20).map(|n| format!("query q{n} {{ ...f0 }}")).collect();
    let query = format!("{} {fragments} fragment f10 on Query {{ __typename }}", operations.join(" "));
    refused(&query, "more than 5000 fields and spreads");
}

#[test]
fn fragments_that_spread_themselves_are_refused() {
    refused("{ ...a } fragment a on Query { ...b ...b } fragment b on Query { ...a ...a }", "spreads itself");
}

#[test]
fn a_long_chain_of_fragments_is_refused() {
    let chain = (0..500).map(|n| format!("fragment f{n} on Query {{ ...f{} }} ", n + 1));
    let error = asks(&format!("{{ ...f0 }} {}", chain.collect::<String>())).unwrap_err();
    assert!(error.contains("more than 32 deep"), "{error}");
}

#[test]
fn nesting_never_reaches_the_parser() {
    for open in ["{a", "[", "{a(b:[", "query($a:["] {
        refused(&open.repeat(10_000), "nested more than 64 deep");
    }
    let hidden = format!("{{ a(b: \"}}}}}}\") {} ", "{a #}}\n".repeat(100));
    refused(&hidden, "nested more than 64 deep");
    // To the parser, three quotes without an end are an empty string and the start of another.
    refused(&format!("{{ a(b: [\"\"\"x\" {}", "[".repeat(10_000)), "a string has no end");
}

#[test]
fn brackets_in_strings_and_comments_do_not_count() {
    let many = "[".repeat(100);
    let query = format!("{{ a(b: \"{many}\\\"{many}\", c: \"\"\"{many}\\\"\"\"{many}\"\"\") #{many}\n }}");
    assert_eq!(asks(&query), Ok(Operation::Query));
}

#[test]
fn large_documents_are_refused() {
    refused(&format!("{{ {} }}", "a".repeat(TEXT_MAX)), "longer than");
    refused(&format!("{{ {} }}", "a ".repeat(TOKENS_MAX)), "more than 10000 tokens");
}

#[test]
fn the_position_is_told_where_the_transport_may_set_it() {
    let position = |query: &str| match asks(query) {
        Ok(Operation::Subscription(position)) => position,
        other => panic!("{other:?}"),
    };
    assert_eq!(position("subscription { reservationChanged { cursor } }"), Position::Now);
    assert_eq!(position("subscription { x: reservationChanged(after: null) { cursor } }"), Position::Now);
    let by_variable = "subscription($after: String) { reservationChanged(after: $after) { cursor } }";
    assert_eq!(position(by_variable), Position::Variable(Name::new("after")));
    for query in [
        "subscription { reservationChanged(after: \"x\") { cursor } }",
        "subscription($a: String = \"x\") { reservationChanged(after: $a) { cursor } }",
        "subscription($a: String) { reservationChanged(after: $a, filter: {search: $a}) { cursor } }",
        "subscription($a: String) { reservationChanged(after: $a, filter: {search: $ a}) { cursor } }",
        "subscription($id: ID) { broadcastProgress(broadcastId: $id) { cursor } }",
    ] {
        assert_eq!(position(query), Position::Field, "{query}");
    }
}

#[test]
fn a_subscription_has_one_field() {
    assert!(asks("subscription { reservationChanged { cursor } b: reservationChanged { cursor } }").is_err());
    assert!(
        asks("subscription { ...f } fragment f on Subscription { reservationChanged { cursor } }").is_err()
    );
}

fn code(query: &str, variables: serde_json::Value) -> Result<(), (String, String)> {
    let mut request = Request::new(query).variables(Variables::from_json(variables));
    rules().check(&mut request).map(drop).map_err(|error| {
        let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code")).cloned();
        (code.map(|code| code.to_string()).unwrap_or_default(), error.message)
    })
}

#[test]
fn pages_within_pages_multiply() {
    let nested = |first: &str, inner: &str| {
        format!(
            "query($n: Int = 100, $m: Int) {{ broadcasts({first}) {{ nodes {{ messages({inner}) {{ nodes {{ attempts status \
             sentAt lastError }} }} }} }} }}"
        )
    };
    for (first, inner, variables, wanted) in [
        ("first: 100", "first: 100", json!({}), Some(50_201)),
        ("first: 100", "last: 100", json!({}), Some(50_201)),
        ("first: $n", "first: $m", json!({ "m": 100 }), Some(50_201)),
        ("first: $n", "first: $m", json!({ "n": 10, "m": 100 }), None),
        ("first: 100", "first: $m", json!({}), None),
        ("first: 100", "first: null", json!({}), None),
        ("first: 0", "first: 1000000000", json!({}), None),
        ("first: 100", "first: -1", json!({}), None),
    ] {
        let query = nested(first, inner);
        match (code(&query, variables), wanted) {
            (Ok(()), None) => {}
            (Err((code, message)), Some(cost)) => {
                assert_eq!(code, "\"COST_ESTIMATED_TOO_EXPENSIVE\"", "{message}");
                assert!(message.contains(&format!("may have {cost} fields")), "{message}");
            }
            (other, _) => panic!("{query}: {other:?}"),
        }
    }
}

#[test]
fn pages_hide_in_no_fragment() {
    let spread = "query { broadcasts(first: 100) { nodes { ...B } } } \
        fragment B on Broadcast { messages(first: 100) { nodes { ...M } } } \
        fragment M on BroadcastMessage { attempts status sentAt lastError id }";
    assert_eq!(code(spread, json!({})).unwrap_err().0, "\"COST_ESTIMATED_TOO_EXPENSIVE\"");
}

#[test]
fn an_operation_that_does_not_run_costs_nothing() {
    let query = "query A { __typename } query B { broadcasts(first: 100) { nodes { messages(first: 100) { nodes { \
        a b c d e f } } } } }";
    let mut request = Request::new(query).operation_name("A");
    assert_eq!(rules().check(&mut request), Ok(Operation::Query));
    let mut request = Request::new(query).operation_name("C");
    assert!(rules().check(&mut request).unwrap_err().message.contains("no operation named C"));
}

#[test]
fn aliases_are_counted_through_fragments() {
    let aliases = |n: usize| {
        let each: Vec<_> = (0..n).map(|n| format!("a{n}: __typename")).collect();
        each.join(" ")
    };
    assert_eq!(code(&format!("{{ {} }}", aliases(100)), json!({})), Ok(()));
    let error = code(&format!("{{ {} }}", aliases(101)), json!({})).unwrap_err();
    assert_eq!(error.0, "\"MAX_ALIASES_LIMIT\"");
    let spread = format!("{{ ...F ...F }} fragment F on Query {{ {} }}", aliases(51));
    assert_eq!(code(&spread, json!({})).unwrap_err().0, "\"MAX_ALIASES_LIMIT\"");
}

#[test]
fn introspection_does_not_go_round_in_circles() {
    let round = |n: usize| {
        format!("{{ __schema {{ types {{ {} name {} }} }} }}", "fields { type { ".repeat(n), "} } ".repeat(n))
    };
    assert_eq!(code(&round(2), json!({})), Ok(()));
    assert_eq!(code(&round(3), json!({})).unwrap_err().0, "\"MAX_DEPTH_LIMIT\"");
    let many: Vec<_> = (0..90).map(|n| format!("a{n}: name")).collect();
    let wide = round(2).replacen("name", &many.join(" "), 1);
    assert_eq!(code(&wide, json!({})), Ok(()), "900,000 names");
}

#[test]
fn introspection_can_be_turned_off() {
    let off = Rules::new(&crate::graphql::sdl(), false).unwrap();
    for query in [
        "{ __schema { types { name } } }",
        "{ a: __type(name: \"Query\") { name } }",
        "{ __typename ...F } fragment F on Query { ...G } fragment G on Query { __schema { types { name } } }",
    ] {
        let error = off.check(&mut Request::new(query)).unwrap_err();
        assert!(error.message.contains("GRAPHQL_INTROSPECTION"), "{}", error.message);
    }
    assert_eq!(off.check(&mut Request::new("{ __typename }")), Ok(Operation::Query));
}

#[test]
fn variables_have_the_types_that_are_declared() {
    let takes = |ty: &str, variables: serde_json::Value| {
        code(&format!("query($v: {ty}) {{ __typename }}"), variables).map_err(|(code, message)| {
            assert_eq!(code, "\"BAD_USER_INPUT\"");
            message
        })
    };
    for (ty, value) in [
        ("Int", json!(null)),
        ("Int!", json!(-5)),
        ("ID", json!(7)),
        ("[Int!]", json!([1, 2])),
        ("[[Int]]", json!(1)),
        ("Float", json!(1)),
        ("ReservationFilter!", json!({})),
        ("ReservationFilter", json!({ "statuses": "CONFIRMED", "checkIn": { "from": "2026-04-06" } })),
        ("Unheard", json!(1)),
    ] {
        assert_eq!(takes(ty, json!({ "v": value })), Ok(()), "{ty} {value}");
    }
    for (ty, value, at) in [
        ("Int!", json!(null), "$v: "),
        ("Int", json!(3_000_000_000_i64), "$v: "),
        ("Int", json!(1.5), "$v: "),
        ("Int", json!("1"), "$v: "),
        ("String", json!(1), "$v: "),
        ("ID", json!(true), "$v: "),
        ("Boolean", json!("true"), "$v: "),
        ("[Int!]", json!([1, null]), "$v[1]: "),
        ("Date", json!("2026-02-30"), "$v: "),
        ("OrderDirection", json!("UP"), "$v: "),
        ("ReservationFilter", json!([]), "$v: "),
        ("ReservationFilter", json!({ "status": "CONFIRMED" }), "$v: "),
        ("ReservationFilter", json!({ "statuses": ["CONFIRMED", "x"] }), "$v.statuses[1]: "),
        ("ReservationFilter", json!({ "checkIn": { "from": "soon" } }), "$v.checkIn.from: "),
        ("BroadcastInput", json!({ "message": "Hello" }), "$v.filter: "),
    ] {
        let message = takes(ty, json!({ "v": value })).expect_err(ty);
        assert!(message.starts_with(&format!("variable {at}")), "{message}");
    }
    assert!(takes("Int!", json!({})).is_err());
    assert_eq!(takes("Int! = 1", json!({})), Ok(()));
    assert_eq!(takes("Int", json!({})), Ok(()));
}
