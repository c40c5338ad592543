//! What a writer of this process wrote last, so that the next event about it costs no read.
//!
//! A hint and no more: each entry has the version of its row, the write checks it, and an entry that
//! was outrun is read again. Whoever takes entries has them alone and puts them back after the commit,
//! so that nothing stays here of a batch that failed.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use hashlink::LruCache;

use super::{Reservation, ReservationEvent, guests::Guest};

/// Reservations, and as many guests, a writer; at worst they take some 20 MB.
const KEPT: usize = 16_384;

/// A row as it was in a version.
pub(super) type Versioned<T> = (T, String);

/// What is remembered.
pub struct Recent(Mutex<Entries>);

struct Entries {
    rows: LruCache<String, Versioned<Reservation>>,
    guests: LruCache<String, Guest>,
}

/// What is known of some rows and guests.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) rows: HashMap<String, Versioned<Reservation>>,
    pub(super) guests: HashMap<String, Guest>,
}

impl Default for Recent {
    fn default() -> Self {
        Self(Mutex::new(Entries { rows: LruCache::new(KEPT), guests: LruCache::new(KEPT) }))
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Recent")
    }
}

impl Recent {
    /// Takes what is remembered of the rows and guests of these events.
    pub(super) fn take(&self, events: &[ReservationEvent]) -> Taken {
        let (mut entries, mut taken) = (self.entries(), Taken::default());
        for event in events {
            taken.rows.extend(entries.rows.remove_entry(&event.reservation_id));
            taken.guests.extend(entries.guests.remove_entry(&event.guest_id));
        }
        taken
    }

    /// Remembers rows and guests as they were committed.
    pub(super) fn put(&self, known: Taken) {
        let mut entries = self.entries();
        for (id, row) in known.rows {
            entries.rows.insert(id, row);
        }
        for (id, guest) in known.guests {
            entries.guests.insert(id, guest);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // An entry is whole or not there.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
