//! How many statements a query costs: a few, however long its lists are.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestDb,
    app::Provider,
    events::{event, named},
    proxy::Proxy,
    within,
};

/// What lists ask of each of their objects.
const QUERIES: [&str; 5] = [
    "query($first: Int) { reservations(first: $first) { nodes { guest { email } \
     history(first: 3) { kind reservation { guest { email } history(first: 2) { kind } } } \
     more: history(first: 5) { kind } } pageInfo { hasNextPage hasPreviousPage } totalCount } }",
    "query($first: Int) { broadcasts(first: $first) { nodes { id sendRate estimatedCompletionAt \
     messages(first: 2) { nodes { guest { email phone } } pageInfo { hasNextPage hasPreviousPage } } } } }",
    "query($first: Int) { broadcasts(last: $first) { nodes { messages(last: 2, before: \"BEFORE\") { \
     nodes { guest { lastName } } pageInfo { hasNextPage hasPreviousPage } } } } }",
    "query($first: Int) { rejectedWebhooks(first: $first) { nodes { id reason } totalCount } }",
    "query($first: Int) { auditLog(first: $first) { nodes { id actor action subjectId } totalCount } }",
];

/// For any of the queries. One statement for each of a list's thirty objects would be far beyond; on a busy machine
/// thirty take longer than the millisecond that a loader waits for more, and are read with a statement or two more.
const A_FEW: RangeInclusive<u64> = 1..=8;

/// The statements of one run. Others run in the background now and then, so the fewest of some runs are its
/// own.
async fn statements(app: &TestApp, proxy: &Proxy, query: &str, variables: &Value) -> u64 {
    let mut fewest = u64::MAX;
    for _ in 0..8 {
        let before = proxy.statements();
        app.graphql(query, variables.clone()).await;
        fewest = fewest.min(proxy.statements() - before);
    }
    fewest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_list_costs_a_few_statements() {
    let (db, proxy) = TestDb::postgres_behind_proxy().await;
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    for n in 0..30 {
        app.apply(&named(n)).await;
        app.apply(&event(&format!("res_{n:05}"), &format!("guest_{n:03}"), "modified", n + 60)).await;
        assert_eq!(app.webhook(&json!({ "event": "reservation.created" })).await.0, 400);
    }
    let start = "mutation { broadcast(input: { message: \"Hello\", filter: {} }) { broadcast { id messages { \
                 edges { cursor } } } } }";
    let mut broadcast = Value::Null;
    for _ in 0..30 {
        broadcast = app.graphql(start, json!({})).await["broadcast"]["broadcast"].clone();
    }
    within("the end of the broadcasts", async {
        let unfinished = "{ broadcasts { nodes { status } } }";
        while app.graphql(unfinished, json!({})).await.to_string().matches("COMPLETED").count() < 30 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let cursor = broadcast["messages"]["edges"][20]["cursor"].as_str().unwrap();
    for query in QUERIES {
        let query = query.replace("BEFORE", cursor);
        let short = statements(&app, &proxy, &query, &json!({ "first": 2 })).await;
        let long = statements(&app, &proxy, &query, &json!({ "first": 30 })).await;
        println!("{short} statements for 2, {long} for 30: {query}");
        assert!(A_FEW.contains(&short), "{short}: {query}");
        assert!((1..=short + 2).contains(&long), "{long}, and {short} for a short list: {query}");
    }
    let query = "query($ids: [ID!]!) { nodes(ids: $ids) { id ... on Reservation { history { kind } } } }";
    let all = app
        .graphql(
            "{ reservations(first: 30) { nodes { id guest { id } } } broadcasts { nodes { id } } }",
            json!({}),
        )
        .await;
    let list = |from: &Value, pick: &dyn Fn(&Value) -> Value| -> Vec<Value> {
        from["nodes"].as_array().unwrap().iter().map(pick).collect()
    };
    let reservations = list(&all["reservations"], &|node| node["id"].clone());
    let guests = list(&all["reservations"], &|node| node["guest"]["id"].clone());
    let broadcasts = list(&all["broadcasts"], &|node| node["id"].clone());
    let ids = [reservations, guests, broadcasts].concat();
    let needed = statements(&app, &proxy, query, &json!({ "ids": ids })).await;
    assert!(A_FEW.contains(&needed), "{needed} for three types, and the histories");
    app.stop().await;
}
