//! What holds for every body, whoever sent it. Shared by the fuzz target and by the test that replays
//! the corpus; both have the parser in scope as `event`.

use chrono::Datelike as _;
use serde_json::{Value, json};

use super::event::{self, EventError, Parsed, ReservationEvent};

/// Parses `body`, and panics where the answer is not what the parser promises.
pub fn check(body: &[u8]) -> Result<Parsed, EventError> {
    let answer = event::parse(body);
    match &answer {
        Ok(Parsed::Ignored) => {}
        Ok(Parsed::Event(event)) => {
            check_limits(event);
            let again = event::parse(canonical(event).to_string().as_bytes());
            assert_eq!(again.as_ref(), Ok(&Parsed::Event(event.clone())), "not the same when written again");
        }
        Err(error) => {
            let message = error.to_string();
            assert!(!error.field().is_empty(), "no field is named: {message}");
            assert!(message.chars().count() <= 500, "too long to be kept: {message}");
            assert!(!message.contains(char::is_control), "not printable: {message:?}");
        }
    }
    answer
}

/// Every value fits its column.
fn check_limits(event: &ReservationEvent) {
    let guest = &event.guest;
    let required =
        [(&event.reservation_id, 50), (&event.property_id, 50), (&event.guest_id, 50), (&event.currency, 10)];
    let optional = [
        (&guest.first_name, 100),
        (&guest.last_name, 100),
        (&guest.email, 255),
        (&guest.phone, 50),
        (&event.webhook_id, 50),
    ];
    let optional = optional.into_iter().filter_map(|(text, max)| Some((text.as_ref()?, max)));
    for (text, max) in required.into_iter().chain(optional) {
        assert!(!text.trim().is_empty() && !text.contains('\0'), "{text:?}");
        assert!(text.chars().count() <= max, "{text:?} has more than {max} characters");
    }
    let years = 1..=9999;
    assert!(event.check_in < event.check_out, "{event:?}");
    assert!(years.contains(&event.check_in.year()) && years.contains(&event.check_out.year()), "{event:?}");
    assert!(event.num_guests >= 0, "{event:?}");
    assert_eq!(event.total_amount.scale(), 2, "{event:?}");
    assert!(event.total_amount.mantissa().abs() <= 9_999_999_999, "{event:?}");
    if let Some(at) = event.timestamp {
        assert!(years.contains(&at.year()), "{event:?}");
        assert_eq!(at.timestamp_subsec_nanos() % 1_000, 0, "{event:?}");
    }
}

/// The event as the contract writes it.
fn canonical(event: &ReservationEvent) -> Value {
    let guest = &event.guest;
    json!({
        "event": match event.status.as_str() {
            "confirmed" => "reservation.created",
            "modified" => "reservation.updated",
            _ => "reservation.cancelled",
        },
        "timestamp": event.timestamp,
        "webhookId": event.webhook_id,
        "data": {
            "reservationId": event.reservation_id,
            "propertyId": event.property_id,
            "guestId": event.guest_id,
            "status": event.status,
            "checkIn": event.check_in,
            "checkOut": event.check_out,
            "numGuests": event.num_guests,
            "totalAmount": event.total_amount.to_string(),
            "currency": event.currency,
            "guest": {
                "firstName": guest.first_name,
                "lastName": guest.last_name,
                "email": guest.email,
                "phone": guest.phone,
            },
        },
    })
}
