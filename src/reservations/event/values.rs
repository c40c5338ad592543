//! Single values: from JSON to what the table holds, or what is wrong with them.
//!
//! The limits are those of the columns. A problem names the limit and repeats at most an excerpt of the value.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use rust_decimal::Decimal;

use super::{Status, json::Node, number::Number};

/// A value; nothing where there is no more in it than in null; or the problem with it.
pub(super) type Converted<T> = Result<Option<T>, String>;

/// The largest amount NUMERIC(10,2) holds, in hundredths.
const MAX_CENTS: i64 = 9_999_999_999;

/// What an event's type says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EventType {
    /// One of the three, and the status that comes with it.
    Reservation(Status),
    /// Any other.
    Foreign,
}

/// An event type; a blank one says nothing.
pub(super) fn event_type(node: &Node<'_>) -> Converted<EventType> {
    let text = string(node)?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    Ok(Some(Status::of_event(text).map_or(EventType::Foreign, EventType::Reservation)))
}

/// One of the three statuses.
pub(super) fn status(node: &Node<'_>) -> Converted<Status> {
    let text = string(node)?;
    text.parse().map(Some).map_err(|unknown| format!("\"{}\" is {unknown}", excerpt(text)))
}

/// A text that may not be blank, of at most `max` characters as VARCHAR counts them.
pub(super) fn text(node: &Node<'_>, max: usize) -> Converted<String> {
    let text = string(node)?;
    if text.trim().is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.contains('\0') {
        return Err("contains a NUL character".to_owned());
    }
    if text.chars().count() > max {
        return Err(format!("longer than {max} characters"));
    }
    Ok(Some(text.to_owned()))
}

/// Like [`text`], but a blank one says nothing.
pub(super) fn known_text(node: &Node<'_>, max: usize) -> Converted<String> {
    if string(node)?.trim().is_empty() { Ok(None) } else { text(node, max) }
}

/// An existing date written `YYYY-MM-DD`, from year 1 on.
pub(super) fn date(node: &Node<'_>) -> Converted<NaiveDate> {
    let text = string(node)?;
    let date = calendar_date(text.as_bytes());
    date.map(Some).ok_or_else(|| format!("\"{}\" is not a date (YYYY-MM-DD)", excerpt(text)))
}

fn calendar_date(text: &[u8]) -> Option<NaiveDate> {
    let &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text else {
        return None;
    };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0, |value, digit| Some(value * 10 + char::from(*digit).to_digit(10)?))
    };
    let year = i32::try_from(number(&[y0, y1, y2, y3])?).ok()?;
    NaiveDate::from_ymd_opt(year, number(&[m0, m1])?, number(&[d0, d1])?).filter(|date| date.year() >= 1)
}

/// An RFC 3339 time with its offset; what is finer than a microsecond is cut off, and a leap second is the
/// second after it.
pub(super) fn timestamp(node: &Node<'_>) -> Converted<DateTime<Utc>> {
    let text = string(node)?;
    let time = DateTime::parse_from_rfc3339(text).ok();
    let time = time.and_then(|time| DateTime::from_timestamp_micros(time.timestamp_micros()));
    match time.filter(|time| (1..=9999).contains(&time.year())) {
        Some(time) => Ok(Some(time)),
        None => Err(format!("\"{}\" is not an RFC 3339 time with an offset", excerpt(text))),
    }
}

/// A whole number from 0 on; `5`, `5.0` and `"5"` are the same.
pub(super) fn count(node: &Node<'_>) -> Converted<i32> {
    let count = number(node)?.filter(Number::is_whole).and_then(|number| number.scaled(0));
    match count.and_then(|count| i32::try_from(count).ok()) {
        Some(count) if count >= 0 => Ok(Some(count)),
        _ => Err(format!("must be a whole number from 0 to {}", i32::MAX)),
    }
}

/// An amount of money, rounded half away from zero to two decimals as NUMERIC(10,2) does.
pub(super) fn amount(node: &Node<'_>) -> Converted<Decimal> {
    let number = number(node)?.ok_or("must be a decimal number")?;
    match number.scaled(2).filter(|cents| cents.abs() <= MAX_CENTS) {
        Some(cents) => Ok(Some(Decimal::new(cents, 2))),
        None => Err(format!("must be from -{max} to {max}", max = Decimal::new(MAX_CENTS, 2))),
    }
}

/// A number, or a string that may hold one.
fn number<'n>(node: &'n Node<'_>) -> Result<Option<Number<'n>>, String> {
    match node {
        Node::Number(literal) => Ok(Number::parse(literal)),
        Node::Text(text) => Ok(Number::parse(text)),
        _ => Err("must be a number".to_owned()),
    }
}

fn string<'n>(node: &'n Node<'_>) -> Result<&'n str, String> {
    match node {
        Node::Text(text) => Ok(text),
        _ => Err("must be a string".to_owned()),
    }
}

/// At most 40 characters of what was sent, none of them a control character.
pub(super) fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() {
        shown.push('…');
    }
    shown
}
