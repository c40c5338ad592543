//! Counts -> the change log, at most five times a second.
//!
//! Results are recorded without the feed lock; a broadcast that changed is marked `unreported` in the
//! same transaction, and this loop, in the process that holds the lease, tells the log of all of them
//! at once. So the log gets the final state however the process that wrote it ended.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{Broadcast, store};
use crate::{
    clock::Clock,
    feed::{Entry, Feed, NewChange, Topic},
    guest_api::lease::Held,
};

/// The least time between two records.
const INTERVAL: Duration = Duration::from_millis(200);
/// How late a change that another process made may be told.
const POLL: Duration = Duration::from_secs(1);

/// A step of a broadcast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The broadcast as of this step.
    pub broadcast: Broadcast,
    /// Messages a second.
    pub send_rate: f64,
    /// When it will be done at that rate.
    pub estimated_completion_at: Option<DateTime<Utc>>,
    /// Final results of this step: those numbered in `(after, up_to]`.
    pub finished: (i64, i64),
}

impl Progress {
    /// The present state, as a step in which nothing was finished.
    pub async fn present(
        conn: &impl ConnectionTrait,
        broadcast: Broadcast,
        now: DateTime<Utc>,
    ) -> Result<Self, DbErr> {
        let seq = broadcast.finished_seq;
        Self::step(conn, broadcast, seq, now).await
    }

    async fn step(
        conn: &impl ConnectionTrait,
        broadcast: Broadcast,
        reported: i64,
        now: DateTime<Utc>,
    ) -> Result<Self, DbErr> {
        let rates = store::send_rates(conn, std::slice::from_ref(&broadcast), now).await?;
        let send_rate = rates.first().copied().unwrap_or_default();
        let estimated_completion_at = estimate(&broadcast, send_rate, now);
        let finished = (reported, broadcast.finished_seq);
        Ok(Self { broadcast, send_rate, estimated_completion_at, finished })
    }

    /// The step in a log entry, decoded once a process. `None` for another topic, and for an image
    /// this version can't read (which is logged).
    pub fn of(entry: &Entry) -> Option<&Self> {
        if entry.topic != Topic::Broadcast {
            return None;
        }
        let decoded = entry.decoded(|entry| {
            serde_json::from_str::<Self>(&entry.after)
                .inspect_err(|error| tracing::error!(seq = entry.seq, %error, "a step can't be read"))
                .ok()
        });
        decoded.and_then(Option::as_ref)
    }
}

/// When a broadcast will be done at a rate; none when that can't be said.
#[must_use]
pub fn estimate(broadcast: &Broadcast, rate: f64, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let seconds = f64::from(broadcast.counts.pending) / rate;
    // A year is as good as never.
    if rate <= 0.0 || seconds > 31_536_000.0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most a year, checked above")]
    let wait = TimeDelta::milliseconds((seconds * 1_000.0) as i64);
    Some(now + wait)
}

/// Tells the log until cancelled, while this process holds the lease.
pub async fn run(
    feed: Feed,
    clock: Clock,
    changed: Arc<Notify>,
    lease: watch::Receiver<Option<Held>>,
    cancel: CancellationToken,
) {
    let work = async {
        loop {
            if lease.borrow().is_some()
                && let Err(error) = report(&feed, clock.now()).await
            {
                tracing::warn!(%error, "progress can't be told; trying again");
            }
            tokio::time::sleep(INTERVAL).await;
            tokio::select! {
                () = changed.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = work => {}
    }
}

/// Appends a step for each broadcast whose present state the log lacks. Who is at a broadcast, as a cancellation is
/// at many messages, is waited for before the feed lock is taken; nobody who holds it touches broadcasts.
pub async fn report(feed: &Feed, now: DateTime<Utc>) -> Result<(), DbErr> {
    if !store::any_unreported(feed.db()).await? {
        return Ok(());
    }
    let tx = feed.prepare().await?;
    let mut changes = Vec::new();
    for (broadcast, reported) in store::take_unreported(tx.conn()).await? {
        let progress = Progress::step(tx.conn(), broadcast, reported, now).await?;
        changes.push(NewChange {
            topic: Topic::Broadcast,
            key: progress.broadcast.id.to_string(),
            kind: progress.broadcast.status.as_str(),
            before: None,
            after: serde_json::to_string(&progress).map_err(|error| DbErr::Json(error.to_string()))?,
            committed_at: now,
        });
    }
    let mut tx = tx.lock().await?;
    tx.append(&changes).await?;
    tx.commit().await
}
