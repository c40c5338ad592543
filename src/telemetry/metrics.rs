//! What is measured, told in Prometheus' text form.
//!
//! Each app has a recorder of its own and keeps the handles it made, so several apps in one process do
//! not count together, and counting costs no look-up.

use std::{fmt, sync::Arc, time::Duration};

use ::metrics::{Counter, Gauge, Histogram, with_local_recorder};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

const WEBHOOKS: &str = "besty_webhooks_total";
const BATCH_EVENTS: &str = "besty_ingest_batch_events";
const SECONDS: &str = "besty_ingest_seconds";
const WAITING: &str = "besty_spool_waiting";
const IN_USE: &str = "besty_spool_in_use";
const SET_ASIDE: &str = "besty_spool_set_aside_total";
const FAILURES: &str = "besty_webhook_failures_in_a_row";
const EXECUTIONS: &str = "besty_feed_executions";
const WATCHERS: &str = "besty_feed_watchers";
const SOCKETS: &str = "besty_sockets";
const GAPS: &str = "besty_registration_gaps_total";

/// How often samples are put into their buckets when nobody asks for them.
const UPKEEP: Duration = Duration::from_secs(5);

/// What the app measures; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    /// From arrival to answer, of events that were to be applied.
    pub ingest_seconds: Histogram,
    /// Events a transaction of the writer.
    pub ingest_batch_events: Histogram,
    spool_waiting: Gauge,
    spool_in_use: Gauge,
    spool_set_aside: Counter,
    failures_in_a_row: Gauge,
    registration_gaps: Counter,
    live: Live,
}

#[derive(Clone)]
struct Live {
    executions: Gauge,
    watchers: Gauge,
    sockets: Gauge,
}

impl Live {
    fn new() -> Self {
        ::metrics::describe_gauge!(
            EXECUTIONS,
            "Executions of subscriptions, each shared by who watches the same"
        );
        ::metrics::describe_gauge!(WATCHERS, "GraphQL operations that are watched");
        ::metrics::describe_gauge!(SOCKETS, "Live connections: WebSockets and event streams");
        Self {
            executions: ::metrics::gauge!(EXECUTIONS),
            watchers: ::metrics::gauge!(WATCHERS),
            sockets: ::metrics::gauge!(SOCKETS),
        }
    }

    fn set(&self, readings: Readings) {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        self.executions.set(number(readings.executions));
        self.watchers.set(number(readings.watchers));
        self.sockets.set(number(readings.sockets));
    }
}

/// What is read when somebody asks, instead of being counted as it happens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readings {
    /// Events that wait in the spool.
    pub spool_waiting: u64,
    /// Whether the database is away or events wait.
    pub spool_in_use: bool,
    /// Damaged spool files that this process set aside.
    pub spool_set_aside: u64,
    /// Webhooks answered otherwise than 200 since the last 200.
    pub failures_in_a_row: u32,
    /// Times this process found that the provider had dropped our webhook URL.
    pub registration_gaps: u64,
    /// Executions of subscriptions that run.
    pub executions: usize,
    /// GraphQL operations that are watched.
    pub watchers: usize,
    /// WebSockets and event streams.
    pub sockets: usize,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Result<Self, BuildError> {
        let batch = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
        let seconds = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0];
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(BATCH_EVENTS.to_owned()), &batch)?
            .set_buckets_for_metric(Matcher::Full(SECONDS.to_owned()), &seconds)?
            .build_recorder();
        let handle = recorder.handle();
        Ok(with_local_recorder(&recorder, || {
            ::metrics::describe_counter!(WEBHOOKS, "Webhooks answered, by result");
            ::metrics::describe_histogram!(BATCH_EVENTS, "Events a transaction of the writer");
            ::metrics::describe_histogram!(SECONDS, "From the arrival of an event to its answer");
            ::metrics::describe_gauge!(WAITING, "Events in the spool that wait to be applied");
            ::metrics::describe_gauge!(FAILURES, "Webhooks answered otherwise than 200 since the last 200");
            ::metrics::describe_counter!(GAPS, "Times the Guest API had dropped the webhook URL");
            ::metrics::describe_gauge!(IN_USE, "1 while the database is away or events wait in the spool");
            ::metrics::describe_counter!(SET_ASIDE, "Spool files that were damaged and set aside");
            (
                ::metrics::histogram!(SECONDS),
                ::metrics::histogram!(BATCH_EVENTS),
                ::metrics::gauge!(WAITING),
                (::metrics::gauge!(IN_USE), ::metrics::counter!(SET_ASIDE)),
                (::metrics::gauge!(FAILURES), ::metrics::counter!(GAPS)),
                Live::new(),
            )
        }))
        .map(
            |(ingest_seconds, ingest_batch_events, spool_waiting, spool_in_use, registration, live)| Self {
                recorder: Arc::new(recorder),
                handle,
                ingest_seconds,
                ingest_batch_events,
                spool_waiting,
                spool_in_use: spool_in_use.0,
                spool_set_aside: spool_in_use.1,
                failures_in_a_row: registration.0,
                registration_gaps: registration.1,
                live,
            },
        )
    }

    /// How many webhooks had this result.
    pub fn webhooks(&self, result: &'static str) -> Counter {
        with_local_recorder(&*self.recorder, || ::metrics::counter!(WEBHOOKS, "result" => result))
    }

    /// Everything, as text.
    #[must_use]
    pub fn render(&self, readings: Readings) -> String {
        self.spool_waiting.set(u32::try_from(readings.spool_waiting).unwrap_or(u32::MAX));
        self.spool_in_use.set(u8::from(readings.spool_in_use));
        self.spool_set_aside.absolute(readings.spool_set_aside);
        self.failures_in_a_row.set(readings.failures_in_a_row);
        self.registration_gaps.absolute(readings.registration_gaps);
        self.live.set(readings);
        self.handle.render()
    }

    /// Keeps samples from piling up, until dropped.
    pub async fn upkeep(self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.handle.run_upkeep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_apps_do_not_count_together() {
        let (one, other) = (Metrics::new().unwrap(), Metrics::new().unwrap());
        one.webhooks("applied").increment(2);
        one.ingest_batch_events.record(3);
        one.ingest_seconds.record(0.004);
        let readings = Readings {
            spool_waiting: 7,
            spool_in_use: true,
            spool_set_aside: 4,
            failures_in_a_row: 2,
            registration_gaps: 1,
            executions: 3,
            watchers: 9,
            sockets: 8,
        };
        let told = one.render(readings);
        for line in [
            "besty_webhooks_total{result=\"applied\"} 2",
            "besty_ingest_batch_events_bucket{le=\"4\"} 1",
            "besty_ingest_seconds_bucket{le=\"0.005\"} 1",
            "besty_spool_waiting 7",
            "besty_spool_in_use 1",
            "besty_spool_set_aside_total 4",
            "besty_webhook_failures_in_a_row 2",
            "besty_registration_gaps_total 1",
            "besty_feed_executions 3",
            "besty_feed_watchers 9",
            "besty_sockets 8",
        ] {
            assert!(told.contains(line), "{line} in {told}");
        }
        assert!(!other.render(Readings::default()).contains("result="));
    }
}
