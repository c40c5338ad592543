//! May I send now? Pure: a state machine of (now, event), with no clock and no I/O of its own.
//!
//! A cap on requests in flight, and one gate for all of them: an answer of 429 closes it until its
//! `Retry-After` has passed, whoever got the answer.

use tokio::time::Instant;

use super::door::Lane;

/// The gate and the count.
#[derive(Debug)]
pub(super) struct Pacer {
    in_flight: usize,
    in_flight_max: usize,
    /// Those of them that look guests up.
    bulk: usize,
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
        Self { in_flight: 0, in_flight_max: in_flight_max.max(1), bulk: 0, opens_at: None }
    }

    /// Whether a request may leave at `now`.
    pub(super) fn verdict(&self, now: Instant, lane: Lane) -> Verdict {
        let free = self.in_flight_max - self.in_flight.min(self.in_flight_max);
        let keep = self.kept_for_others(lane).min(self.in_flight_max - 1);
        match self.opens_at {
            Some(opens_at) if now < opens_at => Verdict::At(opens_at),
            _ if free > keep => Verdict::Send,
            _ => Verdict::WhenAnswered,
        }
    }

    /// Places that a lane does not take, so that nobody is shut out for as long as another is busy.
    fn kept_for_others(&self, lane: Lane) -> usize {
        match lane {
            Lane::Urgent | Lane::Registration => 0,
            Lane::Broadcast => 1,
            Lane::Bulk if self.bulk == 0 => 0,
            Lane::Bulk => self.in_flight_max / 2,
        }
    }

    /// A request takes its place.
    pub(super) fn taken(&mut self, lane: Lane) {
        self.in_flight += 1;
        self.bulk += usize::from(lane == Lane::Bulk);
    }

    /// A request was answered, or never left.
    pub(super) fn given_back(&mut self, lane: Lane) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.bulk = self.bulk.saturating_sub(usize::from(lane == Lane::Bulk));
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
        assert_eq!(pacer.verdict(now, Lane::Urgent), Verdict::At(at(5)));
        assert_eq!(pacer.verdict(at(4), Lane::Urgent), Verdict::At(at(5)));
        assert_eq!(pacer.verdict(at(5), Lane::Urgent), Verdict::Send);
    }

    #[test]
    fn never_more_in_flight_than_the_cap_and_a_place_for_everybody() {
        let (mut pacer, now) = (Pacer::new(4), Instant::now());
        for _ in 0..3 {
            assert_eq!(pacer.verdict(now, Lane::Broadcast), Verdict::Send);
            pacer.taken(Lane::Broadcast);
        }
        assert_eq!(pacer.verdict(now, Lane::Broadcast), Verdict::WhenAnswered, "one place is for the others");
        assert_eq!(pacer.verdict(now, Lane::Registration), Verdict::Send);
        assert_eq!(pacer.verdict(now, Lane::Bulk), Verdict::Send, "one at a time gets through");
        pacer.taken(Lane::Bulk);
        assert_eq!(pacer.verdict(now, Lane::Urgent), Verdict::WhenAnswered);
        pacer.given_back(Lane::Broadcast);
        assert_eq!(pacer.verdict(now, Lane::Bulk), Verdict::WhenAnswered, "a second one waits");
        assert_eq!(pacer.verdict(now, Lane::Registration), Verdict::Send);
    }

    #[test]
    fn a_cap_of_one_shuts_nobody_out() {
        let (pacer, now) = (Pacer::new(1), Instant::now());
        for lane in [Lane::Urgent, Lane::Registration, Lane::Broadcast, Lane::Bulk] {
            assert_eq!(pacer.verdict(now, lane), Verdict::Send, "{lane:?}");
        }
    }
}
