//! Which of two events is newer: a total order, so that any set of events ends in the same rows,
//! whatever order they come in, however often, and however they are cut into batches.
//!
//! `(timestamp in whole microseconds, none before all; cancelled > modified > confirmed; webhook id
//! by bytes; then the remaining columns)`, compared as one value. Events that are equal in all of it
//! say the same thing: the second is a duplicate.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;

use super::{Reservation, ReservationEvent, Status};

/// An event's place in the order. The derived comparison goes through the fields from the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order<'a> {
    timestamp: Option<DateTime<Utc>>,
    status: Status,
    webhook_id: &'a str,
    property_id: &'a str,
    guest_id: &'a str,
    check_in: NaiveDate,
    check_out: NaiveDate,
    num_guests: i32,
    total_amount: Decimal,
    currency: &'a str,
}

impl<'a> From<&'a ReservationEvent> for Order<'a> {
    fn from(event: &'a ReservationEvent) -> Self {
        Self {
            timestamp: event.timestamp,
            status: event.status,
            webhook_id: event.webhook_id.as_deref().unwrap_or_default(),
            property_id: &event.property_id,
            guest_id: &event.guest_id,
            check_in: event.check_in,
            check_out: event.check_out,
            num_guests: event.num_guests,
            total_amount: event.total_amount,
            currency: &event.currency,
        }
    }
}

/// The row holds all of the event that was applied last, so it has that event's place.
impl<'a> From<&'a Reservation> for Order<'a> {
    fn from(row: &'a Reservation) -> Self {
        Self {
            timestamp: row.event_timestamp,
            status: row.status,
            webhook_id: row.webhook_id.as_deref().unwrap_or_default(),
            property_id: &row.property_id,
            guest_id: &row.guest_id,
            check_in: row.check_in,
            check_out: row.check_out,
            num_guests: row.num_guests,
            total_amount: row.total_amount,
            currency: &row.currency,
        }
    }
}

/// The order of something learned about a guest, as text that sorts by bytes: the instant, whether an
/// event said it (its rank) or a look-up (9, which knows best), and the event's id. Equal orders are
/// told apart by the value itself.
#[must_use]
pub fn guest_order(at: Option<DateTime<Utc>>, source: GuestSource<'_>) -> String {
    // Shifted, so that instants before 1970 sort before those after it; none sorts before all.
    let shifted = at.map_or(0, |at| at.timestamp_micros().saturating_add(1 << 60).max(0));
    match source {
        GuestSource::Event { status, webhook_id } => format!("{shifted:020}.{}.{webhook_id}", status as u8),
        GuestSource::LookUp => format!("{shifted:020}.9."),
    }
}

/// Where something about a guest was learned from.
#[derive(Clone, Copy, Debug)]
pub enum GuestSource<'a> {
    /// Inline in an event.
    Event {
        /// The event's status, which ranks as in the order of events.
        status: Status,
        /// The event's id, empty when it has none.
        webhook_id: &'a str,
    },
    /// The Guest API.
    LookUp,
}
