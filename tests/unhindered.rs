//! Nobody keeps the feed lock while waiting for something slower: webhooks are written whatever others are at.
//! SQLite has one writer at a time, so there is nothing to be shown there.

use std::time::Duration;

use besty::db::{self, Db};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, TransactionTrait as _};
use serde_json::json;

use crate::support::{TestApp, TestDb, app::Provider, binary::command, events::named, within};

/// Waits until so many connections wait for a lock.
async fn waiting(pool: &Db, wanted: i64) {
    let sql = "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE datname = current_database() \
               AND wait_event_type = 'Lock'";
    within("somebody to wait for a lock", async {
        loop {
            let row = db::query_one(pool.pool(), sql, []).await.unwrap().unwrap();
            if row.try_get::<i64>("", "n").unwrap() >= wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Locks the only broadcast while it has something to tell.
async fn at_the_broadcast(pool: &Db) -> DatabaseTransaction {
    loop {
        pool.pool().execute_unprepared("UPDATE broadcasts SET unreported = TRUE").await.unwrap();
        let tx = pool.pool().begin().await.unwrap();
        let row =
            db::query_one(&tx, "SELECT unreported FROM broadcasts FOR UPDATE", []).await.unwrap().unwrap();
        // Unless it was told in between.
        if row.try_get::<bool>("", "unreported").unwrap() {
            return tx;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_at_a_broadcast_keeps_no_webhook_waiting() {
    let (db, provider) = (TestDb::postgres().await, Provider::quick().await);
    let app = TestApp::start(&db, &provider).await;
    app.apply(&named(1)).await;
    let (status, body) = app.post("/api/broadcast", &json!({ "message": "Hello" })).await;
    assert_eq!((status, &body["sent"]), (200, &json!(1)), "{body}");
    let pool = db.connect().await;
    let tx = at_the_broadcast(&pool).await;
    // The one who would tell of it.
    waiting(&pool, 1).await;
    app.apply(&named(2)).await;
    tx.rollback().await.unwrap();
    within("the broadcast to be told of", async {
        let sql = "SELECT COUNT(*) AS n FROM broadcasts WHERE unreported";
        while db::query_one(pool.pool(), sql, []).await.unwrap().unwrap().try_get::<i64>("", "n").unwrap() > 0
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_deletes_a_persons_data_keeps_no_webhook_waiting() {
    let (db, provider) = (TestDb::postgres().await, Provider::quick().await);
    let app = TestApp::start(&db, &provider).await;
    app.apply(&named(1)).await;
    let pool = db.connect().await;
    let tx = pool.pool().begin().await.unwrap();
    // What takes long with a long log takes long here.
    tx.execute_unprepared("SELECT 1 FROM changes FOR UPDATE").await.unwrap();
    let mut forget = command(db.folder());
    forget.args(["forget-guest", "guest_001"]).env("DATABASE_URL", db.url());
    let forget = forget.spawn().unwrap();
    waiting(&pool, 1).await;
    // Of the same person, so that the log gets something that was not there when it was read.
    let mut later = named(2);
    later["data"]["guestId"] = json!("guest_001");
    app.apply(&later).await;
    tx.rollback().await.unwrap();
    assert!(within("the command", forget.wait_with_output()).await.unwrap().status.success());
    let sql =
        "SELECT COUNT(*) AS n FROM changes WHERE after LIKE '%Lovelace%' AND after LIKE '%\"guest_001\"%'";
    let row = db::query_one(pool.pool(), sql, []).await.unwrap().unwrap();
    assert_eq!(row.try_get::<i64>("", "n").unwrap(), 0);
    app.stop().await;
}
