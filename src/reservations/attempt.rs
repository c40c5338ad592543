//! One try to write a batch: with a time limit, and with the row that the database refuses found by
//! halving, so that its neighbours are applied.

use std::{sync::Arc, time::Duration};

use sea_orm::DbErr;
use tokio::sync::watch;

use super::{
    ReservationEvent,
    batch::{self, Applied},
    recent::Recent,
};
use crate::{clock::Clock, db::Failure, feed::Feed, telemetry::traces};

/// Single events in a row that may fail for an unknown reason before it is not only theirs.
const UNCLEAR_IN_A_ROW: usize = 8;

/// What became of an event in a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is committed.
    Written(Applied),
    /// The database will never take it; the reason is not for strangers.
    Refused(String),
    /// It was not taken, and may be the next time.
    Unclear(String),
    /// Nothing can be written now. A commit that was cut off may have happened.
    Away,
}

/// Whether the database was there the last time; shared by the writer, who loses it, and the drain,
/// which finds it again.
#[derive(Clone, Debug, Default)]
pub struct Availability(watch::Sender<bool>);

impl Availability {
    /// Whether the database is known to be away.
    #[must_use]
    pub fn is_away(&self) -> bool {
        *self.0.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// The database did not answer, or not in time.
    pub fn lost(&self) {
        if !self.0.send_replace(true) {
            tracing::error!("the database is away or too slow; events are kept in the spool");
        }
    }

    pub(super) fn found(&self) {
        if self.0.send_replace(false) {
            tracing::info!("the database is back");
        }
    }
}

/// The way to the table; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) feed: Feed,
    pub(super) recent: Arc<Recent>,
    pub(super) clock: Clock,
    /// A transaction that takes longer is given up: the database is too slow.
    pub(super) limit: Duration,
    /// Whether a batch is halved when it is unclear what is wrong, too.
    pub(super) halve_unclear: bool,
}

impl Table {
    /// Applies events, in as few transactions as it takes; answers in their order.
    pub(super) async fn apply(&self, events: &[Arc<ReservationEvent>]) -> Vec<Fate> {
        let mut fates = Vec::with_capacity(events.len());
        let mut parts = vec![events];
        let mut unclear = 0;
        while let Some(part) = parts.pop() {
            match self.once(part).await {
                Ok(applied) => {
                    unclear = 0;
                    fates.extend(applied.into_iter().map(Fate::Written));
                }
                Err(fate) if part.len() > 1 && self.halves(&fate) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(fate) => {
                    unclear += usize::from(matches!(fate, Fate::Unclear(_)));
                    let stop = fate == Fate::Away || unclear == UNCLEAR_IN_A_ROW;
                    let so_far = fates.len() + part.len();
                    fates.resize(if stop { events.len() } else { so_far }, fate);
                    if stop {
                        break;
                    }
                }
            }
        }
        fates
    }

    fn halves(&self, fate: &Fate) -> bool {
        matches!(fate, Fate::Refused(_)) || (self.halve_unclear && matches!(fate, Fate::Unclear(_)))
    }

    async fn once(&self, events: &[Arc<ReservationEvent>]) -> Result<Vec<Applied>, Fate> {
        let now = self.clock.now();
        traces::committing(now);
        let writing = batch::apply(&self.feed, &self.recent, events, now);
        let Ok(result) = tokio::time::timeout(self.limit, writing).await else {
            tracing::warn!(events = events.len(), limit = ?self.limit, "a batch took too long");
            return Err(Fate::Away);
        };
        result.map_err(|error| fate_of(&error))
    }
}

fn fate_of(error: &DbErr) -> Fate {
    match Failure::of(error) {
        Failure::Away => {
            tracing::warn!(%error, "a batch was not written");
            Fate::Away
        }
        Failure::Refused => Fate::Refused(error.to_string()),
        Failure::Unclear => Fate::Unclear(error.to_string()),
    }
}
