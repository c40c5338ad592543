//! `Retry-After` -> how long to wait. Pure.
//!
//! RFC 9110, 10.2.3: whole seconds or an HTTP-date. Decimal seconds are seen in the wild. A date is
//! taken relative to the `Date` of the same response, so that the clocks need not agree.

use std::time::{Duration, SystemTime};

/// What to wait when a refusal does not say.
const UNSAID: Duration = Duration::from_secs(1);
/// The longest wait that is believed: a day.
const LONGEST: Duration = Duration::from_hours(24);

/// The wait a refusal asks for. `now` stands in for a missing `Date`.
pub(super) fn wait(retry_after: Option<&str>, date: Option<&str>, now: SystemTime) -> Duration {
    let Some(text) = retry_after.map(str::trim) else {
        return UNSAID;
    };
    let said = seconds(text).or_else(|| until(text, date, now));
    said.unwrap_or(UNSAID).min(LONGEST)
}

fn seconds(text: &str) -> Option<Duration> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = plain.then(|| text.parse::<f64>().ok())??;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST))
}

fn until(text: &str, date: Option<&str>, now: SystemTime) -> Option<Duration> {
    let then = httpdate::parse_http_date(text).ok()?;
    let from = date.and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
    Some(then.duration_since(from).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(retry_after: Option<&str>, date: Option<&str>) -> u128 {
        wait(retry_after, date, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770)).as_millis()
    }

    #[test]
    fn seconds_whole_and_decimal() {
        assert_eq!(millis(Some("3"), None), 3_000);
        assert_eq!(millis(Some(" 0 "), None), 0);
        assert_eq!(millis(Some("0.25"), None), 250);
    }

    #[test]
    fn a_date_counts_from_the_response() {
        let then = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(millis(then, Some("Sun, 06 Nov 1994 08:49:30 GMT")), 7_000);
        assert_eq!(millis(then, None), 7_000, "1994-11-06 08:49:30 is 784,111,770");
        assert_eq!(millis(then, Some("Sun, 06 Nov 1994 08:50:00 GMT")), 0, "in the past");
    }

    #[test]
    fn what_is_not_said_or_not_meant() {
        for text in
            [None, Some(""), Some("soon"), Some("-5"), Some("NaN"), Some("inf"), Some("1e3"), Some(".")]
        {
            assert_eq!(millis(text, None), 1_000, "{text:?}");
        }
        assert_eq!(millis(Some("99999999999999999999999"), None), 86_400_000);
    }
}
