//! Who may post webhooks: whoever knows one of the secrets, shown as it is in `X-Webhook-Secret` or by a
//! Standard Webhooks signature made with it.
//!
//! How long a check takes tells nothing of the secrets: every one is compared, in constant time, whether
//! an earlier one fits or not, and a missing header is compared like a wrong one. Only what the sender
//! knows anyhow decides whether signatures are made: the three headers, and the time in them.

use axum::http::{HeaderMap, HeaderValue};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use subtle::{Choice, ConstantTimeEq};

/// How far the time of a signature may be from ours, in seconds, before or after.
const TOLERANCE: u64 = 5 * 60;

/// What a secret starts with whose signing key is written in base64.
const ENCODED: &str = "whsec_";

/// The secrets a webhook may carry.
pub struct Secrets(Vec<Secret>);

struct Secret {
    /// Of the secret as it is configured; digests are of one length.
    digest: [u8; 32],
    signer: Webhook,
}

impl Secrets {
    /// Takes the secrets as configured; `None` when one of them can't sign.
    #[must_use]
    pub fn new(secrets: &[SecretString]) -> Option<Self> {
        let secret = |secret: &SecretString| {
            let text = secret.expose_secret();
            Some(Secret { digest: Sha256::digest(text).into(), signer: signer(text)? })
        };
        secrets.iter().map(secret).collect::<Option<_>>().map(Self)
    }

    /// Whether the request knows one of them. A body that was not read to its end (`None`) can't be
    /// checked: its signature is believed, for such a request only hears that it is too long.
    pub(super) fn admit(&self, headers: &HeaderMap, body: Option<&[u8]>, now: DateTime<Utc>) -> bool {
        self.admit_by(headers, body, now, |known, given| known.ct_eq(given))
    }

    /// The same, with what compares two digests.
    fn admit_by(
        &self,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        now: DateTime<Utc>,
        mut same: impl FnMut(&[u8; 32], &[u8; 32]) -> Choice,
    ) -> bool {
        let given = headers.get("x-webhook-secret").map(HeaderValue::as_bytes);
        let is_given = Choice::from(u8::from(given.is_some()));
        let digest: [u8; 32] = Sha256::digest(given.unwrap_or_default()).into();
        let signature = Signature::of(headers, now);
        let any = self.0.iter().fold(Choice::from(0), |any, secret| {
            any | (same(&secret.digest, &digest) & is_given) | secret.has_signed(signature.as_ref(), body)
        });
        any.into()
    }
}

impl Secret {
    fn has_signed(&self, signature: Option<&Signature<'_>>, body: Option<&[u8]>) -> Choice {
        let Some(signature) = signature else {
            return Choice::from(0);
        };
        let Some(body) = body else {
            return Choice::from(1);
        };
        // The crate signs text only; a body that is none has no signature.
        let Ok(expected) = self.signer.sign(signature.id, signature.at, body) else {
            return Choice::from(0);
        };
        let given = signature.given.split(' ');
        given.fold(Choice::from(0), |any, one| any | one.as_bytes().ct_eq(expected.as_bytes()))
    }
}

/// What a secret signs with: the bytes that follow `whsec_` in base64, else its own. `None` when there
/// are no such bytes.
#[must_use]
pub(crate) fn signer(secret: &str) -> Option<Webhook> {
    match secret.strip_prefix(ENCODED) {
        // An empty key is one that everybody has.
        Some("") => None,
        Some(_) => Webhook::new(secret).ok(),
        None => Webhook::from_bytes(secret.as_bytes().to_vec()).ok(),
    }
}

/// The three headers of Standard Webhooks. Their time is held against our clock here, since the crate's
/// own check reads the system's.
struct Signature<'h> {
    id: &'h str,
    at: i64,
    /// One or more, separated by spaces.
    given: &'h str,
}

impl<'h> Signature<'h> {
    /// `None` when one of the headers is missing or the time is not about now.
    fn of(headers: &'h HeaderMap, now: DateTime<Utc>) -> Option<Self> {
        let text = |name| headers.get(name)?.to_str().ok();
        let at: i64 = text(HEADER_WEBHOOK_TIMESTAMP)?.parse().ok()?;
        let is_fresh = now.timestamp().abs_diff(at) <= TOLERANCE;
        let (id, given) = (text(HEADER_WEBHOOK_ID)?, text(HEADER_WEBHOOK_SIGNATURE)?);
        is_fresh.then_some(Self { id, at, given })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENCODED_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const AT: i64 = 1_649_367_553;
    /// Of that body with that secret at that time, from the crate's own tests.
    const KNOWN: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    fn secrets(texts: &[&str]) -> Secrets {
        let texts: Vec<SecretString> = texts.iter().map(|text| (*text).into()).collect();
        Secrets::new(&texts).unwrap()
    }

    fn carrying(secret: Option<&'static [u8]>) -> HeaderMap {
        let value = secret.map(|secret| HeaderValue::from_bytes(secret).unwrap());
        value
            .map(|value| (axum::http::HeaderName::from_static("x-webhook-secret"), value))
            .into_iter()
            .collect()
    }

    fn signed(at: &str, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER_WEBHOOK_ID, HeaderValue::from_static("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"));
        headers.insert(HEADER_WEBHOOK_TIMESTAMP, at.parse().unwrap());
        headers.insert(HEADER_WEBHOOK_SIGNATURE, signature.parse().unwrap());
        headers
    }

    fn time(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 999_999_000).unwrap()
    }

    fn known() -> HeaderMap {
        signed(&AT.to_string(), KNOWN)
    }

    #[test]
    fn any_of_the_secrets_is_taken_and_nothing_else() {
        let secrets = secrets(&["new", "old", ENCODED_SECRET]);
        let admits = |given| secrets.admit(&carrying(given), Some(b"x"), time(0));
        assert!(admits(Some(b"new")) && admits(Some(b"old")) && admits(Some(ENCODED_SECRET.as_bytes())));
        for given in [None, Some(&b""[..]), Some(b"ne"), Some(b"newer"), Some(b"new,old"), Some(b"\xff")] {
            assert!(!admits(given), "{given:?}");
        }
    }

    #[test]
    fn each_secret_is_compared_once_whatever_is_given() {
        let secrets = secrets(&["new", "older", ENCODED_SECRET]);
        let all: Vec<_> = secrets.0.iter().map(|secret| secret.digest).collect();
        let mut signed = known();
        signed.insert("x-webhook-secret", HeaderValue::from_static("wrong"));
        let some: [Option<&[u8]>; 6] =
            [None, Some(b""), Some(b"new"), Some(b"older"), Some(ENCODED_SECRET.as_bytes()), Some(b"wrong")];
        for headers in some.map(carrying).into_iter().chain([known(), signed]) {
            let mut compared = Vec::new();
            let mut given = None;
            let count = |known: &[u8; 32], digest: &[u8; 32]| {
                compared.push(*known);
                given.get_or_insert(*digest);
                assert_eq!(given, Some(*digest));
                known.ct_eq(digest)
            };
            let is_admitted = secrets.admit_by(&headers, Some(BODY), time(AT), count);
            assert_eq!(is_admitted, secrets.admit(&headers, Some(BODY), time(AT)));
            assert_eq!(compared, all, "{headers:?}");
        }
    }

    #[test]
    fn a_missing_header_is_not_an_empty_secret() {
        assert!(!secrets(&[""]).admit(&carrying(None), Some(b"x"), time(0)));
    }

    #[test]
    fn a_signature_is_taken_of_whichever_secret() {
        for texts in [&[ENCODED_SECRET][..], &["new", ENCODED_SECRET], &[ENCODED_SECRET, "old"]] {
            assert!(secrets(texts).admit(&known(), Some(BODY), time(AT)), "{texts:?}");
        }
        let plain = signer("a secret as it is").unwrap();
        let signature = plain.sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", AT, BODY).unwrap();
        let headers = signed(&AT.to_string(), &signature);
        assert!(secrets(&["new", "a secret as it is"]).admit(&headers, Some(BODY), time(AT)));
        assert!(!secrets(&["new", ENCODED_SECRET]).admit(&headers, Some(BODY), time(AT)));
    }

    #[test]
    fn one_of_several_signatures_is_enough() {
        let several = format!("v1,AAAA v1a,{} {KNOWN} v2,x", &KNOWN[3..]);
        let secrets = secrets(&[ENCODED_SECRET]);
        assert!(secrets.admit(&signed(&AT.to_string(), &several), Some(BODY), time(AT)));
        for wrong in
            ["", "v1,", &KNOWN[..20], &KNOWN[3..], &KNOWN.replace("v1", "v1a"), &KNOWN.replace('t', "T")]
        {
            let headers = signed(&AT.to_string(), wrong);
            assert!(!secrets.admit(&headers, Some(BODY), time(AT)), "{wrong}");
        }
    }

    #[test]
    fn the_time_is_within_five_minutes_of_ours() {
        let secrets = secrets(&[ENCODED_SECRET]);
        for (seconds, expected) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
            assert_eq!(secrets.admit(&known(), Some(BODY), time(AT + seconds)), expected, "{seconds}");
        }
        for at in ["", "soon", "1649367554", "1649367553.0", "-9223372036854775808", "99999999999999999999"] {
            assert!(!secrets.admit(&signed(at, KNOWN), Some(BODY), time(AT)), "{at}");
        }
    }

    #[test]
    fn what_was_not_signed_is_refused() {
        let secrets = secrets(&[ENCODED_SECRET]);
        assert!(!secrets.admit(&known(), Some(&BODY[1..]), time(AT)));
        assert!(!secrets.admit(&known(), Some(b"\xff"), time(AT)));
        let mut other_id = known();
        other_id.insert(HEADER_WEBHOOK_ID, HeaderValue::from_static("msg_2"));
        assert!(!secrets.admit(&other_id, Some(BODY), time(AT)));
        for name in [HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP, HEADER_WEBHOOK_SIGNATURE] {
            let mut headers = known();
            headers.remove(name);
            assert!(!secrets.admit(&headers, Some(BODY), time(AT)), "{name}");
        }
    }

    #[test]
    fn either_kind_of_header_is_enough() {
        let secrets = secrets(&[ENCODED_SECRET]);
        let both = |secret: &'static str, signature| {
            let mut headers = signed(&AT.to_string(), signature);
            headers.insert("x-webhook-secret", HeaderValue::from_static(secret));
            secrets.admit(&headers, Some(BODY), time(AT))
        };
        assert!(both(ENCODED_SECRET, KNOWN) && both(ENCODED_SECRET, "v1,x") && both("wrong", KNOWN));
        assert!(!both("wrong", "v1,x"));
    }

    #[test]
    fn a_secret_that_can_not_sign_is_refused() {
        for secret in ["whsec_", "whsec_no base64", "whsec_AAA"] {
            assert!(Secrets::new(&[secret.into()]).is_none(), "{secret}");
        }
    }
}
