//! The start while PostgreSQL is away or slow: webhooks are taken at once, the rest follows by itself. What no
//! waiting mends ends the start, and says why.

use std::time::Duration;

use besty::{db, reservations::rejected};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    spool::all_there_once,
    support::{
        TestDb,
        app::{Provider, SECRET, answer},
        binary::{self, Server},
        events::named,
        proxy::Proxy,
        within,
    },
};

/// The lock of the migrations, as `app/database.rs` has it.
const MIGRATION_LOCK: i64 = 0x6d_6967_7261_7465;

/// The most a sender may wait: it is known that the database is not there.
const DEADLINE: Duration = Duration::from_secs(1);

/// Calls a server that waits.
struct Caller {
    http: reqwest::Client,
    url: String,
}

impl Caller {
    fn new(server: &Server) -> Self {
        Self { http: besty::app::http_client().unwrap(), url: server.url.clone() }
    }

    async fn webhook(&self, n: u32) -> (u16, Value) {
        let post = self.http.post(format!("{}/webhooks", self.url)).header("x-webhook-secret", SECRET);
        answer(post.body(named(n).to_string())).await
    }

    async fn queued(&self, numbers: std::ops::RangeInclusive<u32>) {
        for n in numbers {
            let start = Instant::now();
            assert_eq!(self.webhook(n).await, (200, json!({ "ok": true, "result": "queued" })));
            assert!(start.elapsed() < DEADLINE, "{:?}", start.elapsed());
        }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(format!("{}{path}", self.url))).await
    }

    async fn reservations(&self) -> (u16, Value) {
        let query = json!({ "query": "{ reservations { totalCount } }" });
        answer(self.http.post(format!("{}/graphql", self.url)).json(&query)).await
    }

    /// Waits until it serves everything and nothing is spooled any more.
    async fn ready(&self) {
        within("the server to be ready", async {
            while self.get("/readyz").await != (200, json!("ready\n")) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

/// A database nobody has migrated yet, the proxy before it, and a provider.
async fn behind_proxy() -> (TestDb, Proxy, Provider) {
    let (db, proxy) = TestDb::postgres_behind_proxy().await;
    (db, proxy, Provider::quick().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_postgres_webhooks_are_taken_and_the_rest_follows() {
    let (db, mut proxy, provider) = behind_proxy().await;
    proxy.cut().await;
    let server = Server::start(&db, &provider.url, &[]).await;
    let caller = Caller::new(&server);
    caller.queued(1..=20).await;

    let (status, told) = caller.get("/readyz").await;
    let reason = "the database has not been reached since the start; spool in use, waiting: 20";
    assert_eq!((status, told), (503, json!({ "error": reason })));
    assert_eq!(caller.get("/healthz").await.0, 200);
    assert_eq!(caller.get("/api/health").await.0, 200);
    let (_, metrics) = caller.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("besty_spool_waiting 20"), "{metrics}");
    assert!(metrics.as_str().unwrap().contains("besty_spool_in_use 1"), "{metrics}");
    let early = caller.http.get(format!("{}/api/reservations", caller.url)).send().await.unwrap();
    assert_eq!(early.status(), 503);
    assert!(early.headers().contains_key("retry-after"));
    let (status, told) = caller.reservations().await;
    assert_eq!((status, &told["errors"][0]["extensions"]["code"]), (503, &json!("SERVICE_UNAVAILABLE")));
    let wrong = caller.http.post(format!("{}/webhooks", caller.url)).header("x-webhook-secret", SECRET);
    assert_eq!(answer(wrong.body("wrong")).await.0, 400);
    let stranger = caller.http.post(format!("{}/webhooks", caller.url)).body(named(1).to_string());
    assert_eq!(answer(stranger).await.0, 401, "the secret is checked as ever");

    proxy.restore();
    caller.ready().await;
    assert!(!server.has_said("a rejected webhook was not stored"), "a database that is away is not asked");
    all_there_once(&db.connect().await, 20).await;
    assert_eq!(
        caller.reservations().await,
        (200, json!({ "data": { "reservations": { "totalCount": 20 } } }))
    );
    assert_eq!(caller.webhook(21).await.1["result"], "applied", "and new ones go straight to the table");
    let other = db.connect().await;
    assert_eq!(rejected::count(&other).await.unwrap(), 1, "what was wrong is kept, too");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_waits_stops_in_order_and_loses_nothing() {
    let (db, mut proxy, provider) = behind_proxy().await;
    proxy.cut().await;
    for n in 1..=2 {
        let server = Server::start(&db, &provider.url, &[]).await;
        Caller::new(&server).queued(10 * n..=10 * n + 9).await;
        server.stop().await;
    }
    proxy.restore();
    let server = Server::start(&db, &provider.url, &[]).await;
    Caller::new(&server).ready().await;
    all_there_once(&db.connect().await, 20).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_says_nothing_keeps_no_sender_waiting() {
    let (db, mut proxy, provider) = behind_proxy().await;
    proxy.hold_everything();
    let server = Server::start(&db, &provider.url, &[]).await;
    let caller = Caller::new(&server);
    caller.queued(1..=5).await;
    proxy.cut().await;
    proxy.restore();
    caller.ready().await;
    all_there_once(&db.connect().await, 5).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_that_take_long_keep_no_sender_waiting() {
    let (db, provider) = (TestDb::postgres().await, Provider::quick().await);
    let other = db.connect().await;
    let lock = other.begin_write().await.unwrap();
    let statements =
        ["SET LOCAL idle_in_transaction_session_timeout = 0", "SELECT pg_advisory_xact_lock($1)"];
    db::execute(lock.conn(), statements[0], []).await.unwrap();
    db::execute(lock.conn(), statements[1], [MIGRATION_LOCK.into()]).await.unwrap();
    let server = Server::start(&db, &provider.url, &[]).await;
    let caller = Caller::new(&server);
    caller.queued(1..=5).await;
    drop(lock);
    caller.ready().await;
    all_there_once(&other, 5).await;
    server.stop().await;
}

#[tokio::test]
async fn what_no_waiting_mends_ends_the_start() {
    let db = TestDb::postgres().await;
    let (at, name) = db.url().strip_prefix("postgres://besty@").unwrap().split_once('/').unwrap();
    for (url, why) in [
        (format!("postgres://nobody@{at}/{name}"), "role \"nobody\" does not exist"),
        (format!("postgres://besty@{at}/nowhere"), "database \"nowhere\" does not exist"),
        ("postgres://besty@127.0.0.1:port/x".to_owned(), "port"),
    ] {
        let mut command = binary::command(db.folder());
        command.envs([("PORT", "0"), ("DATABASE_URL", &url)]);
        let output = within("the server to end", command.output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("DATABASE_URL, DB_*") && said.contains(why), "{url}: {said}");
        assert!(!said.contains("listening"), "nothing was taken: {said}");
    }
}
