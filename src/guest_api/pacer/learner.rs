//! What is learned of the limit, and so the rate to send at.
//!
//! ```text
//! Start     doubles the rate every 0.4 s (slower above 100/s) until the first refusal
//! Search    climbs in small steps, until refused or close under what was refused
//! Hold      just under the estimate; each refusal there takes a little more margin
//! Probe     tries 5 % more for some seconds, then climbs while that goes well
//! QuotaProbe   the same for the long windows of a quota, over minutes
//! ```
//! A refusal with a wait of up to two seconds speaks of the rate, one with a longer wait of a quota:
//! then what passed since the window opened, by its length, is the ceiling. What is refused is paid
//! from a budget that grows by half a percent of what passes, and without which nothing is probed.
//! The numbers were found by simulation (`simulation.rs`); `tests.rs` holds the table.

use super::{
    Learned,
    stretch::{Stretch, common_rate},
};

/// Requests a second at first, and at the least and the most.
const FIRST: f64 = 25.0;
pub(super) const SLOWEST: f64 = 0.02;
const FASTEST: f64 = 10_000.0;
/// A start's stages: seconds and factor, up to this rate and above. Longer where answers are slow.
const FAST_START: f64 = 99.0;
const STAGE: (f64, f64) = (0.4, 2.0);
const SLOW_STAGE: (f64, f64) = (1.0, 1.5);
const STAGE_ROUND_TRIPS: f64 = 4.0;
/// What to go on with after a start's first refusal, as a share of the refused rate: a little over the
/// limit most times, so that the second refusal comes late enough to measure by.
const SECOND: f64 = 0.6;
/// The share of the estimate that is held; what a refusal takes off it, and the least of it.
const MARGIN: f64 = 0.985;
const MARGIN_STEP: f64 = 0.006;
const MARGIN_MIN: f64 = 0.961;
/// How much more is tried.
const PROBE: f64 = 1.05;
/// Seconds between tries at first and at most, and until the first one after a measurement.
const GAP: f64 = 30.0;
const GAP_MAX: f64 = 120.0;
const GAP_FIRST: f64 = 8.0;
/// A try at more pays off when what is left takes so many seconds. When none was made for so long, one
/// is made all the same: the next work may profit.
const WORTH: f64 = 60.0;
const OVERDUE: f64 = 600.0;
/// The budget for refusals: at first, at most, its growth by request, what a probe needs, and what a
/// first measurement leaves of it.
const BUDGET: f64 = 4.0;
const BUDGET_MAX: f64 = 10.0;
const BUDGET_GROWTH: f64 = 0.005;
const BUDGET_PROBE: f64 = 2.0;
const BUDGET_COLD: f64 = 2.0;
/// The longest wait that speaks of a rate.
const SHORT_WAIT: f64 = 2.0;
/// Two measurements that agree are both a little low: what the refusal took to come back is part of them.
const AGREED: f64 = 1.015;
/// The pause after which a quota is measured anew.
const LONG_PAUSE: f64 = 600.0;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Start,
    Search,
    Hold,
    Probe,
    QuotaProbe,
}

/// What passed since the gate opened.
#[derive(Clone, Copy, Debug)]
struct Span {
    open: f64,
    passed: u32,
}

/// A refusal that says something new.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    /// When the gate opens.
    pub(super) opens: f64,
    /// How long to wait, as it was said.
    pub(super) wait: f64,
    /// The refused request, and when it left.
    pub(super) number: u32,
    pub(super) sent: f64,
}

#[derive(Debug)]
pub(super) struct Learner {
    mode: Mode,
    rate: f64,
    /// When this rate began, and what passed at it.
    since: f64,
    passed: u32,
    /// Rates known to go well and to be refused.
    low: f64,
    high: f64,
    estimate: Option<f64>,
    margin: f64,
    /// What a quota allows.
    ceiling: f64,
    /// What the provider says that it allows.
    published: f64,
    /// Since the last refusal, and since the last one with a long wait; `None` before the first request.
    short: Option<Span>,
    long: Option<Span>,
    /// The rate measured by the last refusal.
    measured: f64,
    stretch: Stretch,
    before: Option<Stretch>,
    /// Nothing was known when it began, and the first measurement is not done.
    cold: bool,
    gap: f64,
    quota_gap: f64,
    next_probe: f64,
    step: f64,
    budget: f64,
    left: f64,
}

impl Learner {
    pub(super) fn new() -> Self {
        Self {
            mode: Mode::Start,
            rate: FIRST,
            since: 0.0,
            passed: 0,
            low: 0.0,
            high: f64::INFINITY,
            estimate: None,
            margin: MARGIN,
            ceiling: f64::INFINITY,
            published: f64::INFINITY,
            short: None,
            long: None,
            measured: 0.0,
            stretch: Stretch::default(),
            before: None,
            cold: true,
            gap: GAP,
            quota_gap: 1.0,
            next_probe: f64::INFINITY,
            step: PROBE,
            budget: BUDGET,
            left: 0.0,
        }
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    pub(super) fn left(&mut self, requests: usize) {
        self.left = f64::from(u32::try_from(requests).unwrap_or(u32::MAX));
    }

    pub(super) fn learned(&self) -> Option<Learned> {
        let ceiling = self.ceiling.is_finite().then_some(self.ceiling);
        let rate = self.estimate.or(ceiling)?;
        Some(Learned { rate, ceiling })
    }

    pub(super) fn remember(&mut self, learned: Learned) {
        let usable = |rate: f64| (SLOWEST..=FASTEST).contains(&rate);
        if !usable(learned.rate) {
            return;
        }
        self.ceiling = learned.ceiling.filter(|&rate| usable(rate)).unwrap_or(f64::INFINITY);
        self.settle(self.since, learned.rate);
        self.low = self.rate;
    }

    /// The provider says what it allows.
    pub(super) fn told(&mut self, from: f64, rate: f64) {
        let rate = rate.clamp(SLOWEST, FASTEST);
        if (rate - self.published).abs() < 0.01 * rate {
            return;
        }
        self.published = rate;
        self.low = 0.0;
        self.high = rate;
        self.settle(from, rate);
    }

    /// Goes by this estimate; a measurement under way is over.
    fn settle(&mut self, from: f64, estimate: f64) {
        self.cold = false;
        self.estimate = Some(estimate);
        self.hold(from, estimate);
        self.next_probe = from + self.gap;
    }

    /// A request leaves.
    pub(super) fn left_as(&mut self, now: f64, number: u32) {
        if self.short.is_none() {
            // The first of all: time counts from here.
            self.since = now;
            self.next_probe = now + self.gap;
        }
        self.short.get_or_insert(Span { open: now, passed: 0 });
        self.long.get_or_insert(Span { open: now, passed: 0 });
        self.stretch.left(now, number);
    }

    /// Nothing was sent for a while: what is measured is measured while busy.
    pub(super) fn idled(&mut self, now: f64, pause: f64) {
        self.short = self.short.map(|_| Span { open: now, passed: 0 });
        self.stretch = Stretch::default();
        self.since = now;
        self.passed = 0;
        if pause > LONG_PAUSE {
            self.long = self.long.map(|_| Span { open: now, passed: 0 });
        }
    }

    fn go(&mut self, from: f64, rate: f64, mode: Mode) {
        let top = match mode {
            Mode::QuotaProbe => f64::INFINITY,
            Mode::Probe => self.ceiling,
            Mode::Start | Mode::Search | Mode::Hold => self.ceiling * self.margin,
        };
        self.rate = rate.min(top).min(self.published).clamp(SLOWEST, FASTEST);
        self.mode = mode;
        self.since = from;
        self.passed = 0;
        self.stretch.mark(from);
    }

    fn hold(&mut self, from: f64, estimate: f64) {
        self.go(from, estimate * self.margin, Mode::Hold);
    }

    /// Every refusal is paid for.
    pub(super) fn refused(&mut self) {
        let floor = if self.cold { BUDGET_COLD } else { f64::NEG_INFINITY };
        self.budget = (self.budget - 1.0).max(floor);
    }

    pub(super) fn limited(&mut self, refusal: Refusal, round_trip: f64) {
        let new = Span { open: refusal.opens, passed: 0 };
        let stretch = std::mem::take(&mut self.stretch).ended(refusal.sent, refusal.number);
        let before = self.before.replace(stretch.clone());
        let short = self.short.replace(new).unwrap_or(new);
        if refusal.wait > SHORT_WAIT {
            let long = self.long.replace(new).unwrap_or(new);
            return self.quota_used_up(refusal.opens, long);
        }
        let measured = Measured::of(short, refusal.opens, round_trip);
        let fitted = before
            .filter(|_| self.cold && self.mode == Mode::Search)
            .and_then(|before| common_rate(&before, &stretch, measured.rate.max(0.4 * self.rate), self.rate));
        match fitted {
            Some(rate) => self.measured_to_be(refusal.opens, rate),
            None => self.over_the_rate(refusal.opens, measured, round_trip),
        }
    }

    /// A quota is used up: what passed in its window is what it allows.
    fn quota_used_up(&mut self, opens: f64, long: Span) {
        let length = opens - long.open;
        let allows =
            if length > 0.0 && long.passed > 0 { f64::from(long.passed) / length } else { self.rate * 0.5 };
        self.ceiling = allows.clamp(SLOWEST, FASTEST);
        self.quota_gap = if self.mode == Mode::QuotaProbe { (self.quota_gap * 2.0).min(8.0) } else { 1.0 };
        self.next_probe = opens + self.quota_gap * length.max(30.0);
        self.hold(opens, self.ceiling);
    }

    fn measured_to_be(&mut self, opens: f64, rate: f64) {
        (self.high, self.low, self.gap) = (self.rate, 0.0, GAP);
        self.settle(opens, rate);
        self.next_probe = opens + GAP_FIRST;
    }

    fn over_the_rate(&mut self, opens: f64, measured: Measured, round_trip: f64) {
        let bad = self.rate;
        if let (Mode::Probe, Some(estimate)) = (self.mode, self.estimate)
            && bad <= estimate * PROBE * 1.01
        {
            // As expected, most times.
            (self.high, self.gap) = (bad, (self.gap * 2.0).min(GAP_MAX));
            self.hold(opens, estimate);
            self.next_probe = opens + self.gap;
            return;
        }
        let close = measured.good && measured.rate >= 0.9 * bad;
        if self.mode == Mode::Hold && close && measured.seconds > 5.0 {
            return self.take_more_margin(opens, measured.rate);
        }
        let good_rate = if measured.good { measured.rate } else { 0.0 };
        if self.mode == Mode::Start {
            self.estimate = Some(measured.rate.max(SECOND * bad));
            self.high = bad;
            return self.go(opens, SECOND * bad, Mode::Search);
        }
        let last = std::mem::replace(&mut self.measured, good_rate);
        let long_enough = measured.seconds >= (20.0 * round_trip).max(6.0);
        let twice = measured.good && (measured.rate - last).abs() < 0.04 * measured.rate;
        if self.mode == Mode::Search && long_enough && twice && !close {
            return self.measured_to_be(opens, measured.rate.max(last) * AGREED);
        }
        self.search_lower(opens, good_rate, close);
    }

    /// The right rate, held with too little margin; or, when that was tried, a rate that is too high.
    fn take_more_margin(&mut self, opens: f64, measured: f64) {
        let mut estimate = self.estimate.unwrap_or(measured);
        if self.margin <= MARGIN_MIN || self.budget < 0.0 {
            estimate = (estimate * 0.97).min(measured);
            self.margin = MARGIN;
            self.low = self.low.min(estimate);
        } else {
            self.margin -= MARGIN_STEP;
        }
        self.estimate = Some(estimate);
        self.hold(opens, estimate);
        self.next_probe = opens + self.gap;
    }

    fn search_lower(&mut self, opens: f64, measured: f64, close: bool) {
        let bad = self.rate;
        if bad <= self.low * 1.001 {
            self.low = 0.0;
        }
        let share = if self.cold { 0.35 } else { 0.5 };
        self.cold = false;
        let floor = measured.max(self.low).max(share * bad).min(0.97 * bad);
        (self.high, self.gap, self.estimate) = (bad, GAP, Some(floor));
        if bad / floor <= 1.06 || close {
            self.hold(opens, floor);
            self.next_probe = opens + self.gap;
        } else {
            self.go(opens, floor * self.margin, Mode::Search);
        }
    }

    /// A request was let through.
    pub(super) fn passed(&mut self, now: f64, round_trip: f64) {
        for span in [&mut self.short, &mut self.long].into_iter().flatten() {
            span.passed = span.passed.saturating_add(1);
        }
        self.passed = self.passed.saturating_add(1);
        self.budget = (self.budget + BUDGET_GROWTH).min(BUDGET_MAX);
        let age = now - self.since;
        let settled = age >= (2.0 * round_trip).max(1.0) && self.passed >= 6;
        let ended = match self.mode {
            Mode::Start => age >= self.stage(round_trip).0 && self.passed >= 4,
            Mode::Search => settled,
            Mode::Hold => self.may_probe(now),
            Mode::Probe => age >= self.probe_seconds(),
            Mode::QuotaProbe => age >= 4.0 * (60.0 / self.rate).max(30.0),
        };
        if !ended {
            return;
        }
        if self.mode != Mode::Hold && !self.was_used(age, round_trip) {
            // Less was sent than might have been, so it proves nothing.
            self.since = now;
            self.passed = 0;
            return;
        }
        self.next_stage(now, round_trip);
    }

    fn next_stage(&mut self, now: f64, round_trip: f64) {
        let estimate = self.estimate.unwrap_or(self.rate);
        match self.mode {
            Mode::Start => self.go(now, self.rate * self.stage(round_trip).1, Mode::Start),
            Mode::Search => self.climb(now),
            Mode::Hold if self.ceiling < self.estimate.unwrap_or(f64::INFINITY) => {
                self.ceiling *= PROBE;
                self.go(now, self.ceiling * self.margin, Mode::QuotaProbe);
            }
            Mode::Hold => {
                self.step = PROBE;
                self.go(now, estimate * PROBE, Mode::Probe);
            }
            Mode::Probe => {
                (self.estimate, self.low) = (Some(self.rate), estimate);
                self.step = if self.step <= PROBE { 1.1 } else { (self.step * 1.15).min(1.5) };
                self.go(now, self.rate * self.step, Mode::Probe);
            }
            Mode::QuotaProbe => {
                self.ceiling = (self.ceiling * 1.15).min(FASTEST);
                self.go(now, self.ceiling * self.margin, Mode::QuotaProbe);
            }
        }
    }

    fn climb(&mut self, now: f64) {
        self.low = self.low.max(self.rate);
        if self.low >= 0.95 * self.high {
            self.estimate = Some(self.low);
            self.hold(now, self.low);
            self.next_probe = now + self.gap;
        } else {
            // As near as is known to what was refused.
            let step = ((self.high / self.low - 1.0) / 3.0).clamp(0.03, 0.10);
            self.go(now, self.rate * (1.0 + step), Mode::Search);
        }
    }

    /// Seconds and factor of a stage of the start.
    fn stage(&self, round_trip: f64) -> (f64, f64) {
        let (seconds, factor) = if self.rate < FAST_START { STAGE } else { SLOW_STAGE };
        (seconds.max(STAGE_ROUND_TRIPS * round_trip), factor)
    }

    fn probe_seconds(&self) -> f64 {
        if self.step <= PROBE { (20.0 / self.rate).max(6.0) } else { (8.0 / self.rate).max(1.5) }
    }

    fn may_probe(&self, now: f64) -> bool {
        let worth = self.left >= WORTH * self.rate || now >= self.next_probe + OVERDUE;
        let higher = self.rate < 0.95 * self.published;
        now >= self.next_probe && self.budget >= BUDGET_PROBE && worth && higher
    }

    /// Whether about as much was sent at this rate as it allows.
    fn was_used(&self, age: f64, round_trip: f64) -> bool {
        f64::from(self.passed) >= 0.6 * self.rate * (age - round_trip)
    }
}

/// What the time from one opening of the gate to the next says.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// Requests a second, never above the limit of a bucket that was empty at the start.
    rate: f64,
    seconds: f64,
    /// Whether it was long enough.
    good: bool,
}

impl Measured {
    fn of(span: Span, opens: f64, round_trip: f64) -> Self {
        let seconds = opens - span.open;
        let rate = if seconds > 0.0 { f64::from(span.passed) / seconds } else { 0.0 };
        let good = span.passed >= 8 && seconds >= (4.0 * round_trip).max(1.0);
        Self { rate, seconds, good }
    }
}
