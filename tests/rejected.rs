//! Webhooks that can't be applied are kept, listed and tried again.

use std::time::Duration;

use besty::{
    clock::Clock,
    db::{self, Db, WriteTx},
    keyset::PageRequest,
    reservations::{
        rejected::{self, Keeper, Limits},
        spool::Rejection,
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait as _, DbBackend};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    spool::{DEADLINE, drained},
    support::{
        TestApp, TestDb,
        app::{Provider, SECRET, answer},
        binary::Server,
        events::{created, named},
        on_both,
    },
};

on_both!(
    a_rejected_webhook_is_kept_as_it_came,
    only_what_is_wrong_is_kept,
    pages_go_both_ways,
    a_retry_applies_what_is_right_by_now,
    a_retry_of_what_is_still_wrong_says_why,
    the_oldest_make_room,
    the_answer_does_not_need_the_table,
    what_is_stored_twice_is_there_once,
    what_the_table_does_not_take_in_time_waits_in_the_spool,
    one_that_is_not_taken_does_not_hold_up_the_others,
);

const LIST: &str = "query($first: Int, $last: Int, $after: String, $before: String) { rejectedWebhooks(first: $first, \
    last: $last, after: $after, before: $before) { totalCount nodes { id body } edges { cursor node { __typename id \
    receivedAt reason body appliedAt } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";

const RETRY: &str = "mutation($id: ID!) { webhookRetry(input: { rejectedWebhookId: $id }) { rejectedWebhook { id reason \
    appliedAt } userErrors { code message field } } }";

/// What a sender waits who has not to wait for the database. A busy disk may stand still for longer, but not
/// at each of several.
const AT_ONCE: Duration = Duration::from_millis(500);

/// The ID of a rejected webhook that never was.
const UNKNOWN: &str = "UmVqZWN0ZWRXZWJob29rOjAxOTM1YTAwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMA";

async fn start(db: &TestDb) -> (TestApp, Provider) {
    let provider = Provider::quick().await;
    (TestApp::start(db, &provider).await, provider)
}

/// Once the table has all of them: on a busy machine, one may go through the spool.
async fn list(app: &TestApp, variables: Value) -> Value {
    drained(app).await;
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
    keeper.store(&Rejection::new(body.to_string().as_bytes(), "data: unknown", at)).await.unwrap();
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
            keeper.store(&Rejection::new(body.as_bytes(), "x", at)).await.unwrap();
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
    db::execute(other.pool(), "DROP TABLE rejected_webhooks", []).await.unwrap();
    let (status, body) = app.webhook_bytes(b"{".to_vec()).await;
    assert_eq!(status, 400);
    assert!(body["error"].as_str().unwrap().starts_with("body:"), "{body}");
    let request = json!({ "query": RETRY, "variables": { "id": UNKNOWN } });
    let (_, failed) = app.post("/graphql", &request).await;
    assert_eq!(failed["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{failed}");
    app.stop().await;
}

async fn what_is_stored_twice_is_there_once(db: TestDb) {
    let (app, _provider) = start(&db).await;
    app.stop().await;
    let db = db.connect().await;
    let keeper = Keeper::new(db.clone(), Limits::SERVER);
    let webhook = Rejection::new(b"x", "wrong", Clock::system().now());
    for _ in 0..2 {
        keeper.store(&webhook).await.unwrap();
    }
    assert_eq!(rejected::count(&db).await.unwrap(), 1);
    db.close().await.unwrap();
}

/// Keeps everybody from writing rejected webhooks until it is dropped.
async fn hold_up(db: &Db) -> WriteTx {
    let tx = db.begin_write().await.unwrap();
    if db.backend() == DbBackend::Postgres {
        db::execute(tx.conn(), "LOCK TABLE rejected_webhooks IN EXCLUSIVE MODE", []).await.unwrap();
    }
    tx
}

/// Posts wrong bodies one after the other; each is told what is wrong with it, and after how long.
async fn rejected_one_by_one(app: &TestApp, bodies: &[&str]) -> Vec<Duration> {
    let mut took = Vec::new();
    for body in bodies {
        let started = Instant::now();
        let (status, told) = app.webhook_bytes(body.as_bytes().to_vec()).await;
        took.push(started.elapsed());
        assert_eq!(status, 400, "{told}");
        assert!(told["error"].as_str().unwrap().starts_with("body:"), "{told}");
    }
    took
}

async fn what_the_table_does_not_take_in_time_waits_in_the_spool(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let other = db.connect().await;
    let lock = hold_up(&other).await;
    let before = Clock::system().now();
    let took = rejected_one_by_one(&app, &["a", "b", "c", "d"]).await;
    assert!(took[0] < DEADLINE, "nobody knew: {took:?}");
    assert!(took[1..].iter().min().unwrap() < &AT_ONCE, "the others are not kept waiting: {took:?}");
    assert_eq!(app.metric("besty_spool_waiting").await, 4);
    assert_eq!(app.metric("besty_spool_in_use").await, 1);
    let after = Clock::system().now();

    drop(lock);
    let page = list(&app, json!({})).await;
    assert_eq!(bodies(&page), ["d", "c", "b", "a"], "each once, in the order they came");
    for node in page["edges"].as_array().unwrap() {
        let at: DateTime<Utc> = node["node"]["receivedAt"].as_str().unwrap().parse().unwrap();
        assert!((before..after).contains(&at), "when it came, not when it was stored: {node}");
        assert!(node["node"]["reason"].as_str().unwrap().starts_with("body: not JSON"), "{node}");
    }
    app.stop().await;
}

async fn one_that_is_not_taken_does_not_hold_up_the_others(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let other = db.connect().await;
    let (refuse, take) = match other.backend() {
        DbBackend::Sqlite => (
            "CREATE TRIGGER poison BEFORE INSERT ON rejected_webhooks WHEN CAST(NEW.body AS TEXT) = 'b' \
             BEGIN SELECT RAISE(ABORT, 'poison'); END",
            "DROP TRIGGER poison",
        ),
        _ => (
            "ALTER TABLE rejected_webhooks ADD CONSTRAINT poison CHECK (body <> 'b')",
            "ALTER TABLE rejected_webhooks DROP CONSTRAINT poison",
        ),
    };
    let lock = hold_up(&other).await;
    lock.conn().execute_unprepared(refuse).await.unwrap();
    rejected_one_by_one(&app, &["a", "b", "c"]).await;
    lock.commit().await.unwrap();
    app.metric_is("besty_spool_waiting", 1).await;
    let stored = rejected::page(&other, &newest()).await.unwrap().rows;
    assert_eq!(stored.iter().map(|webhook| &webhook.body[..]).collect::<Vec<_>>(), [b"c", b"a"]);
    other.pool().execute_unprepared(take).await.unwrap();
    assert_eq!(bodies(&list(&app, json!({})).await), ["c", "b", "a"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_outlive_a_database_that_goes_away_and_the_process() {
    let (db, mut proxy) = TestDb::postgres_behind_proxy().await;
    let provider = Provider::quick().await;
    let spool = db.folder().join("spool.db");
    let set = [("SPOOL_PATH", spool.to_str().unwrap())];
    let http = besty::app::http_client().unwrap();
    let server = Server::start(&db, &provider.url, &set).await;
    let url = format!("{}/webhooks", server.url);
    let post = |body: String| answer(http.post(&url).header("x-webhook-secret", SECRET).body(body));
    proxy.cut().await;
    assert_eq!(post("first".to_owned()).await.0, 400);
    // Taken by the writer, who finds out.
    assert_eq!(post(named(1).to_string()).await.1["result"], "queued");
    let mut took = Vec::new();
    for n in 0..20 {
        let started = Instant::now();
        assert_eq!(post(format!("wrong {n}")).await.0, 400);
        took.push(started.elapsed());
    }
    assert!(took.iter().min().unwrap() < &AT_ONCE, "it is known to be away: {took:?}");
    server.kill().await;

    proxy.restore();
    let app = TestApp::start_with(&db, &provider, &set).await;
    let page = list(&app, json!({ "first": 50 })).await;
    assert_eq!(page["totalCount"], 21);
    assert_eq!(bodies(&page)[..2], ["wrong 19", "wrong 18"]);
    assert_eq!(bodies(&page)[20], "first");
    assert_eq!(app.get("/api/reservations").await.1["data"][0]["reservation_id"], "res_00001");
    app.stop().await;
}
