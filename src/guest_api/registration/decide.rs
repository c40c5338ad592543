//! Pure: what to do about the registration, and when events may have been missed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::Url;

/// How often the provider's list is read.
const CHECK: Duration = Duration::from_secs(15);
/// How long to wait after the first attempt that failed; doubled at each further one, up to [`CHECK`].
const RETRY: Duration = Duration::from_secs(3);

/// What to ask of the provider once its list was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Everything is as it is to be.
    Nothing,
    /// `POST /webhooks/register`.
    Register,
    /// `DELETE /webhooks/unregister`.
    Unregister,
}

impl Action {
    /// Whether an answer of this status says that it was done. What was not there is off.
    pub(super) fn is_done(self, status: u16) -> bool {
        (200..300).contains(&status) || (self == Self::Unregister && status == 404)
    }
}

/// What to ask for. `asked`: a client waits for an answer of the provider, so one is fetched even
/// when nothing would change. `listed` is unknown when the list could not be read.
pub(super) fn action(wanted: bool, asked: bool, listed: Option<bool>) -> Action {
    match (wanted, listed) {
        (true, _) if asked => Action::Register,
        (false, _) if asked => Action::Unregister,
        (true, Some(false)) => Action::Register,
        // Whoever put it there: it was asked to stay off.
        (false, Some(true)) => Action::Unregister,
        _ => Action::Nothing,
    }
}

/// Whether both are the same URL; the provider may write ours as its library does.
pub(super) fn is_same(listed: &str, ours: &str) -> bool {
    listed == ours
        || matches!((Url::parse(listed), Url::parse(ours)), (Ok(listed), Ok(ours)) if listed == ours)
}

/// What was known when the list was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before {
    /// Whether the URL is to be registered.
    pub(super) wanted: bool,
    /// Whether it was registered as far as we knew, and nobody asked for an end of that.
    pub(super) expected: bool,
    /// When the list last showed it.
    pub(super) listed_at: Option<DateTime<Utc>>,
    /// When the last event came in.
    pub(super) last_event_at: Option<DateTime<Utc>>,
}

/// Since when events may have been missed, when the list has just shown that the URL was dropped.
pub(super) fn gap_since(before: Before, listed: bool) -> Option<DateTime<Utc>> {
    let dropped = before.wanted && before.expected && !listed;
    dropped.then(|| before.listed_at.max(before.last_event_at)).flatten()
}

/// How long to wait before the list is read again, after so many failures in a row.
pub(super) fn pause(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => CHECK,
        Some(doublings) => RETRY.saturating_mul(1 << doublings.min(8)).min(CHECK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(seconds, 0)
    }

    const BEFORE: Before = Before { wanted: true, expected: true, listed_at: None, last_event_at: None };

    #[test]
    fn the_list_is_made_to_show_what_is_wanted() {
        for (wanted, listed, what) in [
            (true, Some(true), Action::Nothing),
            (true, Some(false), Action::Register),
            (true, None, Action::Nothing),
            (false, Some(true), Action::Unregister),
            (false, Some(false), Action::Nothing),
            (false, None, Action::Nothing),
        ] {
            assert_eq!(action(wanted, false, listed), what, "{wanted} {listed:?}");
        }
    }

    #[test]
    fn a_url_may_be_listed_in_another_spelling() {
        assert!(is_same("http://h.example/", "http://H.example:80"));
        assert!(is_same("not a URL", "not a URL"));
        assert!(!is_same("http://h.example/webhooks/", "http://h.example/webhooks"));
        assert!(!is_same("not a URL", "nor this"));
    }

    #[test]
    fn only_what_is_taken_off_may_be_missing() {
        assert!(Action::Register.is_done(201) && Action::Unregister.is_done(200));
        assert!(Action::Unregister.is_done(404) && !Action::Register.is_done(404));
        assert!(!Action::Register.is_done(302) && !Action::Unregister.is_done(500));
    }

    #[test]
    fn who_asks_gets_an_answer_of_the_provider() {
        for listed in [None, Some(false), Some(true)] {
            assert_eq!(action(true, true, listed), Action::Register);
            assert_eq!(action(false, true, listed), Action::Unregister);
        }
    }

    #[test]
    fn a_gap_begins_with_the_last_sign_of_the_registration() {
        let seen = |listed_at, last_event_at| Before { listed_at, last_event_at, ..BEFORE };
        assert_eq!(gap_since(seen(at(5), at(9)), false), at(9));
        assert_eq!(gap_since(seen(at(9), at(5)), false), at(9));
        assert_eq!(gap_since(seen(at(9), None), false), at(9));
        assert_eq!(gap_since(seen(at(9), None), true), None, "it is there");
    }

    #[test]
    fn what_was_never_registered_or_taken_off_on_purpose_has_no_gap() {
        let before = Before { listed_at: at(5), ..BEFORE };
        assert_eq!(gap_since(Before { expected: false, ..before }, false), None);
        assert_eq!(gap_since(Before { wanted: false, ..before }, false), None);
    }

    #[test]
    fn a_dropped_registration_is_tried_again_within_twenty_seconds() {
        assert_eq!(pause(0), CHECK);
        let pauses: Vec<_> = (1..6).map(|failures| pause(failures).as_secs()).collect();
        assert_eq!(pauses, [3, 6, 12, 15, 15]);
        assert_eq!(pause(u32::MAX), CHECK);
        assert!(pause(0) + pause(1) < Duration::from_secs(20), "even when the first try fails");
    }
}
