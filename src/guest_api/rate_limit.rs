//! `RateLimit` headers and their older forms -> what the provider allows. Pure.
//!
//! draft-ietf-httpapi-ratelimit-headers (revision 9, and what came before):
//!
//! ```text
//! RateLimit-Policy: "burst";q=15;w=1, "day";q=5000;w=86400      quota and window, in seconds
//! RateLimit: "burst";r=3;t=1                                    remaining, and seconds until it is reset
//! RateLimit: limit=100, remaining=50, reset=30                  revision 7
//! RateLimit-Limit: 100, 100;w=60    RateLimit-Remaining: 50    RateLimit-Reset: 30       up to revision 6
//! X-RateLimit-Limit, -Remaining, -Reset                         never written down
//! ```
//! The reset of the last form is seconds, or an instant in seconds or milliseconds since 1970, told by its
//! size and taken relative to the `Date` of the response. What can't be read counts as not said.

use super::pacer::Advice;

/// The longest window that is believed: a month.
const LONGEST: f64 = 31.0 * 86_400.0;
/// From here on a reset is an instant, in seconds or in milliseconds.
const INSTANT: f64 = 1e9;
const INSTANT_MILLIS: f64 = 1e12;

/// What a response says. `header` answers the value of a header, several joined by commas; `now` is its
/// `Date`, in seconds since 1970.
pub(super) fn advice(header: impl Fn(&str) -> Option<String>, now: f64) -> Advice {
    let policies = [header("ratelimit-policy"), header("ratelimit-limit")];
    let rate = policies.iter().flatten().flat_map(|text| items(text)).filter_map(|item| policy(&item));
    Advice { rate: rate.reduce(f64::min), allowance: allowance(&header, now) }
}

/// The tightest allowance.
fn allowance(header: &impl Fn(&str) -> Option<String>, now: f64) -> Option<(f64, f64)> {
    if let Some(text) = header("ratelimit") {
        let one = items(&text).filter_map(|item| left(&item, "r", "t"));
        return one.reduce(tighter).or_else(|| {
            // Revision 7 has one dictionary where the others have a list of items.
            left(
                &Item { parameters: items(&text).flat_map(|item| item.parameters).collect() },
                "remaining",
                "reset",
            )
        });
    }
    ["ratelimit", "x-ratelimit", "x-rate-limit"].iter().find_map(|family| {
        let number = |name: &str| header(&format!("{family}-{name}"))?.trim().parse::<f64>().ok();
        checked(number("remaining")?, until(number("reset")?, now))
    })
}

/// Seconds until a reset, however it is given.
fn until(reset: f64, now: f64) -> f64 {
    match reset {
        reset if reset >= INSTANT_MILLIS => (reset / 1_000.0 - now).max(0.0),
        reset if reset >= INSTANT => (reset - now).max(0.0),
        seconds => seconds,
    }
}

fn checked(remaining: f64, seconds: f64) -> Option<(f64, f64)> {
    let usable = remaining >= 0.0 && remaining.is_finite() && (0.0..=LONGEST).contains(&seconds);
    usable.then_some((remaining, seconds))
}

/// Of two allowances the one that lets less through: a used up one, or the lower rate.
fn tighter(one: (f64, f64), two: (f64, f64)) -> (f64, f64) {
    match (one.0 < 1.0, two.0 < 1.0) {
        (true, true) => {
            if one.1 >= two.1 {
                one
            } else {
                two
            }
        }
        (true, false) => one,
        (false, true) => two,
        // Compared crosswise: the seconds may be 0.
        (false, false) => {
            if one.0 * two.1 <= two.0 * one.1 {
                one
            } else {
                two
            }
        }
    }
}

/// A list item's parameters; a bare `key=value` is one, too.
struct Item {
    parameters: Vec<(String, String)>,
}

impl Item {
    fn number(&self, name: &str) -> Option<f64> {
        let found = self.parameters.iter().find(|(key, _)| key == name)?;
        found.1.parse::<f64>().ok().filter(|number| number.is_finite())
    }
}

/// The items of a list. Quoted names may hold commas and semicolons.
fn items(text: &str) -> impl Iterator<Item = Item> {
    split(text, ',').into_iter().map(|item| {
        let parameters = split(&item, ';').into_iter().enumerate().map(|(place, part)| {
            match part.split_once('=') {
                Some((key, value)) if !part.trim_start().starts_with('"') => {
                    (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned())
                }
                // The first part of an item is its name, or a number.
                _ if place == 0 => (String::new(), part.trim().to_owned()),
                _ => (part.trim().to_ascii_lowercase(), String::new()),
            }
        });
        Item { parameters: parameters.collect() }
    })
}

fn split(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for character in text.chars() {
        quoted ^= character == '"';
        match parts.last_mut() {
            Some(part) if quoted || character != separator => part.push(character),
            _ => parts.push(String::new()),
        }
    }
    parts
}

/// Requests a second of one policy: `"name";q=100;w=60` or `100;w=60`. Other units than requests don't count.
fn policy(item: &Item) -> Option<f64> {
    if item.parameters.iter().any(|(key, value)| key == "qu" && value != "requests") {
        return None;
    }
    let quota = item.number("q").or_else(|| item.number(""))?;
    let window = item.number("w")?;
    (quota >= 1.0 && window > 0.0 && window <= LONGEST).then(|| quota / window)
}

fn left(item: &Item, remaining: &str, seconds: &str) -> Option<(f64, f64)> {
    checked(item.number(remaining)?, item.number(seconds)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: f64 = 1_700_000_000.0;

    fn read(headers: &[(&str, &str)]) -> (Option<f64>, Option<(f64, f64)>) {
        let find =
            |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let advice = advice(find, NOW);
        (advice.rate, advice.allowance)
    }

    #[test]
    fn policies_give_a_rate_and_the_tightest_one_counts() {
        for (text, rate) in [
            ("\"burst\";q=15;w=1, \"day\";q=5000;w=86400", Some(5_000.0 / 86_400.0)),
            ("\"a,b;q=1;w=9\";q=100;w=50;pk=:x:", Some(2.0)),
            ("100;w=50, 10;w=1", Some(2.0)),
            ("\"bytes\";q=1000;qu=\"content-bytes\";w=1, \"n\";w=2;q=8;qu=\"requests\"", Some(4.0)),
            ("\"no window\";q=5", None),
            ("\"a\";q=0;w=1", None),
            ("\"a\";q=5;w=0", None),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(read(&[("ratelimit-policy", text)]).0, rate, "{text}");
        }
        assert_eq!(read(&[("ratelimit-limit", "100, 100;w=50")]).0, Some(2.0));
    }

    #[test]
    fn what_is_left_is_read_in_every_form() {
        for (headers, left) in [
            (vec![("ratelimit", "\"default\";r=50;t=30")], Some((50.0, 30.0))),
            (vec![("ratelimit", "\"a\";r=50;t=30, \"b\";r=2;t=10")], Some((2.0, 10.0))),
            (vec![("ratelimit", "\"a\";r=0;t=3, \"b\";r=0;t=10, \"c\";r=1;t=90")], Some((0.0, 10.0))),
            (vec![("ratelimit", "limit=100, remaining=50, reset=30")], Some((50.0, 30.0))),
            (vec![("ratelimit", "\"a\";r=5")], None),
            (vec![("ratelimit-remaining", "7"), ("ratelimit-reset", "9")], Some((7.0, 9.0))),
            (vec![("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", "1700000012")], Some((7.0, 12.0))),
            (vec![("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", "1700000012500")], Some((7.0, 12.5))),
            (vec![("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "1600000000")], Some((0.0, 0.0))),
            (vec![("x-ratelimit-remaining", "7")], None),
            (vec![("x-ratelimit-remaining", "-7"), ("x-ratelimit-reset", "12")], None),
            (vec![("x-ratelimit-remaining", "NaN"), ("x-ratelimit-reset", "inf")], None),
            (vec![("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", "Tue Feb 16 2021")], None),
        ] {
            assert_eq!(read(&headers).1, left, "{headers:?}");
        }
    }
}
