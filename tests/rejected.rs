//! Webhooks that can't be applied are kept, listed and tried again.

use besty::{
    keyset::PageRequest,
    reservations::rejected::{self, Keeper, Limits},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestDb,
    app::{Provider, answer},
    events::{created, named},
    on_both,
};

on_both!(
    a_rejected_webhook_is_kept_as_it_came,
    only_what_is_wrong_is_kept,
    pages_go_both_ways,
    a_retry_applies_what_is_right_by_now,
    a_retry_of_what_is_still_wrong_says_why,
    the_oldest_make_room,
    the_answer_does_not_need_the_table,
);

const LIST: &str = "query($first: Int, $last: Int, $after: String, $before: String) { rejectedWebhooks(first: $first, \
    last: $last, after: $after, before: $before) { totalCount nodes { id body } edges { cursor node { __typename id \
    receivedAt reason body appliedAt } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";

const RETRY: &str = "mutation($id: ID!) { webhookRetry(input: { rejectedWebhookId: $id }) { rejectedWebhook { id reason \
    appliedAt } userErrors { code message field } } }";

/// The ID of a rejected webhook that never was.
const UNKNOWN: &str = "UmVqZWN0ZWRXZWJob29rOjAxOTM1YTAwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMA";

async fn start(db: &TestDb) -> (TestApp, Provider) {
    let provider = Provider::quick().await;
    (TestApp::start(db, &provider).await, provider)
}

async fn list(app: &TestApp, variables: Value) -> Value {
    app.graphql(LIST, variables).await["rejectedWebhooks"].clone()
}

fn bodies(page: &Value) -> Vec<&str> {
    page["nodes"].as_array().unwrap().iter().map(|node| node["body"].as_str().unwrap()).collect()
}

async fn retry(app: &TestApp, id: &Value) -> Value {
    app.graphql(RETRY, json!({ "id": id })).await["webhookRetry"].clone()
}

fn newest() -> PageRequest {
    PageRequest { limit: 100, ..PageRequest::default() }
}

/// Puts a right body among the rejected ones, as an older release might have left it.
async fn keep(db: &TestDb, body: &Value, received_at: &str) {
    let keeper = Keeper::new(db.connect().await, Limits::SERVER);
    let at: DateTime<Utc> = received_at.parse().unwrap();
    keeper.keep(body.to_string().as_bytes(), "data: unknown", at).await.unwrap();
}

async fn a_rejected_webhook_is_kept_as_it_came(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let mut wrong = created(1);
    wrong["data"]["checkIn"] = json!("2026-02-30");
    let (status, told) = app.webhook(&wrong).await;
    assert_eq!(status, 400);
    app.webhook_bytes(b"no JSON, \xff and \0".to_vec()).await;
    let page = list(&app, json!({})).await;
    assert_eq!(page["totalCount"], 2);
    assert_eq!(bodies(&page), ["no JSON, \u{fffd} and \0", &wrong.to_string()], "newest first");
    let node = &page["edges"][1]["node"];
    assert_eq!((&node["reason"], &node["appliedAt"]), (&told["error"], &Value::Null));
    assert_eq!(node["__typename"], "RejectedWebhook");
    assert!(node["receivedAt"].as_str().unwrap().parse::<DateTime<Utc>>().is_ok(), "{node}");
    let kept = rejected::page(&db.connect().await, &newest()).await.unwrap();
    assert_eq!(kept.rows[0].body, b"no JSON, \xff and \0", "byte for byte");
    app.stop().await;
}

async fn only_what_is_wrong_is_kept(db: TestDb) {
    let (app, _provider) = start(&db).await;
    app.apply(&created(1)).await;
    assert_eq!(app.webhook(&json!({ "event": "guest.created" })).await.0, 200);
    let stranger = app.http().post(app.url("/webhooks")).header("x-webhook-secret", "wrong").body("{}");
    assert_eq!(answer(stranger).await.0, 401);
    assert_eq!(app.webhook_bytes(vec![b' '; 1024 * 1024 + 1]).await.0, 413);
    let page = list(&app, json!({})).await;
    let nothing =
        json!({ "hasNextPage": false, "hasPreviousPage": false, "startCursor": null, "endCursor": null });
    assert_eq!((&page["totalCount"], &page["pageInfo"]), (&json!(0), &nothing));
    app.stop().await;
}

async fn pages_go_both_ways(db: TestDb) {
    let (app, _provider) = start(&db).await;
    for n in 0..5 {
        assert_eq!(app.webhook_bytes(format!("body {n}").into_bytes()).await.0, 400);
    }
    let first = list(&app, json!({ "first": 2 })).await;
    assert_eq!(bodies(&first), ["body 4", "body 3"]);
    assert_eq!((&first["pageInfo"]["hasNextPage"], &first["totalCount"]), (&json!(true), &json!(5)));
    let second = list(&app, json!({ "first": 3, "after": first["pageInfo"]["endCursor"] })).await;
    assert_eq!(bodies(&second), ["body 2", "body 1", "body 0"]);
    let info = &second["pageInfo"];
    assert_eq!((&info["hasNextPage"], &info["hasPreviousPage"]), (&json!(false), &json!(true)));
    let before = list(&app, json!({ "last": 2, "before": info["endCursor"] })).await;
    assert_eq!(bodies(&before), ["body 2", "body 1"]);
    let info = &before["pageInfo"];
    assert_eq!((&info["hasNextPage"], &info["hasPreviousPage"]), (&json!(true), &json!(true)));
    let none = list(&app, json!({ "first": 0 })).await;
    assert_eq!((bodies(&none).len(), &none["pageInfo"]["hasNextPage"]), (0, &json!(true)));
    app.stop().await;
}

async fn a_retry_applies_what_is_right_by_now(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let mut unstamped = named(1);
    unstamped.as_object_mut().unwrap().remove("timestamp");
    keep(&db, &unstamped, "2026-03-01T12:00:00Z").await;
    keep(&db, &json!({ "event": "guest.created" }), "2026-03-01T11:00:00Z").await;
    let page = list(&app, json!({})).await;
    let id = &page["nodes"][0]["id"];
    let done = retry(&app, id).await;
    assert_eq!(done["userErrors"], json!([]));
    assert!(done["rejectedWebhook"]["appliedAt"].is_string(), "{done}");
    let (_, rows) = app.get("/api/reservations").await;
    let row = &rows["data"][0];
    assert_eq!(row["reservation_id"], "res_00001");
    assert_eq!(row["event_timestamp"], "2026-03-01T12:00:00Z", "when it came, not when it was tried again");
    assert_eq!(retry(&app, id).await, done, "a repeat answers the same");
    assert_eq!(app.get("/api/reservations").await.1, rows, "and changes nothing");
    let ignored = retry(&app, &page["nodes"][1]["id"]).await;
    assert!(ignored["rejectedWebhook"]["appliedAt"].is_string(), "{ignored}");
    assert_eq!(
        list(&app, json!({})).await["edges"][0]["node"]["appliedAt"],
        done["rejectedWebhook"]["appliedAt"]
    );
    app.stop().await;
}

async fn a_retry_of_what_is_still_wrong_says_why(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let mut wrong = created(1);
    wrong["data"]["numGuests"] = json!(-1);
    let (_, told) = app.webhook(&wrong).await;
    let id = list(&app, json!({})).await["nodes"][0]["id"].clone();
    let refused = retry(&app, &id).await;
    assert_eq!(
        refused,
        json!({
            "rejectedWebhook": { "id": id, "reason": told["error"], "appliedAt": null },
            "userErrors": [{
                "code": "INVALID", "message": told["error"], "field": ["input", "rejectedWebhookId"]
            }],
        })
    );
    for unknown in ["", "garbage", UNKNOWN] {
        let missing = retry(&app, &json!(unknown)).await;
        assert_eq!(missing["rejectedWebhook"], Value::Null);
        assert_eq!(missing["userErrors"][0]["code"], "NOT_FOUND", "{unknown}");
    }
    app.stop().await;
}

async fn the_oldest_make_room(db: TestDb) {
    let (app, _provider) = start(&db).await;
    app.stop().await;
    let db = db.connect().await;
    let start: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
    let keep = async |limits, bodies: &[&str]| {
        let keeper = Keeper::new(db.clone(), limits);
        for body in bodies {
            let at = start + TimeDelta::seconds(rejected::count(&db).await.unwrap());
            keeper.keep(body.as_bytes(), "x", at).await.unwrap();
        }
        let page = rejected::page(&db, &newest()).await.unwrap();
        page.rows.into_iter().map(|row| String::from_utf8(row.body).unwrap()).collect::<Vec<_>>()
    };
    let rows = |rows| Limits { rows, bytes: 1_000, every: 1 };
    assert_eq!(keep(rows(3), &["a", "b", "c"]).await, ["c", "b", "a"]);
    assert_eq!(keep(rows(4), &["dddd"]).await, ["dddd", "c", "b", "a"]);
    assert_eq!(keep(Limits { bytes: 9, ..rows(9) }, &["eeee"]).await, ["eeee", "dddd", "c"], "9 bytes");
    assert_eq!(keep(rows(2), &[&"f".repeat(2_000)]).await.len(), 1, "the newest stays, however long it is");
    let seldom = Limits { every: 3, ..rows(1) };
    assert_eq!(keep(seldom, &["g", "h", "i"]).await.len(), 3, "room is made at the first, not at every one");
    db.close().await.unwrap();
}

async fn the_answer_does_not_need_the_table(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let other = db.connect().await;
    besty::db::execute(other.pool(), "DROP TABLE rejected_webhooks", []).await.unwrap();
    let (status, body) = app.webhook_bytes(b"{".to_vec()).await;
    assert_eq!(status, 400);
    assert!(body["error"].as_str().unwrap().starts_with("body:"), "{body}");
    let request = json!({ "query": RETRY, "variables": { "id": UNKNOWN } });
    let (_, failed) = app.post("/graphql", &request).await;
    assert_eq!(failed["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{failed}");
    app.stop().await;
}
