//! The writer: queue -> batch -> one transaction -> an answer for each.
//!
//! One task writes. It takes what queued while its last commit ran, so that a batch is as large as
//! the load makes it and an idle server answers at once. Nobody is answered before the commit.

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    ReservationEvent,
    batch::{self, Applied},
};
use crate::{clock::Clock, feed::Feed};

/// Events a transaction.
const BATCH: usize = 256;
/// Events that may wait.
const QUEUE: usize = 4_096;

/// Why an event was not applied. It may be sent again.
#[derive(Debug, Error)]
pub enum IngestError {
    /// The database did not take the batch.
    #[error("the database is not available")]
    Database,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

/// The way in; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingest {
    queue: mpsc::Sender<Job>,
    clock: Clock,
}

/// The writing end of the queue.
#[derive(Debug)]
pub struct Writer {
    queue: mpsc::Receiver<Job>,
    feed: Feed,
    clock: Clock,
}

#[derive(Debug)]
struct Job {
    event: ReservationEvent,
    answer: oneshot::Sender<Result<Applied, IngestError>>,
}

/// The queue and its writer.
#[must_use]
pub fn new(feed: Feed, clock: Clock) -> (Ingest, Writer) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Ingest { queue: sender, clock: clock.clone() }, Writer { queue: receiver, feed, clock })
}

impl Ingest {
    /// Applies an event; answers after the commit. An event without a timestamp is stamped now.
    pub async fn apply(&self, mut event: ReservationEvent) -> Result<Applied, IngestError> {
        event.timestamp.get_or_insert_with(|| self.clock.now());
        let (answer, result) = oneshot::channel();
        self.queue.send(Job { event, answer }).await.map_err(|_| IngestError::Stopping)?;
        result.await.map_err(|_| IngestError::Stopping)?
    }
}

impl Writer {
    /// Writes until cancelled; what is queued by then is still written, and nothing more is taken.
    pub async fn run(mut self, cancel: CancellationToken) {
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
            let (events, answers): (Vec<_>, Vec<_>) =
                jobs.drain(..).map(|job| (job.event, job.answer)).unzip();
            let results = batch::apply(&self.feed, &events, self.clock.now()).await;
            if let Err(error) = &results {
                tracing::error!(%error, events = events.len(), "a batch of events was not applied");
            }
            for (index, answer) in answers.into_iter().enumerate() {
                let result =
                    results.as_ref().map(|results| results[index]).map_err(|_| IngestError::Database);
                // A sender that hung up gets no answer; its event is applied all the same.
                let _ = answer.send(result);
            }
        }
    }
}
