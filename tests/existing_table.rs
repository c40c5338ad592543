//! The server starts on a database that holds the table and rows of the program before it.

use std::time::Duration;

use besty::{
    db,
    sandbox::{Effect, Fault, Kind},
};
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::support::{
    TestApp, TestDb,
    app::{Provider, SECRET, answer},
    binary::Server,
    events::{created, event},
    socket::Socket,
    sse::Sse,
};

/// The table as the Express program made it.
const BEFORE: &str = "CREATE TABLE reservations (
    id SERIAL PRIMARY KEY,
    reservation_id VARCHAR(50) UNIQUE NOT NULL,
    property_id VARCHAR(50) NOT NULL,
    guest_id VARCHAR(50) NOT NULL,
    status VARCHAR(20) NOT NULL,
    check_in DATE NOT NULL,
    check_out DATE NOT NULL,
    num_guests INTEGER NOT NULL,
    total_amount NUMERIC(10,2) NOT NULL,
    currency VARCHAR(10) NOT NULL,
    guest_first_name VARCHAR(100),
    guest_last_name VARCHAR(100),
    guest_email VARCHAR(255),
    guest_phone VARCHAR(50),
    webhook_id VARCHAR(50),
    event_timestamp TIMESTAMPTZ,
    created_at TIMESTAMPTZ DEFAULT now(),
    updated_at TIMESTAMPTZ DEFAULT now()
)";

const ROWS: &str = "INSERT INTO reservations (reservation_id, property_id, guest_id, status, check_in, check_out, \
    num_guests, total_amount, currency, guest_first_name, event_timestamp, created_at, updated_at) VALUES
    ('old_1', 'p1', 'guest_901', 'confirmed', '2025-01-01', '2025-01-05', 2, 100.5, 'USD', NULL, NULL, NULL, NULL),
    ('old_2', 'p1', 'guest_902', 'cancelled', '2025-02-01', '2025-02-05', 1, 0, 'EUR', 'Ada', '2025-01-01T00:00:00Z', \
     '2025-01-01T00:00:00Z', '2025-01-02T00:00:00Z')";

/// Every value of a row, and the moment of its last write in PostgreSQL's own terms.
const AS_TEXT: &str = "SELECT string_agg(reservations::text || xmin::text, '|' ORDER BY id) AS t \
    FROM reservations WHERE reservation_id LIKE 'old%'";

const COLUMNS: &str = "SELECT string_agg(concat_ws(' ', column_name, data_type, character_maximum_length, \
    numeric_precision, numeric_scale, is_nullable, column_default), '|' ORDER BY ordinal_position) AS t \
    FROM information_schema.columns WHERE table_name = 'reservations'";

async fn text(pool: &besty::db::Db, sql: &str) -> String {
    db::query_one(pool.pool(), sql, []).await.unwrap().unwrap().try_get("", "t").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_rows_are_served_and_left_as_they_are() {
    let test_db = TestDb::postgres().await;
    let pool = test_db.connect().await;
    pool.pool().execute_unprepared(BEFORE).await.unwrap();
    pool.pool().execute_unprepared(ROWS).await.unwrap();
    let (rows, columns) = (text(&pool, AS_TEXT).await, text(&pool, COLUMNS).await);

    let provider = Provider::quick().await;
    let url: reqwest::Url = test_db.url().parse().unwrap();
    let set = [
        ("DATABASE_URL", ""),
        ("DB_HOST", url.host_str().unwrap()),
        ("DB_PORT", &url.port().unwrap().to_string()),
        ("DB_USER", url.username()),
        ("DB_NAME", url.path().trim_start_matches('/')),
    ];
    let server = Server::start(&test_db, &provider.url, &set).await;
    let http = besty::app::http_client().unwrap();
    let mut events = Sse::open(&http, format!("{}/api/events", server.url), None).await;
    assert_eq!(events.next().await.kind, "ready");
    let mut socket = Socket::open_with(&server.url, "graphql-transport-ws").await;
    socket
        .subscribe("subscription { reservationChanged { reservation { reservationId } } }", json!({}))
        .await;
    // Without `after` it starts with the next change; an answer on the same socket says that it has.
    socket.ping().await;

    let post = http.post(format!("{}/webhooks", server.url)).header("x-webhook-secret", SECRET);
    assert_eq!(answer(post.body(created(1).to_string())).await.1["result"], "applied");
    let everywhere = async {
        assert_eq!(events.next().await.data["reservationId"], "res_00001");
        let live = socket.value("reservationChanged").await;
        assert_eq!(live["reservation"]["reservationId"], "res_00001");
        let query = json!({ "query": "{ reservations { nodes { reservationId } } }" });
        let (_, told) = answer(http.post(format!("{}/graphql", server.url)).json(&query)).await;
        let nodes = told["data"]["reservations"]["nodes"].as_array().unwrap().clone();
        assert_eq!(nodes.last().unwrap()["reservationId"], "res_00001", "by check-in: {nodes:?}");
        answer(http.get(format!("{}/api/reservations", server.url))).await.1
    };
    let list = tokio::time::timeout(Duration::from_secs(1), everywhere).await.expect("within a second");
    let ids: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|row| row["reservation_id"].clone()).collect();
    assert_eq!(ids, ["res_00001", "old_2", "old_1"], "rows without a time come last");
    assert_eq!(list["data"][2]["total_amount"], "100.50");
    assert_eq!(list["data"][2]["updated_at"], json!(null));
    server.kill().await;

    assert_eq!(text(&pool, AS_TEXT).await, rows, "not written again");
    assert_eq!(text(&pool, COLUMNS).await, columns, "not a column more, fewer or other");
    pool.close().await.unwrap();
}

/// Rows of one guest that disagree, and one with a status that is none of the contract's.
const ODD_ROWS: &str =
    "INSERT INTO reservations (reservation_id, property_id, guest_id, status, check_in, check_out, \
    num_guests, total_amount, currency, guest_first_name) VALUES
    ('old_1', 'p1', 'guest_001', 'confirmed', '2025-01-01', '2025-01-05', 2, 1, 'USD', NULL),
    ('old_2', 'p1', 'guest_001', 'confirmed', '2025-01-01', '2025-01-05', 2, 1, 'USD', 'Zoe'),
    ('old_3', 'p1', 'guest_001', 'confirmed', '2025-01-01', '2025-01-05', 2, 1, 'USD', 'Amy'),
    ('old_4', 'p1', 'guest_004', 'pending', '2025-01-01', '2025-01-05', 2, 1, 'USD', NULL),
    ('odd', 'p1', 'guest_005', 'pending', '2025-01-01', '2025-01-05', 2, 1, 'USD', NULL)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_rows_stop_nothing_and_stay_as_they_are() {
    let test_db = TestDb::postgres().await;
    let pool = test_db.connect().await;
    pool.pool().execute_unprepared(BEFORE).await.unwrap();
    pool.pool().execute_unprepared(ODD_ROWS).await.unwrap();
    let rows = text(&pool, AS_TEXT).await;
    let provider = Provider::quick().await;
    provider.api.faults().add(Fault::always(Effect::answer(404)).on(Kind::Guest));
    let app = TestApp::start(&test_db, &provider).await;
    app.apply(&event("new", "guest_001", "confirmed", 1)).await;
    let ids = async || {
        let data = app.graphql("{ reservations { nodes { reservationId } } }", json!({})).await;
        let nodes = data["reservations"]["nodes"].as_array().unwrap().clone();
        nodes.into_iter().map(|node| node["reservationId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, ["old_1", "old_2", "old_3", "new"], "what can't be read is left out");
    assert_eq!(text(&pool, AS_TEXT).await, rows, "nothing was learned of the guest, so nothing is written");
    app.apply(&event("odd", "guest_005", "confirmed", 1)).await;
    assert!(ids().await.contains(&"odd".to_owned()), "an event puts it right");
    app.stop().await;
    pool.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_table_is_the_same() {
    let (before, ours) = (TestDb::postgres().await, TestDb::postgres().await);
    let (before, our_pool) = (before.connect().await, ours.connect().await);
    before.pool().execute_unprepared(BEFORE).await.unwrap();
    let provider = Provider::quick().await;
    TestApp::start(&ours, &provider).await.stop().await;
    assert_eq!(text(&our_pool, COLUMNS).await, text(&before, COLUMNS).await);
    let unique = "SELECT string_agg(pg_get_constraintdef(oid), '|' ORDER BY pg_get_constraintdef(oid)) AS t \
                  FROM pg_constraint WHERE conrelid = 'reservations'::regclass";
    assert_eq!(text(&our_pool, unique).await, text(&before, unique).await);
    before.close().await.unwrap();
    our_pool.close().await.unwrap();
}
