//! TCP connections: so many at once, and what becomes of those beyond.
//!
//! Beyond `MAX_CONNECTIONS` a few more are let in for one request each: health checks, so that nobody takes a
//! crowd for a server that is dead, and webhooks, so that none is lost to it. Everything else is answered 503
//! there. Beyond those too a connection is reset at once, which a balancer takes for a reason to try elsewhere.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places beyond the limit. Each is given back after one request, or after as long as its head may take.
const SPARE: usize = 64;
/// What is answered there.
const OPEN: [&str; 5] = ["/webhooks", "/healthz", "/readyz", "/api/health", "/metrics"];

/// The places there are; cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    free: Arc<Semaphore>,
    spare: Arc<Semaphore>,
    refused: AtomicU64,
    /// There was no free place, and there has not been room since.
    is_full: AtomicBool,
}

/// A connection has one for as long as it lives, whatever it becomes.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    /// Beyond the limit.
    connections: Option<Connections>,
}

impl Connections {
    /// All free.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        let [free, spare] = [max, SPARE].map(|places| Arc::new(Semaphore::new(places)));
        Self(Arc::new(Inner {
            max,
            free,
            spare,
            refused: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
        }))
    }

    /// How many there may be.
    pub(super) fn max(&self) -> usize {
        self.0.max
    }

    /// How many there are.
    pub(super) fn open(&self) -> usize {
        let free = self.0.free.available_permits() + self.0.spare.available_permits();
        (self.0.max + SPARE).saturating_sub(free)
    }

    /// How many there were too many.
    pub(super) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// A place; none when all are taken, which is counted.
    pub(super) fn take(&self) -> Option<Place> {
        if let Ok(permit) = Arc::clone(&self.0.free).try_acquire_owned() {
            self.took();
            return Some(Place { _permit: permit, connections: None });
        }
        if !self.0.is_full.swap(true, Ordering::Relaxed) {
            tracing::warn!(max = self.0.max, "MAX_CONNECTIONS: all are taken; more are refused");
        }
        let Ok(permit) = Arc::clone(&self.0.spare).try_acquire_owned() else {
            self.refuse();
            return None;
        };
        Some(Place { _permit: permit, connections: Some(self.clone()) })
    }

    /// Told once for each time it was full: over when there is some room again, not at every place that is.
    fn took(&self) {
        let is_roomy = || self.0.free.available_permits() >= (self.0.max / 10).max(1);
        if self.0.is_full.load(Ordering::Relaxed)
            && is_roomy()
            && self.0.is_full.swap(false, Ordering::Relaxed)
        {
            tracing::info!(refused = self.refused(), "MAX_CONNECTIONS: there is room again");
        }
    }

    fn refuse(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }
}

impl Place {
    /// Whether it is one beyond the limit, which is for one request.
    pub(super) fn spare(&self) -> Option<Spare> {
        self.connections.clone().map(Spare)
    }
}

/// What is asked on a connection beyond the limit.
#[derive(Debug)]
pub(super) struct Spare(Connections);

impl Spare {
    /// Whether a request for this path is answered there. One that is not is counted.
    pub(super) fn admits(&self, path: &str) -> bool {
        let is_open = OPEN.contains(&path);
        if !is_open {
            self.0.refuse();
        }
        is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_and_a_few_more_and_no_more() {
        let connections = Connections::new(2);
        let mut places: Vec<_> = (0..2).map(|_| connections.take().unwrap()).collect();
        assert!(places.iter().all(|place| place.spare().is_none()));
        places.extend((0..SPARE).map(|_| connections.take().unwrap()));
        assert_eq!((connections.open(), connections.refused()), (2 + SPARE, 0));
        assert!(connections.take().is_none());
        assert_eq!(connections.refused(), 1);
        let spare = places.last().unwrap().spare().unwrap();
        assert!(spare.admits("/healthz") && spare.admits("/webhooks") && !spare.admits("/api/events"));
        assert_eq!(connections.refused(), 2);
        assert!(connections.0.is_full.load(Ordering::Relaxed));
        places.remove(0);
        assert!(connections.take().unwrap().spare().is_none(), "one that was given back");
        assert!(connections.0.is_full.load(Ordering::Relaxed), "it was the last one");
        places.remove(0);
        assert!(connections.take().is_some());
        assert!(!connections.0.is_full.load(Ordering::Relaxed), "there is room");
    }
}
