//! The writer: queue -> batch -> one transaction -> an answer for each.
//!
//! The writer takes what queued while its last commit ran, so that a batch is as large as the load makes it
//! and an idle server answers at once. Nobody is told "applied" before the commit. There is one: a second would
//! prepare its batch while the first one's commits, and both would have half as much in theirs, which costs more
//! than it gains. Other processes have writers too; that they may get in each other's way is
//! [`super::optimistic`]'s to deal with.
//!
//! What can't be written now is kept in the spool, and answered once it is on disk there: while the
//! database is known to be away at once, else when the writer finds out, or when the deadline of a
//! request has passed. An event whose deadline passed in the queue may be both spooled and applied:
//! the order makes the second time a duplicate.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    ReservationEvent,
    attempt::{Availability, Fate, Table},
    batch::Applied,
    spool::{Spool, SpoolError},
};
use crate::{
    clock::Clock,
    feed::Feed,
    telemetry::{
        Metrics,
        traces::{self, Mark},
    },
    vitals::Pulse,
};

/// Events a transaction.
const BATCH: usize = 256;
/// Events that may wait.
const QUEUE: usize = 4_096;
/// How long a request waits for the database; the source drops slow receivers.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long a transaction may take. Shorter than the deadline, so that the writer tells requests that
/// the database is away before they have to find out one by one.
const LIMIT: Duration = Duration::from_millis(1_500);
/// How long the spool may take to keep an event.
const KEEP: Duration = Duration::from_secs(2);

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in the table, or was outrun.
    Written(Applied),
    /// It is in the spool, and will be applied.
    Queued,
}

/// Why an event was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IngestError {
    /// The database does not take what no check caught. Sent again, it is refused again.
    #[error("reservation: the database does not take one of the values")]
    Refused,
    /// Neither the database nor the spool takes it now.
    #[error("neither the database nor the spool is available")]
    Unavailable,
}

/// The way in; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingest {
    queue: mpsc::Sender<Job>,
    spool: Spool,
    availability: Availability,
    clock: Clock,
    metrics: Metrics,
}

/// The writing end of a queue.
#[derive(Debug)]
pub struct Writer {
    queue: mpsc::Receiver<Job>,
    spool: Spool,
    availability: Availability,
    clock: Clock,
    metrics: Metrics,
}

#[derive(Debug)]
struct Job {
    event: Arc<ReservationEvent>,
    answer: Answer,
    mark: Option<Mark>,
}

type Answer = oneshot::Sender<Result<Taken, IngestError>>;

/// A queue, and its writer. Until that runs, all that is taken waits, unless the database is known to be away.
#[must_use]
pub fn new(clock: Clock, spool: Spool, availability: Availability, metrics: Metrics) -> (Ingest, Writer) {
    let (way_in, queue) = mpsc::channel(QUEUE);
    let writer = Writer {
        queue,
        spool: spool.clone(),
        availability: availability.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
    };
    (Ingest { queue: way_in, spool, availability, clock, metrics }, writer)
}

impl Ingest {
    /// Takes an event; answers when it is safe. An event without a timestamp is stamped now.
    pub async fn apply(&self, mut event: Box<ReservationEvent>) -> Result<Taken, IngestError> {
        let started = Instant::now();
        event.timestamp.get_or_insert_with(|| self.clock.now());
        let taken = self.take(Arc::from(event)).await;
        self.metrics.ingested(started.elapsed());
        taken
    }

    async fn take(&self, event: Arc<ReservationEvent>) -> Result<Taken, IngestError> {
        if self.availability.is_away() {
            return Box::pin(keep(&self.spool, &event)).await;
        }
        let (answer, result) = oneshot::channel();
        let job = Job { event: Arc::clone(&event), answer, mark: traces::mark() };
        let written = async {
            self.queue.send(job).await.ok()?;
            result.await.ok()
        };
        match tokio::time::timeout(DEADLINE, written).await {
            Ok(Some(result)) => result,
            // Too slow, or the writer has stopped.
            Ok(None) | Err(_) => Box::pin(keep(&self.spool, &event)).await,
        }
    }

    /// Events that wait for the writer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Whether the database is away, as far as the writer knows.
    #[must_use]
    pub fn is_database_away(&self) -> bool {
        self.availability.is_away()
    }

    /// Where events are kept when the database does not take them.
    #[must_use]
    pub fn spool(&self) -> &Spool {
        &self.spool
    }
}

async fn keep_and_answer(spool: &Spool, event: &ReservationEvent, answer: Answer) {
    let kept = keep(spool, event).await;
    let _ = answer.send(kept);
}

async fn keep(spool: &Spool, event: &ReservationEvent) -> Result<Taken, IngestError> {
    match tokio::time::timeout(KEEP, spool.append(event)).await {
        Ok(Ok(())) => Ok(Taken::Queued),
        Ok(Err(SpoolError::Full | SpoolError::Broken)) | Err(_) => {
            tracing::error!(reservation = event.reservation_id, "an event could be kept nowhere");
            Err(IngestError::Unavailable)
        }
    }
}

impl Writer {
    /// Writes to the table of `feed` until cancelled; what is queued by then is still written, and nothing more is taken.
    /// `pulse` says whether it is at a batch.
    pub async fn run(mut self, feed: Feed, cancel: CancellationToken, pulse: Pulse) {
        let table = Table {
            feed,
            recent: Arc::default(),
            clock: self.clock.clone(),
            limit: LIMIT,
            halve_unclear: false,
        };
        let mut jobs = Vec::with_capacity(BATCH);
        loop {
            let taken = tokio::select! {
                biased;
                taken = self.queue.recv_many(&mut jobs, BATCH) => taken,
                () = cancel.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
            };
            if taken == 0 {
                return;
            }
            pulse.begin();
            self.write(&table, &mut jobs).await;
            pulse.rest();
        }
    }

    /// Applies a batch, and has the spool keep what was not.
    async fn write(&self, table: &Table, jobs: &mut Vec<Job>) {
        let span = traces::batch(jobs.len(), jobs.iter_mut().filter_map(|job| job.mark.take()));
        let (events, answers): (Vec<_>, Vec<_>) = jobs.drain(..).map(|job| (job.event, job.answer)).unzip();
        let fates = traces::within(span, self.fates(table, &events)).await;
        let mut kept = Vec::new();
        for ((event, answer), fate) in events.iter().zip(answers).zip(fates) {
            let result = match fate {
                Fate::Written(applied) => Ok(Taken::Written(applied)),
                Fate::Refused(reason) => Err(refused(event, &reason)),
                Fate::Unclear(_) | Fate::Away => {
                    kept.push(keep_and_answer(&self.spool, event, answer));
                    continue;
                }
            };
            // A sender that hung up gets no answer; its event is applied all the same.
            let _ = answer.send(result);
        }
        join_all(kept).await;
    }

    async fn fates(&self, table: &Table, events: &[Arc<ReservationEvent>]) -> Vec<Fate> {
        if self.availability.is_away() {
            return vec![Fate::Away; events.len()];
        }
        let started = Instant::now();
        let fates = table.apply(events).await;
        self.metrics.batch(events.len(), started.elapsed());
        if fates.contains(&Fate::Away) {
            self.availability.lost();
        }
        if let Some(Fate::Unclear(reason)) = fates.iter().find(|fate| matches!(fate, Fate::Unclear(_))) {
            tracing::error!(reason, "a batch was not written; its events are kept in the spool");
        }
        fates
    }
}

fn refused(event: &ReservationEvent, reason: &str) -> IngestError {
    let (reservation, webhook) = (&event.reservation_id, event.webhook_id.as_deref().unwrap_or("none"));
    tracing::error!(reservation, webhook, reason, "the database refused an event");
    IngestError::Refused
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::reservations::event::{self, Parsed};

    fn event(n: usize) -> ReservationEvent {
        let body = json!({
            "event": "reservation.created",
            "data": {
                "reservationId": format!("res_{n}"), "propertyId": "p", "guestId": "g", "checkIn": "2026-04-06",
                "checkOut": "2026-04-13", "numGuests": 1, "totalAmount": 1, "currency": "USD",
            },
        });
        match event::parse(body.to_string().as_bytes()) {
            Ok(Parsed::Event(event)) => *event,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_finds_no_place_in_the_queue_goes_to_the_spool_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, spool_writer) = Spool::start(folder.path().join("spool.db"), 1 << 30).await;
        let metrics = Metrics::new().unwrap();
        let (ingest, mut writer) = new(Clock::system(), spool.clone(), Availability::default(), metrics);
        // Nobody writes: the queue fills up and stays full.
        let started = Instant::now();
        let taken = join_all((0..QUEUE + 100).map(|n| ingest.apply(Box::new(event(n))))).await;
        assert!(started.elapsed() < DEADLINE + KEEP, "{:?}", started.elapsed());
        assert!(taken.iter().all(|taken| *taken == Ok(Taken::Queued)), "each is told what is so");
        assert_eq!(spool.usage().borrow().waiting, (QUEUE + 100) as u64);
        let mut left = Vec::new();
        assert_eq!(writer.queue.recv_many(&mut left, 2 * QUEUE).await, QUEUE, "and no more in memory");
        spool_writer.stop().await.unwrap();
    }
}
