//! Handles of what is counted away from the webhooks. Every label is there from the start.

use std::{sync::Arc, time::Duration};

use ::metrics::{Counter, Histogram};
use chrono::{DateTime, Utc};

use super::names;

/// What requests are for.
const CALLS: [&str; 3] = ["message", "guest", "registration"];
/// What becomes of them.
const OUTCOMES: [&str; 7] = ["done", "not_found", "limited", "unauthorized", "refused", "retry", "ambiguous"];
/// What becomes of a message.
const RESULTS: [&str; 5] = ["sent", "failed", "uncertain", "retried", "held_back"];

/// How late changes come to those who watch; cheap to clone.
#[derive(Clone)]
pub struct Deliveries(Histogram);

impl Deliveries {
    pub(super) fn new() -> Self {
        Self(::metrics::histogram!(names::DELIVERY_SECONDS))
    }

    /// A change of an instant was given to its watchers. Another process' clock may be ahead of ours.
    pub fn given(&self, changed_at: DateTime<Utc>, now: DateTime<Utc>) {
        self.0.record((now - changed_at).to_std().unwrap_or_default());
    }
}

/// What the Guest API answers; cheap to clone.
#[derive(Clone)]
pub struct Requests {
    counters: Arc<[[Counter; OUTCOMES.len()]; CALLS.len()]>,
    seconds: Histogram,
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Requests")
    }
}

impl Requests {
    pub(super) fn new() -> Self {
        let counters = CALLS.map(|call| {
            OUTCOMES.map(|outcome| ::metrics::counter!(names::REQUESTS, "call" => call, "outcome" => outcome))
        });
        Self { counters: Arc::new(counters), seconds: ::metrics::histogram!(names::REQUEST_SECONDS) }
    }

    /// A request came to its end after so long. What it was for and what came of it are of those that are known.
    pub fn ended(&self, call: &str, outcome: &str, took: Duration) {
        if let (Some(call), Some(outcome)) = (place(&CALLS, call), place(&OUTCOMES, outcome)) {
            self.counters[call][outcome].increment(1);
        }
        self.seconds.record(took);
    }
}

/// What becomes of messages; cheap to clone.
#[derive(Clone)]
pub struct Messages(Arc<[Counter; RESULTS.len()]>);

impl Messages {
    pub(super) fn new() -> Self {
        Self(Arc::new(RESULTS.map(|result| ::metrics::counter!(names::MESSAGES, "result" => result))))
    }

    /// A try to send a message ended like this, one of those that are known.
    pub fn tried(&self, result: &str) {
        if let Some(result) = place(&RESULTS, result) {
            self.0[result].increment(1);
        }
    }
}

/// The lists are short, so this is quicker than a look-up by hash.
pub(super) fn place(known: &[&str], name: &str) -> Option<usize> {
    known.iter().position(|known| *known == name)
}
