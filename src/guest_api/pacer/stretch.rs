//! What was sent from one opening of the gate to the refusal that closed it, and what two such
//! stretches say about the limit.
//!
//! A token bucket is full when a stretch begins and empty when it ends: with the right rate, both
//! stretches have used up the same store of tokens. That gives the rate, though the size of the store
//! is not known either.

/// Rate changes that are kept of one stretch; further ones say little.
const MARKS_MAX: usize = 16;
/// Tokens that must have been used before the store says anything.
const STORE_MIN: f64 = 3.0;
/// Seconds by which the stretches must differ where they are drawn from, or noise decides.
const DIFFERENCE_MIN: f64 = 0.12;

/// A stretch: where the rate changed, and its end, each as (time, number of the request).
#[derive(Clone, Debug, Default)]
pub(super) struct Stretch {
    marks: Vec<(f64, u32)>,
    end: (f64, u32),
}

impl Stretch {
    /// A request leaves; the first one begins the stretch.
    pub(super) fn left(&mut self, now: f64, number: u32) {
        if self.marks.is_empty() {
            self.marks.push((now, number));
        }
        self.end = (now, number);
    }

    /// The rate changes.
    pub(super) fn mark(&mut self, now: f64) {
        if !self.marks.is_empty() && self.marks.len() < MARKS_MAX {
            self.marks.push((now, self.end.1.wrapping_add(1)));
        }
    }

    /// The request of this number, sent then, was the first to be refused.
    pub(super) fn ended(mut self, sent: f64, number: u32) -> Self {
        self.end = (sent, number);
        self.marks.retain(|&(at, _)| at < sent);
        self
    }

    /// How large a store has to be that is refilled at `rate` and empty at the end.
    fn store(&self, rate: f64) -> f64 {
        let used = |&(at, number): &(f64, u32)| {
            f64::from(self.end.1.wrapping_sub(number)) - rate * (self.end.0 - at)
        };
        self.marks.iter().map(used).fold(0.0, f64::max)
    }

    /// Seconds over which the store is drawn from at about `rate`.
    fn seconds(&self, rate: f64) -> f64 {
        (self.store(0.95 * rate) - self.store(1.05 * rate)) / (0.1 * rate)
    }
}

/// The rate between `low` and `high` at which both stretches have used up the same store.
pub(super) fn common_rate(one: &Stretch, two: &Stretch, mut low: f64, mut high: f64) -> Option<f64> {
    let difference = |rate| two.store(rate) - one.store(rate);
    if difference(low) <= 0.0 || (difference(high) >= 0.0 && two.store(high) > 0.0) {
        return None;
    }
    // 30 halvings: finer than any measurement.
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if difference(middle) > 0.0 { low = middle } else { high = middle }
    }
    let telling = two.store(low) >= STORE_MIN && two.seconds(low) >= one.seconds(low) + DIFFERENCE_MIN;
    telling.then_some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a bucket lets through at these rates, each for so many seconds, until it is empty.
    fn stretch(bucket: (f64, f64), stages: &[(f64, f64)]) -> Stretch {
        let (limit, burst) = bucket;
        let (mut tokens, mut now, mut number) = (burst, 0.0, 0);
        let mut stretch = Stretch::default();
        for &(rate, seconds) in stages {
            stretch.mark(now);
            let end = now + seconds;
            while now < end {
                number += 1;
                stretch.left(now, number);
                if tokens < 1.0 {
                    return stretch.ended(now, number);
                }
                tokens = (tokens - 1.0 + limit / rate).min(burst);
                now += 1.0 / rate;
            }
        }
        stretch
    }

    #[test]
    fn two_stretches_give_the_rate_of_a_bucket_of_unknown_size() {
        for limit in [30.0, 50.0, 60.0] {
            for burst in [8.0, 10.0, 20.0] {
                let one = stretch((limit, burst), &[(25.0, 0.4), (50.0, 0.4), (100.0, 9.0)]);
                let two = stretch((limit, burst), &[(limit * 1.15, 99.0)]);
                let rate = common_rate(&one, &two, 20.0, limit * 1.15).unwrap();
                assert!((rate / limit - 1.0).abs() < 0.06, "{limit}/s, burst {burst}: {rate}");
            }
        }
    }

    #[test]
    fn stretches_that_are_alike_say_nothing() {
        let one = stretch((50.0, 10.0), &[(100.0, 9.0)]);
        assert_eq!(common_rate(&one, &one, 10.0, 100.0), None);
        assert_eq!(common_rate(&Stretch::default(), &one, 10.0, 100.0), None);
        assert_eq!(common_rate(&one, &Stretch::default(), 10.0, 100.0), None);
    }
}
