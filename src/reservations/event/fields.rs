//! The fields of an event: what they are called in an error, and every name they are accepted under.
//!
//! The one place where names of the booking source are spelled, apart from the objects that hold them.

use super::{
    EventError,
    json::{Node, Object},
    values::Converted,
};

/// One field: the name an error uses, and its accepted spellings.
pub(super) struct Field {
    label: &'static str,
    names: &'static [&'static str],
}

const fn field(label: &'static str, names: &'static [&'static str]) -> Field {
    Field { label, names }
}

pub(super) const EVENT: Field = field("event", &["event", "type", "event_type", "eventType"]);
pub(super) const STATUS: Field = field("status", &["status"]);
pub(super) const RESERVATION_ID: Field = field("reservationId", &["reservationId", "reservation_id"]);
pub(super) const PROPERTY_ID: Field = field("propertyId", &["propertyId", "property_id"]);
pub(super) const GUEST_ID: Field = field("guestId", &["guestId", "guest_id"]);
pub(super) const CHECK_IN: Field = field("checkIn", &["checkIn", "check_in"]);
pub(super) const CHECK_OUT: Field = field("checkOut", &["checkOut", "check_out"]);
pub(super) const NUM_GUESTS: Field = field("numGuests", &["numGuests", "num_guests"]);
pub(super) const TOTAL_AMOUNT: Field = field("totalAmount", &["totalAmount", "total_amount"]);
pub(super) const CURRENCY: Field = field("currency", &["currency"]);
pub(super) const WEBHOOK_ID: Field = field("webhookId", &["webhookId", "webhook_id"]);
pub(super) const TIMESTAMP: Field = field("timestamp", &["timestamp", "event_timestamp", "eventTimestamp"]);

/// The id inside a `guest` object, for a reservation without `guestId`.
pub(super) const GUEST_OBJECT_ID: Field = field("guest.id", &["id"]);

/// A text about the guest: inline in the reservation, or in a `guest` object.
pub(super) struct GuestText {
    pub(super) inline: Field,
    pub(super) nested: Field,
    pub(super) max: usize,
}

pub(super) const GUEST_FIRST_NAME: GuestText = GuestText {
    inline: field("guestFirstName", &["guestFirstName", "guest_first_name"]),
    nested: field("guest.firstName", &["firstName", "first_name"]),
    max: 100,
};
pub(super) const GUEST_LAST_NAME: GuestText = GuestText {
    inline: field("guestLastName", &["guestLastName", "guest_last_name"]),
    nested: field("guest.lastName", &["lastName", "last_name"]),
    max: 100,
};
pub(super) const GUEST_EMAIL: GuestText = GuestText {
    inline: field("guestEmail", &["guestEmail", "guest_email"]),
    nested: field("guest.email", &["email"]),
    max: 255,
};
pub(super) const GUEST_PHONE: GuestText = GuestText {
    inline: field("guestPhone", &["guestPhone", "guest_phone"]),
    nested: field("guest.phone", &["phone"]),
    max: 50,
};

/// Whether a key's number has to be kept as its digits.
pub(super) fn is_numeric(key: &str) -> bool {
    [NUM_GUESTS, TOTAL_AMOUNT].iter().any(|field| field.names.contains(&key))
}

impl Field {
    /// An error about this field.
    pub(super) fn error(&self, problem: impl Into<String>) -> EventError {
        EventError::new(self.label, problem)
    }

    /// Its value in `object`, whatever the spelling; two spellings have to mean the same.
    pub(super) fn read<T: PartialEq>(
        &self,
        object: &Object<'_>,
        convert: impl Fn(&Node<'_>) -> Converted<T>,
    ) -> Result<Option<T>, EventError> {
        let mut found = None;
        for node in self.names.iter().filter_map(|name| object.get(name)) {
            let Some(value) = convert(node).map_err(|problem| self.error(problem))? else {
                continue;
            };
            if found.as_ref().is_some_and(|other| *other != value) {
                return Err(self.error("given under two names that disagree"));
            }
            found = Some(value);
        }
        Ok(found)
    }

    /// Its value in the first of `places` that has one.
    pub(super) fn first<T: PartialEq>(
        &self,
        places: &[&Object<'_>],
        convert: impl Fn(&Node<'_>) -> Converted<T>,
    ) -> Result<Option<T>, EventError> {
        let mut values = places.iter().map(|place| self.read(place, &convert));
        values.find_map(Result::transpose).transpose()
    }

    /// Its value in `object`, which has to be there.
    pub(super) fn required<T: PartialEq>(
        &self,
        object: &Object<'_>,
        convert: impl Fn(&Node<'_>) -> Converted<T>,
    ) -> Result<T, EventError> {
        self.read(object, convert)?.ok_or_else(|| self.error("missing"))
    }
}
