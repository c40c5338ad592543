//! Spans, sent over OTLP (HTTP, protobuf) from a webhook to its delivery and from a broadcast's start to its
//! messages. Configured by OpenTelemetry's own variables, and off without an endpoint: then each function here is
//! one look at a flag.
//!
//! ```text
//! POST /webhooks            the caller's `traceparent`, if it sent one, is the parent
//!   ingest batch            child of the first sampled request in it, linked to all of them
//!     feed read             by the reader of the change log in the same process
//!       feed delivery       to the watchers of one group, one span a group
//!
//! POST /graphql
//!   broadcast start
//!     message send          `traceparent` goes to the Guest API
//! ```
//!
//! What ties a batch to the read of its changes, and a broadcast to its messages, is kept in memory: another
//! process, or this one after a restart, begins a trace of its own. Attributes are methods, routes, counts and
//! outcomes; never an identifier of a guest, a body or an address.

mod exporter;

use std::{
    collections::VecDeque,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, Method, StatusCode};
use chrono::{DateTime, Utc};
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator as _,
    trace::{
        FutureExt as _, Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
    },
};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider},
};
use uuid::Uuid;

/// Batches and broadcasts that are remembered: those of a moment, and those that are being sent.
const REMEMBERED: usize = 1_024;
/// How long a stop waits for the last spans to be sent.
const FLUSH: Duration = Duration::from_secs(3);
/// Routes that a span may name. Whatever else is asked for may hold anything.
const ROUTES: [&str; 13] = [
    "/webhooks",
    "/graphql",
    "/api/reservations",
    "/api/events",
    "/api/broadcast",
    "/api/webhooks/register",
    "/api/health",
    "/healthz",
    "/readyz",
    "/metrics",
    "/",
    "/playground",
    "/events",
];

static TRACES: OnceLock<Traces> = OnceLock::new();

struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// By the instant of the changes, which is the same for all of a batch.
    changes: Remembered<DateTime<Utc>>,
    broadcasts: Remembered<Uuid>,
}

/// The place of a span in its trace.
pub type Mark = SpanContext;

/// A span under way; ends with its last clone.
pub type Span = Context;

/// Begins to trace, if `variable` names an endpoint. To be called in a runtime, which sends the spans.
pub fn start(variable: impl Fn(&'static str) -> Option<String>, http: reqwest::Client) -> anyhow::Result<()> {
    let Some(provider) = exporter::provider(variable, http)? else { return Ok(()) };
    let tracer = opentelemetry::trace::TracerProvider::tracer(&provider, "besty");
    let (changes, broadcasts) = (Remembered::default(), Remembered::default());
    // One a process, as with the log.
    let _ = TRACES.set(Traces { provider, tracer, changes, broadcasts });
    Ok(())
}

/// Sends what is left.
pub async fn stop() {
    let Some(traces) = TRACES.get() else { return };
    let shutdown = tokio::task::spawn_blocking(|| traces.provider.shutdown_with_timeout(FLUSH));
    match shutdown.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the last spans were not sent"),
        Err(error) => tracing::warn!(%error, "the last spans were not sent"),
    }
}

/// Runs work in a span.
pub async fn within<F: Future>(span: Option<Span>, work: F) -> F::Output {
    match span {
        Some(span) => work.with_context(span).await,
        None => work.await,
    }
}

/// The span that is being worked in, to go on in from another task.
#[must_use]
pub fn current() -> Option<Span> {
    TRACES.get().map(|_| Context::current())
}

/// A request comes in.
#[must_use]
pub fn request(method: &Method, path: &str, headers: &HeaderMap) -> Option<Span> {
    let traces = TRACES.get()?;
    let parent =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
    let route = ROUTES.into_iter().find(|route| *route == path).unwrap_or("other");
    let method = method_name(method);
    let attributes = [KeyValue::new("http.request.method", method), KeyValue::new("http.route", route)];
    let builder = SpanBuilder::from_name(format!("{method} {route}"));
    Some(traces.begin(builder.with_kind(SpanKind::Server).with_attributes(attributes), &parent))
}

/// A method may be any word.
fn method_name(method: &Method) -> &'static str {
    [("GET", Method::GET), ("POST", Method::POST), ("HEAD", Method::HEAD), ("OPTIONS", Method::OPTIONS)]
        .into_iter()
        .find_map(|(name, known)| (known == *method).then_some(name))
        .unwrap_or("_OTHER")
}

/// It was answered.
pub fn answered(span: &Span, status: StatusCode) {
    let span = span.span();
    span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    if status.is_server_error() {
        span.set_status(Status::error(""));
    }
    span.end();
}

/// The span that is being worked in, if it is sampled.
#[must_use]
pub fn mark() -> Option<Mark> {
    TRACES.get()?;
    let context = Context::current();
    let mark = context.span().span_context().clone();
    (mark.is_valid() && mark.is_sampled()).then_some(mark)
}

/// A transaction of the writer, of the requests that have a mark.
#[must_use]
pub fn batch(events: usize, marks: impl IntoIterator<Item = Mark>) -> Option<Span> {
    let traces = TRACES.get()?;
    let marks: Vec<_> = marks.into_iter().collect();
    let parent = Context::new().with_remote_span_context(marks.first()?.clone());
    let links = marks.into_iter().map(Link::with_context).collect();
    let events = i64::try_from(events).unwrap_or(i64::MAX);
    let builder = SpanBuilder::from_name("ingest batch").with_links(links);
    Some(traces.begin(builder.with_attributes([KeyValue::new("besty.batch.events", events)]), &parent))
}

/// The batch that is being worked in is about to commit changes of an instant.
pub fn committing(changed_at: DateTime<Utc>) {
    if let (Some(traces), Some(mark)) = (TRACES.get(), mark()) {
        traces.changes.put(changed_at, mark);
    }
}

/// The changes of these instants, in order, were read from the log.
pub fn read(changed_at: impl Iterator<Item = DateTime<Utc>>) {
    let Some(traces) = TRACES.get() else { return };
    let mut last = None;
    for changed_at in changed_at.filter(|at| last.replace(*at) != Some(*at)) {
        if let Some(span) = traces.of_change("feed read", changed_at) {
            traces.changes.put(changed_at, span.span().span_context().clone());
        }
    }
}

/// A change of an instant was given to the watchers of a group.
pub fn delivered(changed_at: DateTime<Utc>) {
    if let Some(traces) = TRACES.get() {
        drop(traces.of_change("feed delivery", changed_at));
    }
}

/// A broadcast is being stored.
#[must_use]
pub fn broadcast() -> Option<Span> {
    Some(TRACES.get()?.begin(SpanBuilder::from_name("broadcast start"), &Context::current()))
}

/// It was, in the span that is being worked in.
pub fn broadcast_started(id: Uuid) {
    if let (Some(traces), Some(mark)) = (TRACES.get(), mark()) {
        traces.broadcasts.put(id, mark);
    }
}

/// A message of a broadcast is about to be sent.
#[must_use]
pub fn message(broadcast: Uuid) -> Option<Span> {
    let traces = TRACES.get()?;
    let parent = match traces.broadcasts.get(&broadcast) {
        Some(mark) => Context::new().with_remote_span_context(mark),
        None => Context::new(),
    };
    let attributes = [KeyValue::new("besty.broadcast.id", broadcast.to_string())];
    let builder = SpanBuilder::from_name("message send").with_kind(SpanKind::Client);
    Some(traces.begin(builder.with_attributes(attributes), &parent))
}

/// What came of what is being done.
pub fn outcome(name: &'static str) {
    if TRACES.get().is_some() {
        Context::current().span().set_attribute(KeyValue::new("besty.outcome", name));
    }
}

/// `traceparent` for whoever is called from the span that is being worked in.
#[must_use]
pub fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    if TRACES.get().is_some() {
        TraceContextPropagator::new().inject_context(&Context::current(), &mut HeaderInjector(&mut headers));
    }
    headers
}

impl Traces {
    fn begin(&self, span: SpanBuilder, parent: &Context) -> Span {
        let span = self.tracer.build_with_context(span, parent);
        parent.with_span(span)
    }

    /// A span from the instant of a change until now, if its batch is known.
    fn of_change(&self, name: &'static str, changed_at: DateTime<Utc>) -> Option<Span> {
        let parent = Context::new().with_remote_span_context(self.changes.get(&changed_at)?);
        Some(self.begin(SpanBuilder::from_name(name).with_start_time(changed_at), &parent))
    }
}

/// What is known of late, the newest at the end.
struct Remembered<K>(Mutex<VecDeque<(K, Mark)>>);

impl<K> Default for Remembered<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq> Remembered<K> {
    fn put(&self, key: K, mark: Mark) {
        let mut known = self.lock();
        if let Some(there) = known.iter_mut().rev().find(|(other, _)| *other == key) {
            there.1 = mark;
            return;
        }
        if known.len() == REMEMBERED {
            known.pop_front();
        }
        known.push_back((key, mark));
    }

    fn get(&self, key: &K) -> Option<Mark> {
        self.lock().iter().rev().find(|(other, _)| other == key).map(|(_, mark)| mark.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(K, Mark)>> {
        // Nothing panics while it is half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
