//! Tokens of an OpenID provider: JWTs that one of its keys has signed, for us, and that are not over.
//!
//! The signature is checked by the key that the token names, with the one algorithm that key is for: RS256,
//! ES256 or EdDSA, never by a secret and never by none. Then issuer, audience and times; then the role, from
//! the claim that is configured.

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use jsonwebtoken::{Validation, errors::ErrorKind};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Caller, Denied, End, Role};
use crate::clock::Clock;

mod keys;
mod ring;

use keys::Keys;

/// How far the provider's clock may be ahead of ours.
const AHEAD: Duration = Duration::from_mins(1);

/// What the configuration says of the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name, as tokens have it in `iss` (`OIDC_ISSUER`). Its keys are found from there.
    pub issuer: String,
    /// Our name, as tokens have it in `aud` (`OIDC_AUDIENCE`).
    pub audience: String,
    /// Where tokens have their roles (`OIDC_ROLE_CLAIM`): a claim, or a JSON pointer into the claims.
    pub role_claim: String,
    /// How long at least from one look for new keys to the next. Not configured; tests wait less.
    pub refetch: Duration,
}

impl Settings {
    /// How long the server waits between looks for new keys.
    pub const REFETCH: Duration = Duration::from_secs(10);
}

/// Knows the tokens of a provider.
pub struct Provider {
    settings: Settings,
    keys: Keys,
    clock: Clock,
}

/// What we ask of a token besides issuer and audience.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since 1970, which may have a fraction (RFC 7519, 2).
    exp: f64,
    nbf: Option<f64>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Provider {
    /// Its keys are fetched when the first token comes.
    #[must_use]
    pub fn new(settings: Settings, http: reqwest::Client, clock: Clock) -> Self {
        ring::install();
        let keys = Keys::new(&settings, http);
        Self { settings, keys, clock }
    }

    /// Who brings this token.
    pub(super) async fn check(&self, token: &str) -> Result<Caller, Denied> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Denied::Invalid("it can't be read"))?;
        let key = self.keys.find(header.kid.as_deref(), header.alg).await?;
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // By our own clock, below.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation)
            .map_err(|error| Denied::Invalid(problem(error.kind())))?
            .claims;
        let end = self.times(&claims)?;
        let role = self.role(&claims).ok_or(Denied::NoRole)?;
        Ok(Caller::new(claims.sub, role, End::At(end, self.clock.clone())))
    }

    /// When it ends, if it has begun and has not ended.
    fn times(&self, claims: &Claims) -> Result<DateTime<Utc>, Denied> {
        let now = self.clock.now();
        let end = instant(claims.exp).ok_or(Denied::Invalid("exp is no time"))?;
        if end <= now {
            return Err(Denied::Invalid("it has expired"));
        }
        match claims.nbf.map(instant) {
            None => Ok(end),
            Some(Some(begin)) if begin <= now + AHEAD => Ok(end),
            Some(Some(_)) => Err(Denied::Invalid("its time has not come yet")),
            Some(None) => Err(Denied::Invalid("nbf is no time")),
        }
    }

    /// The highest of our roles that the token has: names in a list, or in one text with spaces between.
    fn role(&self, claims: &Claims) -> Option<Role> {
        let claim = &self.settings.role_claim;
        let found = match claim.strip_prefix('/') {
            None => claims.rest.get(claim)?,
            Some(rest) => {
                let mut parts = rest.split('/').map(|part| part.replace("~1", "/").replace("~0", "~"));
                let first = claims.rest.get(&parts.next()?)?;
                parts.try_fold(first, |value, part| value.get(part))?
            }
        };
        let roles: Vec<_> = match found {
            Value::String(text) => text.split_whitespace().filter_map(Role::parse).collect(),
            Value::Array(all) => all.iter().filter_map(|role| Role::parse(role.as_str()?)).collect(),
            _ => return None,
        };
        roles.into_iter().max()
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn instant(seconds: f64) -> Option<DateTime<Utc>> {
    // Whole milliseconds are exact for 285,000 years; what is no number or beyond that is no time.
    #[expect(clippy::cast_possible_truncation, reason = "it saturates, and such a time is refused")]
    let millis = (seconds * 1_000.0).floor() as i64;
    DateTime::from_timestamp_millis(millis).filter(|_| seconds.is_finite())
}

fn problem(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "its signature is not that of the provider's key",
        ErrorKind::InvalidIssuer => "it is of another issuer",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => keys::ALGORITHM,
        ErrorKind::MissingRequiredClaim(_) => "it must have exp, iss, aud and sub",
        _ => "it can't be read",
    }
}
