//! Spans over OTLP: what a small collector gets from a real server.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use besty::sandbox::GuestApiSettings;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message as _;
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{
    TestDb,
    app::{Provider, SECRET, answer},
    binary::Server,
    events::named,
    on_both,
    sse::Sse,
    within,
};

on_both!(
    a_webhook_is_followed_to_its_delivery,
    a_broadcast_is_followed_to_the_guest_api,
    what_the_caller_does_not_sample_is_not_sent,
);

/// Takes spans, as a collector does; and messages, as the Guest API does.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    services: Arc<Mutex<Vec<String>>>,
    traceparents: Arc<Mutex<Vec<String>>>,
    url: String,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self { url, ..Self::default() };
        let routes = Router::new()
            .route("/v1/traces", post(take))
            .route("/guests/{guest}/messages", post(message))
            .with_state(collector.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        collector
    }

    /// The first span of a name that fits, once it is there.
    async fn span(&self, name: &str, fits: impl Fn(&Span) -> bool) -> Span {
        within(name, async {
            loop {
                let found =
                    self.spans.lock().unwrap().iter().find(|span| span.name == name && fits(span)).cloned();
                match found {
                    Some(span) => return span,
                    None => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
                }
            }
        })
        .await
    }
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for resource in request.resource_spans {
        collector.services.lock().unwrap().push(format!("{:?}", resource.resource));
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        collector.spans.lock().unwrap().extend(spans);
    }
}

async fn message(State(collector): State<Collector>, headers: HeaderMap) {
    let traceparent = headers.get("traceparent").map(|value| value.to_str().unwrap().to_owned());
    collector.traceparents.lock().unwrap().push(traceparent.unwrap_or_default());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// A caller's trace, span, and the header that tells of them.
fn caller(n: u8, flags: &str) -> (String, String, String) {
    let (trace, span) = (hex(&[n; 16]), hex(&[n; 8]));
    let header = format!("00-{trace}-{span}-{flags}");
    (trace, span, header)
}

async fn server(db: &TestDb, guest_api: &str, collector: &Collector) -> Server {
    let set = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    Server::start(db, guest_api, &set).await
}

async fn a_webhook_is_followed_to_its_delivery(db: TestDb) {
    let (provider, collector) = (Provider::quick().await, Collector::start().await);
    let server = server(&db, &provider.url, &collector).await;
    let http = besty::app::http_client().unwrap();
    let query = json!({ "query": "subscription { reservationChanged { cursor } }" });
    let mut watcher = Sse::post(&http, format!("{}/graphql", server.url), &query, None).await;
    watcher.text_until(":\n\n").await;
    let (trace, span, traceparent) = caller(7, "01");
    let request = http.post(format!("{}/webhooks", server.url)).header("traceparent", &traceparent);
    let request = request.header("x-webhook-secret", SECRET).body(named(1).to_string());
    assert_eq!(answer(request).await.1["result"], "applied");
    watcher.next().await;

    let of_caller = |found: &Span| hex(&found.trace_id) == trace;
    let webhook = collector.span("POST /webhooks", of_caller).await;
    assert_eq!((hex(&webhook.parent_span_id), webhook.kind), (span, SpanKind::Server as i32));
    assert!(format!("{:?}", webhook.attributes).contains("IntValue(200)"), "{webhook:?}");
    let batch = collector.span("ingest batch", of_caller).await;
    assert_eq!(batch.parent_span_id, webhook.span_id);
    let links: Vec<_> = batch.links.iter().map(|link| (&link.trace_id, &link.span_id)).collect();
    assert_eq!(links, [(&webhook.trace_id, &webhook.span_id)]);
    let read = collector.span("feed read", of_caller).await;
    assert_eq!(read.parent_span_id, batch.span_id);
    let delivery = collector.span("feed delivery", of_caller).await;
    assert_eq!(delivery.parent_span_id, read.span_id);
    assert!(delivery.start_time_unix_nano < delivery.end_time_unix_nano, "from the change on");
    no_personal_data(&collector);
    assert!(collector.services.lock().unwrap()[0].contains("besty"));
    server.stop().await;
}

async fn a_broadcast_is_followed_to_the_guest_api(db: TestDb) {
    let collector = Collector::start().await;
    let server = server(&db, &collector.url, &collector).await;
    let http = besty::app::http_client().unwrap();
    for n in 1..=2 {
        let request = http.post(format!("{}/webhooks", server.url)).header("x-webhook-secret", SECRET);
        assert_eq!(answer(request.body(named(n).to_string())).await.1["result"], "applied");
    }
    let (trace, _, traceparent) = caller(9, "01");
    let mutation =
        "mutation { broadcast(input: { message: \"Secret words\", filter: {} }) { recipientCount } }";
    let request = http.post(format!("{}/graphql", server.url)).header("traceparent", &traceparent);
    let told = answer(request.json(&json!({ "query": mutation }))).await.1;
    assert_eq!(told["data"]["broadcast"]["recipientCount"], 2, "{told}");

    let of_caller = |found: &Span| hex(&found.trace_id) == trace;
    let request = collector.span("POST /graphql", of_caller).await;
    let start = collector.span("broadcast start", of_caller).await;
    assert_eq!(start.parent_span_id, request.span_id);
    within("both messages", async {
        while collector.traceparents.lock().unwrap().len() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let traceparents = collector.traceparents.lock().unwrap().clone();
    for traceparent in traceparents {
        let is_that = |found: &Span| traceparent == format!("00-{trace}-{}-01", hex(&found.span_id));
        let sent = collector.span("message send", is_that).await;
        assert_eq!((&sent.parent_span_id, sent.kind), (&start.span_id, SpanKind::Client as i32));
        assert!(format!("{:?}", sent.attributes).contains("done"), "{sent:?}");
    }
    no_personal_data(&collector);
    server.stop().await;
}

async fn what_the_caller_does_not_sample_is_not_sent(db: TestDb) {
    let (provider, collector) =
        (Provider::start(GuestApiSettings::default()).await, Collector::start().await);
    let server = server(&db, &provider.url, &collector).await;
    let http = besty::app::http_client().unwrap();
    for (n, flags) in [(1, "00"), (2, "01")] {
        let (.., traceparent) = caller(n, flags);
        let request = http.post(format!("{}/webhooks", server.url)).header("traceparent", &traceparent);
        let request = request.header("x-webhook-secret", SECRET).body(named(n.into()).to_string());
        assert_eq!(answer(request).await.1["result"], "applied");
    }
    // What is sent is sent in order, and a stop sends what is left.
    server.stop().await;
    let spans = collector.spans.lock().unwrap();
    assert!(spans.iter().any(|span| span.trace_id == [2; 16] && span.name == "ingest batch"));
    assert!(!spans.iter().any(|span| span.trace_id == [1; 16]), "{spans:?}");
}

/// Neither of guests nor of what was said to them, nor of secrets.
fn no_personal_data(collector: &Collector) {
    let all = format!("{:?}", collector.spans.lock().unwrap());
    for word in ["Ada", "Lovelace", "example.com", "guest_0", "res_0", "wh_res", "Secret words", SECRET] {
        assert!(!all.contains(word), "{word} in {all}");
    }
}
