//! Rows that this process remembers are nobody's own: others write to the table too.

use besty::db::{self, Db};
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestDb,
    app::Provider,
    events::{created, event, named},
    on_both,
};

/// So many guests, each met for the first time.
const IMPORTED: u32 = 200;

/// In an empty database nothing is analysed, and PostgreSQL plans for what it guesses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_import_reads_no_more_the_more_there_is() {
    let db = TestDb::postgres().await;
    let (app, _provider, pool) = start(&db).await;
    for n in 0..IMPORTED {
        app.apply(&named(n)).await;
    }
    // What a connection has read is counted when it is closed.
    app.stop().await;
    let sql = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'besty_reservations_guest'";
    let read = db::query_one(pool.pool(), sql, []).await.unwrap().unwrap();
    let read: i64 = read.try_get_by_index(0).unwrap();
    assert!(read < 10 * i64::from(IMPORTED), "{read} entries of the index for {IMPORTED} reservations");
    pool.close().await.unwrap();
}

on_both!(a_row_that_others_changed_is_read_again, a_row_that_others_removed_comes_back);

async fn start(db: &TestDb) -> (TestApp, Provider, Db) {
    let provider = Provider::quick().await;
    (TestApp::start(db, &provider).await, provider, db.connect().await)
}

async fn images(pool: &Db) -> Vec<(Value, Value)> {
    let rows =
        db::query_all(pool.pool(), "SELECT before, after FROM changes ORDER BY seq", []).await.unwrap();
    let json = |text: Option<String>| text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
    rows.iter()
        .map(|row| (json(row.try_get("", "before").unwrap()), json(row.try_get("", "after").unwrap())))
        .collect()
}

async fn a_row_that_others_changed_is_read_again(db: TestDb) {
    let (app, _provider, pool) = start(&db).await;
    for seconds in [10, 20] {
        app.apply(&event("res_1", "guest_001", "modified", seconds)).await;
    }
    db::execute(pool.pool(), "UPDATE reservations SET num_guests = 7", []).await.unwrap();
    app.apply(&event("res_1", "guest_001", "cancelled", 30)).await;

    let images = images(&pool).await;
    let changes = images.iter().filter(|(_, after)| after["reservation_id"] == "res_1");
    let before: Vec<_> = changes.map(|(before, _)| before["num_guests"].clone()).collect();
    assert_eq!(before.last(), Some(&json!(7)), "{images:?}");
    app.stop().await;
    pool.close().await.unwrap();
}

async fn a_row_that_others_removed_comes_back(db: TestDb) {
    let (app, _provider, pool) = start(&db).await;
    for result in ["applied", "duplicate"] {
        assert_eq!(app.webhook(&created(1)).await, (200, json!({ "ok": true, "result": result })));
    }
    for table in ["reservations", "guests"] {
        db::execute(pool.pool(), format!("DELETE FROM {table}"), []).await.unwrap();
    }
    assert_eq!(app.webhook(&created(1)).await, (200, json!({ "ok": true, "result": "applied" })));
    let (_, list) = app.get("/api/reservations").await;
    assert_eq!(list["data"][0]["reservation_id"], "res_00001");
    app.stop().await;
    pool.close().await.unwrap();
}
