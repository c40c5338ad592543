//! Each rule on its own; what holds for all input is in `generated`.

mod generated;

use serde_json::{Value, json};

use super::*;

/// The contract's example.
fn sample() -> Value {
    json!({
        "event": "reservation.created", "timestamp": "2026-03-01T22:33:06.252Z", "webhookId": "wh_abc123",
        "data": {
            "reservationId": "res_00003", "propertyId": "property_018", "guestId": "guest_012",
            "status": "confirmed", "checkIn": "2026-04-06", "checkOut": "2026-04-13", "numGuests": 5,
            "totalAmount": 1869.59, "currency": "USD"
        }
    })
}

/// The example with `changes` made: a pointer (`/data/checkIn`) and its value, null to take it out.
fn changed(changes: &[(&str, Value)]) -> String {
    let mut body = sample();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(key);
        } else {
            parent.insert(key.to_owned(), value.clone());
        }
    }
    body.to_string()
}

/// The example's text with the JSON of the amount put in as it is.
fn with_amount(json: &str) -> String {
    changed(&[]).replace("1869.59", json)
}

fn event_of(body: &str) -> ReservationEvent {
    match parse(body.as_bytes()) {
        Ok(Parsed::Event(event)) => *event,
        other => panic!("{other:?} from {body}"),
    }
}

fn error_of(body: impl AsRef<[u8]>) -> String {
    let error = parse(body.as_ref()).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{}: ", error.field())));
    error.to_string()
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn expected() -> ReservationEvent {
    ReservationEvent {
        reservation_id: "res_00003".into(),
        property_id: "property_018".into(),
        guest_id: "guest_012".into(),
        status: Status::Confirmed,
        check_in: "2026-04-06".parse().unwrap(),
        check_out: "2026-04-13".parse().unwrap(),
        num_guests: 5,
        total_amount: Decimal::new(186_959, 2),
        currency: "USD".into(),
        guest: GuestFields::default(),
        webhook_id: Some("wh_abc123".into()),
        timestamp: Some(time("2026-03-01T22:33:06.252Z")),
    }
}

#[test]
fn the_example_is_read() {
    assert_eq!(event_of(&changed(&[])), expected());
}

#[test]
fn every_place_of_the_reservation_is_read() {
    let sample = sample();
    let (event, data) = (&sample["event"], &sample["data"]);
    let (at, id) = (&sample["timestamp"], &sample["webhookId"]);
    let mut flat = data.clone();
    for name in ["event", "timestamp", "webhookId"] {
        flat[name] = sample[name].clone();
    }
    let bodies = [
        flat.clone(),
        json!({"data": flat, "event": event}),
        json!({"event": event, "timestamp": at, "webhookId": id, "reservation": data}),
        json!({"event": event, "timestamp": at, "webhookId": id, "data": {"reservation": data}}),
        json!({"event": event, "timestamp": at, "webhookId": id, "payload": {"reservation": data}}),
        json!({"event": event, "timestamp": at, "webhookId": id, "payload": data}),
        json!({"payload": {"event": event, "timestamp": at, "webhookId": id, "reservation": data}}),
        json!({"event": event, "timestamp": at, "webhookId": id, "data": null, "reservation": data}),
        json!({"event": event, "timestamp": at, "webhookId": id, "data": data, "payload": {"reservationId": "other"}}),
        json!({"event": event, "timestamp": at, "webhookId": id, "data": {"source": "x"}, "reservation": data}),
        json!({"event": event, "timestamp": at, "webhookId": id, "data": {"x": 1}, "payload": {"reservation": data}}),
    ];
    for body in bodies {
        assert_eq!(event_of(&body.to_string()), expected(), "{body}");
    }
}

#[test]
fn snake_case_names_are_read() {
    let body = json!({
        "event_type": "reservation.created", "event_timestamp": "2026-03-01T22:33:06.252Z",
        "webhook_id": "wh_abc123", "reservation_id": "res_00003", "property_id": "property_018",
        "guest_id": "guest_012", "check_in": "2026-04-06", "check_out": "2026-04-13", "num_guests": "5",
        "total_amount": "1869.59", "currency": "USD"
    });
    assert_eq!(event_of(&body.to_string()), expected());
}

#[test]
fn every_name_of_the_event_type_and_the_timestamp_is_read() {
    for name in ["/event", "/type", "/event_type", "/eventType"] {
        let body = changed(&[
            ("/event", Value::Null),
            ("/data/status", Value::Null),
            (name, json!("reservation.updated")),
        ]);
        assert_eq!(event_of(&body).status, Status::Modified, "{name}");
    }
    for name in
        ["/timestamp", "/event_timestamp", "/eventTimestamp", "/data/timestamp", "/data/event_timestamp"]
    {
        let body = changed(&[("/timestamp", Value::Null), (name, json!("2026-01-01T00:00:00Z"))]);
        assert_eq!(event_of(&body).timestamp, Some(time("2026-01-01T00:00:00Z")), "{name}");
    }
}

#[test]
fn the_envelope_goes_before_the_reservation() {
    let body = changed(&[
        ("/data/webhookId", json!("inner")),
        ("/data/timestamp", json!("2000-01-01T00:00:00Z")),
        ("/data/type", json!("villa")),
    ]);
    assert_eq!(event_of(&body), expected());
    let body = changed(&[("/webhookId", json!(" ")), ("/data/webhook_id", json!("inner"))]);
    assert_eq!(event_of(&body).webhook_id.as_deref(), Some("inner"));
}

#[test]
fn webhook_id_and_timestamp_may_be_absent() {
    let event = event_of(&changed(&[("/webhookId", Value::Null), ("/timestamp", Value::Null)]));
    assert_eq!((event.webhook_id, event.timestamp), (None, None));
}

#[test]
fn the_guest_is_read_wherever_it_is() {
    let given = GuestFields {
        first_name: Some("Ana".into()),
        last_name: Some("Lopez".into()),
        email: Some("ana@example.org".into()),
        phone: Some("+34 600".into()),
    };
    let camel =
        json!({"firstName": "Ana", "lastName": "Lopez", "email": "ana@example.org", "phone": "+34 600"});
    let snake =
        json!({"first_name": "Ana", "last_name": "Lopez", "email": "ana@example.org", "phone": "+34 600"});
    let inline = |names: [&str; 4]| {
        let values = ["Ana", "Lopez", "ana@example.org", "+34 600"];
        changed(&[0, 1, 2, 3].map(|n| (names[n], json!(values[n]))))
    };
    let bodies = [
        changed(&[("/data/guest", camel.clone())]),
        changed(&[("/data/guest", snake.clone())]),
        changed(&[("/guest", camel.clone())]),
        changed(&[("/guest", json!({"email": "other@example.org"})), ("/data/guest", snake)]),
        changed(&[
            ("/data/guest", json!({"firstName": "Not Ana", "phone": "+34 600"})),
            ("/data/guestFirstName", json!("Ana")),
            ("/data/guest_phone", json!("  ")),
            ("/guest", camel.clone()),
        ]),
        json!({
            "event": "reservation.created",
            "guest": {"email": "other@example.org"},
            "data": {"guest": camel, "reservation": sample()["data"]}
        })
        .to_string(),
        inline(["/data/guestFirstName", "/data/guestLastName", "/data/guestEmail", "/data/guestPhone"]),
        inline(["/data/guest_first_name", "/data/guest_last_name", "/data/guest_email", "/data/guest_phone"]),
    ];
    for body in bodies {
        assert_eq!(event_of(&body).guest, given, "{body}");
    }
}

#[test]
fn blank_guest_fields_say_nothing() {
    let body = changed(&[
        ("/data/guestFirstName", json!("")),
        ("/data/guestLastName", json!(" \t\u{a0}")),
        ("/data/guest", json!({"email": "", "phone": null})),
    ]);
    assert_eq!(event_of(&body).guest, GuestFields::default());
}

#[test]
fn the_id_of_the_guest_object_stands_in_for_guest_id() {
    let guest = ("/data/guest", json!({"id": "guest_9"}));
    assert_eq!(event_of(&changed(&[("/data/guestId", Value::Null), guest.clone()])).guest_id, "guest_9");
    assert_eq!(event_of(&changed(&[guest])).guest_id, "guest_012");
}

#[test]
fn the_status_is_the_given_or_the_derived_one() {
    let cases = [
        ("reservation.created", None, Status::Confirmed),
        ("reservation.updated", None, Status::Modified),
        ("reservation.cancelled", None, Status::Cancelled),
        ("reservation.created", Some("cancelled"), Status::Cancelled),
        ("reservation.moved", Some("modified"), Status::Modified),
        ("reservation.canceled", Some("cancelled"), Status::Cancelled),
        ("", Some("modified"), Status::Modified),
    ];
    for (event, status, result) in cases {
        let body = changed(&[("/event", json!(event)), ("/data/status", json!(status))]);
        assert_eq!(event_of(&body).status, result, "{event} {status:?}");
    }
    let body = changed(&[("/event", Value::Null), ("/data/status", json!("modified"))]);
    assert_eq!(event_of(&body).status, Status::Modified);
}

#[test]
fn foreign_events_are_ignored() {
    let bodies = [
        json!({"event": "payment.received"}),
        json!({"type": "payment.received", "data": [1, 2], "status": null}),
        json!({"event": "payment.received", "status": 200}),
        json!({"event": "payment.received", "data": {"status": "paid", "guest": 7, "totalAmount": {"value": 1}}}),
        json!({"event": "reservation.canceled"}),
        json!({"event": "Reservation.Created"}),
        json!({"event": " reservation.created"}),
        json!({"event": "a.b", "type": "c.d"}),
    ];
    for body in bodies {
        assert_eq!(parse(body.to_string().as_bytes()), Ok(Parsed::Ignored), "{body}");
    }
    assert_eq!(error_of(r#"{"event": "payment.received", "status": "confirmed"}"#), "reservationId: missing");
}

#[test]
fn a_wrong_event_type_or_status_is_named() {
    let neither = "event: missing; give the event type or a status";
    let unknown = "is not one of confirmed, modified, cancelled";
    let cases = [
        (json!(null), json!(null), neither.to_owned()),
        (json!("  "), json!(null), neither.to_owned()),
        (json!(1), json!("confirmed"), "event: must be a string".to_owned()),
        (json!({}), json!(null), "event: must be a string".to_owned()),
        (json!("reservation.created"), json!("Confirmed"), format!("status: \"Confirmed\" {unknown}")),
        (json!("reservation.created"), json!(""), format!("status: \"\" {unknown}")),
        (json!("reservation.cancelled"), json!("canceled"), format!("status: \"canceled\" {unknown}")),
        (json!("reservation.created"), json!(7), "status: must be a string".to_owned()),
        (json!(null), json!("pending"), format!("status: \"pending\" {unknown}")),
        (json!(null), json!({}), "status: must be a string".to_owned()),
    ];
    for (event, status, message) in cases {
        assert_eq!(error_of(changed(&[("/event", event), ("/data/status", status)])), message);
    }
    assert_eq!(error_of("{}"), neither);
}

#[test]
fn a_missing_or_null_field_is_named() {
    for name in [
        "reservationId",
        "propertyId",
        "guestId",
        "checkIn",
        "checkOut",
        "numGuests",
        "totalAmount",
        "currency",
    ] {
        let body = changed(&[(&format!("/data/{name}"), Value::Null)]);
        assert_eq!(error_of(&body), format!("{name}: missing"));
        let mut null = sample();
        null["data"][name] = Value::Null;
        assert_eq!(error_of(null.to_string()), format!("{name}: missing"));
    }
}

#[test]
fn texts_are_held_to_their_columns() {
    let limits = [
        ("/data/reservationId", "reservationId", 50),
        ("/data/property_id", "propertyId", 50),
        ("/data/guestId", "guestId", 50),
        ("/data/currency", "currency", 10),
        ("/webhookId", "webhookId", 50),
        ("/data/guest_first_name", "guestFirstName", 100),
        ("/data/guestLastName", "guestLastName", 100),
        ("/data/guestEmail", "guestEmail", 255),
        ("/data/guestPhone", "guestPhone", 50),
        ("/guest/firstName", "guest.firstName", 100),
        ("/guest/last_name", "guest.lastName", 100),
        ("/guest/email", "guest.email", 255),
        ("/guest/phone", "guest.phone", 50),
    ];
    for (pointer, name, max) in limits {
        let with = |value: Value| {
            changed(&[
                ("/guest", json!({})),
                ("/data/propertyId", json!(null)),
                ("/data/propertyId", json!("p")),
                (
                    if pointer.ends_with("property_id") { "/data/propertyId" } else { "/data/none" },
                    json!(null),
                ),
                (pointer, value),
            ])
        };
        event_of(&with(json!("é".repeat(max))));
        assert_eq!(
            error_of(with(json!("é".repeat(max + 1)))),
            format!("{name}: longer than {max} characters")
        );
        assert_eq!(error_of(with(json!("a\0b"))), format!("{name}: contains a NUL character"));
        assert_eq!(error_of(with(json!("\0"))), format!("{name}: contains a NUL character"));
        for wrong in [json!(5), json!(5.5), json!(true), json!([]), json!({})] {
            assert_eq!(error_of(with(wrong)), format!("{name}: must be a string"));
        }
    }
}

#[test]
fn required_texts_may_not_be_blank_and_are_not_trimmed() {
    for name in ["reservationId", "propertyId", "guestId", "currency"] {
        for blank in ["", " ", "\t\n"] {
            let body = changed(&[(&format!("/data/{name}"), json!(blank))]);
            assert_eq!(error_of(body), format!("{name}: must not be empty"));
        }
    }
    assert_eq!(event_of(&changed(&[("/data/reservationId", json!(" res 1 "))])).reservation_id, " res 1 ");
}

#[test]
fn a_guest_has_to_be_an_object() {
    for wrong in [json!("guest_012"), json!(1), json!([]), json!(false)] {
        assert_eq!(error_of(changed(&[("/data/guest", wrong.clone())])), "guest: must be an object");
        assert_eq!(error_of(changed(&[("/guest", wrong)])), "guest: must be an object");
    }
}

#[test]
fn dates_exist_and_are_written_one_way() {
    let bad = [
        "",
        "2026-02-30",
        "2025-02-29",
        "2026-13-01",
        "2026-00-10",
        "2026-04-00",
        "0000-01-01",
        "2026-4-6",
        "2026-04-06T00:00:00Z",
        "20260406",
        " 2026-04-06",
        "2026/04/06",
        "+026-04-06",
        "-026-04-06",
        "10000-01-01",
        "２026-04-06",
        "2026-04-0٣",
        "06-04-2026",
    ];
    for text in bad {
        let body = changed(&[("/data/checkIn", json!(text))]);
        assert_eq!(
            error_of(body),
            format!("checkIn: \"{}\" is not a date (YYYY-MM-DD)", values::excerpt(text))
        );
    }
    assert_eq!(error_of(changed(&[("/data/checkOut", json!(20_260_413))])), "checkOut: must be a string");
    let body = changed(&[("/data/checkIn", json!("0001-01-01")), ("/data/checkOut", json!("9999-12-31"))]);
    assert_eq!(event_of(&body).check_out, NaiveDate::from_ymd_opt(9999, 12, 31).unwrap());
    let body = changed(&[("/data/checkIn", json!("2024-02-29"))]);
    assert_eq!(event_of(&body).check_in, NaiveDate::from_ymd_opt(2024, 2, 29).unwrap());
}

#[test]
fn check_out_is_after_check_in() {
    for check_in in ["2026-04-13", "2026-04-14"] {
        let body = changed(&[("/data/checkIn", json!(check_in))]);
        assert_eq!(error_of(body), format!("checkOut: must be after checkIn ({check_in})"));
    }
    event_of(&changed(&[("/data/checkIn", json!("2026-04-12"))]));
}

#[test]
fn timestamps_are_rfc_3339_in_whole_microseconds() {
    let good = [
        ("2026-03-01T22:33:06Z", "2026-03-01T22:33:06Z"),
        ("2026-03-01t22:33:06.5z", "2026-03-01T22:33:06.5Z"),
        ("2026-03-01T22:33:06.123456999Z", "2026-03-01T22:33:06.123456Z"),
        ("2026-03-01T22:33:06.1234569999999999Z", "2026-03-01T22:33:06.123456Z"),
        ("1969-12-31T23:59:59.1234569Z", "1969-12-31T23:59:59.123456Z"),
        ("2026-03-01T22:33:06+05:30", "2026-03-01T17:03:06Z"),
        ("2026-03-01T22:33:06-00:00", "2026-03-01T22:33:06Z"),
        ("2016-12-31T23:59:60.25Z", "2017-01-01T00:00:00.25Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999Z"),
    ];
    for (text, instant) in good {
        assert_eq!(
            event_of(&changed(&[("/timestamp", json!(text))])).timestamp,
            Some(time(instant)),
            "{text}"
        );
    }
    let bad = [
        "",
        "2026-03-01",
        "2026-03-01T22:33:06",
        "2026-03-01T22:33Z",
        "2026-03-01T24:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-03-01T22:33:06+0530",
        "2026-03-01T22:33:06 Z",
        " 2026-03-01T22:33:06Z",
        "2026-03-01T22:33:06Z ",
        "0000-06-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
        "+10000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
        "1772404386",
        "Sun, 01 Mar 2026 22:33:06 GMT",
        "2026-03-01T22:33:61Z",
        "2026-03-01T22:33:06.Z",
        "2026-03-01T22:33:06+24:00",
    ];
    for text in bad {
        let body = changed(&[("/timestamp", json!(text))]);
        assert_eq!(error_of(body), format!("timestamp: \"{text}\" is not an RFC 3339 time with an offset"));
    }
    assert_eq!(error_of(changed(&[("/timestamp", json!(1_772_404_386))])), "timestamp: must be a string");
}

#[test]
fn guest_counts_are_whole_and_fit() {
    for (json, count) in [
        ("0", 0),
        ("-0", 0),
        ("5.0", 5),
        ("50e-1", 5),
        ("1e2", 100),
        ("2147483647", i32::MAX),
        ("\"5\"", 5),
        ("\" 7 \"", 7),
        ("\"05\"", 5),
        ("\"+5\"", 5),
        ("\"5.00\"", 5),
    ] {
        let body = changed(&[]).replace("\"numGuests\":5", &format!("\"numGuests\":{json}"));
        assert_eq!(event_of(&body).num_guests, count, "{json}");
    }
    for json in [
        "-1",
        "5.5",
        "5.0000000000000000000001",
        "2147483648",
        "1e400",
        "1e-400",
        "\"-1\"",
        "\"\"",
        "\"five\"",
        "\"5,0\"",
        "\"0x5\"",
        "\"1e999999999999999999999\"",
        "\"٥\"",
        "\"\\u0000\"",
    ] {
        let body = changed(&[]).replace("\"numGuests\":5", &format!("\"numGuests\":{json}"));
        assert_eq!(error_of(body), "numGuests: must be a whole number from 0 to 2147483647", "{json}");
    }
    for json in ["true", "[]", "{}", "[5]"] {
        let body = changed(&[]).replace("\"numGuests\":5", &format!("\"numGuests\":{json}"));
        assert_eq!(error_of(body), "numGuests: must be a number", "{json}");
    }
}

#[test]
fn amounts_are_exact_and_rounded_half_away_from_zero() {
    let cases = [
        ("0", "0.00"),
        ("-0", "0.00"),
        ("-0.004", "0.00"),
        ("100", "100.00"),
        ("1e2", "100.00"),
        ("1.5E+1", "15.00"),
        ("12345e-3", "12.35"),
        ("0.005", "0.01"),
        ("-0.005", "-0.01"),
        ("1.005", "1.01"),
        ("1.004999999999999999999999", "1.00"),
        ("2.675", "2.68"),
        ("-2.675", "-2.68"),
        ("0.0049", "0.00"),
        ("99999999.99", "99999999.99"),
        ("99999999.994999999999999999999999999999999", "99999999.99"),
        ("-99999999.994", "-99999999.99"),
        ("12345678.1", "12345678.10"),
        ("1e-999999999999999999999", "0.00"),
        ("0e999999999999999999999", "0.00"),
        ("0.00000000000000000000000000000000000000000001e45", "10.00"),
        ("9.995", "10.00"),
        ("4e-3", "0.00"),
        ("5e-3", "0.01"),
    ];
    for (number, amount) in cases {
        for json in [number.to_owned(), format!("\"{number}\"")] {
            let event = event_of(&with_amount(&json));
            assert_eq!(
                (event.total_amount.to_string().as_str(), event.total_amount.scale()),
                (amount, 2),
                "{json}"
            );
        }
    }
    for (text, amount) in
        [("+5", "5.00"), (".5", "0.50"), ("5.", "5.00"), (" 5.5\\n", "5.50"), ("007", "7.00")]
    {
        assert_eq!(event_of(&with_amount(&format!("\"{text}\""))).total_amount.to_string(), amount, "{text}");
    }
}

#[test]
fn amounts_out_of_range_or_unreadable_are_named() {
    for number in [
        "99999999.995",
        "-99999999.995",
        "100000000",
        "1e8",
        "1e400",
        "-1e999999999999999999999",
        "123456789012345678901234567890",
    ] {
        for json in [number.to_owned(), format!("\"{number}\"")] {
            let message = "totalAmount: must be from -99999999.99 to 99999999.99";
            assert_eq!(error_of(with_amount(&json)), message, "{json}");
        }
    }
    for text in [
        "",
        " ",
        "NaN",
        "inf",
        "-Infinity",
        "1,869.59",
        "1_000",
        "1869.59 USD",
        "1.2.3",
        "--5",
        "+-5",
        ".",
        "-",
        "e5",
        "1e",
        "1e+",
        "0x10",
        "1e5.5",
        "½",
    ] {
        assert_eq!(
            error_of(with_amount(&format!("\"{text}\""))),
            "totalAmount: must be a decimal number",
            "{text}"
        );
    }
    for json in ["true", "[1]", "{}", "{\"totalAmount\": 5}"] {
        assert_eq!(error_of(with_amount(json)), "totalAmount: must be a number", "{json}");
    }
}

#[test]
fn two_spellings_have_to_agree() {
    let agreeing = [
        ("/data/check_in", json!("2026-04-06")),
        ("/data/total_amount", json!("1869.590")),
        ("/data/num_guests", json!("5.0")),
        ("/data/guest_id", json!("guest_012")),
        ("/webhook_id", json!("wh_abc123")),
        ("/type", json!("reservation.created")),
        ("/event_timestamp", json!("2026-03-01T23:33:06.252+01:00")),
    ];
    assert_eq!(event_of(&changed(&agreeing)), expected());
    let disagreeing = [
        ("checkIn", "/data/check_in", json!("2026-04-07")),
        ("totalAmount", "/data/total_amount", json!("1869.60")),
        ("numGuests", "/data/num_guests", json!(6)),
        ("reservationId", "/data/reservation_id", json!("res_00004")),
        ("webhookId", "/webhook_id", json!("wh_2")),
        ("event", "/type", json!("reservation.cancelled")),
        ("event", "/eventType", json!("other")),
        ("timestamp", "/event_timestamp", json!("2026-03-01T22:33:06.253Z")),
    ];
    for (name, pointer, value) in disagreeing {
        assert_eq!(
            error_of(changed(&[(pointer, value)])),
            format!("{name}: given under two names that disagree")
        );
    }
    event_of(&changed(&[("/data/guest", json!({"firstName": "Ana", "first_name": ""}))]));
}

#[test]
fn a_repeated_key_is_refused_wherever_it_is() {
    let cases = [
        (r#"{"event":"x","event":"x"}"#, "event"),
        (r#"{"event":"x","ev\u0065nt":null}"#, "event"),
        (r#"{"event":"x","data":{"check_in":1,"check_in":1}}"#, "check_in"),
        (r#"{"event":"x","list":[[{"a":1,"b":2,"a":3}]]}"#, "a"),
        (r#"{"event":"x","totalAmount":{"a":1,"a":1}}"#, "a"),
        (r#"{"event":"x","totalAmount":1,"totalAmount":1}"#, "totalAmount"),
        (r#"{"event":"x","a\nb":1,"a\nb":1}"#, "a\\nb"),
    ];
    for (body, key) in cases {
        assert_eq!(error_of(body), format!("{key}: given more than once"));
    }
    assert_eq!(error_of(r#"{"":1,"":1}"#), "body: a key without a name is given more than once");
}

#[test]
fn a_body_that_is_no_json_object_is_refused() {
    assert_eq!(error_of("  nope"), "body: not JSON: expected ident at line 1 column 4");
    assert_eq!(error_of("  @"), "body: not JSON: expected value at line 1 column 3");
    for body in ["[]", "\"text\"", "5", "true", "null", "[{}]"] {
        assert_eq!(error_of(body), "body: must be a JSON object");
    }
    let valid = changed(&[]);
    let broken: [&[u8]; 10] = [
        b"",
        b"{",
        b"{\"event\":\"\xff\"}",
        b"{\"\xc3\x28\":1}",
        br#"{"event":"\ud800"}"#,
        br#"{"totalAmount":"\ud800"}"#,
        b"{\"event\":\"a\nb\"}",
        b"{'event':1}",
        b"{\"event\":1,}",
        b"\xef\xbb\xbf{}",
    ];
    for body in broken.into_iter().chain([format!("{valid} {{}}").as_bytes(), format!("{valid}x").as_bytes()])
    {
        let message = error_of(body);
        assert!(message.starts_with("body: not JSON: "), "{message}");
    }
    event_of(&format!("\r\n\t {valid}\n"));
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in
        [("[", "]"), ("{\"a\":", "}"), ("{\"totalAmount\":", "}"), ("{\"totalAmount\":[", "]}")]
    {
        for depth in [200, 50_000] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let message = error_of(format!("{{\"event\":\"x\",\"deep\":{nested}}}"));
            assert!(message.starts_with("body: not JSON: recursion limit exceeded"), "{message}");
        }
    }
}

#[test]
fn messages_stay_short_and_printable() {
    let long = "\u{1b}".repeat(100_000);
    for pointer in ["/data/status", "/data/checkIn", "/timestamp", "/data/reservationId", "/data/totalAmount"]
    {
        let message = error_of(changed(&[(pointer, json!(long))]));
        assert!(message.len() < 400 && !message.contains('\u{1b}'), "{message}");
    }
    let message = error_of(format!("{{\"{0}\":1,\"{0}\":1}}", "k".repeat(100_000)));
    assert_eq!(message, format!("{}…: given more than once", "k".repeat(40)));
}

#[test]
fn many_keys_are_read_in_reasonable_time() {
    let keys: Vec<String> = (0..100_000).map(|n| format!("\"k{n}\":1")).collect();
    assert_eq!(parse(format!("{{\"event\":\"x\",{}}}", keys.join(",")).as_bytes()), Ok(Parsed::Ignored));
}

#[test]
fn a_status_is_ranked_and_written_as_in_the_contract() {
    assert!(Status::Confirmed < Status::Modified && Status::Modified < Status::Cancelled);
    for status in [Status::Confirmed, Status::Modified, Status::Cancelled] {
        assert_eq!(status.as_str().parse(), Ok(status));
        assert_eq!(status.to_string(), status.as_str());
        assert_eq!(serde_json::to_value(status).unwrap(), json!(status.as_str()));
        assert_eq!(serde_json::from_value::<Status>(json!(status.as_str())).unwrap(), status);
    }
    assert_eq!("Confirmed".parse::<Status>(), Err(UnknownStatus));
    assert_eq!("canceled".parse::<Status>(), Err(UnknownStatus));
}
