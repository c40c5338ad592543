//! What is no longer kept: old changes, rejected webhooks, finished broadcasts and old entries of the audit log.
//!
//! Deleted in batches, each a short transaction of its own that locks nothing but what it deletes, by the
//! process that holds the lease.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::DbErr;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{audit, broadcast, clock::Clock, feed::Feed, guest_api::lease::Held, reservations::rejected};

/// How often. Also how long after the floor was raised what lies below it is deleted: enough for every reader
/// that was let in just above it to have come further.
const EVERY: Duration = Duration::from_mins(10);
/// Between two batches, so that others get their turn.
const PAUSE: Duration = Duration::from_millis(20);

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Changes in the log (`RETENTION_CHANGES_DAYS`).
    pub changes: TimeDelta,
    /// Rejected webhooks (`RETENTION_REJECTED_DAYS`).
    pub rejected: TimeDelta,
    /// Broadcasts once they are finished (`RETENTION_BROADCASTS_DAYS`).
    pub broadcasts: TimeDelta,
    /// Entries of the audit log (`RETENTION_AUDIT_DAYS`).
    pub audit: TimeDelta,
    /// How long after the start, or after it got the lease, a process first sees to it. Not configured; tests wait
    /// less.
    pub soon: Duration,
}

impl Kept {
    /// Soon enough for a process that is restarted every few minutes, and not while it starts. A reader that another
    /// process let in above the floor has at least as long to come further.
    pub const SOON: Duration = Duration::from_mins(1);
}

/// Deletes what is due, until cancelled, while this process holds the lease.
pub(super) async fn run(
    feed: Feed,
    clock: Clock,
    kept: Kept,
    lease: watch::Receiver<Option<Held>>,
    cancel: CancellationToken,
) {
    let work = async {
        let mut floor = None;
        loop {
            // Not at the start itself. Who gets the lease later has watched the floor meanwhile.
            let due = floor.filter(|_| lease.borrow().is_some());
            let result = match due {
                Some(floor) => pass(&feed, kept, floor, clock.now()).await,
                None => feed.floor().await,
            };
            match result {
                Ok(present) => floor = Some(present),
                Err(error) => tracing::warn!(%error, "what is no longer kept can't be deleted; trying again"),
            }
            tokio::time::sleep(if due.is_some() { EVERY } else { kept.soon }).await;
        }
    };
    cancel.run_until_cancelled(work).await;
}

/// Deletes the changes up to `floor`, as it was a while ago, and what else is due; then raises the floor, and
/// answers it.
pub async fn pass(feed: &Feed, kept: Kept, floor: i64, now: DateTime<Utc>) -> Result<i64, DbErr> {
    let (mut changes, mut webhooks, mut broadcasts, mut entries) = (0, 0, 0, 0);
    loop {
        match feed.forget(floor).await? {
            0 => break,
            deleted => changes += deleted,
        }
        tokio::time::sleep(PAUSE).await;
    }
    loop {
        match rejected::forget(feed.db(), now - kept.rejected).await? {
            0 => break,
            deleted => webhooks += deleted,
        }
        tokio::time::sleep(PAUSE).await;
    }
    while broadcast::store::forget_finished(feed.db(), now - kept.broadcasts).await? {
        broadcasts += 1;
        tokio::time::sleep(PAUSE).await;
    }
    loop {
        match audit::forget(feed.db(), now - kept.audit).await? {
            0 => break,
            deleted => entries += deleted,
        }
        tokio::time::sleep(PAUSE).await;
    }
    if changes + webhooks + broadcasts + entries > 0 {
        tracing::info!(changes, webhooks, broadcasts, entries, "deleted what is no longer kept");
    }
    feed.raise_floor(now - kept.changes).await
}
