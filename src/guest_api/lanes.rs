//! Whose turn is it? Pure: who waits, and who lets whom pass.

/// How long a broadcast that was told to ask again is waited for, in seconds.
const PATIENCE: f64 = 0.1;
/// One in so many slots goes to the bulk lane even while broadcasts want all of them, so that it is not
/// shut out for as long as they last.
const BULK_SHARE: u32 = 50;

/// What a call is for. Earlier lanes are not held up by later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A person waits for it.
    Urgent,
    /// The webhook registration.
    Registration,
    /// A message of a broadcast.
    Broadcast,
    /// Guests we lack.
    Bulk,
}

impl Lane {
    /// What its calls are for, in a word.
    #[must_use]
    pub fn call(self) -> &'static str {
        match self {
            Self::Urgent | Self::Bulk => "guest",
            Self::Registration => "registration",
            Self::Broadcast => "message",
        }
    }
}

/// Who waits.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    urgent: u32,
    registration: u32,
    /// Until when broadcasts are taken to want the next slot: they ask from time to time.
    broadcasts_until: f64,
    since_bulk: u32,
}

impl Lanes {
    /// Whether somebody goes first.
    pub(super) fn gives_way(&self, lane: Lane, now: f64) -> bool {
        match lane {
            Lane::Urgent => false,
            Lane::Registration => self.urgent > 0,
            Lane::Broadcast => self.urgent + self.registration > 0,
            Lane::Bulk => {
                let behind_broadcasts = now < self.broadcasts_until && self.since_bulk < BULK_SHARE;
                self.urgent + self.registration > 0 || behind_broadcasts
            }
        }
    }

    /// Somebody begins to wait, until [`Lanes::stops`].
    pub(super) fn waits(&mut self, lane: Lane) {
        if let Some(count) = self.count(lane) {
            *count += 1;
        }
    }

    /// Somebody waits no longer.
    pub(super) fn stops(&mut self, lane: Lane) {
        if let Some(count) = self.count(lane) {
            *count = count.saturating_sub(1);
        }
    }

    /// A broadcast wanted a slot, and may have one at `at`.
    pub(super) fn broadcast_wants(&mut self, at: f64) {
        self.broadcasts_until = at + PATIENCE;
    }

    /// A broadcast had no message for its slot.
    pub(super) fn broadcast_wants_nothing(&mut self) {
        self.broadcasts_until = f64::NEG_INFINITY;
    }

    /// A slot was given out.
    pub(super) fn served(&mut self, lane: Lane) {
        self.since_bulk = if lane == Lane::Bulk { 0 } else { self.since_bulk.saturating_add(1) };
    }

    fn count(&mut self, lane: Lane) -> Option<&mut u32> {
        match lane {
            Lane::Urgent => Some(&mut self.urgent),
            Lane::Registration => Some(&mut self.registration),
            Lane::Broadcast | Lane::Bulk => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Lane; 4] = [Lane::Urgent, Lane::Registration, Lane::Broadcast, Lane::Bulk];

    fn giving_way(lanes: &Lanes, now: f64) -> Vec<Lane> {
        ALL.into_iter().filter(|&lane| lanes.gives_way(lane, now)).collect()
    }

    #[test]
    fn who_is_waited_for_goes_first() {
        let mut lanes = Lanes::default();
        assert!(giving_way(&lanes, 0.0).is_empty());
        lanes.waits(Lane::Registration);
        assert_eq!(giving_way(&lanes, 0.0), [Lane::Broadcast, Lane::Bulk]);
        lanes.waits(Lane::Urgent);
        assert_eq!(giving_way(&lanes, 0.0), [Lane::Registration, Lane::Broadcast, Lane::Bulk]);
        lanes.stops(Lane::Registration);
        lanes.stops(Lane::Urgent);
        assert!(giving_way(&lanes, 0.0).is_empty());
    }

    #[test]
    fn look_ups_come_after_broadcasts_but_not_never() {
        let mut lanes = Lanes::default();
        lanes.broadcast_wants(5.0);
        assert_eq!(giving_way(&lanes, 4.0), [Lane::Bulk]);
        assert!(giving_way(&lanes, 5.2).is_empty(), "it did not come");
        lanes.broadcast_wants(6.0);
        for _ in 0..BULK_SHARE {
            assert!(lanes.gives_way(Lane::Bulk, 6.0));
            lanes.served(Lane::Broadcast);
        }
        assert!(!lanes.gives_way(Lane::Bulk, 6.0), "one in fifty");
        lanes.served(Lane::Bulk);
        assert!(lanes.gives_way(Lane::Bulk, 6.0));
        lanes.broadcast_wants_nothing();
        assert!(!lanes.gives_way(Lane::Bulk, 6.0));
    }
}
