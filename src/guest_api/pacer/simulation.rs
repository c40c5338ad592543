//! Rate-limited servers, simulated, and the pacer against them: no I/O, no waiting, fixed seeds.
//!
//! Shared by the tests and by `benches/broadcast.rs`. The servers: a token bucket (also one whose limit
//! changes), fixed windows (several at once, too), a sliding log, a cap on requests under way. The way to the
//! server and back takes a log-normal time each.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque},
};

use super::{Answer, Learned, Pacer, Ticket, Verdict};

/// Requests under way at most: more than any of these servers needs.
const CAP: u32 = 256;
/// The longest simulated time.
const END: f64 = 100_000.0;

/// A limit: whether a request passes at a time; if not, for how many seconds it is told to wait.
pub(super) trait Server {
    fn hit(&mut self, at: f64) -> Result<(), Option<f64>>;
    /// Seconds that serving takes.
    fn service(&self) -> f64 {
        0.0
    }
}

/// How a refusal says when to come back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Says {
    /// In decimals.
    Exactly,
    /// In whole seconds, rounded up, as `Retry-After` has it.
    WholeSeconds,
    /// Not at all.
    Nothing,
}

impl Says {
    fn wait(self, seconds: f64) -> Option<f64> {
        match self {
            Self::Exactly => Some(seconds),
            Self::WholeSeconds => Some(seconds.ceil().max(1.0)),
            Self::Nothing => None,
        }
    }
}

/// A token bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    filled_at: f64,
    says: Says,
    change: Option<(f64, f64)>,
}

impl Bucket {
    pub(super) fn new(rate: f64, burst: f64, says: Says) -> Self {
        Self { rate, burst, tokens: burst, filled_at: 0.0, says, change: None }
    }

    /// Another rate from a time on.
    pub(super) fn then(mut self, at: f64, rate: f64) -> Self {
        self.change = Some((at, rate));
        self
    }

    fn fill(&mut self, at: f64) {
        self.tokens = (self.tokens + (at - self.filled_at) * self.rate).min(self.burst);
        self.filled_at = at;
    }
}

impl Server for Bucket {
    fn hit(&mut self, at: f64) -> Result<(), Option<f64>> {
        if let Some((when, rate)) = self.change.filter(|&(when, _)| at >= when) {
            self.fill(when);
            self.rate = rate;
            self.change = None;
        }
        self.fill(at);
        if self.tokens < 1.0 {
            return Err(self.says.wait((1.0 - self.tokens) / self.rate));
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

/// Fixed windows, one or several at once: (requests, seconds).
#[derive(Debug)]
pub(super) struct Windows {
    windows: Vec<Window>,
    says: Says,
}

#[derive(Debug)]
struct Window {
    requests: u32,
    seconds: f64,
    start: f64,
    used: u32,
}

impl Windows {
    pub(super) fn new(windows: &[(u32, f64)], says: Says) -> Self {
        let window = |&(requests, seconds)| Window { requests, seconds, start: 0.0, used: 0 };
        Self { windows: windows.iter().map(window).collect(), says }
    }
}

impl Server for Windows {
    fn hit(&mut self, at: f64) -> Result<(), Option<f64>> {
        let mut wait = 0.0_f64;
        for window in &mut self.windows {
            let start = (at / window.seconds).floor() * window.seconds;
            if start > window.start {
                (window.start, window.used) = (start, 0);
            }
            if window.used >= window.requests {
                wait = wait.max(window.start + window.seconds - at);
            }
        }
        if wait > 0.0 {
            return Err(self.says.wait(wait));
        }
        for window in &mut self.windows {
            window.used += 1;
        }
        Ok(())
    }
}

/// A sliding log: so many requests in any so many seconds.
#[derive(Debug)]
pub(super) struct Log {
    requests: usize,
    seconds: f64,
    passed: VecDeque<f64>,
    says: Says,
}

impl Log {
    pub(super) fn new(requests: usize, seconds: f64, says: Says) -> Self {
        Self { requests, seconds, passed: VecDeque::new(), says }
    }
}

impl Server for Log {
    fn hit(&mut self, at: f64) -> Result<(), Option<f64>> {
        while self.passed.front().is_some_and(|&passed| passed <= at - self.seconds) {
            self.passed.pop_front();
        }
        match self.passed.front() {
            Some(&oldest) if self.passed.len() >= self.requests => {
                Err(self.says.wait(oldest + self.seconds - at))
            }
            _ => {
                self.passed.push_back(at);
                Ok(())
            }
        }
    }
}

/// So many requests at once, each for some seconds; the others are told to wait for one.
#[derive(Debug)]
pub(super) struct Places {
    count: usize,
    seconds: f64,
    busy_until: Vec<f64>,
}

impl Places {
    pub(super) fn new(count: usize, seconds: f64) -> Self {
        Self { count, seconds, busy_until: Vec::new() }
    }
}

impl Server for Places {
    fn hit(&mut self, at: f64) -> Result<(), Option<f64>> {
        self.busy_until.retain(|&until| until > at);
        if self.busy_until.len() >= self.count {
            return Err(Some(1.0));
        }
        self.busy_until.push(at + self.seconds);
        Ok(())
    }

    fn service(&self) -> f64 {
        self.seconds
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers for the same seed, whatever libraries do.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // The upper 32 bits, as a number under one.
        let upper = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(u32::MAX);
        f64::from(upper) / 4_294_967_296.0
    }

    /// Log-normal around a mean, by Box and Muller.
    fn latency(&mut self, mean: f64) -> f64 {
        let normal = (-2.0 * (1.0 - self.next()).ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos();
        mean * (0.3 * normal - 0.045).exp()
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// A slot has come.
    Slot,
    Arrives(Ticket),
    Answered(Ticket, Result<(), Option<f64>>),
    Wake,
}

/// An event at a time; of two at the same time the earlier made one goes first.
#[derive(Debug)]
struct At(f64, u64, Event);

impl PartialEq for At {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for At {}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for At {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.total_cmp(&self.0).then(other.1.cmp(&self.1))
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    /// When the last message was taken.
    pub(super) end: f64,
    /// Messages taken.
    pub(super) done: u32,
    /// Requests made, and those of them that were answered 429.
    pub(super) requests: u32,
    pub(super) refused: u32,
    /// Requests that left while told to wait.
    pub(super) violations: u32,
    /// The most requests under way.
    pub(super) in_flight_max: u32,
    /// The lowest and the highest rate.
    pub(super) rates: (f64, f64),
}

struct Simulation<'a> {
    server: &'a mut dyn Server,
    pacer: &'a mut Pacer,
    random: Random,
    way: f64,
    now: f64,
    events: BinaryHeap<At>,
    made: u64,
    pending: u32,
    /// Booked requests that wait for a place.
    waiting: u32,
    wake_at: Option<f64>,
    gate: f64,
    run: Run,
}

/// Sends `messages` from `start` on; the way there and the way back take `way` seconds each, about.
pub(super) fn run(
    server: &mut dyn Server,
    pacer: &mut Pacer,
    messages: u32,
    seed: u64,
    (way, start): (f64, f64),
) -> Run {
    let mut simulation = Simulation {
        server,
        pacer,
        random: Random(seed),
        way,
        now: start,
        events: BinaryHeap::new(),
        made: 0,
        pending: messages,
        waiting: 0,
        wake_at: None,
        gate: f64::NEG_INFINITY,
        run: Run { rates: (f64::INFINITY, 0.0), ..Run::default() },
    };
    simulation.pump();
    while simulation.run.done < messages
        && let Some(At(at, _, event)) = simulation.events.pop()
        && at < start + END
    {
        simulation.now = at;
        simulation.happens(event);
        simulation.pump();
    }
    simulation.run
}

impl Simulation<'_> {
    fn at(&mut self, at: f64, event: Event) {
        self.made += 1;
        self.events.push(At(at, self.made, event));
    }

    /// Books what may be booked.
    fn pump(&mut self) {
        while self.pending > 0 {
            self.pacer.left(self.pending as usize);
            let rate = self.pacer.rate(self.now);
            self.run.rates = (self.run.rates.0.min(rate), self.run.rates.1.max(rate));
            match self.pacer.verdict(self.now) {
                Verdict::Send => {
                    let slot = self.pacer.book(self.now);
                    self.pending -= 1;
                    self.at(slot, Event::Slot);
                }
                Verdict::At(at) => {
                    if self.wake_at.is_none_or(|wake| at < wake || wake <= self.now) {
                        self.wake_at = Some(at);
                        self.at(at, Event::Wake);
                    }
                    return;
                }
                Verdict::WhenAnswered => return,
            }
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Slot => self.leave(),
            Event::Wake => self.wake_at = self.wake_at.filter(|&wake| wake > self.now),
            Event::Arrives(ticket) => {
                let result = self.server.hit(self.now);
                let service = if result.is_ok() { self.server.service() } else { 0.0 };
                let back = self.now + self.random.latency(self.way) + service;
                self.at(back, Event::Answered(ticket, result));
            }
            Event::Answered(ticket, result) => {
                let answer = if let Err(wait) = result {
                    let wait = wait.unwrap_or(1.0);
                    self.run.refused += 1;
                    self.pending += 1;
                    self.gate = self.gate.max(self.now + wait);
                    Answer::Limited { wait }
                } else {
                    self.run.done += 1;
                    self.run.end = self.now;
                    Answer::Passed
                };
                self.pacer.answered(self.now, ticket, answer);
                for _ in 0..std::mem::take(&mut self.waiting) {
                    self.leave();
                }
            }
        }
    }

    fn leave(&mut self) {
        match self.pacer.may_leave(self.now) {
            Verdict::Send => {
                let ticket = self.pacer.leave(self.now);
                self.run.requests += 1;
                self.run.violations += u32::from(self.now < self.gate);
                self.run.in_flight_max = self.run.in_flight_max.max(self.pacer.in_flight());
                let there = self.now + self.random.latency(self.way);
                self.at(there, Event::Arrives(ticket));
            }
            Verdict::WhenAnswered => self.waiting += 1,
            Verdict::At(_) => {
                self.pacer.unbook(self.now);
                self.pending += 1;
            }
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The server.
    pub(crate) name: &'static str,
    server: fn() -> Box<dyn Server>,
    /// What it takes a second in the long run, where that is one number.
    rate: Option<f64>,
    messages: u32,
    /// Seconds that all messages take at least.
    ideal: f64,
    way: f64,
    /// What the reference model reaches of the limit in percent, with nothing remembered and with the true rate, and
    /// its share of 429 in percent. It is a Python program, simulated against the same servers over three seeds; its
    /// policy is this one, with a slower start and without the measurement by two stretches.
    pub(crate) reference: Figures,
    pub(crate) reference_warm: Option<Figures>,
}

/// Percent of the limit, and percent of the requests that were answered 429.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) utilisation: f64,
    pub(crate) refused: f64,
}

const fn figures(utilisation: f64, refused: f64) -> Figures {
    Figures { utilisation, refused }
}

/// A server with one rate, over the usual way.
const fn steady(
    name: &'static str,
    server: fn() -> Box<dyn Server>,
    (rate, messages): (f64, u32),
    reference: Figures,
    warm: Figures,
) -> Row {
    let ideal = messages as f64 / rate;
    Row { name, server, rate: Some(rate), messages, ideal, way: 0.04, reference, reference_warm: Some(warm) }
}

/// A server without one rate.
const fn other(
    name: &'static str,
    server: fn() -> Box<dyn Server>,
    (messages, ideal): (u32, f64),
    reference: Figures,
) -> Row {
    Row { name, server, rate: None, messages, ideal, way: 0.04, reference, reference_warm: None }
}

use Says::WholeSeconds;

/// The table.
pub(crate) const ROWS: [Row; 12] = [
    steady(
        "bucket 50/s, burst 50",
        || Box::new(Bucket::new(50.0, 50.0, WholeSeconds)),
        (50.0, 15_000),
        figures(98.5, 0.29),
        figures(99.4, 0.15),
    ),
    steady(
        "bucket 10/s, burst 10",
        || Box::new(Bucket::new(10.0, 10.0, WholeSeconds)),
        (10.0, 4_000),
        figures(97.6, 0.59),
        figures(97.8, 0.59),
    ),
    steady(
        "bucket 50/s, burst 5",
        || Box::new(Bucket::new(50.0, 5.0, WholeSeconds)),
        (50.0, 15_000),
        figures(93.9, 0.04),
        figures(97.6, 0.02),
    ),
    Row {
        way: 0.2,
        ..steady(
            "bucket 200/s, burst 200, 400 ms",
            || Box::new(Bucket::new(200.0, 200.0, WholeSeconds)),
            (200.0, 40_000),
            figures(93.5, 0.64),
            figures(95.9, 0.77),
        )
    },
    steady(
        "50 in each second",
        || Box::new(Windows::new(&[(50, 1.0)], WholeSeconds)),
        (50.0, 15_000),
        figures(93.4, 0.09),
        figures(93.3, 0.06),
    ),
    steady(
        "15 in each 10 s",
        || Box::new(Windows::new(&[(15, 10.0)], WholeSeconds)),
        (1.5, 1_500),
        figures(98.2, 0.64),
        figures(97.1, 0.84),
    ),
    steady(
        "600 in each minute",
        || Box::new(Windows::new(&[(600, 60.0)], WholeSeconds)),
        (10.0, 6_000),
        figures(98.4, 0.41),
        figures(98.3, 0.16),
    ),
    steady(
        "200 in any 30 s",
        || Box::new(Log::new(200, 30.0, WholeSeconds)),
        (200.0 / 30.0, 4_000),
        figures(97.3, 0.33),
        figures(97.8, 0.37),
    ),
    steady(
        "15/s, 120/min and 5,000/h",
        || Box::new(Windows::new(&[(15, 1.0), (120, 60.0), (5_000, 3_600.0)], WholeSeconds)),
        (2.0, 3_000),
        figures(98.2, 0.37),
        figures(98.3, 0.30),
    ),
    other("5 at once, 100 ms each", || Box::new(Places::new(5, 0.1)), (8_000, 160.0), figures(61.6, 0.16)),
    other(
        "bucket 50/s, 20/s after a minute",
        || Box::new(Bucket::new(50.0, 20.0, WholeSeconds).then(60.0, 20.0)),
        (8_000, 60.0 + 5_000.0 / 20.0),
        figures(93.9, 0.47),
    ),
    other(
        "bucket 20/s, 50/s after a minute",
        || Box::new(Bucket::new(20.0, 20.0, WholeSeconds).then(60.0, 50.0)),
        (12_000, 60.0 + 10_800.0 / 50.0),
        figures(87.7, 0.20),
    ),
];

/// What the pacer reaches in a row, over these seeds: with nothing remembered, or with the true rate, where there is
/// one.
pub(crate) fn measure(row: &Row, seeds: &[u64], warm: bool) -> Option<Figures> {
    let (mut utilisation, mut requests, mut refused) = (0.0, 0, 0);
    for &seed in seeds {
        let mut pacer = Pacer::new(CAP);
        if warm {
            pacer.remember(Learned { rate: row.rate?, ceiling: None });
        }
        let run = run(&mut *(row.server)(), &mut pacer, row.messages, seed, (row.way, 0.0));
        assert_eq!((run.done, run.violations), (row.messages, 0), "{}", row.name);
        utilisation += 100.0 * row.ideal / run.end;
        requests += run.requests;
        refused += run.refused;
    }
    let seeds = f64::from(u32::try_from(seeds.len()).ok()?);
    Some(figures(utilisation / seeds, 100.0 * f64::from(refused) / f64::from(requests)))
}

/// What a first broadcast takes and is refused, and the one after it: multiples of the ideal time and percent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) first: (f64, f64),
    pub(super) next: (f64, f64),
}

/// Two broadcasts of so many messages to a bucket of 50/s with a burst of 10, the second one 5 s after the first.
pub(super) fn pair(messages: u32, seed: u64) -> Pair {
    let (mut server, mut pacer) = (Bucket::new(50.0, 10.0, WholeSeconds), Pacer::new(CAP));
    let mut start = 0.0;
    let mut one = |seed| {
        let run = run(&mut server, &mut pacer, messages, seed, (0.012, start));
        let taken = run.end - start;
        start = run.end + 5.0;
        (taken * 50.0 / f64::from(messages), 100.0 * f64::from(run.refused) / f64::from(run.requests))
    };
    Pair { first: one(seed), next: one(seed + 1_000) }
}
