//! `POST /webhooks`: bytes -> secret -> event -> ingest -> status.
//!
//! The secret is checked first; below that check nothing of a stranger's request is looked at.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{HttpState, answer::Refusal, body};
use crate::reservations::{
    batch::Applied,
    event::{self, Parsed},
};

/// The secrets a webhook may carry, as digests of one length.
#[derive(Debug)]
pub struct Secrets(Vec<[u8; 32]>);

impl Secrets {
    /// Takes the secrets as configured.
    #[must_use]
    pub fn new(secrets: &[SecretString]) -> Self {
        Self(secrets.iter().map(|secret| Sha256::digest(secret.expose_secret()).into()).collect())
    }

    /// Whether `given` is one of them. The time it takes tells nothing: every secret is compared, and
    /// a missing header is compared like a wrong one.
    fn contain(&self, given: Option<&[u8]>) -> bool {
        let digest: [u8; 32] = Sha256::digest(given.unwrap_or_default()).into();
        let any = self.0.iter().fold(Choice::from(0), |any, secret| any | secret.ct_eq(&digest));
        (any & Choice::from(u8::from(given.is_some()))).into()
    }
}

/// Takes one event.
pub(super) async fn receive(
    State(state): State<HttpState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    // Read before anything is refused, so that the sender gets its answer.
    let body = body::read(body).await;
    let given = headers.get("x-webhook-secret").map(axum::http::HeaderValue::as_bytes);
    if !state.secrets.contain(given) {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "X-Webhook-Secret: missing or wrong"));
    }
    let result = match event::parse(&body?).map_err(|error| Refusal::bad_request(error.to_string()))? {
        Parsed::Ignored => "ignored",
        Parsed::Event(event) => {
            let applied = state.ingest.apply(*event).await;
            match applied.map_err(|error| Refusal::unavailable(error.to_string(), 1))? {
                Applied::Applied => "applied",
                Applied::Stale => "stale",
                Applied::Duplicate => "duplicate",
            }
        }
    };
    Ok(Json(json!({ "ok": true, "result": result })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_secrets_is_taken_and_nothing_else() {
        let secrets = Secrets::new(&["new".to_owned().into(), "old".to_owned().into()]);
        assert!(secrets.contain(Some(b"new")));
        assert!(secrets.contain(Some(b"old")));
        for given in [None, Some(&b""[..]), Some(b"ne"), Some(b"newer"), Some(b"new,old")] {
            assert!(!secrets.contain(given), "{given:?}");
        }
    }

    #[test]
    fn a_missing_header_is_not_an_empty_secret() {
        assert!(!Secrets::new(&[String::new().into()]).contain(None));
    }
}
