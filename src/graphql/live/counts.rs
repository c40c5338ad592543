//! How much is going on, counted by what lives.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How much is going on.
#[derive(Debug, Default)]
pub struct Counts {
    executions: AtomicUsize,
    watchers: AtomicUsize,
}

impl Counts {
    /// Executions of subscriptions that run.
    #[must_use]
    pub fn executions(&self) -> usize {
        self.executions.load(Ordering::Relaxed)
    }

    /// Operations that are watched.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Execution,
    Watcher,
}

/// Counts for as long as it lives.
#[derive(Debug)]
pub(super) struct Counted(Arc<Counts>, What);

impl Counted {
    pub(super) fn new(counts: &Arc<Counts>, what: What) -> Self {
        let counted = Self(Arc::clone(counts), what);
        counted.count().fetch_add(1, Ordering::Relaxed);
        counted
    }

    fn count(&self) -> &AtomicUsize {
        match self.1 {
            What::Execution => &self.0.executions,
            What::Watcher => &self.0.watchers,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.count().fetch_sub(1, Ordering::Relaxed);
    }
}
