//! A webhook's body becomes a [`ReservationEvent`], or the name of the field that is wrong.
//!
//! This is the only place that validates what the booking source sends: whatever [`parse`] returns fits
//! the `reservations` table as it is, and nothing below checks it again. [`parse`] never panics,
//! whatever the bytes.
//!
//! Accepted, beside the documented envelope with `data`:
//! - the reservation under `reservation`, `data.reservation`, `payload.reservation`, `payload`, or flat
//!   (looked for in that order, `data` before `payload`);
//! - every name in camelCase or snake_case, and `type` for `event`;
//! - guest fields inline (`guestFirstName`) or in a `guest` object of the reservation or of what encloses it;
//! - numbers as strings; a status derived from the event type. `null` is the same as absent.
//!
//! Never guessed: one key twice in any object, or two spellings of a field that disagree in one object, are
//! refused. The same field in two *places* is not ambiguous: the envelope goes before the reservation
//! (`webhookId`, `timestamp`), inline guest fields before the `guest` object.

mod fields;
mod json;
mod number;
mod shape;
mod values;

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use self::{
    fields::Field,
    json::{Node, Object},
    shape::Shape,
};

/// What a reservation is; ordered by rank, the higher wins between events of one timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Booked, as `reservation.created` says.
    Confirmed,
    /// Changed since, as `reservation.updated` says.
    Modified,
    /// Called off, as `reservation.cancelled` says.
    Cancelled,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Confirmed, Self::Modified, Self::Cancelled];

    /// As the contract and the table write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Modified => "modified",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status that comes with an event type; `None` for a type other than the three.
    fn of_event(event: &str) -> Option<Self> {
        match event {
            "reservation.created" => Some(Self::Confirmed),
            "reservation.updated" => Some(Self::Modified),
            "reservation.cancelled" => Some(Self::Cancelled),
            _ => None,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is none of the three statuses, exactly as written in the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one of confirmed, modified, cancelled")]
pub struct UnknownStatus;

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        match text {
            "confirmed" => Ok(Self::Confirmed),
            "modified" => Ok(Self::Modified),
            "cancelled" => Ok(Self::Cancelled),
            _ => Err(UnknownStatus),
        }
    }
}

/// What an event says about its guest. Never blank: a blank text says nothing and would erase what is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestFields {
    /// At most 100 characters.
    pub first_name: Option<String>,
    /// At most 100 characters.
    pub last_name: Option<String>,
    /// At most 255 characters.
    pub email: Option<String>,
    /// At most 50 characters.
    pub phone: Option<String>,
}

impl GuestFields {
    /// Whether nothing is said of the guest.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// An event that fits the `reservations` table. No text in it holds a NUL; lengths are in characters.
/// Serialised, it is what the spool keeps; it comes back as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservationEvent {
    /// 1 to 50 characters, not blank.
    pub reservation_id: String,
    /// 1 to 50 characters, not blank.
    pub property_id: String,
    /// 1 to 50 characters, not blank.
    pub guest_id: String,
    /// As given, or as derived from the event type.
    pub status: Status,
    /// In the years 1 to 9999.
    pub check_in: NaiveDate,
    /// After `check_in`, in the same years.
    pub check_out: NaiveDate,
    /// Not negative.
    pub num_guests: i32,
    /// Always of scale 2, from -99999999.99 to 99999999.99; rounded half away from zero from the decimal
    /// digits as they were sent, of any length and with any exponent: no binary fraction comes in between.
    pub total_amount: Decimal,
    /// 1 to 10 characters, not blank.
    pub currency: String,
    /// What the event says about the guest.
    pub guest: GuestFields,
    /// At most 50 characters, not blank.
    pub webhook_id: Option<String>,
    /// When it happened, in whole microseconds (what is finer is cut off), in the years 1 to 9999.
    pub timestamp: Option<DateTime<Utc>>,
}

/// What a well-formed body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// An event to apply.
    Event(Box<ReservationEvent>),
    /// An event of a type other than the three and without one of the three statuses: not ours to apply.
    Ignored,
}

/// Which field is wrong, and what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct EventError {
    field: String,
    problem: String,
}

impl EventError {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The field's name as the contract writes it (`checkIn`, `guest.email`), as the sender wrote it for a key
    /// given twice, or `body` for what is not a JSON object.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }
}

/// Reads the body of a webhook. See the module for what is accepted; the error's text is short, holds at most
/// some 40 characters of the input, and is fit to be sent back.
pub fn parse(body: &[u8]) -> Result<Parsed, EventError> {
    let body = json::parse(body)?;
    let shape = Shape::of(&body);
    match status(&shape)? {
        Some(status) => Ok(Parsed::Event(Box::new(event(&shape, status)?))),
        None => Ok(Parsed::Ignored),
    }
}

/// The event's status, or `None` where the event is to be ignored.
fn status(shape: &Shape<'_>) -> Result<Option<Status>, EventError> {
    let given = shape.reservation.get("status");
    match fields::EVENT.first(&shape.envelope, values::event_type)? {
        Some(values::EventType::Foreign) => Ok(given.and_then(known_status)),
        Some(values::EventType::Reservation(derived)) if given.is_none() => Ok(Some(derived)),
        None if given.is_none() => Err(fields::EVENT.error("missing; give the event type or a status")),
        Some(values::EventType::Reservation(_)) | None => {
            fields::STATUS.read(shape.reservation, values::status)
        }
    }
}

fn known_status(node: &Node<'_>) -> Option<Status> {
    values::status(node).ok().flatten()
}

fn event(shape: &Shape<'_>, status: Status) -> Result<ReservationEvent, EventError> {
    let reservation = shape.reservation;
    let id = |field: &Field| field.required(reservation, |node| values::text(node, 50));
    let (reservation_id, property_id) = (id(&fields::RESERVATION_ID)?, id(&fields::PROPERTY_ID)?);
    let guest_id = shape.guest_id()?;
    let (check_in, check_out) = stay(reservation)?;
    Ok(ReservationEvent {
        reservation_id,
        property_id,
        guest_id,
        status,
        check_in,
        check_out,
        num_guests: fields::NUM_GUESTS.required(reservation, values::count)?,
        total_amount: fields::TOTAL_AMOUNT.required(reservation, values::amount)?,
        currency: fields::CURRENCY.required(reservation, |node| values::text(node, 10))?,
        guest: shape.guest_fields()?,
        webhook_id: fields::WEBHOOK_ID.first(&shape.everywhere(), |node| values::known_text(node, 50))?,
        timestamp: fields::TIMESTAMP.first(&shape.everywhere(), values::timestamp)?,
    })
}

/// Check-in and check-out, in that order in time too.
fn stay(reservation: &Object<'_>) -> Result<(NaiveDate, NaiveDate), EventError> {
    let check_in = fields::CHECK_IN.required(reservation, values::date)?;
    let check_out = fields::CHECK_OUT.required(reservation, values::date)?;
    if check_out <= check_in {
        return Err(fields::CHECK_OUT.error(format!("must be after checkIn ({check_in})")));
    }
    Ok((check_in, check_out))
}
