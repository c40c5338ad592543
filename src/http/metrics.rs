//! `GET /metrics`: what was counted, and what is read for it here.
//!
//! The database is asked a few short questions, and no longer than a second; what it does not answer stays as it
//! was told last. Answers are kept for a moment, so that it costs the database no more however many ask.

use std::time::Duration;

use axum::{extract::State, http::header, response::IntoResponse};
use chrono::{DateTime, Utc};
use sea_orm::{DbBackend, DbErr};
use tokio::{sync::Mutex, time::Instant};

use super::{HttpState, Reception, health};
use crate::{
    broadcast::{BroadcastStatus, store},
    graphql::live::Counts,
    guest_api::registration,
    telemetry::metrics::{BroadcastReading, Readings, RegistrationReading},
};

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// For how long an answer is good.
const FRESH: Duration = Duration::from_millis(500);

/// What the database said last.
#[derive(Debug, Default)]
pub(super) struct Sampled(Mutex<Sample>);

/// What the database says.
#[derive(Clone, Debug, Default)]
struct Sample {
    asked_at: Option<Instant>,
    is_up: bool,
    /// How long a connection was waited for.
    acquire: Duration,
    log_head: i64,
    broadcasts: Vec<(BroadcastStatus, i64, i64)>,
    registration: Option<registration::Status>,
}

/// `GET /metrics`, for Prometheus.
pub(super) async fn metrics(State(state): State<Reception>) -> impl IntoResponse {
    let sample = state.sampled().0.lock().await.renewed(&state).await;
    let text = state.metrics.render(&readings(&state, &sample));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

impl Sample {
    /// Asked again, if that was not just now.
    async fn renewed(&mut self, state: &Reception) -> Self {
        if self.asked_at.is_some_and(|at| at.elapsed() < FRESH) {
            return self.clone();
        }
        let started = Instant::now();
        self.asked_at = Some(started);
        self.is_up = false;
        if state.ingest.is_database_away() {
            return self.clone();
        }
        match tokio::time::timeout(PATIENCE, self.ask(state)).await {
            Ok(Ok(())) => self.is_up = true,
            Ok(Err(error)) => tracing::debug!(%error, "the database does not answer a scrape"),
            // Where it was that it took so long is not known; nobody got a connection any sooner.
            Err(_) => self.acquire = self.acquire.max(started.elapsed()),
        }
        self.clone()
    }

    async fn ask(&mut self, state: &Reception) -> Result<(), DbErr> {
        self.acquire = Duration::ZERO;
        self.acquire = state.db.wait().await?;
        // Before the migrations are done there is nothing to be asked.
        let Some(behind) = state.state() else {
            return state.db.pool().ping().await;
        };
        self.log_head = behind.services.hub.feed().head().await?;
        self.broadcasts = store::not_done(&state.db).await?;
        self.registration = state.registration.status().await?;
        Ok(())
    }
}

/// Everything but what was counted. The hub's head is read after the log's, so that no lag is told that never was.
fn readings(state: &Reception, sample: &Sample) -> Readings {
    let (spool, behind) = (state.ingest.spool(), state.state());
    let usage = *spool.usage().borrow();
    let counts = behind.map(|behind| behind.live.counts());
    Readings {
        version: env!("BESTY_VERSION"),
        database: if state.db.backend() == DbBackend::Sqlite { "sqlite" } else { "postgres" },
        is_alive: health::failing(state).is_none(),
        is_ready: health::judge(state, sample.is_up).is_ok(),
        is_database_up: sample.is_up,
        queued: state.ingest.waiting(),
        spool_waiting: usage.webhooks(),
        spool_in_use: usage.webhooks() > 0 || state.ingest.is_database_away(),
        spool_bytes: (usage.bytes, spool.max_bytes()),
        spool_refused: spool.refused(),
        spool_set_aside: spool.set_aside(),
        failures_in_a_row: state.registration.deliveries().failures_in_a_row(),
        last_webhook: seconds(state.registration.deliveries().last_event_at()),
        heads: (sample.log_head, behind.map_or(sample.log_head, |behind| behind.services.hub.head())),
        executions: counts.map_or(0, Counts::executions),
        watchers: counts.map_or(0, Counts::watchers),
        connections: (state.connections.open(), state.connections.max()),
        connections_refused: state.connections.refused(),
        sockets: state.sockets.open(),
        sockets_max: state.sockets.limits().sockets,
        door: behind.map(|behind: &HttpState| behind.door.reading()).unwrap_or_default(),
        broadcasts: OPEN.map(|status| of_status(status, &sample.broadcasts)).to_vec(),
        registration: RegistrationReading {
            is_wanted: sample.registration.as_ref().is_some_and(|status| status.is_wanted),
            is_registered: sample.registration.as_ref().is_some_and(|status| status.is_registered),
            checked_at: seconds(sample.registration.as_ref().and_then(|status| status.checked_at)),
            gaps: state.registration.gaps_found(),
        },
        pools: state.db.pools(),
        acquire: sample.acquire.as_secs_f64(),
    }
}

/// Every status that a broadcast may have before it is done. A cancelled one may have messages under way.
const OPEN: [BroadcastStatus; 5] = [
    BroadcastStatus::Queued,
    BroadcastStatus::Sending,
    BroadcastStatus::Paused,
    BroadcastStatus::Suspended,
    BroadcastStatus::Cancelled,
];

/// 0 is told too, or the last number would stand for ever.
fn of_status(status: BroadcastStatus, found: &[(BroadcastStatus, i64, i64)]) -> BroadcastReading {
    let found = found.iter().find(|(other, ..)| *other == status);
    let (broadcasts, messages) = found.map_or((0, 0), |(_, broadcasts, messages)| (*broadcasts, *messages));
    BroadcastReading { status: status.as_str(), broadcasts, messages }
}

fn seconds(at: Option<DateTime<Utc>>) -> f64 {
    at.map_or(0.0, |at| at.signed_duration_since(DateTime::UNIX_EPOCH).as_seconds_f64())
}
