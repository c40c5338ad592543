//! What the stand-in Guest API has seen, and the numbers made of it.
//!
//! No HTTP and no clock: calls come in as values with their moment. Guarantees: the numbers count everything since
//! the start, the lists keep the newest as far as [`super::GuestApiSettings::history`] goes.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::effect::Kind;
use super::guest_api::GuestApiSettings;
use super::history::{History, Keys};
use super::limit::{Bucket, Gate};
use super::report::{Delivered, Report, Seen};

/// The state behind one Guest API.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) report: Report,
    pub(super) seen: History<Seen>,
    pub(super) delivered: History<Delivered>,
    started: Instant,
    bucket: Option<Bucket>,
    gate: Gate,
    grace: Duration,
    keys: Keys,
    honours_key: bool,
    guests: HashSet<String>,
}

impl Ledger {
    pub(super) fn new(settings: &GuestApiSettings, now: Instant) -> Self {
        Self {
            report: Report::default(),
            seen: History::new(settings.history),
            delivered: History::new(settings.history),
            started: now,
            bucket: settings.limit.map(|limit| Bucket::new(limit, now)),
            gate: Gate::default(),
            grace: settings.grace,
            keys: Keys::new(settings.history),
            honours_key: settings.honours_key,
            guests: HashSet::new(),
        }
    }

    /// A call arrives: its number, and how long to wait if it is over the limit.
    pub(super) fn arrive(&mut self, now: Instant, kind: Kind, path: String) -> (usize, Option<Duration>) {
        let violation = self.gate.ignored(now, self.grace);
        self.report.requests += 1;
        self.report.violations += usize::from(violation);
        self.report.in_flight += 1;
        self.report.max_in_flight = self.report.max_in_flight.max(self.report.in_flight);
        let number = self.seen.push(Seen { at: now - self.started, kind, path, status: None, violation });
        (number, self.bucket.as_mut().and_then(|bucket| bucket.take(now).err()))
    }

    /// An answer goes out.
    pub(super) fn answer(&mut self, now: Instant, number: usize, status: u16, retry_after: Option<Duration>) {
        self.report.limited += usize::from(status == 429);
        if let (429, Some(wait)) = (status, retry_after) {
            self.gate.told(now, wait);
        }
        if let Some(seen) = self.seen.get_mut(number) {
            seen.status = Some(status);
            self.report.unknown +=
                usize::from(status == 404 && matches!(seen.kind, Kind::Guest | Kind::Message));
        }
    }

    /// A call is over, answered or not.
    pub(super) fn leave(&mut self) {
        self.report.in_flight = self.report.in_flight.saturating_sub(1);
    }

    /// A message is taken.
    pub(super) fn accept(&mut self, now: Instant, guest_id: String, message: String, key: Option<String>) {
        let repeat = key.as_deref().is_some_and(|key| self.keys.seen(key));
        self.report.accepted += 1;
        self.report.repeats += usize::from(repeat);
        if repeat && self.honours_key {
            return;
        }
        self.report.delivered += 1;
        self.guests.insert(guest_id.clone());
        self.report.distinct_guests = self.guests.len();
        let at = now - self.started;
        self.delivered.push(Delivered { guest_id, message, idempotency_key: key, at, repeat });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Limit;

    fn call(ledger: &mut Ledger, now: Instant) -> u16 {
        let (number, wait) = ledger.arrive(now, Kind::Guest, "GET /guests/guest_1".to_owned());
        let (status, wait) = wait.map_or((200, None), |_| (429, Some(Duration::from_secs(1))));
        ledger.answer(now, number, status, wait);
        ledger.leave();
        status
    }

    #[test]
    fn who_calls_while_told_to_wait_is_counted_even_when_served() {
        let limit = Some(Limit { per_second: 10.0, burst: 1 });
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut ledger = Ledger::new(&GuestApiSettings { limit, ..GuestApiSettings::default() }, start);
        assert_eq!(call(&mut ledger, at(0)), 200);
        assert_eq!(call(&mut ledger, at(10)), 429);
        assert_eq!(call(&mut ledger, at(60)), 429, "on its way already");
        assert_eq!(ledger.report.violations, 0);
        assert_eq!(call(&mut ledger, at(500)), 200);
        assert_eq!(ledger.report.violations, 1);
        assert_eq!(call(&mut ledger, at(1060)), 200, "waited as told by the second 429");
        assert_eq!((ledger.report.violations, ledger.report.limited, ledger.report.requests), (1, 2, 5));
        let violations: Vec<_> = ledger.seen.to_vec().iter().map(|seen| seen.violation).collect();
        assert_eq!(violations, [false, false, false, true, false]);
    }

    #[test]
    fn the_most_calls_at_one_time_are_remembered() {
        let now = Instant::now();
        let mut ledger = Ledger::new(&GuestApiSettings::default(), now);
        for _ in 0..3 {
            ledger.arrive(now, Kind::Other, String::new());
        }
        ledger.leave();
        ledger.leave();
        ledger.arrive(now, Kind::Other, String::new());
        assert_eq!((ledger.report.in_flight, ledger.report.max_in_flight), (2, 3));
    }

    #[test]
    fn a_repeated_key_is_held_back_only_where_keys_are_honoured() {
        for (honours_key, delivered) in [(false, 4), (true, 3)] {
            let now = Instant::now();
            let mut ledger =
                Ledger::new(&GuestApiSettings { honours_key, ..GuestApiSettings::default() }, now);
            for key in [Some("a"), Some("a"), Some("b"), None] {
                ledger.accept(now, "guest_1".to_owned(), "hi".to_owned(), key.map(str::to_owned));
            }
            let report = ledger.report;
            assert_eq!((report.accepted, report.repeats, report.delivered), (4, 1, delivered));
            assert_eq!(report.distinct_guests, 1);
            let twice = ledger.delivered.to_vec().iter().filter(|message| message.repeat).count();
            assert_eq!(twice, usize::from(!honours_key));
        }
    }
}
