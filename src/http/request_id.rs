//! `X-Request-Id`: the caller's if it is a plain one, else one of ours.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::telemetry::request_id::RequestId;

/// Where it is, in a request and in its answer.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The longest that is taken from outside.
const LENGTH_MAX: usize = 128;

/// Makes identifiers that are never the same: what names the process, and a number. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Ids(Arc<(String, AtomicU64)>);

impl Default for Ids {
    fn default() -> Self {
        let process = uuid::Uuid::new_v4().simple().to_string();
        Self(Arc::new((process, AtomicU64::new(0))))
    }
}

impl Ids {
    fn next(&self) -> String {
        let (process, number) = &*self.0;
        format!("{}-{:x}", &process[..12], number.fetch_add(1, Ordering::Relaxed))
    }
}

/// The identifier of a request.
pub(super) fn of(headers: &HeaderMap, ids: &Ids) -> RequestId {
    headers.get(HEADER).and_then(plain).map_or_else(|| ids.next(), str::to_owned).into()
}

/// Nothing that could break a line of a log, or hide in it.
fn plain(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(&byte);
    ((1..=LENGTH_MAX).contains(&text.len()) && text.bytes().all(is_plain)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_plain_is_taken() {
        let long = "x".repeat(LENGTH_MAX);
        for good in ["1", "018f-AB_c.d:e+f/g=", &long] {
            assert_eq!(plain(&HeaderValue::from_str(good).unwrap()), Some(good));
        }
        let longer = "x".repeat(LENGTH_MAX + 1);
        for bad in ["", "a b", "a\"b", "{a}", "guest@example.com", &longer] {
            assert_eq!(plain(&HeaderValue::from_str(bad).unwrap()), None, "{bad}");
        }
        assert_eq!(plain(&HeaderValue::from_bytes(b"caf\xe9").unwrap()), None);
    }

    #[test]
    fn ours_are_plain_and_never_the_same() {
        let (ids, other) = (Ids::default(), Ids::default());
        let made: std::collections::HashSet<_> = (0..100).map(|_| ids.next()).chain([other.next()]).collect();
        assert_eq!(made.len(), 101);
        assert!(made.iter().all(|id| plain(&HeaderValue::from_str(id).unwrap()).is_some()));
    }
}
