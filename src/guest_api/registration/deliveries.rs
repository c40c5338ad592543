//! How our answers to webhooks look to the provider, which drops a URL that fails too often.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use chrono::{DateTime, Utc};

/// So many failures in a row are worth a warning; the provider drops us at about seven.
const WARN_AT: u32 = 3;

/// Counts what was answered; a few atomics, so the way of a webhook does not wait here.
#[derive(Debug, Default)]
pub struct Deliveries {
    failures: AtomicU32,
    /// Microseconds since 1970 of the last event, 0 for none.
    last_event: AtomicI64,
}

impl Deliveries {
    /// A webhook with a right secret came at `at`, and was answered 200 or not.
    pub fn answered(&self, ok: bool, at: DateTime<Utc>) {
        self.last_event.fetch_max(at.timestamp_micros(), Ordering::Relaxed);
        if ok {
            if self.failures.load(Ordering::Relaxed) != 0 {
                self.failures.store(0, Ordering::Relaxed);
            }
            return;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures == WARN_AT {
            tracing::warn!(
                failures,
                "webhooks were not answered 200, one after the other; the Guest API drops our URL at about seven"
            );
        }
    }

    /// Answers other than 200 since the last 200.
    #[must_use]
    pub fn failures_in_a_row(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// When the last webhook with a right secret came to this process.
    #[must_use]
    pub fn last_event_at(&self) -> Option<DateTime<Utc>> {
        match self.last_event.load(Ordering::Relaxed) {
            0 => None,
            micros => DateTime::from_timestamp_micros(micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_until_a_success() {
        let (deliveries, at) = (Deliveries::default(), DateTime::from_timestamp(1, 0).unwrap());
        assert_eq!(deliveries.last_event_at(), None);
        for _ in 0..4 {
            deliveries.answered(false, at);
        }
        assert_eq!(deliveries.failures_in_a_row(), 4);
        deliveries.answered(true, at);
        deliveries.answered(false, at);
        assert_eq!(deliveries.failures_in_a_row(), 1);
        assert_eq!(deliveries.last_event_at(), Some(at), "a refused event came in all the same");
    }
}
