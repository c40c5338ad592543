//! Does the provider answer, and does it take us? Pure: outcomes in, a rest for all broadcasts out.
//!
//! Credentials that are refused, and a provider that is dead, would cost every message its tries. So all
//! broadcasts rest instead, and come back by themselves; with a dead provider one request at a time finds out
//! whether it is back.

use std::collections::HashSet;

use chrono::TimeDelta;
use uuid::Uuid;

use super::SuspensionReason;
use crate::guest_api::Outcome;

/// Requests in a row without any answer that make a provider dead.
const SILENT_MAX: u32 = 3;
/// Messages in a row that failed with a fault of the provider, which make it as good as dead.
const FAILING_MAX: usize = 20;
/// The first and the longest rest of a dead provider.
const REST_FIRST: TimeDelta = TimeDelta::seconds(5);
const REST_MAX: TimeDelta = TimeDelta::minutes(5);
/// The rest when our credentials are refused: a person has to mend that.
const UNAUTHORIZED_REST: TimeDelta = TimeDelta::minutes(5);

/// What was heard of late.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Requests in a row without an answer.
    silent: u32,
    /// Messages that failed since the last request that did not.
    failing: HashSet<(Uuid, String)>,
    /// Rests in a row.
    rests: u32,
    /// What the next rest is for.
    due: Option<SuspensionReason>,
}

impl Health {
    /// Takes up what came of a message.
    pub(super) fn heard(&mut self, message: (Uuid, &str), outcome: &Outcome<()>) {
        match outcome {
            Outcome::Retry { answered: true, .. } => {
                self.silent = 0;
                self.failing.insert((message.0, message.1.to_owned()));
            }
            Outcome::Retry { answered: false, .. } | Outcome::Ambiguous { .. } => {
                self.silent += 1;
                self.failing.insert((message.0, message.1.to_owned()));
            }
            Outcome::Unauthorized { .. } => {
                *self = Self { due: Some(SuspensionReason::Unauthorized), ..Self::default() };
                return;
            }
            Outcome::Done(()) | Outcome::NotFound | Outcome::Limited { .. } | Outcome::Refused { .. } => {
                *self = Self { due: self.due, ..Self::default() };
                return;
            }
        }
        if self.is_dead() {
            self.due = self.due.or(Some(SuspensionReason::Unavailable));
        }
    }

    /// Whether the provider counts as dead.
    pub(super) fn is_dead(&self) -> bool {
        self.silent >= SILENT_MAX || self.failing.len() >= FAILING_MAX
    }

    /// The rest that is due: why, and for how long.
    pub(super) fn rest(&self) -> Option<(SuspensionReason, TimeDelta)> {
        let reason = self.due?;
        let rest = match reason {
            SuspensionReason::Unauthorized | SuspensionReason::Limited => UNAUTHORIZED_REST,
            SuspensionReason::Unavailable => (REST_FIRST * (1 << self.rests.min(10))).min(REST_MAX),
        };
        Some((reason, rest))
    }

    /// The rest began; not if nothing was left to be suspended.
    pub(super) fn rested(&mut self, is_new: bool) {
        self.due = None;
        self.rests += u32::from(is_new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence() -> Outcome<()> {
        Outcome::Retry { reason: String::new(), answered: false }
    }

    fn fault() -> Outcome<()> {
        Outcome::Retry { reason: String::new(), answered: true }
    }

    #[test]
    fn silence_in_a_row_is_death_and_an_answer_is_life() {
        let mut health = Health::default();
        let message = (Uuid::nil(), "guest");
        for outcome in [silence(), silence(), Outcome::Done(()), silence(), silence(), fault()] {
            health.heard(message, &outcome);
            assert_eq!((health.is_dead(), health.rest()), (false, None), "{outcome:?}");
        }
        for rest in [5, 10, 20, 40, 80, 160, 300, 300] {
            for _ in 0..SILENT_MAX {
                health.heard(message, &silence());
            }
            assert_eq!(health.rest(), Some((SuspensionReason::Unavailable, TimeDelta::seconds(rest))));
            health.rested(true);
            health.heard(message, &Outcome::Ambiguous { reason: String::new() });
            health.rested(false);
        }
        health.heard(message, &Outcome::NotFound);
        assert_eq!((health.is_dead(), health.rest()), (false, None));
    }

    #[test]
    fn faults_of_many_messages_are_death_those_of_one_are_not() {
        let mut health = Health::default();
        for _ in 0..100 {
            health.heard((Uuid::nil(), "guest"), &fault());
        }
        assert!(!health.is_dead());
        for n in 0..FAILING_MAX {
            health.heard((Uuid::nil(), &n.to_string()), &fault());
        }
        assert!(health.is_dead());
    }

    #[test]
    fn refused_credentials_rest_whatever_else_was_heard() {
        let mut health = Health::default();
        let refused = Outcome::Unauthorized { reason: String::new() };
        for outcome in [&refused, &Outcome::Done(()), &silence()] {
            health.heard((Uuid::nil(), "guest"), outcome);
        }
        assert_eq!(health.rest(), Some((SuspensionReason::Unauthorized, UNAUTHORIZED_REST)));
        health.rested(true);
        assert_eq!(health.rest(), None);
    }
}
