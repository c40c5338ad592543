//! What takes events in behind [`Ingest`], database or not: the spool from the start, the writer and the drain
//! once there is a table to write to.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::log_end;
use crate::{
    clock::Clock,
    config::Config,
    feed::Feed,
    reservations::{
        Availability,
        drain::Drain,
        ingest::{self, Ingest, Writer},
        rejected::Keeper,
        spool::{Spool, SpoolWriter},
    },
    telemetry::Metrics,
    vitals::{Pulse, Vitals},
};

/// Events are taken, and nothing writes them to the table yet.
#[derive(Debug)]
pub(super) struct Intake {
    ingest: Ingest,
    writer: Writer,
    spool: SpoolWriter,
    availability: Availability,
    clock: Clock,
}

/// Events are written to the table.
#[derive(Debug)]
pub(super) struct RunningIntake {
    writer: JoinHandle<()>,
    writer_cancel: CancellationToken,
    drain: JoinHandle<()>,
    drain_cancel: CancellationToken,
    spool: SpoolWriter,
    availability: Availability,
}

impl Intake {
    /// Opens the spool.
    pub(super) async fn open(config: &Config, clock: &Clock, metrics: &Metrics, vitals: &Vitals) -> Self {
        let (spool, spool_writer) = Spool::start(config.spool_path.clone(), config.spool_max_bytes).await;
        vitals.watch("spool", spool_writer.task());
        let (availability, clock) = (Availability::default(), clock.clone());
        let (ingest, writer) = ingest::new(clock.clone(), spool, availability.clone(), metrics.clone());
        Self { ingest, writer, spool: spool_writer, availability, clock }
    }

    /// The way in.
    pub(super) fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// Whether the database is there.
    pub(super) fn availability(&self) -> &Availability {
        &self.availability
    }

    /// Writes from now on, what is in the spool too.
    pub(super) fn run(self, feed: &Feed, rejected: &Arc<Keeper>, vitals: &Vitals) -> RunningIntake {
        let drain = Drain::new(
            self.ingest.spool().clone(),
            self.availability.clone(),
            Arc::clone(rejected),
            feed.clone(),
            self.clock,
        );
        let (writer_cancel, drain_cancel) = (CancellationToken::new(), CancellationToken::new());
        let pulse = Pulse::default();
        let writer = tokio::spawn(self.writer.run(feed.clone(), writer_cancel.clone(), pulse.clone()));
        vitals.watch_pulse("writer", writer.abort_handle(), pulse);
        let drain = tokio::spawn(drain.run(drain_cancel.clone()));
        vitals.watch("drain", drain.abort_handle());
        RunningIntake {
            writer,
            drain,
            writer_cancel,
            drain_cancel,
            spool: self.spool,
            availability: self.availability,
        }
    }

    /// What was accepted is in the spool for the next start.
    pub(super) async fn stop(self) {
        log_end("spool", self.spool.stop().await.map(|()| None));
    }
}

impl RunningIntake {
    /// Whether the database is known to be away.
    pub(super) fn is_database_away(&self) -> bool {
        self.availability.is_away()
    }

    /// What was accepted is written, or kept in the spool for the next start.
    pub(super) async fn stop(self) {
        self.writer_cancel.cancel();
        log_end("writer", self.writer.await.map(|()| None));
        self.drain_cancel.cancel();
        log_end("drain", self.drain.await.map(|()| None));
        log_end("spool", self.spool.stop().await.map(|()| None));
    }
}
