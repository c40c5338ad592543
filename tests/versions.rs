//! Two versions on one database: a newer one has migrated it, and the older one still runs, and is started again.

use std::collections::BTreeSet;

use besty::db;
use serde_json::json;

use crate::support::{
    TestApp, TestDb,
    app::{Provider, SECRET},
    binary::{self, Server},
    events::{event, named},
    on_both, within,
};

on_both!(the_older_version_starts_and_works_beside_a_newer_one, one_that_is_lacking_is_told);

/// What a migration of a newer version may do while this one runs: add.
const EXPAND: [&str; 3] = [
    "ALTER TABLE guests ADD COLUMN nickname VARCHAR(100)",
    "ALTER TABLE broadcasts ADD COLUMN colour VARCHAR(10) NOT NULL DEFAULT 'blue'",
    "CREATE TABLE newer (id INTEGER PRIMARY KEY)",
];

async fn run(db: &TestDb, statements: &[&str]) {
    let pool = db.connect().await;
    for sql in statements {
        db::execute(pool.pool(), *sql, []).await.unwrap();
    }
    pool.close().await.unwrap();
}

async fn the_older_version_starts_and_works_beside_a_newer_one(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    app.apply(&named(1)).await;
    let newer = ["INSERT INTO seaql_migrations (version, applied_at) VALUES ('m20991231_000001_newer', 0)"];
    if db.url().starts_with("sqlite") {
        // One process has the file.
        app.stop().await;
        run(&db, &EXPAND).await;
        run(&db, &newer).await;
    } else {
        run(&db, &EXPAND).await;
        run(&db, &newer).await;
        works(&app, &provider, 2).await;
        app.stop().await;
    }
    let app = TestApp::start(&db, &provider).await;
    let read = app.graphql("{ reservations { totalCount } }", json!({})).await;
    let next = u32::try_from(read["reservations"]["totalCount"].as_u64().unwrap()).unwrap() + 1;
    works(&app, &provider, next).await;
    app.stop().await;
}

/// Every kind of statement: new rows and old ones, guests, reads, a broadcast.
async fn works(app: &TestApp, provider: &Provider, n: u32) {
    app.apply(&named(n)).await;
    app.apply(&named(n + 1)).await;
    app.apply(&event("res_00001", "guest_001", "modified", 60 + n)).await;
    let read = app.graphql("{ reservations { totalCount nodes { status guest { firstName } } } }", json!({}));
    assert_eq!(read.await["reservations"]["totalCount"], n + 1);
    let before = provider.api.report().delivered;
    let (status, sent) = app.post("/api/broadcast", &json!({ "message": "Hello" })).await;
    assert_eq!((status, &sent["sent"]), (200, &json!(n + 1)), "{sent}");
    assert_eq!(provider.api.report().delivered, before + n as usize + 1);
}

/// Neither version contains the other: nothing is guessed.
async fn one_that_is_lacking_is_told(db: TestDb) {
    let pool = db.connect().await;
    for sql in [
        "CREATE TABLE seaql_migrations (version VARCHAR(255) PRIMARY KEY, applied_at BIGINT NOT NULL)",
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m20261122_000001_other', 0)",
    ] {
        db::execute(pool.pool(), sql, []).await.unwrap();
    }
    pool.close().await.unwrap();
    let mut command = binary::command(db.folder());
    command.envs([("PORT", "0"), ("DATABASE_URL", db.url())]);
    let output = within("the server to end", command.output()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("m20261122_000001_other"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_at_once_migrate_once() {
    let (db, provider) = (TestDb::postgres().await, Provider::quick().await);
    let spools: Vec<_> = (0..4).map(|n| db.folder().join(format!("spool-{n}.db"))).collect();
    let starting = spools.iter().map(|spool| {
        let set = [("SPOOL_PATH", spool.to_str().unwrap()), ("DB_POOL_MAX", "8")];
        let (db, url) = (&db, &provider.url);
        async move { Server::start(db, url, &set).await }
    });
    let servers = futures::future::join_all(starting).await;
    let http = besty::app::http_client().unwrap();
    for (n, server) in (1..).zip(&servers) {
        let post = http.post(format!("{}/webhooks", server.url)).header("x-webhook-secret", SECRET);
        assert_eq!(post.body(named(n).to_string()).send().await.unwrap().status(), 200);
    }
    let pool = db.connect().await;
    let rows = db::query_all(pool.pool(), "SELECT version FROM seaql_migrations", []).await.unwrap();
    let versions: BTreeSet<String> = rows.iter().map(|row| row.try_get("", "version").unwrap()).collect();
    assert_eq!(versions.len(), rows.len(), "each once");
    for server in servers {
        assert!(!server.has_said("can't be used"), "nobody ran into another");
        server.stop().await;
    }
}
