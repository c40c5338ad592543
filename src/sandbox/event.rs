//! A reservation event, in the one form the booking source sends. Only written, never read.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

/// What happened to a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum EventType {
    /// It was made.
    #[serde(rename = "reservation.created")]
    Created,
    /// It was changed.
    #[serde(rename = "reservation.updated")]
    Updated,
    /// It was called off.
    #[serde(rename = "reservation.cancelled")]
    Cancelled,
}

impl EventType {
    /// The status a reservation has after it.
    #[must_use]
    pub fn status(self) -> &'static str {
        match self {
            Self::Created => "confirmed",
            Self::Updated => "modified",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An amount of money; a number with two decimals in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cents(pub u32);

impl Serialize for Cents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 100.0)
    }
}

/// An event as it is posted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// What happened.
    pub event: EventType,
    /// When, in whole milliseconds.
    #[serde(serialize_with = "milliseconds")]
    pub timestamp: DateTime<Utc>,
    /// Its own id; a repeat has the same.
    pub webhook_id: String,
    /// The reservation after it.
    pub data: Reservation,
}

/// A reservation as it stands in an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// `res_00001`
    pub reservation_id: String,
    /// `property_001`
    pub property_id: String,
    /// `guest_001`
    pub guest_id: String,
    /// What [`EventType::status`] says.
    pub status: &'static str,
    /// The first night.
    pub check_in: NaiveDate,
    /// The morning after the last.
    pub check_out: NaiveDate,
    /// At least one.
    pub num_guests: u8,
    /// For the whole stay.
    pub total_amount: Cents,
    /// USD, EUR or GBP.
    pub currency: &'static str,
}

fn milliseconds<S: Serializer>(moment: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&moment.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_that_of_the_contract() {
        let event = Event {
            event: EventType::Created,
            timestamp: "2026-03-01T22:33:06.252Z".parse().unwrap(),
            webhook_id: "wh_abc123".to_owned(),
            data: Reservation {
                reservation_id: "res_00003".to_owned(),
                property_id: "property_018".to_owned(),
                guest_id: "guest_012".to_owned(),
                status: EventType::Created.status(),
                check_in: "2026-04-06".parse().unwrap(),
                check_out: "2026-04-13".parse().unwrap(),
                num_guests: 5,
                total_amount: Cents(186_959),
                currency: "USD",
            },
        };
        let contract = r#"{"event":"reservation.created","timestamp":"2026-03-01T22:33:06.252Z","webhookId":"wh_abc123","data":{"reservationId":"res_00003","propertyId":"property_018","guestId":"guest_012","status":"confirmed","checkIn":"2026-04-06","checkOut":"2026-04-13","numGuests":5,"totalAmount":1869.59,"currency":"USD"}}"#;
        assert_eq!(serde_json::to_string(&event).unwrap(), contract);
    }
}
