//! Who may do what: a token -> a [`Caller`] with a [`Role`], or why not.
//!
//! Tokens are those of a file ([`tokens`]) or of an OpenID provider ([`provider`]). What each role may do stands in one table ([`table`]), for
//! routes and operations alike; the edges ask it and decide nothing. Where no access is configured,
//! everybody is an admin, which the configuration allows on a loopback address only, or where it is said
//! in so many words. How much each may ask for is counted here too ([`limits`]).

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

pub mod limits;
pub mod provider;
pub mod proxies;
pub mod table;
pub mod tokens;

pub use limits::Spend;
use limits::{Client, Guess, Limits};
use provider::Provider;
use proxies::Proxies;
pub use table::Role;
use tokens::{Tokens, TokensError};

/// How often the end of a token is compared with the clock, which may be set meanwhile.
const LOOK: Duration = Duration::from_secs(30);
/// How often buckets that are full are forgotten.
const TIDY: Duration = Duration::from_mins(1);

/// What the configuration says of access.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The file of tokens (`TOKENS_FILE`).
    pub tokens_file: Option<PathBuf>,
    /// The OpenID provider (`OIDC_ISSUER` and others).
    pub provider: Option<provider::Settings>,
    /// How much each client may ask for.
    pub limits: limits::Settings,
    /// Whose word is taken for where a caller is (`TRUSTED_PROXIES`).
    pub proxies: Proxies,
}

impl Settings {
    /// Whether anything is configured.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.tokens_file.is_some() || self.provider.is_some()
    }
}

/// Knows tokens; cheap to clone.
#[derive(Clone, Debug)]
pub struct Access(Arc<Checks>);

#[derive(Debug)]
struct Checks {
    is_configured: bool,
    tokens: Option<Tokens>,
    provider: Option<Provider>,
    limits: Limits,
    proxies: Proxies,
}

/// Why a caller is turned away. What it says is for the caller, and says nothing of the token.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Denied {
    /// There is no token.
    #[error("a token is needed: Authorization: Bearer ...")]
    Missing,
    /// The token is none of ours, or not any more.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// The token is good, and has none of our roles.
    #[error("the token has none of the roles viewer, sender and admin")]
    NoRole,
    /// Too much at once, or too many guesses that were wrong.
    #[error("too many requests: come back in {seconds} s")]
    Limited {
        /// When there may be another.
        seconds: u16,
    },
    /// Nobody can say whether it is good: the provider has not answered yet.
    #[error("the OpenID provider can't be asked for its keys at the moment")]
    Unavailable,
    /// The token is good, but not for this.
    #[error("this needs the role {needed}, and the token has the role {has}")]
    Forbidden {
        /// What it takes.
        needed: Role,
        /// What there is.
        has: Role,
    },
}

/// Somebody whose token was found good; cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Who>);

#[derive(Debug)]
struct Who {
    name: String,
    role: Role,
    end: End,
    client: Client,
}

/// When a token stops being good.
#[derive(Clone, Debug)]
enum End {
    Never,
    /// Then, by this clock.
    At(DateTime<Utc>, Clock),
    /// When it is taken out of the file.
    Removed(CancellationToken),
}

impl Access {
    /// Reads what is configured. The file of tokens must be there and be understood.
    pub fn open(settings: &Settings, http: &reqwest::Client, clock: &Clock) -> Result<Self, TokensError> {
        let tokens = settings.tokens_file.clone().map(Tokens::open).transpose()?;
        let provider = settings.provider.clone();
        let provider = provider.map(|provider| Provider::new(provider, http.clone(), clock.clone()));
        let limits = Limits::new(settings.limits);
        let (is_configured, proxies) = (settings.is_configured(), settings.proxies.clone());
        Ok(Self(Arc::new(Checks { is_configured, tokens, provider, limits, proxies })))
    }

    /// Where a request comes from, by the other side of its connection and its headers.
    #[must_use]
    pub fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        self.0.proxies.caller(peer, headers)
    }

    /// Who brings this token, from this address.
    pub async fn check(&self, token: Option<&str>, peer: Option<IpAddr>) -> Result<Caller, Denied> {
        if !self.0.is_configured {
            return Ok(Caller::anonymous(peer));
        }
        let result = self.find(token.ok_or(Denied::Missing)?).await;
        if let Err(Denied::Invalid(_)) = result {
            self.failed(Guess::Token, peer)?;
        }
        result
    }

    /// Notes a webhook without a right secret; whether there may be another.
    pub fn wrong_secret(&self, peer: Option<IpAddr>) -> Result<(), Denied> {
        self.failed(Guess::Secret, peer)
    }

    fn failed(&self, guess: Guess, peer: Option<IpAddr>) -> Result<(), Denied> {
        self.0.limits.fail(guess, peer).map_err(|seconds| Denied::Limited { seconds })
    }

    /// Whether the caller may ask for one thing more now.
    pub fn spend(&self, caller: &Caller, what: Spend) -> Result<(), Denied> {
        self.0.limits.spend(&caller.0.client, what).map_err(|seconds| Denied::Limited { seconds })
    }

    async fn find(&self, token: &str) -> Result<Caller, Denied> {
        let checks = &self.0;
        if let Some(caller) = checks.tokens.as_ref().and_then(|tokens| tokens.find(token)) {
            return Ok(caller);
        }
        match &checks.provider {
            Some(provider) => provider.check(token).await,
            None => Err(Denied::Invalid("it is not known here")),
        }
    }

    /// Takes up what changes in the file of tokens, and tidies up, until cancelled.
    pub async fn keep(self, cancel: CancellationToken) {
        let tokens = async {
            if let Some(tokens) = &self.0.tokens {
                tokens.keep().await;
            }
        };
        let tidy = async {
            loop {
                tokio::time::sleep(TIDY).await;
                self.0.limits.tidy();
            }
        };
        cancel.run_until_cancelled(async { tokio::join!(tokens, tidy) }).await;
    }
}

impl Caller {
    /// Whoever comes where no access is configured.
    #[must_use]
    pub fn anonymous(peer: Option<IpAddr>) -> Self {
        let (name, client) = ("anonymous".to_owned(), Client::at(peer));
        Self(Arc::new(Who { name, role: Role::Admin, end: End::Never, client }))
    }

    fn new(name: String, role: Role, end: End) -> Self {
        let client = Client::Token(name.clone());
        Self(Arc::new(Who { name, role, end, client }))
    }

    /// What the token is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it allows.
    #[must_use]
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// Whether it allows this.
    pub fn require(&self, needed: Role) -> Result<(), Denied> {
        let has = self.role();
        if has >= needed { Ok(()) } else { Err(Denied::Forbidden { needed, has }) }
    }

    /// Waits until the token is good no longer.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let end = self.0.end.clone();
        async move {
            match end {
                End::Never => std::future::pending().await,
                End::At(end, clock) => {
                    while let Ok(left) = (end - clock.now()).to_std()
                        && !left.is_zero()
                    {
                        tokio::time::sleep(left.min(LOOK)).await;
                    }
                }
                End::Removed(removed) => removed.cancelled_owned().await,
            }
        }
    }
}
