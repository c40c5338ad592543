//! What is kept to be found again, bounded in number and in bytes; the longest unused goes first.

use std::{borrow::Borrow, hash::Hash};

use hashlink::LruCache;

/// Values by key, each of which counts for so many bytes.
#[derive(Debug)]
pub struct Bounded<K, V> {
    entries: LruCache<K, (V, usize)>,
    bytes: usize,
    bytes_max: usize,
}

impl<K: Eq + Hash, V> Bounded<K, V> {
    /// Nothing yet; so many values at most, and so many bytes.
    #[must_use]
    pub fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self { entries: LruCache::new(entries_max), bytes: 0, bytes_max }
    }

    /// The value of a key, which is used by that.
    pub fn get<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|(value, _)| value)
    }

    /// Keeps a value.
    pub fn keep(&mut self, key: K, value: V, bytes: usize) {
        if self.entries.len() == self.entries.capacity() && !self.entries.contains_key(&key) {
            self.drop_oldest();
        }
        self.bytes += bytes;
        if let Some((_, before)) = self.entries.insert(key, (value, bytes)) {
            self.bytes -= before;
        }
        while self.bytes > self.bytes_max {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, (_, bytes))) = self.entries.remove_lru() {
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let mut kept = Bounded::new(3, 100);
        for n in 0..3 {
            kept.keep(n, (), 10);
        }
        assert!(kept.get(&0).is_some(), "what is used stays");
        kept.keep(3, (), 10);
        assert_eq!([0, 1, 2, 3].map(|n| kept.get(&n).is_some()), [true, false, true, true]);
        kept.keep(3, (), 75);
        assert_eq!(kept.bytes, 95, "a key counts once");
        kept.keep(4, (), 90);
        assert_eq!((kept.bytes, kept.entries.len()), (90, 1));
        kept.keep(5, (), 101);
        assert_eq!((kept.bytes, kept.entries.len()), (0, 0));
    }
}
