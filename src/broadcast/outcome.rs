//! The table of outcomes: what a message becomes, and whether it cost a try. Pure.
//!
//! | outcome | the message | tries |
//! |---|---|---|
//! | 2xx | SENT | +1 |
//! | 429; 503 with `Retry-After`; it did not leave | PENDING | +0 |
//! | 408, 425, 5xx, could not connect | PENDING after a pause; out of tries: FAILED | +1 |
//! | the same while the provider counts as dead, if it gave no answer | PENDING after a pause | +0 |
//! | timed out or cut off after it had left | as above, or UNCERTAIN by the policy of the broadcast | +1 |
//! | another 4xx | FAILED | +1 |
//! | 401, 403 | PENDING; every broadcast is SUSPENDED | +0 |

use chrono::TimeDelta;
use rand::{Rng, RngExt as _};

use super::{MessageState, UncertainPolicy};
use crate::guest_api::Outcome;

/// The first and the longest pause before a message is tried again, in milliseconds.
const BACKOFF_FIRST_MS: i64 = 1_000;
const BACKOFF_MAX_MS: i64 = 300_000;
/// Characters of a reason that are kept.
const ERROR_MAX: usize = 500;

/// What a message becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) state: MessageState,
    pub(super) tries: i32,
    pub(super) error: Option<String>,
    /// It left, and nobody knows whether it arrived.
    pub(super) may_have_arrived: bool,
    /// Whether it is to be tried again after a pause of its own.
    pub(super) pauses: bool,
}

impl Judgement {
    /// What became of the try, in a word.
    pub(super) fn name(&self) -> &'static str {
        match self.state {
            MessageState::Sent => "sent",
            MessageState::Failed => "failed",
            MessageState::Uncertain => "uncertain",
            MessageState::Pending if self.tries > 0 => "retried",
            MessageState::Pending | MessageState::Sending | MessageState::Cancelled => "held_back",
        }
    }
}

/// What the judge has to know besides the outcome.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    pub(super) policy: UncertainPolicy,
    /// Whether this try was the last that the message has.
    pub(super) is_last_try: bool,
    /// Whether the provider has not answered anybody of late.
    pub(super) is_dead: bool,
}

/// `None` for a request that did not leave.
pub(super) fn judge(outcome: Option<Outcome<()>>, case: Circumstances) -> Judgement {
    use MessageState::{Failed, Pending, Sent, Uncertain};
    let final_state = |state, reason: Option<String>| (state, 1, reason, false);
    let (state, tries, error, may_have_arrived) = match outcome {
        None | Some(Outcome::Limited { .. }) => (Pending, 0, None, false),
        Some(Outcome::Done(())) => final_state(Sent, None),
        Some(Outcome::NotFound) => {
            final_state(Failed, Some("the Guest API does not know this guest".to_owned()))
        }
        Some(Outcome::Refused { reason }) => final_state(Failed, Some(reason)),
        Some(Outcome::Unauthorized { reason }) => (Pending, 0, Some(reason), false),
        Some(Outcome::Retry { reason, answered: false }) if case.is_dead => (Pending, 0, Some(reason), false),
        Some(Outcome::Retry { reason, .. }) if case.is_last_try => final_state(Failed, Some(reason)),
        Some(Outcome::Retry { reason, .. }) => (Pending, 1, Some(reason), false),
        Some(Outcome::Ambiguous { reason }) if case.policy == UncertainPolicy::Hold => {
            (Uncertain, 1, Some(reason), true)
        }
        Some(Outcome::Ambiguous { reason }) if case.is_last_try => final_state(Failed, Some(reason)),
        Some(Outcome::Ambiguous { reason }) => (Pending, 1, Some(reason), true),
    };
    Judgement {
        state,
        tries,
        pauses: state == Pending && tries > 0,
        error: error.map(|error| error.chars().take(ERROR_MAX).collect()),
        may_have_arrived,
    }
}

/// Full jitter: anything up to 1 s x 2^(attempt - 1), five minutes at most.
pub(super) fn backoff(attempt: i32, rng: &mut (impl Rng + ?Sized)) -> TimeDelta {
    let ceiling = BACKOFF_FIRST_MS.saturating_mul(1 << (attempt - 1).clamp(0, 20)).min(BACKOFF_MAX_MS);
    TimeDelta::milliseconds(rng.random_range(0..=ceiling))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use MessageState::{Failed, Pending, Sent, Uncertain};
    use UncertainPolicy::{Hold, Resend};
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn the_table_of_outcomes() {
        let reason = || "why".to_owned();
        let limited = Outcome::Limited { wait: Duration::from_secs(1) };
        let retry = |answered| Outcome::Retry { reason: reason(), answered };
        let ambiguous = Outcome::Ambiguous { reason: reason() };
        let refused = Outcome::Refused { reason: reason() };
        let unauthorized = Outcome::Unauthorized { reason: reason() };
        for (outcome, policy, is_last_try, is_dead, wanted) in [
            (None, Resend, true, true, (Pending, 0)),
            (Some(Outcome::Done(())), Resend, true, true, (Sent, 1)),
            (Some(limited), Resend, true, false, (Pending, 0)),
            (Some(retry(true)), Resend, false, false, (Pending, 1)),
            (Some(retry(true)), Resend, true, true, (Failed, 1)),
            (Some(retry(false)), Resend, true, false, (Failed, 1)),
            (Some(retry(false)), Resend, true, true, (Pending, 0)),
            (Some(ambiguous.clone()), Resend, false, true, (Pending, 1)),
            (Some(ambiguous.clone()), Resend, true, true, (Failed, 1)),
            (Some(ambiguous), Hold, false, false, (Uncertain, 1)),
            (Some(Outcome::NotFound), Resend, false, false, (Failed, 1)),
            (Some(refused), Hold, false, false, (Failed, 1)),
            (Some(unauthorized), Resend, true, false, (Pending, 0)),
        ] {
            let case = Circumstances { policy, is_last_try, is_dead };
            let judgement = judge(outcome.clone(), case);
            assert_eq!((judgement.state, judgement.tries), wanted, "{outcome:?} {case:?}");
            let pauses = wanted == (Pending, 1);
            assert_eq!(judgement.pauses, pauses, "{outcome:?} {case:?}");
        }
    }

    #[test]
    fn pauses_grow_to_five_minutes() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut longest = |attempt| (0..1_000).map(|_| backoff(attempt, &mut rng)).max().unwrap();
        assert!(longest(1) <= TimeDelta::seconds(1) && longest(1) > TimeDelta::milliseconds(900));
        assert!(longest(4) <= TimeDelta::seconds(8) && longest(4) > TimeDelta::seconds(7));
        assert!(longest(40) <= TimeDelta::minutes(5) && longest(40) > TimeDelta::minutes(4));
    }
}
