//! `Date`, `DateTime` and `Decimal`: how they are written, and that nothing else is taken for one.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{Datelike as _, NaiveDate, SecondsFormat, Utc};

/// A calendar date with no time and no time zone, written `YYYY-MM-DD` (for example `2026-11-22`).
/// Check-in and check-out are dates in the local calendar of the property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date(pub NaiveDate);

/// A calendar date with no time and no time zone, written `YYYY-MM-DD` (for example `2026-11-22`).
/// Check-in and check-out are dates in the local calendar of the property.
#[Scalar(specified_by_url = "https://scalars.graphql.org/andimarek/local-date.html")]
impl ScalarType for Date {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        // The parser also takes `2026-1-2`, `+12026-01-02` and spaces.
        let date = date.filter(|date| (0..=9999).contains(&date.year()) && date.to_string() == *text);
        date.map(Self)
            .ok_or_else(|| InputValueError::custom(format!("'{text}' is no date: write YYYY-MM-DD")))
    }

    fn is_valid(value: &Value) -> bool {
        Self::parse(value.clone()).is_ok()
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// An instant in time with an offset, RFC 3339 (for example `2026-11-22T14:38:40.123456Z`).
/// The server always answers in UTC with a trailing `Z` and at most nine fractional digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime(pub chrono::DateTime<Utc>);

/// An instant in time with an offset, RFC 3339 (for example `2026-11-22T14:38:40.123456Z`).
/// The server always answers in UTC with a trailing `Z` and at most nine fractional digits.
#[Scalar(specified_by_url = "https://scalars.graphql.org/chillicream/date-time.html")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        let instant = chrono::DateTime::parse_from_rfc3339(text).ok().map(|instant| instant.to_utc());
        // The parser also takes a space for the `T`; an offset can push the year out of four digits.
        let is_strict = matches!(text.as_bytes().get(10), Some(b'T' | b't'));
        let instant = instant.filter(|instant| is_strict && (0..=9999).contains(&instant.year()));
        instant.map(Self).ok_or_else(|| {
            InputValueError::custom(format!(
                "'{text}' is no instant: write RFC 3339, as 2026-11-22T14:38:40Z"
            ))
        })
    }

    fn is_valid(value: &Value) -> bool {
        Self::parse(value.clone()).is_ok()
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

/// An exact decimal number, serialised as a JSON string so that no client rounds it
/// (for example `"1249.90"`). Input takes a string of the same form; JSON floats are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal(pub rust_decimal::Decimal);

/// An exact decimal number, serialised as a JSON string so that no client rounds it
/// (for example `"1249.90"`). Input takes a string of the same form; JSON floats are refused.
#[Scalar(specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259#section-7")]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        // The parser also takes `1_000`, `+1`, `.5` and `5.`.
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_plain =
            digits.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        let number = rust_decimal::Decimal::from_str_exact(text).ok().filter(|_| is_plain);
        number.map(Self).ok_or_else(|| {
            InputValueError::custom(format!("'{text}' is no decimal number: write \"1249.90\""))
        })
    }

    fn is_valid(value: &Value) -> bool {
        Self::parse(value.clone()).is_ok()
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed<T: ScalarType>(text: &str) -> Option<String> {
        let value = T::parse(Value::String(text.to_owned())).ok()?.to_value();
        match value {
            Value::String(text) => Some(text),
            other => panic!("a scalar is written as {other}"),
        }
    }

    #[test]
    fn a_date_has_one_spelling() {
        assert_eq!(parsed::<Date>("2026-02-28").as_deref(), Some("2026-02-28"));
        for text in
            ["2026-2-28", "2026-02-30", " 2026-02-28", "20260228", "2026-02-28T00:00:00Z", "+12026-02-28", ""]
        {
            assert_eq!(parsed::<Date>(text), None, "{text}");
        }
    }

    #[test]
    fn an_instant_is_answered_in_utc() {
        for (text, answer) in [
            ("2026-11-22T14:38:40Z", "2026-11-22T14:38:40Z"),
            ("2026-11-22T14:38:40.123456+02:00", "2026-11-22T12:38:40.123456Z"),
            ("2026-11-22t14:38:40.5z", "2026-11-22T14:38:40.500Z"),
        ] {
            assert_eq!(parsed::<DateTime>(text).as_deref(), Some(answer), "{text}");
        }
        for text in
            ["2026-11-22 14:38:40Z", "2026-11-22T14:38:40", "2026-11-22", "9999-12-31T23:59:59-01:00", "now"]
        {
            assert_eq!(parsed::<DateTime>(text), None, "{text}");
        }
    }

    #[test]
    fn an_amount_keeps_its_places() {
        for text in ["1249.90", "-0.01", "0", "12345678901234567890.12"] {
            assert_eq!(parsed::<Decimal>(text).as_deref(), Some(text));
        }
        for text in ["1e3", "1_000", "+1", ".5", "5.", "1.2.3", "-", "", "NaN"] {
            assert_eq!(parsed::<Decimal>(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_no_strings() {
        let number = Value::Number(async_graphql::Number::from_f64(1.5).expect("finite"));
        assert!(Decimal::parse(number.clone()).is_err());
        assert!(Date::parse(number.clone()).is_err());
        assert!(DateTime::parse(number).is_err());
    }
}
