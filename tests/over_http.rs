//! GraphQL over HTTP: which status and which code each mistake has, over every transport alike; documents
//! that are known by their hash; what is not told. The audits of `graphql-http` are among the clients.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{
    TestApp, TestDb,
    app::{Provider, answer},
    events::created,
    on_both,
    socket::Socket,
    sse::Sse,
};

on_both!(
    each_mistake_has_one_code_over_every_transport,
    what_is_no_request_is_refused,
    documents_are_known_by_their_hash,
    faults_of_ours_are_not_explained,
    the_schema_can_be_kept_from_clients,
);

async fn start(db: &TestDb) -> (TestApp, Provider) {
    let provider = Provider::quick().await;
    (TestApp::start(db, &provider).await, provider)
}

const GRAPHQL: &str = "application/graphql-response+json";
const ONE: &str = "query One($id: String!) { reservation(reservationId: $id) { reservationId } }";

/// Requests that can't be run, and their codes.
fn mistakes() -> Vec<(Value, &'static str)> {
    let pages = "{ broadcasts(first: 100) { nodes { messages(first: 100) { nodes { attempts status sentAt lastError id } } } } }";
    let aliases: Vec<_> = (0..101).map(|n| format!("a{n}: __typename")).collect();
    let twice = "{ ...A } fragment A on Query { ...A }";
    vec![
        (json!({ "query": "{" }), "GRAPHQL_PARSE_FAILED"),
        (json!({ "query": "{ nothing }" }), "GRAPHQL_VALIDATION_FAILED"),
        (json!({ "query": "{ reservations(first: \"x\") { totalCount } }" }), "GRAPHQL_VALIDATION_FAILED"),
        (
            json!({ "query": "{ reservations(filter: {stayingOn: \"soon\"}) { totalCount } }" }),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            json!({ "query": "{ broadcast(id: 1) { messages(first: 3000000000) { totalCount } } }" }),
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (json!({ "query": twice }), "GRAPHQL_VALIDATION_FAILED"),
        (json!({ "query": ONE, "operationName": "Two" }), "OPERATION_RESOLUTION_FAILURE"),
        (json!({ "query": "query A { __typename } query B { __typename }" }), "OPERATION_RESOLUTION_FAILURE"),
        (json!({ "query": ONE }), "BAD_USER_INPUT"),
        (json!({ "query": ONE, "variables": { "id": null } }), "BAD_USER_INPUT"),
        (json!({ "query": ONE, "variables": { "id": 7 } }), "BAD_USER_INPUT"),
        (json!({ "query": "{a".repeat(100) }), "PARSING_LIMIT_EXCEEDED"),
        (json!({ "query": format!("{}__typename{}", "{a".repeat(40), "}".repeat(40)) }), "MAX_DEPTH_LIMIT"),
        (json!({ "query": format!("{{{}}}", "a ".repeat(5_001)) }), "MAX_HEIGHT_LIMIT"),
        (json!({ "query": format!("{{{}}}", aliases.join(" ")) }), "MAX_ALIASES_LIMIT"),
        (json!({ "query": pages }), "COST_ESTIMATED_TOO_EXPENSIVE"),
    ]
}

fn assert_refused(body: &Value, code: &str, by: &str) {
    assert_eq!(body["errors"][0]["extensions"]["code"], code, "{by}: {body}");
    assert!(body.get("data").is_none(), "{by}: nothing ran, so there is no data: {body}");
}

async fn each_mistake_has_one_code_over_every_transport(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let url = app.url("/graphql");
    let mut sockets = Vec::new();
    for protocol in ["graphql-transport-ws", "graphql-ws"] {
        sockets.push(Socket::open_with(&app.url(""), protocol).await);
    }
    for (request, code) in mistakes() {
        for (accept, status) in [(GRAPHQL, 400), ("application/json", 200)] {
            let post = app.http().post(&url).header("accept", accept).json(&request).send().await.unwrap();
            assert_eq!(post.status(), status, "{request}");
            let media = post.headers()["content-type"].to_str().unwrap();
            assert_eq!(media, format!("{accept}; charset=utf-8"));
            assert_eq!(post.headers()["cache-control"], "no-store");
            assert_refused(&post.json().await.unwrap(), code, accept);
            let mut query: Vec<_> = Vec::new();
            for (name, value) in request.as_object().unwrap() {
                query.push((name, value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)));
            }
            let query = serde_urlencoded::to_string(&query).unwrap();
            let get = app.http().get(format!("{url}?{query}")).header("accept", accept);
            let (told, body) = answer(get).await;
            assert_eq!(told, status, "GET {request}");
            assert_refused(&body, code, "GET");
        }
        let event = Sse::post(app.http(), url.clone(), &request, None).await.next().await;
        assert_refused(&event.data, code, "SSE");
        for socket in &mut sockets {
            let told = socket.ask(&request).await;
            // The legacy protocol has no other way to say so.
            let code_told = &told["errors"][0]["extensions"]["code"];
            assert_eq!((code_told, &told["data"]), (&json!(code), &Value::Null), "WebSocket: {told}");
        }
    }
    // What fails while it runs has data, and 200 either way.
    let request = json!({ "query": "{ __typename reservations(first: 101) { totalCount } }" });
    for accept in [GRAPHQL, "application/json"] {
        let (status, body) = answer(app.http().post(&url).header("accept", accept).json(&request)).await;
        assert_eq!((status, &body["data"]), (200, &json!({ "__typename": "Query", "reservations": null })));
        assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{body}");
    }
    app.stop().await;
}

async fn what_is_no_request_is_refused(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let post = |media: &'static str, body: String| {
        answer(app.http().post(app.url("/graphql")).header("content-type", media).body(body))
    };
    let query = json!({ "query": "{__typename}" });
    for (media, body, status) in [
        ("application/json", "{".to_owned(), 400),
        ("application/json", String::new(), 400),
        ("application/json", "{}".to_owned(), 400),
        ("application/json", json!([query, query]).to_string(), 400),
        ("application/json", json!({ "query": 7 }).to_string(), 400),
        ("application/json", json!({ "query": "{__typename}", "variables": [] }).to_string(), 400),
        ("application/json", format!("{{\"query\":\"{}\"}}", "#".repeat(1024 * 1024)), 413),
        ("application/json; charset=utf-16", query.to_string(), 415),
        ("text/plain", query.to_string(), 415),
        ("application/x-www-form-urlencoded", "query=%7B__typename%7D".to_owned(), 415),
        ("multipart/form-data; boundary=x", query.to_string(), 415),
        ("application/graphql", "{__typename}".to_owned(), 415),
    ] {
        let (told, answer) = post(media, body).await;
        assert_eq!(told, status, "{answer}");
        assert_refused(&answer, "BAD_REQUEST", media);
    }
    let follow = json!({ "query": "subscription { reservationChanged { cursor } }" });
    let (status, body) = post("application/json", follow.to_string()).await;
    assert_eq!(status, 406, "{body}");
    for query in
        ["", "query=", "query=%7B__typename%7D&variables=%5B%5D", "query=%7B__typename%7D&extensions=x"]
    {
        let (status, body) = app.get(&format!("/graphql?{query}")).await;
        assert_eq!(status, 400, "{query}: {body}");
        assert_refused(&body, "BAD_REQUEST", query);
    }
    app.stop().await;
}

/// The extension of a document that is sent by its hash.
fn by_hash(document: &str) -> Value {
    let hash: Vec<_> = Sha256::digest(document).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash.concat() } })
}

async fn documents_are_known_by_their_hash(db: TestDb) {
    let (app, _provider) = start(&db).await;
    app.apply(&created(1)).await;
    let variables = json!({ "id": "res_00001" });
    let by_get = |extensions: &Value| {
        let query = [("variables", variables.to_string()), ("extensions", extensions.to_string())];
        let query = serde_urlencoded::to_string(query).unwrap();
        let url = format!("{}?{query}", app.url("/graphql"));
        answer(app.http().get(url).header("accept", GRAPHQL))
    };
    let hash = json!({ "extensions": by_hash(ONE), "variables": variables });
    let full = json!({ "query": ONE, "extensions": by_hash(ONE), "variables": variables });
    let found = json!({ "data": { "reservation": { "reservationId": "res_00001" } } });

    let (status, unknown) = by_get(&by_hash(ONE)).await;
    assert_eq!(status, 400);
    assert_refused(&unknown, "PERSISTED_QUERY_NOT_FOUND", "GET");
    assert_eq!(unknown["errors"][0]["message"], "PersistedQueryNotFound", "what clients look for");
    let (status, unknown) = app.post("/graphql", &hash).await;
    assert_eq!(status, 200, "a request all the same");
    assert_refused(&unknown, "PERSISTED_QUERY_NOT_FOUND", "POST");
    let other = json!({ "query": "{__typename}", "extensions": by_hash(ONE) });
    assert_refused(&app.post("/graphql", &other).await.1, "BAD_REQUEST", "another hash");
    let mut socket = Socket::open(&app).await;
    assert_refused(&socket.ask(&hash).await, "PERSISTED_QUERY_NOT_FOUND", "WebSocket");

    assert_eq!(app.post("/graphql", &full).await, (200, found.clone()));
    assert_eq!(by_get(&by_hash(ONE)).await, (200, found.clone()));
    assert_eq!(app.post("/graphql", &hash).await, (200, found.clone()));
    assert_eq!(socket.ask(&hash).await, found);
    assert_eq!(Sse::post(app.http(), app.url("/graphql"), &hash, None).await.next().await.data, found);

    // What is bad is not kept, and a mutation does not come by GET this way either.
    let bad = json!({ "query": "{", "extensions": by_hash("{") });
    assert_refused(&app.post("/graphql", &bad).await.1, "GRAPHQL_PARSE_FAILED", "bad");
    let bad = json!({ "extensions": by_hash("{") });
    assert_refused(&app.post("/graphql", &bad).await.1, "PERSISTED_QUERY_NOT_FOUND", "bad");
    let send = "mutation { broadcast(input: {message: \"Hello\", filter: {}}) { recipientCount } }";
    app.graphql(&send.replace("filter: {}", "filter: {}, dryRun: true"), json!({})).await;
    assert_eq!(app.post("/graphql", &json!({ "query": send, "extensions": by_hash(send) })).await.0, 200);
    assert_eq!(by_get(&by_hash(send)).await.0, 405);
    let count = app.graphql("{ broadcasts { totalCount } }", json!({})).await;
    assert_eq!(count["broadcasts"]["totalCount"], 1);
    app.stop().await;
}

async fn faults_of_ours_are_not_explained(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let other = db.connect().await;
    besty::db::execute(other.pool(), "DROP TABLE broadcasts", []).await.ok();
    besty::db::execute(other.pool(), "ALTER TABLE reservations RENAME TO elsewhere", []).await.unwrap();
    let request = json!({ "query": "{ __typename reservations { nodes { id } totalCount } }" });
    let (status, body) = app.post("/graphql", &request).await;
    assert_eq!((status, &body["data"]["reservations"]), (200, &Value::Null));
    assert_eq!(body["errors"][0]["message"], "internal error", "{body}");
    assert_eq!(body["errors"][0]["extensions"], json!({ "code": "INTERNAL_SERVER_ERROR" }));
    let mut socket = Socket::open(&app).await;
    assert_eq!(socket.ask(&request).await, body, "the same by WebSocket");
    app.stop().await;
}

async fn the_schema_can_be_kept_from_clients(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start_with(&db, &provider, &[("GRAPHQL_INTROSPECTION", "false")]).await;
    for query in ["{ __schema { types { name } } }", "{ __type(name: \"Query\") { fields { name } } }"] {
        let (_, body) = app.post("/graphql", &json!({ "query": query })).await;
        assert_refused(&body, "GRAPHQL_VALIDATION_FAILED", query);
    }
    let (_, body) = app.post("/graphql", &json!({ "query": "{ reservation }" })).await;
    assert_refused(&body, "GRAPHQL_VALIDATION_FAILED", "a mistake");
    let (_, body) = app.post("/graphql", &json!({ "query": "{ reservationz { totalCount } }" })).await;
    let said = body["errors"][0]["message"].as_str().unwrap();
    assert!(!said.contains("reservations"), "no name is suggested: {said}");
    assert_eq!(app.graphql("{ __typename }", json!({})).await["__typename"], "Query");
    app.stop().await;
}
