//! May I send now? Pure: a state machine of (now, event), with no clock, no randomness and no I/O.
//!
//! Requests leave at even intervals, a [`Pacer::book`]ed slot each, at the rate that [`learner`] holds
//! to be just under the provider's limit. One gate stands before all of them: an answer of 429 closes
//! it until its `Retry-After` has passed, whoever got the answer. As many may be under way as the rate
//! and the round trip need (twice Little's law), never more than the cap. Times are seconds since an
//! origin of the caller's choice.

mod learner;
mod stretch;

#[cfg(test)]
pub(super) mod simulation;
#[cfg(test)]
mod tests;

use learner::Learner;

/// How far ahead slots are given out, in seconds: long enough to mark messages as leaving a few at a
/// time, short enough that little is marked when a process dies.
pub(super) const AHEAD: f64 = 0.05;
/// How long an allowance has to last before it says anything about the rate, in seconds: it is told in
/// whole ones.
const ALLOWANCE_MIN: f64 = 2.0;
/// The least number of requests that may be under way at once, where the cap allows it.
const PLACES_MIN: f64 = 4.0;

/// The answer to "may I send now?".
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Yes: book a slot.
    Send,
    /// Ask again at this time.
    At(f64),
    /// Ask again when a request was answered.
    WhenAnswered,
}

/// A request that left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ticket {
    number: u32,
    sent: f64,
}

impl Ticket {
    /// When it left.
    pub(super) fn sent(self) -> f64 {
        self.sent
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Answer {
    /// It was let through, whatever was answered.
    Passed,
    /// It was over the limit, and nothing may be sent for so many seconds.
    Limited {
        /// How long.
        wait: f64,
    },
    /// Nobody knows.
    Lost,
}

/// What a provider tells of its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Advice {
    /// Requests a second that all its windows allow.
    pub(super) rate: Option<f64>,
    /// So many requests are left for so many seconds.
    pub(super) allowance: Option<(f64, f64)>,
}

/// What is worth knowing after a restart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Learned {
    /// Requests a second that the provider takes.
    pub(super) rate: f64,
    /// Requests a second that its quota allows, where it has one.
    pub(super) ceiling: Option<f64>,
}

/// The gate, the slots and the count.
#[derive(Debug)]
pub(super) struct Pacer {
    learner: Learner,
    gate: f64,
    next_slot: f64,
    /// An allowance as a rate, and until when it holds.
    allowance: Option<(f64, f64)>,
    booked: u32,
    in_flight: u32,
    in_flight_max: u32,
    round_trip: f64,
    last_left: f64,
    /// The last refusal that something was learned from; those of requests sent before it say nothing new.
    reacted: f64,
    number: u32,
}

impl Pacer {
    /// Open, with nothing known and nothing under way.
    pub(super) fn new(in_flight_max: u32) -> Self {
        Self {
            learner: Learner::new(),
            gate: f64::NEG_INFINITY,
            next_slot: f64::NEG_INFINITY,
            allowance: None,
            booked: 0,
            in_flight: 0,
            in_flight_max: in_flight_max.max(1),
            round_trip: 0.1,
            last_left: f64::NEG_INFINITY,
            reacted: f64::NEG_INFINITY,
            number: 0,
        }
    }

    /// Goes on with what an earlier process had learned.
    pub(super) fn remember(&mut self, learned: Learned) {
        self.learner.remember(learned);
    }

    /// Nothing is sent before `opens_at`. An earlier, longer wait stays.
    pub(super) fn close_until(&mut self, opens_at: f64) {
        self.gate = self.gate.max(opens_at);
        self.next_slot = self.next_slot.max(self.gate);
    }

    /// How much is still to be sent: near the end a try at more would cost more than it can bring.
    pub(super) fn left(&mut self, requests: usize) {
        self.learner.left(requests);
    }

    /// What to keep for the next process; `None` while nothing was measured.
    pub(super) fn learned(&self) -> Option<Learned> {
        self.learner.learned()
    }

    /// When the gate opens, or has opened.
    pub(super) fn gate(&self) -> f64 {
        self.gate
    }

    /// Requests a second at present.
    pub(super) fn rate(&self, now: f64) -> f64 {
        match self.allowance {
            Some((rate, until)) if now < until => self.learner.rate().min(rate.max(learner::SLOWEST)),
            _ => self.learner.rate(),
        }
    }

    /// Requests under way.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Requests that have left, by a number that wraps around.
    pub(super) fn requests(&self) -> u32 {
        self.number
    }

    /// Whether a slot may be booked at `now`.
    pub(super) fn verdict(&self, now: f64) -> Verdict {
        if now < self.gate {
            return Verdict::At(self.gate);
        }
        if now + AHEAD < self.next_slot {
            // Half of it: so that several are booked at a time where the rate is high.
            return Verdict::At(self.next_slot - AHEAD / 2.0);
        }
        let ahead = (self.rate(now) * AHEAD).ceil();
        if f64::from(self.booked + self.in_flight) >= self.places(now) + ahead {
            return Verdict::WhenAnswered;
        }
        Verdict::Send
    }

    /// Takes the next slot. Answers when it is: at `now`, or up to [`AHEAD`] later.
    pub(super) fn book(&mut self, now: f64) -> f64 {
        let slot = self.next_slot.max(now);
        self.next_slot = slot + 1.0 / self.rate(now);
        self.booked += 1;
        slot
    }

    /// Gives back a slot that was not used.
    pub(super) fn unbook(&mut self, now: f64) {
        self.booked = self.booked.saturating_sub(1);
        self.next_slot = (self.next_slot - 1.0 / self.rate(now)).max(self.gate);
    }

    /// Whether a request whose slot has come may leave. `At` says that the gate has closed meanwhile.
    pub(super) fn may_leave(&self, now: f64) -> Verdict {
        if now < self.gate {
            Verdict::At(self.gate)
        } else if f64::from(self.in_flight) >= self.places(now) {
            Verdict::WhenAnswered
        } else {
            Verdict::Send
        }
    }

    /// A request leaves in its slot.
    pub(super) fn leave(&mut self, now: f64) -> Ticket {
        self.booked = self.booked.saturating_sub(1);
        self.in_flight += 1;
        self.number = self.number.wrapping_add(1);
        let pause = now - self.last_left;
        if pause > (4.0 / self.rate(now)).max(1.0) {
            self.learner.idled(now, pause);
        }
        self.last_left = now;
        self.learner.left_as(now, self.number);
        Ticket { number: self.number, sent: now }
    }

    /// What became of a request.
    pub(super) fn answered(&mut self, now: f64, ticket: Ticket, answer: Answer) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if answer == Answer::Lost {
            return;
        }
        self.round_trip = 0.9 * self.round_trip + 0.1 * (now - ticket.sent).max(0.0);
        match answer {
            Answer::Limited { wait } => self.limited(now, ticket, wait),
            Answer::Passed | Answer::Lost => self.learner.passed(now, self.round_trip),
        }
    }

    fn limited(&mut self, now: f64, ticket: Ticket, wait: f64) {
        self.learner.refused();
        let late = ticket.sent <= self.reacted;
        let opened = self.gate;
        self.gate = self.gate.max(now + wait);
        if late {
            if self.gate > opened {
                self.next_slot = self.next_slot.max(self.gate);
            }
            return;
        }
        self.reacted = now;
        self.next_slot = self.gate;
        let refusal = learner::Refusal { opens: self.gate, wait, number: ticket.number, sent: ticket.sent };
        self.learner.limited(refusal, self.round_trip);
    }

    /// What the provider tells of its limit.
    pub(super) fn advised(&mut self, now: f64, advice: Advice) {
        if let Some(rate) = advice.rate {
            self.learner.told(now.max(self.gate), rate);
        }
        match advice.allowance {
            Some((left, seconds)) if left < 1.0 => self.close_until(now + seconds),
            Some((left, seconds)) if seconds >= ALLOWANCE_MIN => {
                self.allowance = Some((left / seconds, now + seconds));
            }
            _ => self.allowance = None,
        }
    }

    /// How many may be under way.
    fn places(&self, now: f64) -> f64 {
        let needed = (2.0 * self.rate(now) * self.round_trip).ceil() + 2.0;
        needed.max(PLACES_MIN).min(f64::from(self.in_flight_max))
    }
}
