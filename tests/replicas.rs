//! Two processes on one PostgreSQL: both see every change, in the same order, and one of them sends.

use std::{collections::BTreeSet, time::Duration};

use besty::{
    db::{self, Db},
    sandbox::Kind,
};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{
    TestApp, TestDb,
    app::Provider,
    binary::Server,
    events::{created, event, named},
    sse::Sse,
    within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_see_every_change_in_the_same_order() {
    let db = TestDb::postgres().await;
    let provider = Provider::quick().await;
    let (one, two) = (TestApp::start(&db, &provider).await, Server::start(&db, &provider.url, &[]).await);
    let mut streams = [
        Sse::open(one.http(), one.url("/api/events"), None).await,
        Sse::open(one.http(), format!("{}/api/events", two.url), None).await,
    ];
    for n in 1..=20 {
        if n % 2 == 0 {
            one.apply(&created(n)).await;
        } else {
            let post = one
                .http()
                .post(format!("{}/webhooks", two.url))
                .header("x-webhook-secret", crate::support::app::SECRET);
            assert_eq!(post.body(created(n).to_string()).send().await.unwrap().status(), 200);
        }
    }
    one.apply(&event("last", "guest_001", "confirmed", 1)).await;
    let mut seen = Vec::new();
    for stream in &mut streams {
        let mut ids = Vec::new();
        while ids.last().is_none_or(|(_, id)| id != "last") {
            let event = stream.next().await;
            if event.kind != "ready" {
                ids.push((event.id, event.data["reservationId"].as_str().unwrap().to_owned()));
            }
        }
        seen.push(ids);
    }
    assert_eq!(seen[0], seen[1], "the same events with the same cursors");
    two.kill().await;
    one.stop().await;
}

/// The processes that listen, by the connection they do it on.
async fn listening(pool: &Db) -> BTreeSet<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    let rows = db::query_all(pool.pool(), sql, []).await.unwrap();
    rows.iter().map(|row| row.try_get("", "pid").unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_listen_comes_back_by_itself() {
    let db = TestDb::postgres().await;
    let provider = Provider::quick().await;
    let (one, two) = (TestApp::start(&db, &provider).await, TestApp::start(&db, &provider).await);
    let pool = db.connect().await;
    let other_than = async |lost: &BTreeSet<i32>| {
        within("two processes that listen", async {
            loop {
                let found = listening(&pool).await;
                if found.len() == 2 && found.is_disjoint(lost) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    };
    let lost = other_than(&BTreeSet::new()).await;
    for pid in &lost {
        db::execute(pool.pool(), "SELECT pg_terminate_backend($1)", [(*pid).into()]).await.unwrap();
    }
    let mut stream = Sse::open(two.http(), two.url("/api/events"), None).await;
    assert_eq!(stream.next().await.kind, "ready");
    one.apply(&named(1)).await;
    assert_eq!(stream.next().await.data["reservationId"], "res_00001", "the poll at least");
    other_than(&lost).await;
    let start = Instant::now();
    for n in 2..=21 {
        one.apply(&named(n)).await;
        assert_eq!(stream.next().await.data["reservationId"], format!("res_{n:05}"));
    }
    // By the poll alone it is five.
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_them_calls_the_provider() {
    let db = TestDb::postgres().await;
    let provider = Provider::quick().await;
    let first = TestApp::start(&db, &provider).await;
    for n in 1..=30 {
        first.apply(&created(n)).await;
    }
    within("the guests", provider.api.wait_for(|report| report.requests >= 30)).await;
    let second = TestApp::start(&db, &provider).await;
    let (status, body) = second.post("/api/broadcast", &json!({ "message": "Hello" })).await;
    assert_eq!((status, &body["sent"]), (200, &json!(30)), "asked of whichever process: {body}");
    let look_ups = provider.api.requests().iter().filter(|seen| seen.kind == Kind::Guest).count();
    assert_eq!(look_ups, 30, "each guest once");
    assert_eq!(provider.api.report().delivered, 30, "each message once");
    first.stop().await;
    let (_, body) = second.post("/api/broadcast", &json!({ "message": "Again" })).await;
    assert_eq!(body["sent"], 30, "the other goes on: {body}");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_stop_hands_over_at_once() {
    let (db, provider) = (TestDb::postgres().await, Provider::quick().await);
    let first = Server::start(&db, &provider.url, &[]).await;
    let second = TestApp::start(&db, &provider).await;
    second.apply(&named(1)).await;
    let (_, body) = second.post("/api/broadcast", &json!({ "message": "Hello" })).await;
    assert_eq!(body["sent"], 1, "sent by the first: {body}");
    first.stop().await;
    let stopped = Instant::now();
    let (_, body) = second.post("/api/broadcast", &json!({ "message": "Again" })).await;
    assert_eq!(body["sent"], 1, "sent by the second: {body}");
    assert!(stopped.elapsed() < Duration::from_secs(3), "after {:?}", stopped.elapsed());
    second.stop().await;
}

/// A process that is frozen in the middle of a transaction keeps its locks, but not for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stands_still_in_a_transaction_is_given_up() {
    let (db, provider) = (TestDb::postgres().await, Provider::quick().await);
    TestApp::start(&db, &provider).await.stop().await;
    let pool = db.connect().await;
    let frozen = pool.begin_write().await.unwrap();
    let lock = "SELECT 1 AS found FROM sender_lease FOR UPDATE";
    besty::db::query_one(frozen.conn(), lock, []).await.unwrap();
    let app = TestApp::start(&db, &provider).await;
    app.apply(&named(1)).await;
    let (_, body) = app.post("/api/broadcast", &json!({ "message": "Hello" })).await;
    assert_eq!(body["sent"], 1, "the lease could be taken: {body}");
    frozen.commit().await.unwrap_err();
    app.stop().await;
}
