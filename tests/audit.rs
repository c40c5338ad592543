//! Who asked for what, and when: each thing that was done leaves an entry, and what changed nothing leaves none.

use besty::access::{Role, tokens};
use rand::{SeedableRng as _, rngs::StdRng};
use sea_orm::ConnectionTrait as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestDb,
    app::{Provider, answer},
    events::named,
    on_both,
};

on_both!(what_is_done_leaves_an_entry, there_is_neither_without_the_other);

/// The app, and a token of a sender and of an admin.
async fn start(db: &TestDb) -> (TestApp, Provider, [String; 2]) {
    let file = db.folder().join("tokens");
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let tokens = [("front-desk", Role::Sender), ("office", Role::Admin)]
        .map(|(name, role)| tokens::create(&file, name, role, &mut rng).unwrap().expose_secret().to_owned());
    let provider = Provider::quick().await;
    let set =
        [("TOKENS_FILE", file.to_str().unwrap()), ("PUBLIC_WEBHOOK_URL", "http://127.0.0.1:9/webhooks")];
    (TestApp::start_with(db, &provider, &set).await, provider, tokens)
}

async fn run(app: &TestApp, token: &str, query: &str) -> Value {
    let request = app.http().post(app.url("/graphql")).bearer_auth(token).json(&json!({ "query": query }));
    let (status, mut body) = answer(request).await;
    assert_eq!((status, &body["errors"]), (200, &Value::Null), "{query}: {body}");
    body["data"].take()
}

async fn entries(app: &TestApp, token: &str) -> Vec<Value> {
    let data = run(app, token, "{ auditLog { totalCount nodes { at actor role action subjectId } } }").await;
    let nodes = data["auditLog"]["nodes"].as_array().unwrap().clone();
    assert_eq!(data["auditLog"]["totalCount"], nodes.len());
    nodes.into_iter().rev().collect()
}

async fn what_is_done_leaves_an_entry(db: TestDb) {
    let (app, _provider, [desk, office]) = start(&db).await;
    for n in 1..=3 {
        app.apply(&named(n)).await;
    }
    let later = r#"startsAt: "2999-01-01T00:00:00Z""#;
    let start = format!(
        r#"mutation {{ broadcast(input: {{message: "m", filter: {{}}, {later}, idempotencyKey: "k"}}) {{ broadcast {{ id }} isReplay }} }}"#
    );
    let id = run(&app, &desk, &start).await["broadcast"]["broadcast"]["id"].as_str().unwrap().to_owned();
    assert_eq!(run(&app, &desk, &start).await["broadcast"]["isReplay"], true);
    run(
        &app,
        &desk,
        r#"mutation { broadcast(input: {message: "m", filter: {}, dryRun: true}) { recipientCount } }"#,
    )
    .await;
    run(&app, &desk, r#"mutation { broadcast(input: {message: "m", filter: {}, expectedRecipients: 99}) { recipientCount } }"#).await;
    let order = |what: &str| {
        format!("mutation {{ {what}(input: {{broadcastId: \"{id}\"}}) {{ userErrors {{ code }} }} }}")
    };
    for what in [
        "broadcastPause",
        "broadcastPause",
        "broadcastResume",
        "broadcastRetry",
        "broadcastCancel",
        "broadcastCancel",
    ] {
        run(&app, &office, &order(what)).await;
    }
    run(&app, &office, "mutation { webhookUnregister { userErrors { code } } }").await;
    let register = app.http().post(app.url("/api/webhooks/register")).bearer_auth(&office);
    answer(register).await;
    let by_rest =
        app.http().post(app.url("/api/broadcast")).bearer_auth(&desk).header("prefer", "respond-async");
    let (status, body) = answer(by_rest.json(&json!({ "message": "m" }))).await;
    assert_eq!(status, 202, "{body}");

    let found: Vec<_> = entries(&app, &office)
        .await
        .into_iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
            assert!(text("at").starts_with("20"), "{entry}");
            (text("actor"), text("role"), text("action"), text("subjectId"))
        })
        .collect();
    let entry = |(actor, role): (&str, &str), action: &str, subject: &str| {
        (actor.to_owned(), role.to_owned(), action.to_owned(), subject.to_owned())
    };
    let (desk_is, office_is) = (("front-desk", "SENDER"), ("office", "ADMIN"));
    let rest = body["id"].as_str().unwrap();
    let wanted = [
        entry(desk_is, "BROADCAST_STARTED", &id),
        entry(office_is, "BROADCAST_PAUSED", &id),
        entry(office_is, "BROADCAST_RESUMED", &id),
        entry(office_is, "BROADCAST_CANCELLED", &id),
        entry(office_is, "WEBHOOK_UNREGISTERED", "-"),
        entry(office_is, "WEBHOOK_REGISTERED", "-"),
        entry(desk_is, "BROADCAST_STARTED", rest),
    ];
    assert_eq!(found, wanted);

    let data = run(&app, &office, "{ auditLog(last: 1) { nodes { id } } }").await;
    let first = data["auditLog"]["nodes"][0]["id"].as_str().unwrap();
    let node =
        run(&app, &office, &format!("{{ node(id: \"{first}\") {{ ... on AuditEntry {{ id actor }} }} }}"))
            .await;
    assert_eq!(node["node"], json!({ "id": first, "actor": "front-desk" }));

    // In pages, both ways.
    let page =
        run(&app, &office, "{ auditLog(first: 3) { pageInfo { hasNextPage endCursor } nodes { action } } }")
            .await;
    let end = page["auditLog"]["pageInfo"]["endCursor"].as_str().unwrap();
    assert_eq!(page["auditLog"]["pageInfo"]["hasNextPage"], true);
    let next = format!(
        "{{ auditLog(first: 50, after: \"{end}\") {{ pageInfo {{ hasNextPage hasPreviousPage }} nodes {{ action }} }} }}"
    );
    let next = run(&app, &office, &next).await;
    assert_eq!(next["auditLog"]["nodes"].as_array().unwrap().len(), 4);
    assert_eq!(next["auditLog"]["pageInfo"], json!({ "hasNextPage": false, "hasPreviousPage": true }));
    app.stop().await;
}

async fn there_is_neither_without_the_other(db: TestDb) {
    let (app, _provider, [desk, office]) = start(&db).await;
    app.apply(&named(1)).await;
    let elsewhere = db.connect().await;
    elsewhere.pool().execute_unprepared("ALTER TABLE audit RENAME TO audit_away").await.unwrap();
    let start =
        json!({ "query": r#"mutation { broadcast(input: {message: "m", filter: {}}) { recipientCount } }"# });
    let (_, body) = answer(app.http().post(app.url("/graphql")).bearer_auth(&desk).json(&start)).await;
    assert_eq!(body["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{body}");
    elsewhere.pool().execute_unprepared("ALTER TABLE audit_away RENAME TO audit").await.unwrap();
    let data = run(&app, &office, "{ broadcasts { totalCount } auditLog { totalCount } }").await;
    assert_eq!(data, json!({ "broadcasts": { "totalCount": 0 }, "auditLog": { "totalCount": 0 } }));
    app.stop().await;
}
