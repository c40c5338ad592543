//! Records with a bound: the newest are kept, the oldest forgotten, so that a sandbox can run for months.

use std::collections::{HashSet, VecDeque};

/// A list that forgets its oldest items; each item keeps the number it was given.
#[derive(Debug)]
pub(super) struct History<T> {
    items: VecDeque<T>,
    first: usize,
    keep: usize,
}

impl<T: Clone> History<T> {
    pub(super) fn new(keep: usize) -> Self {
        Self { items: VecDeque::new(), first: 0, keep: keep.max(1) }
    }

    /// Adds an item; the answer is its number.
    pub(super) fn push(&mut self, item: T) -> usize {
        if self.items.len() == self.keep {
            self.items.pop_front();
            self.first += 1;
        }
        self.items.push_back(item);
        self.first + self.items.len() - 1
    }

    /// The item of this number, unless it is forgotten.
    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.items.get_mut(number.checked_sub(self.first)?)
    }

    pub(super) fn to_vec(&self) -> Vec<T> {
        self.items.iter().cloned().collect()
    }
}

/// The idempotency keys seen, as far back as the history goes.
#[derive(Debug)]
pub(super) struct Keys {
    known: HashSet<String>,
    order: VecDeque<String>,
    keep: usize,
}

impl Keys {
    pub(super) fn new(keep: usize) -> Self {
        Self { known: HashSet::new(), order: VecDeque::new(), keep: keep.max(1) }
    }

    /// Remembers the key; the answer is whether it had been seen before.
    pub(super) fn seen(&mut self, key: &str) -> bool {
        if self.known.contains(key) {
            return true;
        }
        if self.order.len() == self.keep
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.insert(key.to_owned());
        self.order.push_back(key.to_owned());
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_numbers_stay() {
        let mut history = History::new(2);
        assert_eq!([history.push('a'), history.push('b'), history.push('c')], [0, 1, 2]);
        assert_eq!(history.to_vec(), ['b', 'c']);
        assert_eq!(history.get_mut(0), None);
        assert_eq!(history.get_mut(2), Some(&mut 'c'));
        assert_eq!(history.get_mut(3), None);
    }

    #[test]
    fn keys_are_known_until_they_are_too_old() {
        let mut keys = Keys::new(2);
        assert!(!keys.seen("a"));
        assert!(keys.seen("a"));
        assert!(!keys.seen("b"));
        assert!(!keys.seen("c"));
        assert!(!keys.seen("a"), "pushed out by c");
        assert!(keys.seen("c"));
    }
}
