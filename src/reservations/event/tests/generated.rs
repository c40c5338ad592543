//! What holds for any input: no panic, and one event whatever the shape and the spelling.

use proptest::{collection, option, prelude::*, sample::select};
use serde_json::{Map, Value};

use super::*;

/// How a body is written.
#[derive(Clone, Copy, Debug)]
struct Style {
    shape: usize,
    snake: bool,
    texts: bool,
    derived: bool,
    guest: usize,
    event_name: &'static str,
    time_name: &'static str,
    stamp: Stamp,
}

/// Where the webhook's id and the timestamp are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stamp {
    Envelope,
    Reservation,
}

fn styles() -> impl Strategy<Value = Style> {
    let names = (
        select(vec!["event", "type", "event_type", "eventType"]),
        select(vec!["timestamp", "event_timestamp", "eventTimestamp"]),
    );
    let stamp = select(vec![Stamp::Envelope, Stamp::Reservation]);
    (0..6_usize, any::<[bool; 3]>(), 0..3_usize, names, stamp).prop_map(
        |(shape, flags, guest, names, stamp)| {
            let [snake, texts, derived] = flags;
            Style { shape, snake, texts, derived, guest, event_name: names.0, time_name: names.1, stamp }
        },
    )
}

fn texts(max: usize) -> impl Strategy<Value = String> {
    collection::vec(any::<char>(), 1..=max)
        .prop_map(|chars| String::from_iter(chars).replace('\0', "0"))
        .prop_map(|text| if text.trim().is_empty() { "blank".to_owned() } else { text })
}

fn guests() -> impl Strategy<Value = GuestFields> {
    (option::of(texts(100)), option::of(texts(100)), option::of(texts(255)), option::of(texts(50)))
        .prop_map(|(first_name, last_name, email, phone)| GuestFields { first_name, last_name, email, phone })
}

fn stays() -> impl Strategy<Value = (NaiveDate, NaiveDate)> {
    let date = |day| NaiveDate::from_num_days_from_ce_opt(day).unwrap();
    (1..3_652_058_i32).prop_flat_map(move |day| (Just(date(day)), (day + 1..3_652_060).prop_map(date)))
}

fn events() -> impl Strategy<Value = ReservationEvent> {
    let status = select(vec![Status::Confirmed, Status::Modified, Status::Cancelled]);
    let micros = -62_135_596_800_000_000..253_402_300_800_000_000_i64;
    let time = option::of(micros.prop_map(|micros| DateTime::from_timestamp_micros(micros).unwrap()));
    let numbers = (0..=i32::MAX, -9_999_999_999..=9_999_999_999_i64);
    let ids = (texts(50), texts(50), texts(50), texts(10), option::of(texts(50)));
    (ids, status, stays(), numbers, guests(), time).prop_map(
        |(ids, status, stay, numbers, guest, timestamp)| {
            let (reservation_id, property_id, guest_id, currency, webhook_id) = ids;
            let (num_guests, total_amount) = (numbers.0, Decimal::new(numbers.1, 2));
            let (check_in, check_out) = stay;
            ReservationEvent {
                reservation_id,
                property_id,
                guest_id,
                status,
                check_in,
                check_out,
                num_guests,
                total_amount,
                currency,
                guest,
                webhook_id,
                timestamp,
            }
        },
    )
}

fn event_type(status: Status) -> &'static str {
    match status {
        Status::Confirmed => "reservation.created",
        Status::Modified => "reservation.updated",
        Status::Cancelled => "reservation.cancelled",
    }
}

/// The reservation's fields, guest included where the style wants it there.
fn reservation(event: &ReservationEvent, style: Style) -> Map<String, Value> {
    let name = |camel: &str, snake: &str| if style.snake { snake } else { camel }.to_owned();
    // Written into the text as they are, so that no binary fraction comes in between.
    let amount = event.total_amount.to_string();
    let amount = if style.texts { json!(amount) } else { json!(format!("#{amount}#")) };
    let count = if style.texts { json!(event.num_guests.to_string()) } else { json!(event.num_guests) };
    let mut fields = Map::from_iter([
        (name("reservationId", "reservation_id"), json!(event.reservation_id)),
        (name("propertyId", "property_id"), json!(event.property_id)),
        (name("guestId", "guest_id"), json!(event.guest_id)),
        (name("checkIn", "check_in"), json!(event.check_in)),
        (name("checkOut", "check_out"), json!(event.check_out)),
        (name("numGuests", "num_guests"), count),
        (name("totalAmount", "total_amount"), amount),
        ("currency".to_owned(), json!(event.currency)),
    ]);
    if !style.derived {
        fields.insert("status".to_owned(), json!(event.status));
    }
    if style.guest == 0 {
        fields.insert(name("guestFirstName", "guest_first_name"), json!(event.guest.first_name));
        fields.insert(name("guestLastName", "guest_last_name"), json!(event.guest.last_name));
        fields.insert(name("guestEmail", "guest_email"), json!(event.guest.email));
        fields.insert(name("guestPhone", "guest_phone"), json!(event.guest.phone));
    } else if style.guest == 1 {
        fields.insert("guest".to_owned(), guest(event, style));
    }
    fields
}

fn guest(event: &ReservationEvent, style: Style) -> Value {
    let GuestFields { first_name, last_name, email, phone } = &event.guest;
    if style.snake {
        json!({"first_name": first_name, "last_name": last_name, "email": email, "phone": phone})
    } else {
        json!({"firstName": first_name, "lastName": last_name, "email": email, "phone": phone})
    }
}

fn write(event: &ReservationEvent, style: Style) -> String {
    let mut inner = reservation(event, style);
    let mut outer = Map::new();
    outer.insert(style.event_name.to_owned(), json!(event_type(event.status)));
    if style.guest == 2 {
        outer.insert("guest".to_owned(), guest(event, style));
    }
    let stamped = if style.stamp == Stamp::Reservation { &mut inner } else { &mut outer };
    stamped.insert(if style.snake { "webhook_id" } else { "webhookId" }.to_owned(), json!(event.webhook_id));
    stamped.insert(style.time_name.to_owned(), json!(event.timestamp));
    let (key, value) = match style.shape {
        0 => ("data", json!(inner)),
        1 => ("reservation", json!(inner)),
        2 => ("data", json!({"reservation": inner})),
        3 => ("payload", json!({"reservation": inner})),
        4 => ("payload", json!(inner)),
        _ => {
            outer.extend(inner);
            ("data", Value::Null)
        }
    };
    outer.insert(key.to_owned(), value);
    let amount = event.total_amount.to_string();
    json!(outer).to_string().replace(&format!("\"#{amount}#\""), &amount)
}

/// Any JSON, with names that mean something more often than not.
fn json_values() -> impl Strategy<Value = Value> {
    let names = vec![
        "event",
        "type",
        "status",
        "data",
        "payload",
        "reservation",
        "guest",
        "timestamp",
        "webhookId",
        "reservationId",
        "propertyId",
        "guestId",
        "guest_id",
        "checkIn",
        "checkOut",
        "numGuests",
        "totalAmount",
        "total_amount",
        "currency",
        "firstName",
        "guestEmail",
    ];
    let key = prop_oneof![9 => select(names).prop_map(str::to_owned), 1 => any::<String>()];
    let known = vec![
        "reservation.created",
        "confirmed",
        "2026-04-06",
        "2026-04-13",
        "2026-03-01T22:33:06Z",
        "1e5",
        "-1",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(known).prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 96, 16, move |inner| {
        prop_oneof![
            1 => collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            4 => collection::btree_map(key.clone(), inner, 0..16).prop_map(Value::from_iter),
        ]
    })
}

/// Whatever is read keeps what the types promise.
fn check(body: &[u8]) {
    match parse(body) {
        Ok(Parsed::Event(event)) => {
            assert!(
                event.check_in < event.check_out && event.num_guests >= 0 && event.total_amount.scale() == 2
            );
        }
        Ok(Parsed::Ignored) => {}
        Err(error) => assert!(error.to_string().len() < 1000, "{error}"),
    }
}

proptest! {
    #[test]
    fn an_event_is_the_same_in_every_shape(event in events(), style in styles()) {
        let body = write(&event, style);
        prop_assert_eq!(parse(body.as_bytes()), Ok(Parsed::Event(Box::new(event))), "{}", body);
    }

    #[test]
    fn no_json_makes_it_panic(value in json_values()) {
        check(value.to_string().as_bytes());
    }

    #[test]
    fn no_value_in_an_event_makes_it_panic(name in select(sample()["data"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()), value in json_values()) {
        check(changed(&[(&format!("/data/{name}"), value)]).as_bytes());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn no_damage_makes_it_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut body = changed(&[]).into_bytes();
        let at = at.index(body.len());
        if cut { body.truncate(at) } else { body[at] = byte }
        check(&body);
    }

    #[test]
    fn no_text_as_a_number_makes_it_panic(text in "[-+]?[0-9]{0,30}\\.?[0-9]{0,30}([eE][-+]?[0-9]{0,25})?") {
        check(with_amount(&format!("\"{text}\"")).as_bytes());
        check(with_amount(&text).as_bytes());
    }

    #[test]
    fn amounts_round_as_numeric_does(units in -999_999_999_999_i64..=999_999_999_999, scale in 0..12_u32) {
        let sent = Decimal::new(units, scale);
        let rounded = sent.round_dp_with_strategy(2, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
        let result = parse(with_amount(&sent.to_string()).as_bytes());
        if rounded.abs() > Decimal::new(9_999_999_999, 2) {
            prop_assert_eq!(result.map_err(|error| error.field), Err("totalAmount".to_owned()));
        } else if let Ok(Parsed::Event(event)) = result {
            prop_assert_eq!(event.total_amount, rounded);
        } else {
            prop_assert!(false, "{:?}", result);
        }
    }
}
