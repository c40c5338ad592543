//! How events arrive in real life: out of order, and some of them more than once.
//!
//! Guarantees: every event comes; nothing else comes but repeats; an event is outrun only by events less than `window`
//! places after it, and a repeat comes at most two windows late; the same randomness gives the same disorder.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

/// Shuffles within a window and repeats a share of the events (0.0: none, 1.0: each once), as they are read.
///
/// A window of 0 or 1 keeps the order of the events and only repeats them.
pub fn disorder<T, I, R>(events: I, window: usize, repeat_share: f64, rng: R) -> impl Iterator<Item = T>
where
    T: Clone,
    I: IntoIterator<Item = T>,
    R: Rng,
{
    Disorder {
        events: events.into_iter(),
        window: window.max(1),
        repeat_share,
        rng,
        ready: Vec::new(),
        late: Vec::new(),
    }
}

struct Disorder<T, I, R> {
    events: I,
    window: usize,
    repeat_share: f64,
    rng: R,
    /// What comes next, from its end.
    ready: Vec<T>,
    /// Repeats that wait for the next window.
    late: Vec<T>,
}

impl<T: Clone, I: Iterator<Item = T>, R: Rng> Disorder<T, I, R> {
    fn fill(&mut self) {
        let mut block = std::mem::take(&mut self.late);
        for event in self.events.by_ref().take(self.window) {
            if self.rng.random::<f64>() < self.repeat_share {
                let soon = self.rng.random_bool(0.5);
                if soon { &mut block } else { &mut self.late }.push(event.clone());
            }
            block.push(event);
        }
        block.shuffle(&mut self.rng);
        self.ready = block;
    }
}

impl<T: Clone, I: Iterator<Item = T>, R: Rng> Iterator for Disorder<T, I, R> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.ready.is_empty() {
            self.fill();
        }
        if self.ready.is_empty() && !self.late.is_empty() {
            self.fill();
        }
        self.ready.pop()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn run(count: usize, window: usize, share: f64, seed: u64) -> Vec<usize> {
        disorder(0..count, window, share, StdRng::seed_from_u64(seed)).collect()
    }

    #[test]
    fn every_event_comes_and_the_rest_are_repeats_within_two_windows() {
        for seed in 0..20 {
            let (count, window) = (1_000, 8);
            let arrived = run(count, window, 0.2, seed);
            let mut times: HashMap<usize, usize> = HashMap::new();
            for event in &arrived {
                *times.entry(*event).or_default() += 1;
            }
            assert_eq!(times.len(), count, "all of them");
            assert!(times.values().all(|times| (1..=2).contains(times)));
            let repeats = arrived.len() - count;
            assert!((120..280).contains(&repeats), "{repeats} repeats of about 200");

            let mut newest = 0;
            let mut first = vec![true; count];
            for &event in &arrived {
                assert!(
                    newest < event + if first[event] { window } else { 2 * window },
                    "{event} after {newest}"
                );
                first[event] = false;
                newest = newest.max(event);
            }
            assert!(!run(count, window, 0.0, seed).is_sorted(), "not for the repeats alone");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_disorder() {
        assert_eq!(run(500, 8, 0.2, 3), run(500, 8, 0.2, 3));
        assert_ne!(run(500, 8, 0.2, 3), run(500, 8, 0.2, 4));
        assert_ne!(run(500, 8, 0.0, 3), run(500, 8, 0.0, 4));
    }

    #[test]
    fn the_ends_of_both_settings() {
        assert_eq!(run(100, 0, 0.0, 1), (0..100).collect::<Vec<_>>());
        let mut repeats = run(100, 1, 1.0, 1);
        assert_eq!(repeats.len(), 200);
        repeats.sort_unstable();
        repeats.dedup();
        assert_eq!(repeats.len(), 100);
        assert_eq!(run(100, 8, f64::NAN, 1).len(), 100);
        assert!(run(0, 8, 1.0, 1).is_empty());
    }

    #[test]
    fn an_endless_stream_is_read_a_window_at_a_time() {
        let taken = disorder(0.., 4, 0.1, StdRng::seed_from_u64(1)).take(50).max();
        assert!(taken.is_some_and(|newest| newest < 54));
    }
}
