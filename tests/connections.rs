//! Connections: heads that are too large, heads and bodies that do not come to their end, connections that are
//! not used, and more connections than there may be.

use std::{fmt::Write as _, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

use crate::support::{
    TestApp, TestDb,
    app::{Provider, SECRET},
    events::named,
    socket::Socket,
    sse::Sse,
    within,
};

const HEAD: Duration = Duration::from_millis(400);
const IDLE: Duration = Duration::from_millis(1_200);

/// With times that a test can wait for.
async fn start(idle: Duration) -> (TestApp, Provider, TestDb) {
    let (db, provider) = (TestDb::sqlite(), Provider::quick().await);
    let app = TestApp::start_tuned(&db, &provider, &[], |config| {
        (config.live.times.head, config.live.times.idle) = (HEAD, idle);
    })
    .await;
    (app, provider, db)
}

async fn connect(app: &TestApp) -> TcpStream {
    TcpStream::connect(app.running().addr()).await.unwrap()
}

/// Writes something and reads until the other side closes; one that resets has closed.
async fn told(mut stream: TcpStream, bytes: &[u8]) -> String {
    // Whoever is refused need not be heard out.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = within("the end of the connection", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: besty\r\n{headers}\r\n")
}

/// A client of HTTP/2, with a connection of its own.
fn http2() -> reqwest::Client {
    reqwest::Client::builder().http2_prior_knowledge().build().unwrap()
}

#[tokio::test]
async fn heads_that_are_too_large_are_answered_431() {
    let (app, _provider, _db) = start(IDLE).await;
    let many = |count: usize| (0..count).map(|n| (format!("x-{n}"), "a".to_owned())).collect::<Vec<_>>();
    let long = |length: usize| vec![("x".to_owned(), "a".repeat(length))];
    // Each brings some headers that every request has.
    for (headers, wanted) in
        [(many(90), 200), (many(101), 431), (many(2_000), 431), (long(60_000), 200), (long(70_000), 431)]
    {
        let of = format!("{} headers, the first of {}", headers.len(), headers[0].1.len());
        let lines = headers.iter().fold(String::new(), |mut lines, (name, value)| {
            write!(lines, "{name}: {value}\r\n").unwrap();
            lines
        });
        let request = get("/healthz", &format!("connection: close\r\n{lines}"));
        let said = told(connect(&app).await, request.as_bytes()).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {wanted} ")), "{of}: {said}");
        let request = http2().get(app.url("/healthz"));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        assert_eq!(request.send().await.unwrap().status(), wanted, "HTTP/2, {of}");
    }
    app.stop().await;
}

#[tokio::test]
async fn heads_that_do_not_end_are_given_up() {
    // Longer than the test waits: it is not for this that they are closed.
    let (app, _provider, _db) = start(Duration::from_mins(5)).await;
    for first in ["", "GET", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nhost: besty\r\nx: "] {
        let (since, stream) = (Instant::now(), connect(&app).await);
        assert_eq!(told(stream, first.as_bytes()).await.matches("HTTP/1").count(), 0, "{first:?}");
        assert!(since.elapsed() >= HEAD, "{first:?}");
    }
    // A byte now and then is no reason to wait longer; also after a request that was well made.
    for before in [0, 1] {
        let mut stream = connect(&app).await;
        for _ in 0..before {
            stream.write_all(get("/healthz", "").as_bytes()).await.unwrap();
            assert!(stream.read(&mut [0; 4_096]).await.unwrap() > 0);
        }
        let since = Instant::now();
        let drip = async {
            while stream.write_all(b"G").await.is_ok() {
                tokio::time::sleep(HEAD / 20).await;
            }
        };
        within("the end of the connection", drip).await;
        assert!(since.elapsed() >= HEAD, "{:?}", since.elapsed());
    }
    app.stop().await;
}

#[tokio::test]
async fn connections_that_are_not_used_are_closed_and_others_are_not() {
    let (app, _provider, _db) = start(IDLE).await;
    let follow = json!({ "query": "subscription { reservationChanged { reservation { reservationId } } }" });
    let rest = Sse::of(app.http().get(app.url("/api/events"))).await;
    let shared = Sse::of(http2().post(app.url("/graphql")).json(&follow)).await;
    let mut socket = Socket::open(&app).await;
    socket.subscribe(follow["query"].as_str().unwrap(), json!({})).await;
    socket.ping().await;

    let mut stream = connect(&app).await;
    stream.write_all(get("/healthz", "").as_bytes()).await.unwrap();
    for _ in 0..3 {
        // Longer than a head may take.
        tokio::time::sleep(HEAD * 3 / 2).await;
        let mut answer = [0; 4_096];
        let length = within("an answer", stream.read(&mut answer)).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200"), "between two requests there is more time");
        stream.write_all(get("/healthz", "").as_bytes()).await.unwrap();
    }
    let since = Instant::now();
    assert_eq!(told(stream, b"").await.matches("HTTP/1.1 200").count(), 1, "the last one");
    assert!(since.elapsed() >= HEAD * 2, "{:?}", since.elapsed());
    // The first stream of HTTP/2: GET / with names of the static table (RFC 7541, A), after empty settings.
    let frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x0a\x01\x05\0\0\0\x01\x82\x86\x84\x41\x05besty";
    let (since, stream) = (Instant::now(), connect(&app).await);
    let said = told(stream, frames).await;
    assert!(said.contains("<html") && since.elapsed() >= IDLE, "{:?}: {said}", since.elapsed());

    // All the while these were in use.
    app.apply(&named(1)).await;
    assert_eq!(socket.value("reservationChanged").await["reservation"]["reservationId"], "res_00001");
    for mut events in [rest, shared] {
        events.text_until("res_00001").await;
    }
    app.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_no_failed_webhook() {
    let (app, _provider, _db) = start(IDLE).await;
    for n in 1..=5 {
        let head = format!(
            "POST /webhooks HTTP/1.1\r\nhost: besty\r\nx-webhook-secret: {SECRET}\r\ncontent-length: 100\r\n\r\n{{"
        );
        let mut stream = connect(&app).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        app.metric_is("besty_webhooks_total{result=\"unread\"}", n).await;
    }
    assert_eq!(app.metric("besty_webhook_failures_in_a_row").await, 0);
    assert_eq!(app.webhook_bytes(b"{".to_vec()).await.0, 400);
    assert_eq!(app.metric("besty_webhook_failures_in_a_row").await, 1, "this one is");
    app.stop().await;
}

#[tokio::test]
async fn beyond_the_limit_only_health_checks_and_webhooks_are_answered() {
    let (db, provider) = (TestDb::sqlite(), Provider::quick().await);
    let app = TestApp::start_with(&db, &provider, &[("MAX_CONNECTIONS", "2")]).await;
    // The one that asks, and a WebSocket, which has been no HTTP connection since its upgrade.
    let mut socket = Socket::open(&app).await;
    app.metric_is("besty_connections", 2).await;
    assert_eq!(app.metric("besty_connections_max").await, 2);

    let list = told(connect(&app).await, get("/api/reservations", "").as_bytes()).await;
    let list = list.to_lowercase();
    assert!(list.starts_with("http/1.1 503 ") && list.contains("retry-after: 5\r\n"), "{list}");
    let over = http2().get(app.url("/api/reservations")).send().await.unwrap();
    assert_eq!(over.status(), 503);
    for path in ["/healthz", "/readyz", "/api/health", "/metrics"] {
        // And the connection is not kept.
        let said = told(connect(&app).await, get(path, "").as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 200 "), "{path}: {said}");
        assert_eq!(http2().get(app.url(path)).send().await.unwrap().status(), 200, "{path}");
    }
    let event = named(1).to_string();
    let webhook = format!(
        "POST /webhooks HTTP/1.1\r\nhost: besty\r\nx-webhook-secret: {SECRET}\r\ncontent-length: {}\r\n\r\n{event}",
        event.len()
    );
    let said = told(connect(&app).await, webhook.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 200 ") && said.contains("applied"), "{said}");
    app.metric_is("besty_connections", 2).await;
    assert_eq!(app.metric("besty_connections_refused_total").await, 2);

    let mut waiting = Vec::new();
    for _ in 0..64 {
        waiting.push(connect(&app).await);
    }
    app.metric_is("besty_connections", 66).await;
    assert_eq!(told(connect(&app).await, get("/healthz", "").as_bytes()).await, "", "reset at once");
    assert_eq!(app.metric("besty_connections_refused_total").await, 3);
    drop(waiting);
    app.metric_is("besty_connections", 2).await;

    assert_eq!(socket.ask(&json!({ "query": "{ __typename }" })).await["data"]["__typename"], "Query");
    drop(socket);
    app.metric_is("besty_connections", 1).await;
    let mut stream = connect(&app).await;
    for _ in 0..2 {
        stream.write_all(get("/api/reservations", "").as_bytes()).await.unwrap();
        let mut answer = [0; 16];
        within("an answer", stream.read_exact(&mut answer)).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "there is room again");
        let mut rest = [0; 8_192];
        assert!(within("the rest", stream.read(&mut rest)).await.unwrap() > 0);
    }
    app.stop().await;
}
