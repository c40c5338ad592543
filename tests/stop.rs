//! SIGTERM in the middle of everything: the server is gone within ten seconds, all that was answered is kept, no
//! message is sent again, and whoever watched is told to come back.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use besty::{db, sandbox::GuestApiSettings};
use futures::future::join_all;
use serde_json::json;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::{
    spool::all_there_once,
    support::{
        TestApp, TestDb,
        app::{Provider, SECRET, answer},
        binary::Server,
        events::named,
        multipart::Multipart,
        on_both,
        socket::{Socket, closed},
        sse::Sse,
        within,
    },
};

on_both!(
    under_load_it_ends_in_time_and_loses_nothing,
    who_says_nothing_does_not_hold_it_up,
    before_it_stops_it_sends_others_elsewhere,
);

/// How long a stop may take.
const IN_TIME: Duration = Duration::from_secs(10);
const FOLLOW: &str = "subscription { reservationChanged { cursor } }";
/// Connections that post.
const CONNECTIONS: usize = 32;
const GUESTS: u32 = 200;

async fn provider(latency: Duration) -> Provider {
    let settings = GuestApiSettings { limit: None, latency, ..GuestApiSettings::default() };
    Provider::start(settings).await
}

/// SIGTERM; answers how long it took until it was gone.
async fn stop(server: Server) -> Duration {
    let start = Instant::now();
    server.stop().await;
    let took = start.elapsed();
    assert!(took < IN_TIME, "{took:?}");
    took
}

/// Posts new events until the server is gone; answers those that were answered 200.
async fn post_until_gone(url: String, next: Arc<AtomicU32>) -> Vec<String> {
    let (http, mut answered) = (besty::app::http_client().unwrap(), Vec::new());
    loop {
        let event = named(next.fetch_add(1, Ordering::Relaxed));
        let post = http.post(&url).header("x-webhook-secret", SECRET).body(event.to_string());
        match post.send().await {
            Ok(response) if response.status() == 200 => {
                answered.push(event["data"]["reservationId"].as_str().unwrap().to_owned());
            }
            Ok(response) => panic!("{}", response.status()),
            Err(_) => return answered,
        }
    }
}

async fn states(db: &TestDb) -> Vec<(String, i64)> {
    let pool = db.connect().await;
    let sql = "SELECT state, COUNT(*) AS n FROM broadcast_recipients GROUP BY state ORDER BY state";
    let rows = db::query_all(pool.pool(), sql, []).await.unwrap();
    pool.close().await.unwrap();
    rows.iter().map(|row| (row.try_get("", "state").unwrap(), row.try_get("", "n").unwrap())).collect()
}

async fn start_broadcast(server: &Server, guests: u32) {
    let http = besty::app::http_client().unwrap();
    for n in 1..=guests {
        let post = http.post(format!("{}/webhooks", server.url)).header("x-webhook-secret", SECRET);
        assert_eq!(post.body(named(n).to_string()).send().await.unwrap().status(), 200);
    }
    let start = http.post(format!("{}/api/broadcast", server.url)).header("prefer", "respond-async");
    assert_eq!(answer(start.json(&json!({ "message": "Hello" }))).await.0, 202);
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    within(what, async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn under_load_it_ends_in_time_and_loses_nothing(db: TestDb) {
    // The key is not honoured, so that a message that is sent again is seen.
    let provider = provider(Duration::from_millis(100)).await;
    let server = Server::start(&db, &provider.url, &[]).await;
    let http = besty::app::http_client().unwrap();
    let (graphql, events) = (format!("{}/graphql", server.url), format!("{}/api/events", server.url));
    let mut sockets = Vec::new();
    for protocol in ["graphql-transport-ws", "graphql-ws"] {
        let mut socket = Socket::open_with(&server.url, protocol).await;
        socket.subscribe(FOLLOW, json!({})).await;
        sockets.push(socket);
    }
    let sse = Sse::post(&http, graphql.clone(), &json!({ "query": FOLLOW }), None).await;
    let events = Sse::open(&http, events, None).await;
    let mut parts = Multipart::post(&http, graphql, &json!({ "query": FOLLOW })).await;
    start_broadcast(&server, GUESTS).await;

    let next = Arc::new(AtomicU32::new(GUESTS + 1));
    let posts = (0..CONNECTIONS)
        .map(|_| tokio::spawn(post_until_gone(format!("{}/webhooks", server.url), Arc::clone(&next))));
    let posting = join_all(posts.collect::<Vec<_>>());
    until("some messages", || provider.api.report().distinct_guests > 20).await;
    until("some webhooks", || next.load(Ordering::Relaxed) > GUESTS + 200).await;
    let took = stop(server).await;
    let answered: BTreeSet<_> = posting.await.into_iter().flat_map(Result::unwrap).collect();
    println!("stopped in {took:.1?} after {} webhooks", answered.len());

    for mut socket in sockets {
        assert_eq!(closed(socket.stream()).await.0, 1012);
    }
    for stream in [sse, events] {
        let rest = stream.rest().await;
        assert!(rest.ends_with("\n\nretry: 1000\n\n"), "{:?}", &rest[rest.len().saturating_sub(200)..]);
    }
    let mut last = json!({});
    while let Some(part) = parts.next().await {
        last = part;
    }
    assert_eq!(last["errors"][0]["extensions"]["code"], "SERVER_STOPPING", "{last}");
    let stopped_with = states(&db).await;
    let left: i64 = stopped_with.iter().filter(|(state, _)| state != "sent").map(|(_, n)| n).sum();
    assert!(left > 0, "it was in the middle of the broadcast");
    assert!(stopped_with.iter().all(|(state, _)| state != "sending"), "{stopped_with:?}");

    let server = Server::start(&db, &provider.url, &[]).await;
    until("the other messages", || provider.api.report().distinct_guests == GUESTS as usize).await;
    assert_eq!(provider.api.report().repeats, 0, "{:?}", provider.api.report());
    within("what was spooled", async {
        let ready = format!("{}/readyz", server.url);
        while answer(http.get(&ready)).await != (200, json!("ready\n")) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let pool = db.connect().await;
    let rows = db::query_all(pool.pool(), "SELECT reservation_id FROM reservations", []).await.unwrap();
    let rows: BTreeSet<String> = rows.iter().map(|row| row.try_get("", "reservation_id").unwrap()).collect();
    let missing: Vec<_> = answered.difference(&rows).collect();
    assert!(missing.is_empty(), "{missing:?}");
    pool.close().await.unwrap();
    server.stop().await;
}

/// A Guest API that does not answer, and a client that does not finish its request.
async fn who_says_nothing_does_not_hold_it_up(db: TestDb) {
    let provider = provider(Duration::from_mins(1)).await;
    let server = Server::start(&db, &provider.url, &[]).await;
    start_broadcast(&server, 3).await;
    until("the requests", || provider.api.report().in_flight == 3).await;
    let mut half = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
    half.write_all(b"POST /webhooks HTTP/1.1\r\nhost: besty\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    stop(server).await;
    assert_eq!(states(&db).await, [("pending".to_owned(), 3)], "they are sent again, with the same key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_says_nothing_does_not_hold_it_up() {
    let ((db, mut proxy), provider) = (TestDb::postgres_behind_proxy().await, Provider::quick().await);
    let server = Server::start(&db, &provider.url, &[]).await;
    let (http, url) = (besty::app::http_client().unwrap(), format!("{}/webhooks", server.url));
    let post = |n: u32| answer(http.post(&url).header("x-webhook-secret", SECRET).body(named(n).to_string()));
    assert_eq!(post(1).await.1["result"], "applied");
    proxy.hold_everything();
    for (status, body) in join_all((2..=20).map(post)).await {
        assert_eq!((status, &body["result"]), (200, &json!("queued")));
    }
    stop(server).await;
    proxy.cut().await;
    proxy.restore();
    let server = Server::start(&db, &provider.url, &[]).await;
    within("what was spooled", async {
        while answer(http.get(format!("{}/readyz", server.url))).await != (200, json!("ready\n")) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    all_there_once(&db.connect().await, 20).await;
    server.stop().await;
}

async fn before_it_stops_it_sends_others_elsewhere(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start_with(&db, &provider, &[("SHUTDOWN_DELAY_SECONDS", "2")]).await;
    let (http, ready, webhooks) = (app.http().clone(), app.url("/readyz"), app.url("/webhooks"));
    let post = |n| http.post(&webhooks).header("x-webhook-secret", SECRET).body(named(n).to_string());
    let response = post(1).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers().get("connection")), (200, None));
    let mut events = Sse::open(&http, app.url("/api/events"), None).await;
    let start = Instant::now();
    let stopping = tokio::spawn(app.stop());
    within("the end of readiness", async {
        while answer(http.get(&ready)).await != (503, json!({ "error": "stopping" })) {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let response = post(2).send().await.unwrap();
    assert_eq!(response.status(), 200, "it goes on");
    assert_eq!(response.headers()["connection"], "close", "and lets go of who comes");
    while events.next().await.data["reservationId"] != "res_00002" {}
    within("the stop", stopping).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(post(3).send().await.unwrap_err().is_connect());
}
