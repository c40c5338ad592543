//! Nothing is lost while the database is away, too slow, or refuses a row.

use std::time::Duration;

use besty::{
    db::{self, Db, WriteTx},
    reservations::event,
};
use futures::{StreamExt as _, future::join_all, stream};
use sea_orm::{ConnectionTrait as _, DbBackend};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    PATIENCE, TestApp, TestDb,
    app::{Provider, SECRET, answer},
    binary::Server,
    events::{self, named},
    on_both, within,
};

on_both!(
    a_refused_row_does_not_hold_up_its_neighbours,
    a_slow_database_does_not_keep_senders_waiting,
    a_spooled_row_that_is_refused_does_not_hold_up_the_spool,
    without_a_spool_there_is_no_promise,
    a_full_spool_says_so,
    a_damaged_spool_is_set_aside_and_events_are_kept,
);

/// The feed lock, as `feed/log.rs` has it.
const FEED_LOCK: i64 = 0x62_6573_7479;

/// The most a sender may wait, as the source sees it.
pub const DEADLINE: Duration = Duration::from_millis(2_500);

/// Keeps everybody from writing until it is committed or dropped.
async fn hold_up(db: &Db) -> WriteTx {
    let tx = db.begin_write().await.unwrap();
    if db.backend() == DbBackend::Postgres {
        db::execute(tx.conn(), "SELECT pg_advisory_xact_lock($1)", [FEED_LOCK.into()]).await.unwrap();
    }
    tx
}

/// Has the database refuse a value that no check of ours knows of.
async fn poison(tx: &WriteTx) {
    let refuse: &[&str] = match tx.conn().get_database_backend() {
        DbBackend::Sqlite => {
            &["CREATE TRIGGER poison BEFORE INSERT ON reservations WHEN NEW.property_id = 'poison' \
                               BEGIN SELECT RAISE(ABORT, 'poison'); END"]
        }
        _ => &["ALTER TABLE reservations ADD CONSTRAINT poison CHECK (property_id <> 'poison')"],
    };
    for statement in refuse {
        tx.conn().execute_unprepared(statement).await.unwrap();
    }
}

fn poisoned(n: u32) -> Value {
    let mut event = named(n);
    event["data"]["propertyId"] = json!("poison");
    event
}

/// Posts an event; answers what it was told, and after how long.
pub async fn timed(app: &TestApp, event: &Value) -> (u16, Value, Duration) {
    let started = Instant::now();
    let (status, body) = app.webhook(event).await;
    (status, body, started.elapsed())
}

/// Waits until nothing is spooled any more and the database is there.
pub async fn drained(app: &TestApp) {
    let mut told = Value::Null;
    let empty = async {
        while told != json!("ready\n") {
            told = app.get("/readyz").await.1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, empty).await.is_ok();
    assert!(in_time, "nothing within {PATIENCE:?} but {told}");
}

pub async fn number(db: &Db, sql: &str) -> i64 {
    db::query_one(db.pool(), sql, []).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// That so many reservations are there, and each was created once.
pub async fn all_there_once(db: &Db, events: i64) {
    assert_eq!(number(db, "SELECT COUNT(*) FROM reservations").await, events);
    let created = "SELECT COUNT(*) FROM changes WHERE topic = 'reservation'";
    assert_eq!(number(db, created).await, events, "none twice in the log");
    let keys = "SELECT COUNT(DISTINCT key) FROM changes WHERE topic = 'reservation'";
    assert_eq!(number(db, keys).await, events);
}

async fn a_refused_row_does_not_hold_up_its_neighbours(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    let direct = db.connect().await;
    let tx = direct.begin_write().await.unwrap();
    poison(&tx).await;
    tx.commit().await.unwrap();

    let events: Vec<_> = (0..60).map(|n| if n % 20 == 7 { poisoned(n) } else { named(n) }).collect();
    let answers = join_all(events.iter().map(|event| app.webhook(event))).await;
    for (n, (status, body)) in answers.iter().enumerate() {
        if n % 20 == 7 {
            assert_eq!(*status, 400, "{body}");
            assert!(!body["error"].as_str().unwrap().contains("poison"), "no internals: {body}");
        } else {
            assert_eq!((*status, &body["result"]), (200, &json!("applied")));
        }
    }
    all_there_once(&direct, 57).await;
    let (_, metrics) = app.get("/metrics").await;
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.contains("besty_webhooks_total{result=\"applied\"} 57"), "{metrics}");
    assert!(metrics.contains("besty_webhooks_total{result=\"rejected\"} 3"), "{metrics}");
    assert!(metrics.contains("besty_ingest_seconds_count 60"), "{metrics}");
    assert!(metrics.contains("besty_spool_in_use 0"), "{metrics}");
    app.stop().await;
}

async fn a_slow_database_does_not_keep_senders_waiting(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    let direct = db.connect().await;
    let lock = hold_up(&direct).await;
    let events: Vec<_> = (0..40).map(named).collect();
    for (status, body, took) in join_all(events.iter().map(|event| timed(&app, event))).await {
        assert_eq!((status, &body), (200, &json!({ "ok": true, "result": "queued" })));
        assert!(took < DEADLINE, "{took:?}");
    }
    drop(lock);
    drained(&app).await;
    all_there_once(&direct, 40).await;
    app.stop().await;
}

/// Has the database refuse all rejected webhooks, or take them again.
async fn refuse_rejected(db: &Db, refuse: bool) {
    let statement = match (db.backend(), refuse) {
        (DbBackend::Sqlite, true) => {
            "CREATE TRIGGER closed BEFORE INSERT ON rejected_webhooks BEGIN SELECT RAISE(ABORT, 'closed'); END"
        }
        (DbBackend::Sqlite, false) => "DROP TRIGGER closed",
        (_, true) => "ALTER TABLE rejected_webhooks ADD CONSTRAINT closed CHECK (FALSE)",
        (_, false) => "ALTER TABLE rejected_webhooks DROP CONSTRAINT closed",
    };
    db.pool().execute_unprepared(statement).await.unwrap();
}

async fn a_spooled_row_that_is_refused_does_not_hold_up_the_spool(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    let direct = db.connect().await;
    refuse_rejected(&direct, true).await;
    let lock = hold_up(&direct).await;
    let events: Vec<_> = (0..30).map(|n| if n == 11 { poisoned(n) } else { named(n) }).collect();
    for (status, body) in join_all(events.iter().map(|event| app.webhook(event))).await {
        assert_eq!((status, &body["result"]), (200, &json!("queued")));
    }
    poison(&lock).await;
    lock.commit().await.unwrap();
    within("the others", async {
        while number(&direct, "SELECT COUNT(*) FROM reservations").await < 29 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    app.metric_is("besty_spool_waiting", 1).await;
    refuse_rejected(&direct, false).await;
    drained(&app).await;
    all_there_once(&direct, 29).await;
    let sql = "SELECT reason, body FROM rejected_webhooks";
    let row = db::query_one(direct.pool(), sql, []).await.unwrap().unwrap();
    let (reason, body): (String, Vec<u8>) =
        (row.try_get("", "reason").unwrap(), row.try_get("", "body").unwrap());
    assert!(!reason.contains("poison"), "no internals: {reason}");
    let again = event::parse(&body).unwrap();
    assert_eq!(again, event::parse(events[11].to_string().as_bytes()).unwrap(), "it can be tried again");
    app.stop().await;
}

async fn without_a_spool_there_is_no_promise(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start_with(&db, &provider, &[("SPOOL_PATH", "/nowhere/at/all/spool.db")]).await;
    app.apply(&named(1)).await;
    let direct = db.connect().await;
    let lock = hold_up(&direct).await;
    let posted = app.http().post(app.url("/webhooks")).header("x-webhook-secret", SECRET);
    let answer = posted.body(named(2).to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(app.get("/readyz").await.0, 503, "nothing takes events");
    drop(lock);
    drained(&app).await;
    app.apply(&named(3)).await;
    app.stop().await;
}

async fn a_full_spool_says_so(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start_with(&db, &provider, &[("SPOOL_MAX_BYTES", "2000")]).await;
    let direct = db.connect().await;
    let lock = hold_up(&direct).await;
    let events: Vec<_> = (0..20).map(named).collect();
    let answers = join_all(events.iter().map(|event| app.webhook(event))).await;
    let queued = answers.iter().filter(|(status, _)| *status == 200).count();
    assert!((1..20).contains(&queued), "{queued} were queued");
    assert!(answers.iter().all(|(status, _)| [200, 503].contains(status)));
    drop(lock);
    drained(&app).await;
    let rows = number(&direct, "SELECT COUNT(*) FROM reservations").await;
    assert_eq!(rows, i64::try_from(queued).unwrap(), "what was answered 200, and nothing else was promised");
    app.apply(&named(30)).await;
    app.stop().await;
}

async fn a_damaged_spool_is_set_aside_and_events_are_kept(db: TestDb) {
    let provider = Provider::quick().await;
    let spool = db.folder().join("spool.db");
    let damaged = "no database".repeat(1_000);
    std::fs::write(&spool, &damaged).unwrap();
    let app = TestApp::start_with(&db, &provider, &[("SPOOL_PATH", spool.to_str().unwrap())]).await;
    assert_eq!(app.metric("besty_spool_set_aside_total").await, 1);
    assert_eq!(std::fs::read_to_string(db.folder().join("spool.db.damaged-1")).unwrap(), damaged);
    let direct = db.connect().await;
    let lock = hold_up(&direct).await;
    let (status, body) = app.webhook(&named(1)).await;
    assert_eq!((status, &body["result"]), (200, &json!("queued")));
    drop(lock);
    drained(&app).await;
    all_there_once(&direct, 1).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_outlive_a_database_that_goes_away() {
    let (db, mut proxy) = TestDb::postgres_behind_proxy().await;
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    app.apply(&named(0)).await;
    proxy.cut().await;

    let events: Vec<_> = (1..=30).map(named).collect();
    for (status, body, took) in join_all(events.iter().map(|event| timed(&app, event))).await {
        assert_eq!((status, &body["result"]), (200, &json!("queued")));
        assert!(took < DEADLINE, "{took:?}");
    }
    for n in 31..=60 {
        let (status, body, took) = timed(&app, &named(n)).await;
        assert_eq!((status, &body["result"]), (200, &json!("queued")));
        assert!(took < Duration::from_millis(250), "it is known to be away: {took:?}");
    }
    let started = Instant::now();
    let more = stream::iter(1_000..3_000).map(|n| async move { named(n) });
    let answers = more.map(|event| async { app.webhook(&event.await).await }).buffer_unordered(64);
    let queued =
        answers.filter(|(status, body)| std::future::ready(*status == 200 && body["result"] == "queued"));
    assert_eq!(queued.count().await, 2_000);
    let rate = 2_000.0 / started.elapsed().as_secs_f64();
    // More than any source sends. What it takes is shown by `make prove`, where nothing runs beside it.
    assert!(rate > 100.0, "only {rate:.0} events/s went into the spool");
    // Changed while the creation still waits: the order decides, not the arrival.
    let (_, body) = app.webhook(&events::event("res_00005", "guest_005", "cancelled", 3_000)).await;
    assert_eq!(body["result"], "queued");
    let (status, told) = app.get("/readyz").await;
    assert_eq!(status, 200, "{told}");
    assert!(told.as_str().unwrap().contains("the database is away; spool in use, waiting: 2061"), "{told}");
    let (_, metrics) = app.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("besty_spool_waiting 2061"), "{metrics}");
    assert!(metrics.as_str().unwrap().contains("besty_spool_in_use 1"), "{metrics}");
    assert_eq!(app.get("/api/reservations").await.0, 500, "reads fail");

    let restored = Instant::now();
    proxy.restore();
    drained(&app).await;
    assert!(restored.elapsed() < Duration::from_secs(10), "{:?}", restored.elapsed());
    let direct = db.connect().await;
    assert_eq!(number(&direct, "SELECT COUNT(*) FROM reservations").await, 2_061);
    assert_eq!(
        app.graphql("{reservation(reservationId:\"res_00005\"){status}}", json!({})).await["reservation"]["status"],
        "CANCELLED"
    );
    let twice = "SELECT COUNT(*) FROM (SELECT after::json->>'webhook_id' FROM changes WHERE topic = 'reservation' \
                 GROUP BY 1 HAVING COUNT(*) > 1) AS twice";
    assert_eq!(number(&direct, twice).await, 0, "none twice in the log");
    assert_eq!(app.webhook(&named(70)).await.1["result"], "applied", "and new ones go straight to the table");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spooled_events_outlive_the_process() {
    let (db, mut proxy) = TestDb::postgres_behind_proxy().await;
    let provider = Provider::quick().await;
    let spool = db.folder().join("spool.db");
    let set = [("SPOOL_PATH", spool.to_str().unwrap())];
    let http = besty::app::http_client().unwrap();
    let server = Server::start(&db, &provider.url, &set).await;
    proxy.cut().await;
    for n in 1..=50 {
        let post = http.post(format!("{}/webhooks", server.url)).header("x-webhook-secret", SECRET);
        let (status, body) = answer(post.body(named(n).to_string())).await;
        assert_eq!((status, &body["result"]), (200, &json!("queued")));
    }
    server.kill().await;

    proxy.restore();
    let server = Server::start(&db, &provider.url, &set).await;
    let direct = db.connect().await;
    within("the events", async {
        while number(&direct, "SELECT COUNT(*) FROM reservations").await < 50 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    all_there_once(&direct, 50).await;
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_kept_when_the_server_stops() {
    let (db, mut proxy) = TestDb::postgres_behind_proxy().await;
    let provider = Provider::quick().await;
    let spool = db.folder().join("spool.db");
    let set = [("SPOOL_PATH", spool.to_str().unwrap())];
    let app = TestApp::start_with(&db, &provider, &set).await;
    proxy.cut().await;
    let events: Vec<_> = (0..10).map(named).collect();
    let posts = join_all(events.iter().map(|event| app.webhook(event))).await;
    assert!(posts.iter().all(|(status, _)| *status == 200));
    within("the end", app.stop()).await;

    proxy.restore();
    let app = TestApp::start_with(&db, &provider, &set).await;
    drained(&app).await;
    all_there_once(&db.connect().await, 10).await;
    app.stop().await;
}
