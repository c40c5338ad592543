//! Webhooks, as the booking source writes them.

use serde_json::{Value, json};

/// A confirmed reservation of `guest_<n>` under `res_<n>`, with a timestamp `n` seconds into an hour.
pub fn created(n: u32) -> Value {
    event(&format!("res_{n:05}"), &format!("guest_{n:03}"), "confirmed", n)
}

/// The same with every field of the guest, so that nothing is looked up.
pub fn named(n: u32) -> Value {
    let mut event = created(n);
    event["data"]["guest"] =
        json!({ "firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.com", "phone": "+1" });
    event
}

/// An event about a reservation; `seconds` into an hour.
pub fn event(reservation: &str, guest: &str, status: &str, seconds: u32) -> Value {
    let kind = match status {
        "confirmed" => "created",
        "modified" => "updated",
        other => other,
    };
    json!({
        "event": format!("reservation.{kind}"),
        "timestamp": format!("2026-03-01T22:{:02}:{:02}.250Z", seconds / 60 % 60, seconds % 60),
        "webhookId": format!("wh_{reservation}_{seconds}"),
        "data": {
            "reservationId": reservation,
            "propertyId": "property_018",
            "guestId": guest,
            "status": status,
            "checkIn": "2026-04-06",
            "checkOut": "2026-04-13",
            "numGuests": 5,
            "totalAmount": 1869.59,
            "currency": "USD",
        },
    })
}
