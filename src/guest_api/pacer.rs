//! May I send now? Pure: a state machine of (now, event), with no clock and no I/O of its own.
//!
//! A cap on requests in flight, and one gate for all of them: an answer of 429 closes it until its
//! `Retry-After` has passed, whoever got the answer.

use tokio::time::Instant;

/// The gate and the count.
#[derive(Debug)]
pub(super) struct Pacer {
    in_flight: usize,
    in_flight_max: usize,
    opens_at: Option<Instant>,
}

/// The answer to "may I send now?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Yes.
    Send,
    /// Not before this instant.
    At(Instant),
    /// When a request has been answered.
    WhenAnswered,
}

impl Pacer {
    /// Open, with nothing in flight.
    pub(super) fn new(in_flight_max: usize) -> Self {
        Self { in_flight: 0, in_flight_max: in_flight_max.max(1), opens_at: None }
    }

    /// Whether a request may leave at `now`. `keep_free` places are left to others.
    pub(super) fn verdict(&self, now: Instant, keep_free: usize) -> Verdict {
        match self.opens_at {
            Some(opens_at) if now < opens_at => Verdict::At(opens_at),
            _ if self.in_flight + keep_free.min(self.in_flight_max - 1) < self.in_flight_max => Verdict::Send,
            _ => Verdict::WhenAnswered,
        }
    }

    /// A request takes its place.
    pub(super) fn taken(&mut self) {
        self.in_flight += 1;
    }

    /// A request was answered, or never left.
    pub(super) fn given_back(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// The provider said to wait until `opens_at`. An earlier, longer wait stays.
    pub(super) fn limited(&mut self, opens_at: Instant) {
        self.opens_at = self.opens_at.max(Some(opens_at));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_refusal_holds_back_all_until_its_time() {
        let (mut pacer, now) = (Pacer::new(2), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        pacer.limited(at(5));
        pacer.limited(at(3));
        assert_eq!(pacer.verdict(now, 0), Verdict::At(at(5)));
        assert_eq!(pacer.verdict(at(4), 0), Verdict::At(at(5)));
        assert_eq!(pacer.verdict(at(5), 0), Verdict::Send);
    }

    #[test]
    fn never_more_in_flight_than_the_cap() {
        let (mut pacer, now) = (Pacer::new(2), Instant::now());
        pacer.taken();
        assert_eq!(pacer.verdict(now, 1), Verdict::WhenAnswered, "one place is kept free");
        assert_eq!(pacer.verdict(now, 0), Verdict::Send);
        pacer.taken();
        assert_eq!(pacer.verdict(now, 0), Verdict::WhenAnswered);
        pacer.given_back();
        assert_eq!(pacer.verdict(now, 0), Verdict::Send);
    }
}
