//! What happened to a reservation, as it is in the change log and as watchers see it.

use chrono::{DateTime, Utc};

use super::{Reservation, ReservationFilter, Status, recent::Known};
use crate::feed::{Entry, NewChange, Topic};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Seen for the first time.
    Created,
    /// One or more fields changed.
    Updated,
    /// It was cancelled.
    Cancelled,
    /// Only what is known of the guest changed.
    GuestUpdated,
}

/// What a change means for the set that a filter selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Not in before, in now.
    Entered,
    /// In before and now.
    Stayed,
    /// In before, not now.
    Left,
}

/// A row as it is.
#[derive(Clone, Copy)]
pub(super) struct Before<'r> {
    pub(super) row: &'r Reservation,
    /// What the change log has of it, where that is known.
    pub(super) image: Option<&'r str>,
}

impl<'r> From<&'r Known> for Before<'r> {
    fn from(known: &'r Known) -> Self {
        Self { row: &known.row, image: known.image.as_deref() }
    }
}

/// One committed change.
#[derive(Clone, Debug)]
pub struct ReservationChange {
    /// Position in the log.
    pub seq: i64,
    /// What happened.
    pub kind: ChangeKind,
    /// The row before, none when it was new.
    pub before: Option<Reservation>,
    /// The row after.
    pub after: Reservation,
    /// When.
    pub committed_at: DateTime<Utc>,
}

impl ChangeKind {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Created, "created"),
        (Self::Updated, "updated"),
        (Self::Cancelled, "cancelled"),
        (Self::GuestUpdated, "guest_updated"),
    ];

    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("updated", |(_, name)| name)
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind)
    }

    /// What an applied event did to a row.
    fn of_event(before: Option<&Reservation>, after: &Reservation) -> Self {
        match before {
            None => Self::Created,
            Some(before) if before.status != Status::Cancelled && after.status == Status::Cancelled => {
                Self::Cancelled
            }
            Some(_) => Self::Updated,
        }
    }
}

/// The log entry for an applied event.
pub(super) fn by_event(
    before: Option<Before<'_>>,
    after: &Reservation,
    at: DateTime<Utc>,
) -> serde_json::Result<NewChange> {
    new_change(ChangeKind::of_event(before.map(|before| before.row), after), before, after, at)
}

/// The log entry for guest fields that arrived.
pub(super) fn by_guest(
    before: &Reservation,
    after: &Reservation,
    at: DateTime<Utc>,
) -> serde_json::Result<NewChange> {
    let before = Before { row: before, image: None };
    new_change(ChangeKind::GuestUpdated, Some(before), after, at)
}

fn new_change(
    kind: ChangeKind,
    before: Option<Before<'_>>,
    after: &Reservation,
    committed_at: DateTime<Utc>,
) -> serde_json::Result<NewChange> {
    Ok(NewChange {
        topic: Topic::Reservation,
        key: after.reservation_id.clone(),
        kind: kind.as_str(),
        before: before.map(image_of).transpose()?,
        after: serde_json::to_string(after)?,
        committed_at,
    })
}

fn image_of(before: Before<'_>) -> serde_json::Result<String> {
    match before.image {
        Some(image) => Ok(image.to_owned()),
        None => serde_json::to_string(before.row),
    }
}

impl ReservationChange {
    /// The change in a log entry, decoded once a process. `None` for another topic, and for an image
    /// this version can't read (which is logged).
    pub fn of(entry: &Entry) -> Option<&Self> {
        if entry.topic != Topic::Reservation {
            return None;
        }
        let decoded = entry.decoded(|entry| {
            Self::decode(entry)
                .inspect_err(|error| tracing::error!(seq = entry.seq, %error, "a change can't be read"))
                .ok()
        });
        decoded.and_then(Option::as_ref)
    }

    fn decode(entry: &Entry) -> serde_json::Result<Self> {
        let before = entry.before.as_deref().map(serde_json::from_str).transpose()?;
        let after = serde_json::from_str(&entry.after)?;
        let kind = ChangeKind::parse(&entry.kind).unwrap_or(ChangeKind::Updated);
        Ok(Self { seq: entry.seq, kind, before, after, committed_at: entry.committed_at })
    }

    /// What the change means for `filter`; `None` when it touches no row of it.
    #[must_use]
    pub fn transition(&self, filter: &ReservationFilter) -> Option<Transition> {
        let was = self.before.as_ref().is_some_and(|row| filter.matches(row));
        match (was, filter.matches(&self.after)) {
            (false, true) => Some(Transition::Entered),
            (true, true) => Some(Transition::Stayed),
            (true, false) => Some(Transition::Left),
            (false, false) => None,
        }
    }

    /// The fields of the row that differ from before, none for a new row.
    #[must_use]
    pub fn changed_fields(&self) -> Vec<&'static str> {
        let Some(before) = &self.before else {
            return Vec::new();
        };
        let after = &self.after;
        let nights = |row: &Reservation| row.check_out - row.check_in;
        [
            ("propertyId", before.property_id != after.property_id),
            ("status", before.status != after.status),
            ("checkIn", before.check_in != after.check_in),
            ("checkOut", before.check_out != after.check_out),
            ("nights", nights(before) != nights(after)),
            ("guestCount", before.num_guests != after.num_guests),
            ("total", (before.total_amount, &before.currency) != (after.total_amount, &after.currency)),
            ("guest", (&before.guest_id, &before.guest) != (&after.guest_id, &after.guest)),
            ("eventAt", before.event_timestamp != after.event_timestamp),
            ("updatedAt", before.updated_at != after.updated_at),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }
}
