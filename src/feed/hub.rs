//! One reader of the log a process, a ring of recent changes, and watchers by position.
//!
//! A watcher holds a position and nothing else: what it has not taken yet is in the ring, or, when
//! the ring has moved on, in the log. A slow watcher therefore costs no memory and loses nothing.
//! While nobody watches, the ring is empty and moves along with the head, and no change is read: nor is the head,
//! as long as this process commits and knows what.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::log::{Entry, Feed};
use crate::telemetry::traces;

/// Changes kept in memory.
const RING: usize = 4_096;
/// Changes read from the log at once.
const PAGE: u32 = 500;
/// Changes handed to a watcher at once.
const BATCH: usize = 64;
/// Changes a watcher reads from the log at once. One that is not read from keeps them for as long.
const CATCH_UP: u32 = 64;
/// How long after a read the next one begins at the earliest: under load, many commits share a read.
const PACE: Duration = Duration::from_millis(4);
/// How late a change may be seen when no hint came: the floor under LISTEN.
const POLL: Duration = Duration::from_millis(500);

/// The reader and its ring; cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub {
    feed: Feed,
    /// Which process this is, for hints.
    id: Arc<str>,
    ring: Arc<Mutex<Ring>>,
    head: watch::Sender<i64>,
    hinted: Arc<Notify>,
}

/// The entries after `start`, without a hole up to the newest.
#[derive(Debug)]
struct Ring {
    start: i64,
    entries: VecDeque<Arc<Entry>>,
}

/// What the ring has for a position.
enum Found {
    /// The next entries, in order.
    Entries(Vec<Arc<Entry>>),
    /// Nothing newer yet.
    Nothing,
    /// The ring begins after this position; the log has what lies between.
    Behind,
}

impl Hub {
    /// A hub that begins at the present head.
    pub async fn open(feed: Feed) -> Result<Self, DbErr> {
        let head = feed.head().await?;
        let ring = Ring { start: head, entries: VecDeque::new() };
        Ok(Self {
            feed,
            id: uuid::Uuid::new_v4().to_string().into(),
            ring: Arc::new(Mutex::new(ring)),
            head: watch::Sender::new(head),
            hinted: Arc::default(),
        })
    }

    /// The log behind the hub.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The newest position this process has read.
    #[must_use]
    pub fn head(&self) -> i64 {
        *self.head.borrow()
    }

    /// The instant of a change that was read lately.
    #[must_use]
    pub fn changed_at(&self, seq: i64) -> Option<DateTime<Utc>> {
        let ring = self.lock();
        let place = ring.entries.binary_search_by_key(&seq, |entry| entry.seq).ok()?;
        ring.entries.get(place).map(|entry| entry.committed_at)
    }

    /// Watches everything after `seq`.
    #[must_use]
    pub fn watch(&self, seq: i64) -> Watcher {
        Watcher { hub: self.clone(), seq, head: self.head.subscribe() }
    }

    /// Reads the log until cancelled: after each commit of this process, at each hint from another,
    /// and every half second in any case. A database that is away is asked again.
    pub async fn run(self, cancel: CancellationToken) {
        let mut committed = self.feed.committed();
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut failing, mut unread) = (false, 0);
        loop {
            let own = tokio::select! {
                () = cancel.cancelled() => return,
                _ = committed.changed() => {
                    let own = *committed.borrow_and_update();
                    (own.unread == std::mem::replace(&mut unread, own.unread)).then_some(own.seq)
                }
                () = self.hinted.notified() => None,
                _ = poll.tick() => None,
            };
            match self.pull(own).await {
                Ok(()) => failing = false,
                Err(error) if !failing => {
                    tracing::warn!(%error, "the change log can't be read; trying again");
                    failing = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Takes what is new in the log into the ring, and wakes the watchers. One who comes while there are
    /// none finds what it misses in the log. `own` is a sequence that this process has committed, when nothing else
    /// is known to be new: whoever appended before it has committed before it.
    async fn pull(&self, own: Option<i64>) -> Result<(), DbErr> {
        if self.head.receiver_count() == 0 {
            let head = match own {
                Some(seq) => seq.max(self.head()),
                None => self.feed.head().await?,
            };
            *self.lock() = Ring { start: head, entries: VecDeque::new() };
            self.head.send_replace(head);
            return Ok(());
        }
        loop {
            let page = self.feed.read_after(self.head(), PAGE).await?;
            let Some(newest) = page.last().map(|entry| entry.seq) else {
                return Ok(());
            };
            let full = page.len() >= PAGE as usize;
            traces::read(page.iter().map(|entry| entry.committed_at));
            self.lock().extend(page);
            self.head.send_replace(newest);
            if !full {
                return Ok(());
            }
        }
    }

    /// Says that the log may hold something new.
    pub(super) fn hint(&self) {
        self.hinted.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ring> {
        // Nothing panics while the ring is half changed.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn extend(&mut self, page: Vec<Arc<Entry>>) {
        self.entries.extend(page);
        while self.entries.len() > RING {
            if let Some(oldest) = self.entries.pop_front() {
                self.start = oldest.seq;
            }
        }
    }

    fn after(&self, seq: i64) -> Found {
        if seq < self.start {
            return Found::Behind;
        }
        let from = self.entries.partition_point(|entry| entry.seq <= seq);
        let entries: Vec<_> = self.entries.iter().skip(from).take(BATCH).cloned().collect();
        if entries.is_empty() { Found::Nothing } else { Found::Entries(entries) }
    }
}

/// One reader's position in the log.
#[derive(Debug)]
pub struct Watcher {
    hub: Hub,
    seq: i64,
    head: watch::Receiver<i64>,
}

impl Watcher {
    /// The next changes, at least one; waits for them.
    pub async fn next(&mut self) -> Result<Vec<Arc<Entry>>, DbErr> {
        loop {
            // Marked as seen before the ring is read: what comes in between wakes us again.
            self.head.borrow_and_update();
            let found = self.hub.lock().after(self.seq);
            let entries = match found {
                Found::Entries(entries) => entries,
                Found::Nothing => {
                    // The sender lives in `self.hub`, so it can't be gone.
                    let _ = self.head.changed().await;
                    continue;
                }
                Found::Behind => self.hub.feed.read_after(self.seq, CATCH_UP).await?,
            };
            match entries.last() {
                Some(last) => {
                    self.seq = last.seq;
                    return Ok(entries);
                }
                // Behind the ring, and nothing is kept of what lay between.
                None => self.seq = self.hub.lock().start,
            }
        }
    }

    /// The position up to which entries were handed out.
    #[must_use]
    pub fn seq(&self) -> i64 {
        self.seq
    }
}
