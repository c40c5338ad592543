//! From the spool to the table, by itself: when the database is back, and at start what an earlier run
//! left. Also the probe that finds out that it is back.
//!
//! An event is deleted from the spool after the commit that applied it. Being cut off in between only
//! means that it is applied again, as a duplicate. Events are applied in the order they came, though
//! nothing depends on it: the order of events decides, so newer ones need not wait for the spool.
//! Rejected webhooks that are kept there are stored after the events.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    ReservationEvent,
    attempt::{Availability, Fate, Table},
    ingest::IngestError,
    rejected::Keeper,
    spool::{Rejection, Spool, SpoolError, Waiting},
};
use crate::{clock::Clock, db::Failure, feed::Feed};

/// Events a transaction.
const BATCH: u32 = 256;
/// Rejected webhooks that are read at once; each may be 1 MiB.
const REJECTED: u32 = 16;
/// How long a transaction may take. Longer than the writer's limit: nobody waits for this one.
const LIMIT: Duration = Duration::from_secs(10);
/// How long to wait after a try that failed, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long to wait at most before looking into the file, whatever was counted.
const FLOOR: Duration = Duration::from_secs(30);

/// Empties the spool.
#[derive(Debug)]
pub struct Drain {
    spool: Spool,
    availability: Availability,
    rejected: Arc<Keeper>,
    table: Table,
    /// The last event looked at. One that could not be applied for an unknown reason is passed over and
    /// tried again when the end is reached.
    after: i64,
    /// The last rejected webhook looked at, in the same way.
    after_rejected: i64,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Go on at once.
    Further,
    /// Not now.
    Later,
}

impl Drain {
    /// From `spool` to the table of `feed`.
    #[must_use]
    pub fn new(
        spool: Spool,
        availability: Availability,
        rejected: Arc<Keeper>,
        feed: Feed,
        clock: Clock,
    ) -> Self {
        let table = Table { feed, recent: Arc::default(), clock, limit: LIMIT, halve_unclear: true };
        Self { spool, availability, rejected, table, after: 0, after_rejected: 0 }
    }

    /// Works until cancelled.
    pub async fn run(mut self, cancel: CancellationToken) {
        let work = async {
            let mut pause = PAUSE.0;
            loop {
                self.wait_for_work().await;
                let step = match self.step().await {
                    Ok(step) => step,
                    // Without a spool it matters all the more whether the database is back.
                    Err(SpoolError::Broken | SpoolError::Full) => self.probe().await,
                };
                if step == Step::Further {
                    pause = PAUSE.0;
                    continue;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = work => {}
        }
    }

    async fn wait_for_work(&self) {
        let (mut usage, mut away) = (self.spool.usage(), self.availability.watch());
        // Neither can end: `self` holds the senders.
        tokio::select! {
            _ = usage.wait_for(|usage| usage.webhooks() > 0) => {}
            _ = away.wait_for(|away| *away) => {}
            () = tokio::time::sleep(FLOOR) => {}
        }
    }

    /// Applies the next batch; with nothing to apply, looks whether the database is back, and stores rejected
    /// webhooks.
    async fn step(&mut self) -> Result<Step, SpoolError> {
        let waiting = self.spool.file().waiting_after(self.after, BATCH).await?;
        let Some(last) = waiting.last().map(|waiting| waiting.id) else {
            self.after = 0;
            self.spool.file().recount().await?;
            self.probe().await;
            return self.store_rejected().await;
        };
        let (events, waiting) = self.read(waiting).await?;
        let fates = self.table.apply(&events).await;
        let mut written = Vec::with_capacity(waiting.len());
        let mut unclear = None;
        for ((event, waiting), fate) in events.iter().zip(&waiting).zip(&fates) {
            match fate {
                Fate::Written(_) => written.push(waiting),
                Fate::Refused(reason) => self.refused(event, waiting, reason).await?,
                Fate::Unclear(reason) => unclear = Some(reason),
                Fate::Away => break,
            }
        }
        self.spool.file().forget(&written).await?;
        if fates.contains(&Fate::Away) {
            self.availability.lost();
            return Ok(Step::Later);
        }
        self.availability.found();
        self.after = last;
        if let Some(reason) = unclear {
            tracing::error!(reason, "spooled events were not applied; trying again later");
            return Ok(Step::Later);
        }
        Ok(Step::Further)
    }

    /// Looks whether the database is back, if it is away. The feed lock is what a writer needs first, so
    /// whoever gets it can write.
    async fn probe(&self) -> Step {
        if !self.availability.is_away() {
            return Step::Later;
        }
        match tokio::time::timeout(LIMIT, self.table.feed.begin()).await {
            Ok(Ok(_rolled_back)) => self.availability.found(),
            Ok(Err(error)) => tracing::debug!(%error, "the database is still away"),
            Err(_) => tracing::debug!("the database is still too slow"),
        }
        Step::Later
    }

    /// Stores the next rejected webhooks, if the database is there. One that the table does not take is passed
    /// over, and tried again later, as are all of them when it takes none.
    async fn store_rejected(&mut self) -> Result<Step, SpoolError> {
        if self.availability.is_away() {
            return Ok(Step::Later);
        }
        let waiting = self.spool.file().rejected_after(self.after_rejected, REJECTED).await?;
        let Some(last) = waiting.last().map(|(n, _)| *n) else {
            self.after_rejected = 0;
            return Ok(Step::Later);
        };
        let mut step = Step::Later;
        for (_, webhook) in &waiting {
            let Ok(stored) = tokio::time::timeout(LIMIT, self.rejected.store(webhook)).await else {
                tracing::warn!("rejected webhooks were not stored in time; trying again");
                return Ok(Step::Later);
            };
            match stored {
                Ok(()) => {
                    self.spool.file().forget_rejected(webhook.id).await?;
                    step = Step::Further;
                }
                Err(error) if Failure::of(&error) == Failure::Away => {
                    tracing::warn!(%error, "rejected webhooks were not stored; trying again");
                    return Ok(Step::Later);
                }
                Err(error) => {
                    tracing::error!(%error, id = %webhook.id, "a rejected webhook was not stored; trying again later");
                }
            }
        }
        self.after_rejected = last;
        Ok(step)
    }

    /// What was kept, as events. What can't be read was not written by us and never will be one.
    async fn read(
        &self,
        kept: Vec<Waiting>,
    ) -> Result<(Vec<Arc<ReservationEvent>>, Vec<Waiting>), SpoolError> {
        let (mut events, mut waiting) = (Vec::with_capacity(kept.len()), Vec::with_capacity(kept.len()));
        for kept in kept {
            match serde_json::from_str(&kept.event) {
                Ok(event) => {
                    events.push(Arc::new(event));
                    waiting.push(kept);
                }
                Err(error) => {
                    tracing::error!(%error, id = kept.id, "a spooled event can't be read; it is set aside");
                    self.spool.file().bury(&kept, &error.to_string()).await?;
                }
            }
        }
        Ok((events, waiting))
    }

    /// An event that the database will never take. It was answered 200 long ago, so it goes to the rejected
    /// webhooks, as a body that can be tried again: to those of the file first, from where it is stored.
    async fn refused(
        &self,
        event: &ReservationEvent,
        waiting: &Waiting,
        reason: &str,
    ) -> Result<(), SpoolError> {
        let (reservation, webhook) = (&event.reservation_id, event.webhook_id.as_deref().unwrap_or("none"));
        tracing::error!(reservation, webhook, reason, "the database refused a spooled event");
        let told = IngestError::Refused.to_string();
        let rejection = Rejection::new(waiting.event.as_bytes(), &told, self.table.clock.now());
        self.spool.file().reject(waiting, &rejection).await
    }
}
