//! The provider's side of a rate limit: how many calls pass, and who calls while told to wait.
//!
//! Both types are pure: the moment comes in as an argument, so tests decide what time it is.
//! Guarantees: at most `burst` calls at once and `per_second` on average; a refused call costs nothing;
//! the wait that [`Bucket::take`] answers is exactly the time until it would pass.

use std::time::Duration;

use tokio::time::Instant;

/// No limit is slower than one call a day.
const SLOWEST: Duration = Duration::from_hours(24);

/// The size of a token bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Calls a second in the long run. Below one a day, or no number at all, counts as one a day.
    pub per_second: f64,
    /// Calls that pass at once after a pause; at least one.
    pub burst: u32,
}

/// A token bucket that refills continuously.
///
/// Kept as the moment at which it will be full again, in whole nanoseconds: nothing drifts, and there is nothing to
/// refill.
#[derive(Debug)]
pub(super) struct Bucket {
    interval: Duration,
    depth: Duration,
    full_at: Instant,
}

impl Bucket {
    pub(super) fn new(limit: Limit, now: Instant) -> Self {
        let interval = Duration::try_from_secs_f64(1.0 / limit.per_second)
            .map_or(SLOWEST, |interval| interval.min(SLOWEST));
        Self { interval, depth: interval.saturating_mul(limit.burst.max(1)), full_at: now }
    }

    /// Takes one token, or says how long until there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let used = self.full_at.saturating_duration_since(now) + self.interval;
        match used.checked_sub(self.depth) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                self.full_at = now + used;
                Ok(())
            }
        }
    }
}

/// `Retry-After` in whole seconds: never less than the wait, and at least one.
pub(super) fn retry_after(wait: Duration) -> u64 {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    whole.max(1)
}

/// What clients were told to wait for.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// When the first 429 of this gate was answered, and until when it told to wait.
    shut: Option<(Instant, Instant)>,
}

impl Gate {
    /// A 429 was answered: nobody should call before `wait` is over.
    pub(super) fn told(&mut self, now: Instant, wait: Duration) {
        let until = now + wait.min(SLOWEST);
        self.shut = Some(match self.shut {
            Some((first, earlier)) if now < earlier => (first, until.max(earlier)),
            _ => (now, until),
        });
    }

    /// Whether a call that arrives now should have waited. Within `grace` of the first 429 it was on its way already.
    pub(super) fn ignored(&self, now: Instant, grace: Duration) -> bool {
        self.shut.is_some_and(|(first, until)| now < until && now > first + grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Limit = Limit { per_second: 10.0, burst: 3 };

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_its_burst_then_refills_continuously() {
        let mut bucket = Bucket::new(TEN, Instant::now());
        for _ in 0..3 {
            assert_eq!(bucket.take(Instant::now()), Ok(()));
        }
        assert_eq!(bucket.take(Instant::now()), Err(ms(100)));

        tokio::time::advance(ms(60)).await;
        assert_eq!(bucket.take(Instant::now()), Err(ms(40)), "the refused call before took nothing");
        tokio::time::advance(ms(40)).await;
        assert_eq!(bucket.take(Instant::now()), Ok(()));
        assert_eq!(bucket.take(Instant::now()), Err(ms(100)));

        tokio::time::advance(ms(60_000)).await;
        let passed = (0..10).filter(|_| bucket.take(Instant::now()).is_ok()).count();
        assert_eq!(passed, 3, "a long pause fills it to its burst, not further");
    }

    #[tokio::test(start_paused = true)]
    async fn in_the_long_run_the_rate_passes() {
        let mut bucket = Bucket::new(TEN, Instant::now());
        let mut passed = 0;
        for _ in 0..10_000 {
            passed += u32::from(bucket.take(Instant::now()).is_ok());
            tokio::time::advance(ms(1)).await;
        }
        assert_eq!(passed, 3 + 99);
    }

    #[test]
    fn nonsense_rates_are_slow_not_fatal() {
        let now = Instant::now();
        for per_second in [0.0, -1.0, f64::NAN, f64::MIN_POSITIVE] {
            let mut bucket = Bucket::new(Limit { per_second, burst: 0 }, now);
            assert_eq!(bucket.take(now), Ok(()));
            assert_eq!(bucket.take(now), Err(SLOWEST));
        }
    }

    #[test]
    fn retry_after_rounds_up_and_is_at_least_one() {
        assert_eq!(retry_after(Duration::ZERO), 1);
        assert_eq!(retry_after(ms(20)), 1);
        assert_eq!(retry_after(ms(1000)), 1);
        assert_eq!(retry_after(ms(1001)), 2);
        assert_eq!(retry_after(Duration::from_nanos(2_000_000_001)), 3);
    }

    #[test]
    fn calls_on_their_way_are_not_violations_later_ones_are() {
        let (start, grace) = (Instant::now(), ms(50));
        let mut gate = Gate::default();
        assert!(!gate.ignored(start, grace));
        gate.told(start, ms(1000));
        assert!(!gate.ignored(start + ms(50), grace));
        assert!(gate.ignored(start + ms(51), grace));
        assert!(gate.ignored(start + ms(999), grace));
        assert!(!gate.ignored(start + ms(1000), grace));
    }

    #[test]
    fn a_429_while_shut_extends_the_gate_and_one_after_it_is_a_new_gate() {
        let (start, grace) = (Instant::now(), ms(50));
        let mut gate = Gate::default();
        gate.told(start, ms(1000));
        gate.told(start + ms(40), ms(1000));
        gate.told(start + ms(45), ms(100));
        assert!(gate.ignored(start + ms(60), grace), "grace counts from the first 429");
        assert!(gate.ignored(start + ms(1039), grace));
        assert!(!gate.ignored(start + ms(1040), grace));
        gate.told(start + ms(1040), ms(1000));
        assert!(!gate.ignored(start + ms(1090), grace));
        assert!(gate.ignored(start + ms(1091), grace));
    }
}
