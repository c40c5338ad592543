//! The provider's keys, fetched from where its discovery document says and kept.
//!
//! A token that names a key we do not know has them fetched anew, since keys are rotated; but not more often
//! than once in a while, so that tokens made up do not make us ask. Keys that were withdrawn are forgotten
//! within the hour. While the provider is away, the keys we have go on being good.

use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::Settings;
use crate::access::Denied;

/// How long keys are taken without being fetched again.
const AGE_MAX: Duration = Duration::from_hours(1);
/// How long the provider may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a document of the provider.
const DOCUMENT_MAX: usize = 1024 * 1024;

/// Why a token by another algorithm is refused.
pub(super) const ALGORITHM: &str =
    "its algorithm must be RS256, ES256 or EdDSA, and that of the provider's key";

/// A key, and the one algorithm it is for.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// Those that are known.
pub(super) struct Keys {
    http: reqwest::Client,
    issuer: String,
    refetch: Duration,
    known: RwLock<Known>,
    /// When the provider was last asked; held while it is.
    asked: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Known {
    keys: Vec<Arc<Key>>,
    since: Option<Instant>,
}

/// Why there are no new keys.
#[derive(Debug, Error)]
enum FetchError {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("it answered {0}")]
    Status(reqwest::StatusCode),
    #[error("its answer has more than {DOCUMENT_MAX} bytes")]
    TooLong,
    #[error("its answer can't be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it calls itself {0}")]
    Issuer(String),
    #[error("jwks_uri must be https")]
    Scheme,
}

/// OpenID Connect Discovery 1.0, 3.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// RFC 7517, 5. A key that we can't read is passed over.
#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

impl Keys {
    pub(super) fn new(settings: &Settings, http: reqwest::Client) -> Self {
        let (issuer, refetch) = (settings.issuer.clone(), settings.refetch);
        Self { http, issuer, refetch, known: RwLock::default(), asked: Mutex::default() }
    }

    /// The key that a token names. One that names none is taken for the only one there is of its algorithm.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>, Denied> {
        if !matches!(algorithm, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) {
            return Err(Denied::Invalid(ALGORITHM));
        }
        let seen = Instant::now();
        if let Some(key) = self.look(id, algorithm).filter(|_| !self.is_old(seen)) {
            return key;
        }
        self.refresh(seen).await;
        match self.look(id, algorithm) {
            Some(key) => key,
            None if self.is_empty() => Err(Denied::Unavailable),
            None => Err(Denied::Invalid("it names no key of the provider")),
        }
    }

    /// None: there is no such key.
    fn look(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Result<Arc<Key>, Denied>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let Some(id) = id else {
            let mut fitting = known.keys.iter().filter(|key| key.algorithm == algorithm);
            let first = fitting.next()?;
            let is_only = fitting.next().is_none();
            return Some(is_only.then(|| Arc::clone(first)).ok_or(Denied::Invalid("it names no key")));
        };
        let key = known.keys.iter().find(|key| key.id.as_deref() == Some(id))?;
        Some((key.algorithm == algorithm).then(|| Arc::clone(key)).ok_or(Denied::Invalid(ALGORITHM)))
    }

    fn is_old(&self, now: Instant) -> bool {
        let since = self.known.read().unwrap_or_else(PoisonError::into_inner).since;
        since.is_none_or(|since| now > since + AGE_MAX)
    }

    fn is_empty(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).keys.is_empty()
    }

    /// Fetches the keys, unless somebody did since `seen` or not long before.
    async fn refresh(&self, seen: Instant) {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|asked| asked >= seen || Instant::now() < asked + self.refetch) {
            return;
        }
        let result = tokio::time::timeout(PATIENCE, self.fetch()).await;
        *asked = Some(Instant::now());
        match result {
            Ok(Ok(keys)) => {
                tracing::info!(keys = keys.len(), "the keys of the OpenID provider were fetched");
                let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                *known = Known { keys, since: Some(Instant::now()) };
            }
            Ok(Err(error)) => tracing::error!(%error, "OIDC_ISSUER: its keys can't be fetched"),
            Err(_) => tracing::error!("OIDC_ISSUER: its keys can't be fetched: no answer in time"),
        }
    }

    async fn fetch(&self) -> Result<Vec<Arc<Key>>, FetchError> {
        let base = self.issuer.trim_end_matches('/');
        let discovery: Discovery = self.get(&format!("{base}/.well-known/openid-configuration")).await?;
        if discovery.issuer != self.issuer {
            return Err(FetchError::Issuer(discovery.issuer));
        }
        if self.issuer.starts_with("https:") && !discovery.jwks_uri.starts_with("https:") {
            return Err(FetchError::Scheme);
        }
        let set: Set = self.get(&discovery.jwks_uri).await?;
        Ok(set.keys.into_iter().filter_map(key).map(Arc::new).collect())
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, FetchError> {
        let mut response = self.http.get(url).send().await?;
        if !response.status().is_success() {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > DOCUMENT_MAX {
                return Err(FetchError::TooLong);
            }
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

/// A key for signatures of an algorithm we take; none for others.
fn key(jwk: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let is_for_signatures =
        jwk.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
    let fits = jwk.common.key_algorithm.as_ref().is_none_or(|it| *it == name);
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    (is_for_signatures && fits).then_some(Key { id: jwk.common.key_id, algorithm, decoding })
}
