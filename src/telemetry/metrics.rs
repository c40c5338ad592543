//! What is measured, told in Prometheus' text form.
//!
//! Each app has a recorder of its own and keeps the handles it made, so several apps in one process do
//! not count together, and counting costs no look-up. What is there to be read (how full, how many) is not
//! counted as it happens but [read](Readings) when somebody asks.

mod meters;
mod names;
mod process;
mod readings;

use std::{fmt, sync::Arc, time::Duration};

use ::metrics::{Counter, Histogram, with_local_recorder};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

pub use self::{
    meters::{Deliveries, Messages, Requests},
    readings::{BroadcastReading, DoorReading, PoolReading, Readings, RegistrationReading},
};

/// How often samples are put into their buckets when nobody asks for them.
const UPKEEP: Duration = Duration::from_secs(5);

/// What a webhook can come to.
const RESULTS: [&str; 9] = [
    "applied",
    "stale",
    "duplicate",
    "ignored",
    "queued",
    "rejected",
    "unauthorized",
    "unavailable",
    "unread",
];

const EVENTS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
const SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0];

/// What the app measures; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    webhooks: [Counter; RESULTS.len()],
    ingest_seconds: Histogram,
    ingest_batch_events: Histogram,
    ingest_batch_seconds: Histogram,
    deliveries: Deliveries,
    requests: Requests,
    messages: Messages,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Nothing counted yet. What there is to be counted begins at 0, so that the first one is seen as a rise.
    pub fn new() -> Result<Self, BuildError> {
        let seconds =
            [names::INGEST_SECONDS, names::BATCH_SECONDS, names::DELIVERY_SECONDS, names::REQUEST_SECONDS];
        let mut builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(names::BATCH_EVENTS.to_owned()), &EVENTS)?;
        for name in seconds {
            builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &SECONDS)?;
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let inner = with_local_recorder(&recorder, || {
            describe();
            (
                RESULTS.map(|result| ::metrics::counter!(names::WEBHOOKS, "result" => result)),
                [names::INGEST_SECONDS, names::BATCH_EVENTS, names::BATCH_SECONDS]
                    .map(|name| ::metrics::histogram!(name)),
                (Deliveries::new(), Requests::new(), Messages::new()),
            )
        });
        let (
            webhooks,
            [ingest_seconds, ingest_batch_events, ingest_batch_seconds],
            (deliveries, requests, messages),
        ) = inner;
        Ok(Self(Arc::new(Inner {
            recorder,
            handle,
            webhooks,
            ingest_seconds,
            ingest_batch_events,
            ingest_batch_seconds,
            deliveries,
            requests,
            messages,
        })))
    }

    /// A webhook had this result, one of those that are known.
    pub fn webhook(&self, result: &str) {
        if let Some(result) = meters::place(&RESULTS, result) {
            self.0.webhooks[result].increment(1);
        }
    }

    /// An event that was to be applied had its answer after so long.
    pub fn ingested(&self, took: Duration) {
        self.0.ingest_seconds.record(took);
    }

    /// The writer did a batch of so many events in so long.
    pub fn batch(&self, events: usize, took: Duration) {
        self.0.ingest_batch_events.record(u32::try_from(events).unwrap_or(u32::MAX));
        self.0.ingest_batch_seconds.record(took);
    }

    /// For those who give changes to watchers.
    #[must_use]
    pub fn deliveries(&self) -> &Deliveries {
        &self.0.deliveries
    }

    /// For those who call the Guest API.
    #[must_use]
    pub fn requests(&self) -> &Requests {
        &self.0.requests
    }

    /// For the sender.
    #[must_use]
    pub fn messages(&self) -> &Messages {
        &self.0.messages
    }

    /// Everything, as text.
    #[must_use]
    pub fn render(&self, readings: &Readings) -> String {
        with_local_recorder(&self.0.recorder, || readings.set());
        let mut text = self.0.handle.render();
        text.push_str(&process::render());
        text
    }

    /// Keeps samples from piling up, until dropped.
    pub async fn upkeep(self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.0.handle.run_upkeep();
        }
    }
}

fn describe() {
    for (kind, name, help) in names::ALL.iter().copied() {
        match kind {
            names::Kind::Counter => ::metrics::describe_counter!(name, help),
            names::Kind::Gauge => ::metrics::describe_gauge!(name, help),
            names::Kind::Histogram => ::metrics::describe_histogram!(name, help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_apps_do_not_count_together() {
        let (one, other) = (Metrics::new().unwrap(), Metrics::new().unwrap());
        one.webhook("applied");
        one.webhook("applied");
        one.batch(3, Duration::from_millis(3));
        one.ingested(Duration::from_millis(4));
        let readings = Readings { spool_waiting: 7, failures_in_a_row: 2, ..Readings::default() };
        let told = one.render(&readings);
        for line in [
            "besty_webhooks_total{result=\"applied\"} 2",
            "besty_webhooks_total{result=\"unavailable\"} 0",
            "besty_ingest_batch_events_bucket{le=\"4\"} 1",
            "besty_ingest_seconds_bucket{le=\"0.005\"} 1",
            "besty_spool_waiting 7",
            "besty_webhook_failures_in_a_row 2",
        ] {
            assert!(told.contains(line), "{line} in {told}");
        }
        assert!(other.render(&Readings::default()).contains("besty_webhooks_total{result=\"applied\"} 0"));
    }

    #[test]
    fn everything_that_has_a_name_is_told_with_its_help() {
        let told = Metrics::new().unwrap().render(&Readings::example());
        for (kind, name, help) in names::ALL {
            let kind = format!("{kind:?}").to_lowercase();
            assert!(
                told.contains(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name}")),
                "{name} in {told}"
            );
        }
    }
}
