//! The connection breaks, or falls silent, between a commit and its answer: nobody can tell whether it happened. The
//! sender is told 200 only when its event is kept for certain, and the log has it once, whichever it was.

use std::time::Duration;

use besty::db::Db;
use futures::{StreamExt as _, stream};
use serde_json::json;

use crate::{
    spool::{DEADLINE, all_there_once, drained, number, timed},
    support::{
        TestApp, TestDb,
        app::Provider,
        events::{self, named},
        proxy::Proxy,
        within,
    },
};

/// What a write of `res_00001` has among its values, and the read before it has not.
const WRITE: &str = "\"reservation_id\":\"res_00001\"";

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lost {
    /// The write: it did not happen.
    Request,
    /// What came back: it happened.
    Answer,
}

impl Lost {
    fn hold(self, proxy: &Proxy) {
        match self {
            Self::Request => proxy.hold_request(WRITE),
            Self::Answer => proxy.hold_answer_to(WRITE),
        }
    }
}

async fn rows(db: &Db) -> i64 {
    number(db, "SELECT COUNT(*) FROM reservations").await
}

/// Waits for a count that the database comes to by itself.
async fn comes_to(db: &Db, sql: &str, wanted: i64) {
    within(sql, async {
        while number(db, sql).await != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A database, a way round the proxy before it, and the app behind it; one event is in the table.
async fn start(set: &[(&'static str, &str)]) -> (Db, Proxy, TestApp, Provider, TestDb) {
    let direct = TestDb::postgres().await;
    let pool = direct.connect().await;
    let (db, proxy) = direct.behind_proxy();
    let provider = Provider::quick().await;
    let app = TestApp::start_with(&db, &provider, set).await;
    app.apply(&named(0)).await;
    (pool, proxy, app, provider, db)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_in_a_commit_loses_and_repeats_nothing() {
    for lost in [Lost::Request, Lost::Answer] {
        let (pool, mut proxy, app, _provider, _db) = start(&[]).await;
        lost.hold(&proxy);
        let event = named(1);
        let (told, ()) = tokio::join!(timed(&app, &event), async {
            proxy.held().await;
            if lost == Lost::Answer {
                comes_to(&pool, "SELECT COUNT(*) FROM reservations", 2).await;
            }
            proxy.cut().await;
        });
        assert_eq!((told.0, &told.1["result"]), (200, &json!("queued")), "{lost:?}");
        assert_eq!(rows(&pool).await, if lost == Lost::Answer { 2 } else { 1 });
        proxy.restore();
        drained(&app).await;
        all_there_once(&pool, 2).await;
        app.apply(&named(2)).await;
        within("the end", app.stop()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_falls_silent_in_a_commit_loses_and_repeats_nothing() {
    for lost in [Lost::Request, Lost::Answer] {
        let (pool, proxy, app, _provider, _db) = start(&[]).await;
        lost.hold(&proxy);
        let (status, body, took) = timed(&app, &named(1)).await;
        assert_eq!((status, &body["result"]), (200, &json!("queued")), "{lost:?}");
        assert!(took < DEADLINE, "{took:?}");
        // By other connections.
        drained(&app).await;
        all_there_once(&pool, 2).await;
        app.apply(&named(2)).await;
        within("the end", app.stop()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_spool_a_commit_in_doubt_is_no_200() {
    for lost in [Lost::Request, Lost::Answer] {
        let (pool, mut proxy, app, _provider, _db) =
            start(&[("SPOOL_PATH", "/nowhere/at/all/spool.db")]).await;
        lost.hold(&proxy);
        let event = named(1);
        let (told, ()) = tokio::join!(timed(&app, &event), async {
            proxy.held().await;
            proxy.cut().await;
        });
        assert_eq!(told.0, 503, "{lost:?}: {}", told.1);
        proxy.restore();
        drained(&app).await;
        let (_, again) = app.webhook(&event).await;
        let result = if lost == Lost::Answer { "duplicate" } else { "applied" };
        assert_eq!(again["result"], result, "a source that tries again is told what it was");
        all_there_once(&pool, 2).await;
        within("the end", app.stop()).await;
    }
}

/// The other way to write, whose commit is a request of its own: a guest's new name goes to another row, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_the_long_way_in_doubt_is_no_different() {
    let (pool, mut proxy, app, _provider, _db) = start(&[]).await;
    proxy.hold_commit_of("jsonb_populate_record");
    let mut renamed = events::event("res_00001", "guest_000", "confirmed", 60);
    renamed["data"]["guest"] = json!({ "firstName": "Augusta" });
    let (told, ()) = tokio::join!(timed(&app, &renamed), async {
        proxy.held().await;
        comes_to(&pool, "SELECT COUNT(*) FROM reservations WHERE guest_first_name = 'Augusta'", 2).await;
        proxy.cut().await;
    });
    assert_eq!((told.0, &told.1["result"]), (200, &json!("queued")));
    let changes = "SELECT COUNT(*) FROM changes";
    let before = number(&pool, changes).await;
    proxy.restore();
    drained(&app).await;
    assert_eq!(number(&pool, changes).await, before, "nothing is twice in the log");
    assert_eq!(app.webhook(&renamed).await.1["result"], "duplicate");
    within("the end", app.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_ended_under_load_lose_and_repeat_nothing() {
    let (db, provider) = (TestDb::postgres().await, Provider::quick().await);
    let app = TestApp::start(&db, &provider).await;
    let pool = db.connect().await;
    let end = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name = 'besty ingest'";
    let all = async {
        let posts = stream::iter(0..1_000).map(|n| {
            let app = &app;
            async move { app.webhook(&named(n)).await }
        });
        let answers: Vec<_> = posts.buffer_unordered(16).collect().await;
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    };
    let ending = async {
        let mut ended = 0;
        loop {
            ended += number(&pool, end).await;
            tokio::time::sleep(Duration::from_millis(40)).await;
            if ended > 1_000 {
                return;
            }
        }
    };
    tokio::select! {
        () = all => {}
        () = ending => panic!("1,000 connections were ended, and the events are not through"),
    }
    drained(&app).await;
    all_there_once(&pool, 1_000).await;
    within("the end", app.stop()).await;
}
