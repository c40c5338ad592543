//! Connections on which nothing is asked are closed: soon while the head of a request has been begun and does
//! not end, or nothing was ever asked; after a good while between two requests.
//!
//! What costs time is done for connections and not for requests: a request leaves marks, which are looked at
//! when its connection is polled anyhow. While a request is under way, its handler and
//! [`stalled`](super::stalled) say how long that may take.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// What happens on a connection, as those see it through whom it passes.
#[derive(Debug)]
pub(super) struct Uses {
    /// Requests under way.
    busy: AtomicUsize,
    /// A request has begun or ended.
    asked: AtomicBool,
    /// Bytes have come that no request has begun with yet. The first ones are awaited from the start.
    came: AtomicBool,
    /// Something was written.
    wrote: AtomicBool,
    /// HTTP/2 is spoken: bytes come that are of no request, and what a WebSocket writes is seen here.
    is_shared: AtomicBool,
}

/// A request has one until its answer has been given.
#[derive(Debug)]
pub(super) struct Busy(Arc<Uses>);

/// Why a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unused {
    /// The head of a request takes too long.
    Head,
    /// Nothing was asked for too long.
    Idle,
}

impl Default for Uses {
    fn default() -> Self {
        let came = AtomicBool::new(true);
        let [asked, wrote, is_shared] = [false; 3].map(AtomicBool::new);
        Self { busy: AtomicUsize::new(0), asked, came, wrote, is_shared }
    }
}

impl Uses {
    /// Bytes have come.
    pub(super) fn came(&self) {
        self.came.store(true, Ordering::Relaxed);
    }

    /// Bytes were written.
    pub(super) fn wrote(&self) {
        self.wrote.store(true, Ordering::Relaxed);
    }

    /// The head of a request is complete.
    pub(super) fn begin(self: &Arc<Self>, is_shared: bool) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        if is_shared {
            self.is_shared.store(true, Ordering::Relaxed);
        }
        self.mark();
        Busy(Arc::clone(self))
    }

    fn mark(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.came.store(false, Ordering::Relaxed);
    }

    /// Waits until a request has begun or ended. For places where there is one only; polled like the other.
    pub(super) async fn asked(&self) {
        poll_fn(|_| if self.asked.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Waits until the connection is to be closed. To be polled after what is spoken on it, whenever that is.
    pub(super) async fn unused(&self, head: Duration, idle: Duration) -> Unused {
        let mut timer = pin!(sleep_until(Instant::now() + head));
        let (mut begun, mut since): (Option<Instant>, _) = (None, Instant::now());
        poll_fn(|cx| {
            let is_busy = self.busy.load(Ordering::Relaxed) > 0;
            if is_busy && !timer.is_elapsed() {
                return Poll::Pending;
            }
            let now = Instant::now();
            let is_shared = self.is_shared.load(Ordering::Relaxed);
            let asked = self.asked.swap(false, Ordering::Relaxed) || is_busy;
            let came = self.came.load(Ordering::Relaxed) && !is_busy && !is_shared;
            if asked || is_shared && self.wrote.swap(false, Ordering::Relaxed) {
                since = now;
            }
            begun = if came { begun.filter(|_| !asked).or(Some(now)) } else { None };
            let (end, why) = match begun {
                Some(begun) => (begun + head, Unused::Head),
                None => (since + idle, Unused::Idle),
            };
            // Set anew only where it would come too late, or has come: not for every request.
            if timer.deadline() > end || timer.is_elapsed() {
                timer.as_mut().reset(end);
            }
            while timer.as_mut().poll(cx).is_ready() {
                if timer.deadline() >= end {
                    return Poll::Ready(why);
                }
                timer.as_mut().reset(end);
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
        self.0.mark();
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(100);

    async fn later(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_has_its_time_however_many_bytes_come() {
        let uses = Arc::new(Uses::default());
        let mut unused = pin!(uses.unused(HEAD, IDLE));
        for _ in 0..9 {
            uses.came();
            assert!(poll!(unused.as_mut()).is_pending());
            later(1).await;
        }
        drop(uses.begin(false));
        assert!(poll!(unused.as_mut()).is_pending());
        later(50).await;
        for _ in 0..10 {
            uses.came();
            assert!(poll!(unused.as_mut()).is_pending(), "the second one, too");
            later(1).await;
        }
        assert_eq!(poll!(unused.as_mut()), Poll::Ready(Unused::Head));
    }

    #[tokio::test(start_paused = true)]
    async fn between_two_requests_there_is_more_time_and_during_one_no_end() {
        let uses = Arc::new(Uses::default());
        let mut unused = pin!(uses.unused(HEAD, IDLE));
        for _ in 0..3 {
            assert!(poll!(unused.as_mut()).is_pending());
            let busy = uses.begin(false);
            // Of its body.
            uses.came();
            for _ in 0..10 {
                later(90).await;
                assert!(poll!(unused.as_mut()).is_pending(), "it is under way");
            }
            drop(busy);
            assert!(poll!(unused.as_mut()).is_pending());
            later(99).await;
        }
        assert!(poll!(unused.as_mut()).is_pending());
        later(1).await;
        assert_eq!(poll!(unused.as_mut()), Poll::Ready(Unused::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_over_http_2_need_not_be_a_request() {
        let uses = Arc::new(Uses::default());
        let mut unused = pin!(uses.unused(HEAD, IDLE));
        drop(uses.begin(true));
        for _ in 0..10 {
            uses.came();
            assert!(poll!(unused.as_mut()).is_pending());
            later(90).await;
            uses.wrote();
        }
        assert!(poll!(unused.as_mut()).is_pending());
        later(100).await;
        assert_eq!(poll!(unused.as_mut()), Poll::Ready(Unused::Idle));
    }
}
