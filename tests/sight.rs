//! What the server says of itself: `/metrics`, `/healthz`, `/readyz`, and the identifiers of requests.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use besty::{
    app::{self, Outside},
    clock::Clock,
    config::Config,
    sandbox::{Effect, Fault, GuestApiSettings, Kind, Limit},
};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
};

use crate::support::{
    TestApp, TestDb,
    app::{Provider, SECRET, answer},
    binary,
    events::named,
    on_both,
    sse::Sse,
    within,
};

on_both!(
    what_happens_is_measured,
    a_broadcast_is_measured,
    a_writer_that_panicked_is_told,
    requests_have_an_identifier,
    lines_of_the_log_are_json,
);

/// Prometheus' text form, by series.
fn series(text: &str) -> HashMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name, value.parse().unwrap()))
        .collect()
}

async fn scrape(app: &TestApp) -> String {
    app.get("/metrics").await.1.as_str().unwrap().to_owned()
}

async fn what_happens_is_measured(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start_with(&db, &provider, &[("PUBLIC_WEBHOOK_URL", "http://127.0.0.1:9/w")]).await;
    within("the registration", provider.api.registry().wait_for(|urls| !urls.is_empty())).await;
    let mut events = Sse::open(app.http(), app.url("/api/events"), None).await;
    assert_eq!(events.next().await.kind, "ready");
    let query = json!({ "query": "subscription { reservationChanged { cursor } }" });
    let mut watcher = Sse::post(app.http(), app.url("/graphql"), &query, None).await;
    watcher.text_until(":\n\n").await;
    for n in 1..=3 {
        app.apply(&named(n)).await;
        watcher.next().await;
    }
    app.webhook(&named(3)).await;
    app.webhook(&json!({})).await;
    app.metric_is("besty_registration_registered", 1).await;
    // The delivery is counted after the bytes are out.
    app.metric_is("besty_feed_delivery_seconds_count", 3).await;

    let text = scrape(&app).await;
    let now = series(&text);
    for (name, value) in [
        ("besty_webhooks_total{result=\"applied\"}", 3.0),
        ("besty_webhooks_total{result=\"duplicate\"}", 1.0),
        ("besty_webhooks_total{result=\"rejected\"}", 1.0),
        ("besty_webhooks_total{result=\"unavailable\"}", 0.0),
        ("besty_webhook_failures_in_a_row", 1.0),
        ("besty_ingest_seconds_count", 4.0),
        ("besty_ingest_batch_events_sum", 4.0),
        ("besty_ingest_batch_seconds_count", 4.0),
        ("besty_ingest_queue_events", 0.0),
        ("besty_spool_in_use", 0.0),
        ("besty_spool_waiting", 0.0),
        ("besty_spool_max_bytes", 1_073_741_824.0),
        ("besty_spool_refused_total", 0.0),
        ("besty_feed_lag_changes", 0.0),
        ("besty_feed_executions", 1.0),
        ("besty_feed_watchers", 1.0),
        ("besty_sockets{transport=\"sse\"}", 1.0),
        ("besty_sockets{transport=\"events\"}", 1.0),
        ("besty_sockets{transport=\"graphql-ws\"}", 0.0),
        ("besty_sender_lease_held", 1.0),
        ("besty_guest_api_gate_seconds", 0.0),
        ("besty_registration_wanted", 1.0),
        ("besty_registration_gaps_total", 0.0),
        ("besty_alive", 1.0),
        ("besty_ready", 1.0),
        ("besty_database_up", 1.0),
    ] {
        assert_eq!(now.get(name), Some(&value), "{name} in {text}");
    }
    assert_eq!(now.get("besty_feed_log_head"), now.get("besty_feed_hub_head"));
    for name in [
        "besty_feed_hub_head",
        "besty_guest_api_rate",
        "besty_guest_api_requests_total{call=\"registration\",outcome=\"done\"}",
        "besty_webhook_last_timestamp_seconds",
        "besty_registration_checked_timestamp_seconds",
        "besty_pool_connections{pool=\"main\",state=\"idle\"}",
        "besty_pool_max_connections{pool=\"main\"}",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
    ] {
        assert!(now.get(name).is_some_and(|value| *value > 0.0), "{name} in {text}");
    }
    let database = if db.url().starts_with("sqlite") { "sqlite" } else { "postgres" };
    assert!(text.contains(&format!("database=\"{database}\"")), "{text}");
    app.stop().await;
}

async fn a_broadcast_is_measured(db: TestDb) {
    let limit = Some(Limit { per_second: 20.0, burst: 2 });
    let provider = Provider::start(GuestApiSettings { limit, ..GuestApiSettings::default() }).await;
    let faults = provider.api.faults();
    faults.add(Fault::next(1, Effect::answer(404)).on(Kind::Message).guest("guest_001"));
    let app = TestApp::start(&db, &provider).await;
    for n in 1..=20 {
        app.apply(&named(n)).await;
    }
    let later = "mutation { broadcast(input: { message: \"Later\", filter: {}, startsAt: \"2099-01-01T00:00:00Z\" }) \
                 { userErrors { message } } }";
    app.graphql(later, json!({})).await;
    let (status, body) = app.post("/api/broadcast", &json!({ "message": "Hello" })).await;
    assert_eq!(status, 200, "{body}");
    // What the database says is told again after half a second.
    app.metric_is("besty_broadcast_queue_messages", 20).await;
    let text = scrape(&app).await;
    let now = series(&text);
    let outcome = |outcome: &str| {
        let name = format!("besty_guest_api_requests_total{{call=\"message\",outcome=\"{outcome}\"}}");
        now.get(&*name).copied()
    };
    assert_eq!((outcome("done"), outcome("not_found")), (Some(19.0), Some(1.0)), "{text}");
    let limited = provider.api.report().limited;
    assert!(limited > 0, "the limit was felt");
    assert!(outcome("limited").is_some_and(|n| n > 0.0), "{text}");
    for (name, value) in [
        ("besty_broadcast_messages_total{result=\"sent\"}", 19.0),
        ("besty_broadcast_messages_total{result=\"failed\"}", 1.0),
        ("besty_broadcasts{status=\"queued\"}", 1.0),
        ("besty_broadcasts{status=\"sending\"}", 0.0),
        ("besty_broadcasts{status=\"suspended\"}", 0.0),
        ("besty_broadcast_queue_messages{status=\"queued\"}", 20.0),
    ] {
        assert_eq!(now.get(name), Some(&value), "{name} in {text}");
    }
    app.stop().await;
}

/// The clock is asked by many; the writer does so in one file only.
async fn a_writer_that_panicked_is_told(db: TestDb) {
    let (armed, provider) = (Arc::new(AtomicBool::new(false)), Provider::quick().await);
    let (trap, system) = (Arc::clone(&armed), Clock::system());
    let clock = Clock::from_fn(move || {
        if trap.load(Ordering::Relaxed) {
            let from = std::backtrace::Backtrace::force_capture().to_string();
            assert!(!from.contains("reservations/attempt.rs"), "a fault in the writer");
        }
        system.now()
    });
    let spool = db.folder().join("spool.db").to_str().unwrap().to_owned();
    let set = HashMap::from([
        ("DATABASE_URL", db.url()),
        ("WEBHOOK_SECRET", SECRET),
        ("GUEST_API_BASE_URL", &provider.url),
        ("SPOOL_PATH", &spool),
    ]);
    let config = Config::from_lookup(|name| set.get(name).map(|value| (*value).to_owned())).unwrap();
    let outside = Outside {
        clock,
        rng: Box::new(StdRng::from_rng(&mut rand::rng())),
        http: app::http_client().unwrap(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = app::start(&config, listener, outside).await.unwrap();
    let (http, base) = (app::http_client().unwrap(), format!("http://{}", running.addr()));
    let get = async |path: &str| answer(http.get(format!("{base}{path}"))).await;
    let send = async |n| {
        let post = http.post(format!("{base}/webhooks")).header("x-webhook-secret", SECRET);
        answer(post.body(named(n).to_string())).await
    };
    assert_eq!(send(1).await, (200, json!({ "ok": true, "result": "applied" })));
    assert_eq!(get("/healthz").await, (200, json!("ok\n")));

    armed.store(true, Ordering::Relaxed);
    assert_eq!(send(1).await, (200, json!({ "ok": true, "result": "queued" })), "it is kept all the same");
    armed.store(false, Ordering::Relaxed);
    let (status, told) = get("/healthz").await;
    // The drain tries what was spooled then, and may have fallen into the same trap.
    assert!(status == 503 && told["error"].as_str().unwrap().contains("writer: ended"), "{told}");
    assert_eq!(get("/readyz").await.0, 503);
    let metrics = get("/metrics").await.1;
    assert!(metrics.as_str().unwrap().contains("\nbesty_alive 0\n"), "{metrics}");
    running.stop().await;
}

async fn requests_have_an_identifier(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    for path in ["/healthz", "/api/reservations", "/graphql", "/nothing", "/metrics"] {
        let request = |id: &'static str| app.http().get(app.url(path)).header("x-request-id", id).send();
        let given = request("caller-7.a:b").await.unwrap();
        assert_eq!(given.headers()["x-request-id"], "caller-7.a:b", "{path}");
        let ours = request("no \"good\"").await.unwrap().headers()["x-request-id"].clone();
        assert!(!ours.to_str().unwrap().contains('"'), "{path}: {ours:?}");
        let other = app.http().get(app.url(path)).send().await.unwrap().headers()["x-request-id"].clone();
        assert_ne!(ours, other, "{path}");
    }
    let refused = app.http().post(app.url("/webhooks")).header("x-request-id", "r1").send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["x-request-id"]),
        (401, &"r1".parse().unwrap())
    );
    app.stop().await;
}

async fn lines_of_the_log_are_json(db: TestDb) {
    let provider = Provider::quick().await;
    let mut command = binary::command(db.folder());
    command
        .envs([("PORT", "0"), ("DATABASE_URL", db.url()), ("WEBHOOK_SECRET", SECRET), ("LOG_FORMAT", "json")])
        .env("GUEST_API_BASE_URL", &provider.url)
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut next = async |message: &str| {
        within(message, async {
            loop {
                let line: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
                for name in ["timestamp", "level", "target", "message"] {
                    assert!(line[name].is_string(), "{name} in {line}");
                }
                if line["message"] == message {
                    return line;
                }
            }
        })
        .await
    };
    let listening = next("listening").await;
    assert_eq!((&listening["level"], listening.get("request_id")), (&json!("INFO"), None));
    let url = format!("http://{}/webhooks", listening["fields"]["address"].as_str().unwrap());
    let http = app::http_client().unwrap();
    let post = |id| http.post(&url).header("x-webhook-secret", SECRET).header("x-request-id", id);
    for id in ["one", "two"] {
        assert_eq!(answer(post(id).body("{}")).await.0, 400);
        let line = next("a webhook was rejected; rejectedWebhooks says why").await;
        assert_eq!((&line["request_id"], &line["level"]), (&json!(id), &json!("WARN")), "{line}");
        assert!(line["fields"]["id"].is_string(), "{line}");
        assert_eq!(line["fields"].get("reason"), None, "it may repeat what is of people");
    }
    child.kill().await.unwrap();
}
