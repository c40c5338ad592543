//! What the writer of this process wrote last, so that the next event about it costs no read.
//!
//! A hint and no more: each entry has the version of its row, the write checks it, and an entry that
//! was outrun is read again. Whoever takes entries has them alone and puts them back after the commit,
//! so that nothing stays here of a batch that failed. Versions are those of one database server: once a
//! connection had to be opened anew, which may be to another one, nothing is remembered any more.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hashlink::LruCache;

use super::{Reservation, ReservationEvent, guests::Guest};

/// Reservations, and as many guests; at worst they take some 40 MB.
const KEPT: usize = 32_768;

/// A row as it was in a version.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) row: Reservation,
    pub(super) version: String,
    /// What the change log has of it, where this process wrote that.
    pub(super) image: Option<String>,
}

/// What is remembered.
pub struct Recent(Mutex<Entries>);

struct Entries {
    /// Connections opened by then.
    opened: u64,
    rows: LruCache<String, Known>,
    guests: LruCache<String, Guest>,
}

/// What is known of some rows and guests.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) rows: HashMap<String, Known>,
    pub(super) guests: HashMap<String, Guest>,
}

impl Default for Recent {
    fn default() -> Self {
        Self(Mutex::new(Entries::new(0)))
    }
}

impl Entries {
    fn new(opened: u64) -> Self {
        Self { opened, rows: LruCache::new(KEPT), guests: LruCache::new(KEPT) }
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Recent")
    }
}

impl Recent {
    /// Takes what is remembered of the rows and guests of these events; `opened` counts the connections
    /// that were opened so far.
    pub(super) fn take(&self, events: &[Arc<ReservationEvent>], opened: u64) -> Taken {
        let (mut entries, mut taken) = (self.entries(), Taken::default());
        if entries.opened != opened {
            *entries = Entries::new(opened);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_remembered_over_a_new_connection() {
        let recent = Recent::default();
        let guests = HashMap::from([("g".to_owned(), Guest::default())]);
        recent.put(Taken { rows: HashMap::new(), guests });
        let events = [Arc::new(event("g"))];
        let taken = recent.take(&events, 0);
        assert_eq!(taken.guests.len(), 1);
        recent.put(taken);
        assert_eq!(recent.take(&events, 1).guests.len(), 0);
    }

    fn event(guest_id: &str) -> ReservationEvent {
        let body = serde_json::json!({
            "event": "reservation.created",
            "data": {
                "reservationId": "r", "propertyId": "p", "guestId": guest_id, "checkIn": "2026-04-06",
                "checkOut": "2026-04-13", "numGuests": 1, "totalAmount": 1, "currency": "USD",
            },
        });
        match crate::reservations::event::parse(body.to_string().as_bytes()) {
            Ok(crate::reservations::event::Parsed::Event(event)) => *event,
            other => panic!("{other:?}"),
        }
    }
}
