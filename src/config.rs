//! Environment -> [`Config`]; refuses what it does not understand.
//!
//! Every variable is read here and nowhere else. A value that can't be used is an error that names
//! its variable; nothing falls back to a default in silence. A variable that is set but empty counts
//! as not set only where "none" is the default.

use std::{
    cell::RefCell,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use axum::http::Uri;
use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::{
    access::{self, proxies::Proxies},
    app::retention::Kept,
    db::DatabaseSettings,
    http::{Limits, Times, secrets::signer},
};

pub mod document;

/// The secret of the first try, known to everybody and therefore taken on loopback only.
pub const WELL_KNOWN_SECRET: &str = "super_secret_key_123";

/// Everything the server can be told from outside.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen (`HOST`, `PORT`).
    pub listen: SocketAddr,
    /// Origins whose pages may call us (`CORS_ORIGINS`), as browsers write them.
    pub cors_origins: Vec<String>,
    /// The database (`DATABASE_URL` or `DB_*`, and `DB_POOL_MAX`).
    pub database: DatabaseSettings,
    /// Where events are kept while the database is away (`SPOOL_PATH`).
    pub spool_path: PathBuf,
    /// How much is kept there at most (`SPOOL_MAX_BYTES`).
    pub spool_max_bytes: u64,
    /// Secrets that webhooks may carry (`WEBHOOK_SECRET`), never empty.
    pub webhook_secrets: Vec<SecretString>,
    /// The provider (`GUEST_API_BASE_URL`), without a slash at the end.
    pub guest_api_base_url: String,
    /// The URL that the provider posts to (`PUBLIC_WEBHOOK_URL`); kept registered when given.
    pub public_webhook_url: Option<String>,
    /// Connections and what may go on in them (`MAX_CONNECTIONS`, `MAX_SOCKETS`, `MAX_SUBSCRIPTIONS_PER_SOCKET`).
    pub live: Limits,
    /// Whose tokens are taken (`TOKENS_FILE`, `OIDC_*`).
    pub access: access::Settings,
    /// Whether clients may read the schema (`GRAPHQL_INTROSPECTION`).
    pub introspection: bool,
    /// How long changes, rejected webhooks, finished broadcasts and the audit log are kept (`RETENTION_*_DAYS`).
    pub kept: Kept,
    /// How long a server that was told to stop goes on before it does (`SHUTDOWN_DELAY_SECONDS`).
    pub shutdown_delay: Duration,
    /// Requests in flight to the provider at most (`BROADCAST_CONCURRENCY`).
    pub broadcast_concurrency: usize,
    /// Tries a message at most (`BROADCAST_MAX_ATTEMPTS`).
    pub broadcast_max_attempts: i32,
}

/// Why the environment can't be used.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{variable}: {problem}")]
pub struct ConfigError {
    /// The variable at fault.
    pub variable: &'static str,
    /// What is wrong with it and what it takes.
    pub problem: String,
}

fn refuse<T>(variable: &'static str, problem: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError { variable, problem: problem.into() })
}

impl Config {
    /// Reads the variables through `lookup`, which answers `None` for one that is not set.
    pub fn from_lookup(lookup: impl Fn(&'static str) -> Option<String>) -> Result<Self, ConfigError> {
        Self::read(&Env(&lookup, &RefCell::default()))
    }

    /// Every variable that is read, with what is taken when it is not set.
    #[must_use]
    pub fn settings() -> Vec<Setting> {
        let seen = RefCell::new(Vec::new());
        // Some are read only beside another.
        for given in [None, Some("DB_HOST")] {
            let lookup = |name| {
                note(&seen, name, None, String::new());
                given.filter(|given| *given == name).map(|_| "localhost".to_owned())
            };
            // What is read is known, whatever comes of it.
            let _ = Self::read(&Env(&lookup, &seen));
        }
        seen.into_inner()
    }

    fn read(env: &Env<'_>) -> Result<Self, ConfigError> {
        let port = env.number("PORT", 3000, 0..=65_535)?;
        let host = host(env)?;
        let config = Self {
            listen: SocketAddr::new(host, port),
            cors_origins: cors_origins(env)?,
            database: DatabaseSettings {
                url: database_url(env)?.into(),
                pool_max: env.number("DB_POOL_MAX", 20, 3..=10_000)?,
            },
            spool_path: env.text("SPOOL_PATH", &format!("besty-spool-{port}.db"))?.into(),
            spool_max_bytes: env.number("SPOOL_MAX_BYTES", 1 << 30, 0..=1 << 50)?,
            webhook_secrets: webhook_secrets(env)?,
            guest_api_base_url: guest_api_base_url(env)?,
            public_webhook_url: env
                .optional("PUBLIC_WEBHOOK_URL")
                .map(|url| http_url("PUBLIC_WEBHOOK_URL", &url).map(|()| url))
                .transpose()?,
            live: live(env)?,
            access: access_of(env)?,
            introspection: env.flag("GRAPHQL_INTROSPECTION", true)?,
            kept: Kept {
                changes: env.days("RETENTION_CHANGES_DAYS", 7)?,
                rejected: env.days("RETENTION_REJECTED_DAYS", 30)?,
                broadcasts: env.days("RETENTION_BROADCASTS_DAYS", 90)?,
                audit: env.days("RETENTION_AUDIT_DAYS", 365)?,
                soon: Kept::SOON,
            },
            shutdown_delay: Duration::from_secs(env.number("SHUTDOWN_DELAY_SECONDS", 0, 0..=300)?),
            broadcast_concurrency: env.number("BROADCAST_CONCURRENCY", 10, 1..=1_000)?,
            broadcast_max_attempts: env.number("BROADCAST_MAX_ATTEMPTS", 5, 1..=100)?,
        };
        config.guard_exposure(env.flag("ALLOW_ANONYMOUS", false)?)?;
        Ok(config)
    }

    /// Nobody opens the server to a network by accident: off loopback it takes tokens, or a word that
    /// anonymous access is meant, and a secret of one's own in any case.
    fn guard_exposure(&self, allow_anonymous: bool) -> Result<(), ConfigError> {
        if allow_anonymous && self.access.is_configured() {
            return refuse(
                "ALLOW_ANONYMOUS",
                "'true' would let everybody in, though TOKENS_FILE or OIDC_ISSUER say who may; set one of them only",
            );
        }
        let host = self.listen.ip();
        if host.is_loopback() {
            return Ok(());
        }
        if self.webhook_secrets.iter().any(|secret| secret.expose_secret() == WELL_KNOWN_SECRET) {
            return refuse(
                "WEBHOOK_SECRET",
                format!(
                    "HOST {host} is not a loopback address, and the well-known default secret is accepted on one only; set a secret of your own"
                ),
            );
        }
        if !allow_anonymous && !self.access.is_configured() {
            return refuse(
                "HOST",
                format!(
                    "{host} is not a loopback address, so anybody who reaches it could read and write; set TOKENS_FILE (`besty token create` writes it), or OIDC_ISSUER and OIDC_AUDIENCE, or HOST=127.0.0.1; or ALLOW_ANONYMOUS=true if everybody is meant"
                ),
            );
        }
        Ok(())
    }
}

/// A variable that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What is taken when it is not set; `None`: nothing.
    pub default: Option<String>,
    /// What it takes, where that can be said in a few words.
    pub values: String,
}

/// The first one to say something of a variable is right.
fn note(seen: &RefCell<Vec<Setting>>, name: &'static str, default: Option<String>, values: String) {
    let mut seen = seen.borrow_mut();
    match seen.iter_mut().find(|setting| setting.name == name) {
        Some(setting) if setting.default.is_none() => (setting.default, setting.values) = (default, values),
        Some(_) => {}
        None => seen.push(Setting { name, default, values }),
    }
}

/// Typed access to the variables, and a note of each.
struct Env<'a>(&'a dyn Fn(&'static str) -> Option<String>, &'a RefCell<Vec<Setting>>);

impl Env<'_> {
    fn optional(&self, variable: &'static str) -> Option<String> {
        (self.0)(variable).filter(|value| !value.is_empty())
    }

    fn text(&self, variable: &'static str, default: &str) -> Result<String, ConfigError> {
        note(self.1, variable, Some(default.to_owned()), String::new());
        match (self.0)(variable) {
            None => Ok(default.to_owned()),
            Some(value) if value.trim().is_empty() => {
                refuse(variable, "is empty; give a value or leave it out")
            }
            Some(value) => Ok(value),
        }
    }

    fn number<N>(
        &self,
        variable: &'static str,
        default: N,
        range: std::ops::RangeInclusive<N>,
    ) -> Result<N, ConfigError>
    where
        N: std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        note(self.1, variable, Some(default.to_string()), format!("{} to {}", range.start(), range.end()));
        let Some(text) = (self.0)(variable) else {
            return Ok(default);
        };
        match text.trim().parse::<N>() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => refuse(
                variable,
                format!("'{text}' is not a whole number from {} to {}", range.start(), range.end()),
            ),
        }
    }

    fn days(&self, variable: &'static str, default: i64) -> Result<TimeDelta, ConfigError> {
        self.number(variable, default, 1..=36_500).map(TimeDelta::days)
    }

    fn flag(&self, variable: &'static str, default: bool) -> Result<bool, ConfigError> {
        note(self.1, variable, Some(default.to_string()), "`true` or `false`".to_owned());
        match (self.0)(variable).as_deref().map(str::trim) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => refuse(variable, format!("'{other}' is neither 'true' nor 'false'")),
        }
    }
}

fn host(env: &Env<'_>) -> Result<IpAddr, ConfigError> {
    let text = env.text("HOST", "127.0.0.1")?;
    match text.trim() {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        other => match other.parse() {
            Ok(address) => Ok(address),
            Err(_) => refuse("HOST", format!("'{other}' is not an IP address (or 'localhost')")),
        },
    }
}

fn live(env: &Env<'_>) -> Result<Limits, ConfigError> {
    let sockets = env.number("MAX_SOCKETS", 10_000, 1..=1_000_000)?;
    Ok(Limits {
        sockets,
        // Whoever raises the one is not to run into the other.
        connections: env.number("MAX_CONNECTIONS", 2 * sockets, 1..=2_000_000)?,
        subscriptions: env.number("MAX_SUBSCRIPTIONS_PER_SOCKET", 100, 1..=10_000)?,
        times: Times::SERVER,
    })
}

fn cors_origins(env: &Env<'_>) -> Result<Vec<String>, ConfigError> {
    let list = env.optional("CORS_ORIGINS").unwrap_or_default();
    list.split(',').map(str::trim).filter(|origin| !origin.is_empty()).map(origin).collect()
}

/// An origin as a browser sends it: scheme, host and port, nothing after them.
fn origin(text: &str) -> Result<String, ConfigError> {
    let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match bare.map(str::parse::<axum::http::uri::Authority>) {
        Some(Ok(authority)) if !authority.as_str().contains('@') => Ok(text.to_ascii_lowercase()),
        _ => refuse(
            "CORS_ORIGINS",
            format!(
                "'{text}' is not an origin like https://app.example.com (no path, no slash at the end, no *)"
            ),
        ),
    }
}

fn access_of(env: &Env<'_>) -> Result<access::Settings, ConfigError> {
    let tokens_file = env.optional("TOKENS_FILE").map(PathBuf::from);
    let (issuer, audience) = (env.optional("OIDC_ISSUER"), env.optional("OIDC_AUDIENCE"));
    let role_claim = env.text("OIDC_ROLE_CLAIM", "roles")?;
    let provider = match (issuer, audience) {
        (None, None) => None,
        (None, Some(_)) => return refuse("OIDC_ISSUER", "must be given with OIDC_AUDIENCE"),
        // Without it, a token for any other service of the provider would do.
        (Some(_), None) => return refuse("OIDC_AUDIENCE", "must be given with OIDC_ISSUER"),
        (Some(issuer), Some(audience)) => {
            http_url("OIDC_ISSUER", &issuer)?;
            if !is_private(&issuer) {
                return refuse("OIDC_ISSUER", "must be https: whoever is between could give us keys");
            }
            Some(access::provider::Settings {
                issuer,
                audience,
                role_claim,
                refetch: access::provider::Settings::REFETCH,
            })
        }
    };
    let limits = access::limits::Settings {
        requests: env.number("MAX_REQUESTS_PER_SECOND", 100, 1..=100_000)?,
        mutations: env.number("MAX_MUTATIONS_PER_MINUTE", 60, 1..=100_000)?,
        failures: access::limits::Settings::FAILURES,
    };
    Ok(access::Settings { tokens_file, provider, limits, proxies: proxies(env)? })
}

fn proxies(env: &Env<'_>) -> Result<Proxies, ConfigError> {
    let list = env.optional("TRUSTED_PROXIES").unwrap_or_default();
    Proxies::parse(&list).or_else(|part| {
        let problem = format!("'{part}' is neither an IP address nor a network like 10.0.0.0/8");
        refuse("TRUSTED_PROXIES", problem)
    })
}

/// Whether nobody can be between us and a URL: it is https, or on this machine.
fn is_private(url: &str) -> bool {
    let host = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    url.starts_with("https:") || host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn database_url(env: &Env<'_>) -> Result<String, ConfigError> {
    const PARTS: [&str; 5] = ["DB_HOST", "DB_PORT", "DB_USER", "DB_PASSWORD", "DB_NAME"];
    if let Some(url) = env.optional("DATABASE_URL") {
        let known = ["postgres://", "postgresql://", "sqlite:"].iter().any(|scheme| url.starts_with(scheme));
        // The value may hold a password, so it is not repeated.
        return if known {
            Ok(url)
        } else {
            refuse("DATABASE_URL", "must start with postgres:// or sqlite://")
        };
    }
    if PARTS.iter().all(|variable| (env.0)(variable).is_none()) {
        return Ok("sqlite://besty.db?mode=rwc".to_owned());
    }
    let password = (env.0)("DB_PASSWORD").unwrap_or_else(|| "interview_password".to_owned());
    Ok(format!(
        "postgres://{}:{}@{}:{}/{}",
        percent_encode(&env.text("DB_USER", "interview")?),
        percent_encode(&password),
        bracket_ipv6(&env.text("DB_HOST", "localhost")?),
        env.number::<u16>("DB_PORT", 5432, 1..=65_535)?,
        percent_encode(&env.text("DB_NAME", "interview")?),
    ))
}

fn bracket_ipv6(host: &str) -> String {
    if host.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{host}]") } else { percent_encode(host) }
}

/// Everything but the unreserved characters of RFC 3986, so that any password fits into a URL.
fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn webhook_secrets(env: &Env<'_>) -> Result<Vec<SecretString>, ConfigError> {
    let list = env.text("WEBHOOK_SECRET", WELL_KNOWN_SECRET)?;
    let secrets: Vec<SecretString> =
        list.split(',').map(str::trim).filter(|secret| !secret.is_empty()).map(SecretString::from).collect();
    if secrets.is_empty() {
        return refuse("WEBHOOK_SECRET", "holds no secret");
    }
    // The value is not repeated: it is secret.
    if let Some(place) = secrets.iter().position(|secret| signer(secret.expose_secret()).is_none()) {
        let problem = format!("secret {} starts with whsec_, and what follows is not base64", place + 1);
        return refuse("WEBHOOK_SECRET", problem);
    }
    Ok(secrets)
}

fn guest_api_base_url(env: &Env<'_>) -> Result<String, ConfigError> {
    let url = env.text("GUEST_API_BASE_URL", "http://localhost:3001")?;
    http_url("GUEST_API_BASE_URL", &url)?;
    if url.contains(['?', '#']) {
        return refuse("GUEST_API_BASE_URL", "takes no query and no fragment");
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn http_url(variable: &'static str, text: &str) -> Result<(), ConfigError> {
    match text.parse::<Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => Ok(()),
        _ => refuse(variable, format!("'{text}' is not an http:// or https:// URL")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
        Config::from_lookup(|name| {
            set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn url(set: &[(&'static str, &str)]) -> String {
        read(set).unwrap().database.url.expose_secret().to_owned()
    }

    #[test]
    fn nothing_set_is_one_file_on_loopback() {
        let config = read(&[]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:3000");
        assert_eq!(config.database.url.expose_secret(), "sqlite://besty.db?mode=rwc");
        assert_eq!(config.database.pool_max, 20);
        assert_eq!(config.spool_path.to_str().unwrap(), "besty-spool-3000.db");
        assert_eq!(config.spool_max_bytes, 1_073_741_824);
        assert_eq!(config.webhook_secrets[0].expose_secret(), WELL_KNOWN_SECRET);
        assert_eq!(config.guest_api_base_url, "http://localhost:3001");
        assert_eq!(config.public_webhook_url, None);
        assert_eq!((config.broadcast_concurrency, config.broadcast_max_attempts), (10, 5));
        assert_eq!((config.live.sockets, config.live.subscriptions), (10_000, 100));
        assert!(config.cors_origins.is_empty() && config.introspection);
        assert_eq!(config.shutdown_delay, Duration::ZERO);
        assert_eq!(config.kept.changes, TimeDelta::days(7));
    }

    #[test]
    fn one_db_variable_is_enough_for_postgres() {
        assert_eq!(
            url(&[("DB_PORT", "5433")]),
            "postgres://interview:interview_password@localhost:5433/interview"
        );
        assert_eq!(
            url(&[("DB_PASSWORD", "p@ss/w:rd %"), ("DB_HOST", "::1")]),
            "postgres://interview:p%40ss%2Fw%3Ard%20%25@[::1]:5432/interview"
        );
        assert_eq!(url(&[("DATABASE_URL", "sqlite://x.db"), ("DB_HOST", "h")]), "sqlite://x.db");
    }

    #[test]
    fn secrets_rotate_by_comma() {
        let config = read(&[("WEBHOOK_SECRET", "new, old,whsec_bmV3ZXI=")]).unwrap();
        let secrets: Vec<_> = config.webhook_secrets.iter().map(ExposeSecret::expose_secret).collect();
        assert_eq!(secrets, ["new", "old", "whsec_bmV3ZXI="]);
    }

    #[test]
    fn a_bad_value_names_its_variable() {
        for (variable, value) in [
            ("PORT", "http"),
            ("PORT", "70000"),
            ("PORT", ""),
            ("HOST", "example.com"),
            ("HOST", ""),
            ("ALLOW_ANONYMOUS", "yes"),
            ("CORS_ORIGINS", "*"),
            ("CORS_ORIGINS", "https://a.example/"),
            ("DATABASE_URL", "mysql://root:secret@localhost"),
            ("DB_PORT", "0"),
            ("DB_POOL_MAX", "1"),
            ("SPOOL_PATH", " "),
            ("SPOOL_MAX_BYTES", "1 GiB"),
            ("WEBHOOK_SECRET", ""),
            ("WEBHOOK_SECRET", " , "),
            ("WEBHOOK_SECRET", "own, whsec_"),
            ("WEBHOOK_SECRET", "whsec_root:secret"),
            ("GUEST_API_BASE_URL", "localhost:3001"),
            ("GUEST_API_BASE_URL", "http://h/?a=b"),
            ("PUBLIC_WEBHOOK_URL", "ftp://h/x"),
            ("MAX_SOCKETS", "0"),
            ("MAX_CONNECTIONS", "0"),
            ("MAX_SUBSCRIPTIONS_PER_SOCKET", "many"),
            ("OIDC_ROLE_CLAIM", ""),
            ("TRUSTED_PROXIES", "10.0.0.0/8, proxy"),
            ("MAX_REQUESTS_PER_SECOND", "0"),
            ("MAX_MUTATIONS_PER_MINUTE", "none"),
            ("GRAPHQL_INTROSPECTION", "off"),
            ("RETENTION_CHANGES_DAYS", "0"),
            ("RETENTION_REJECTED_DAYS", "a week"),
            ("RETENTION_BROADCASTS_DAYS", "36501"),
            ("RETENTION_AUDIT_DAYS", "0"),
            ("SHUTDOWN_DELAY_SECONDS", "301"),
            ("BROADCAST_CONCURRENCY", "0"),
            ("BROADCAST_MAX_ATTEMPTS", "five"),
        ] {
            let error = read(&[(variable, value)]).expect_err(variable);
            assert_eq!(error.variable, variable, "{value:?}");
            assert!(!error.to_string().contains("root:secret"));
        }
    }

    #[test]
    fn access_is_a_file_or_a_provider() {
        let provider = [("OIDC_ISSUER", "https://id.example/"), ("OIDC_AUDIENCE", "besty")];
        let [issuer, audience] = provider;
        let config = read(&provider).unwrap();
        let found = config.access.provider.unwrap();
        assert_eq!((found.issuer.as_str(), found.role_claim.as_str()), ("https://id.example/", "roles"));
        assert_eq!(read(&[issuer]).unwrap_err().variable, "OIDC_AUDIENCE");
        assert_eq!(read(&[audience]).unwrap_err().variable, "OIDC_ISSUER");
        for (url, is_taken) in [
            ("http://id.example", false),
            ("id.example", false),
            ("http://localhost:8080/realms/x", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080", true),
        ] {
            assert_eq!(read(&[("OIDC_ISSUER", url), audience]).is_ok(), is_taken, "{url}");
        }
        for configured in [&provider[..], &[("TOKENS_FILE", "tokens")]] {
            let open = [&[("HOST", "0.0.0.0")], configured].concat();
            assert_eq!(read(&open).unwrap_err().variable, "WEBHOOK_SECRET");
            let open = [&open[..], &[("WEBHOOK_SECRET", "own")]].concat();
            assert!(read(&open).unwrap().access.is_configured());
            let both = [&open[..], &[("ALLOW_ANONYMOUS", "true")]].concat();
            assert_eq!(read(&both).unwrap_err().variable, "ALLOW_ANONYMOUS");
        }
    }

    #[test]
    fn an_open_host_needs_both_words() {
        let own = ("WEBHOOK_SECRET", "own");
        let anonymous = ("ALLOW_ANONYMOUS", "true");
        let open = ("HOST", "0.0.0.0");
        assert_eq!(read(&[open, own]).unwrap_err().variable, "HOST");
        assert_eq!(read(&[open, anonymous]).unwrap_err().variable, "WEBHOOK_SECRET");
        let both = ("WEBHOOK_SECRET", "own,super_secret_key_123");
        assert_eq!(read(&[open, anonymous, both]).unwrap_err().variable, "WEBHOOK_SECRET");
        assert!(read(&[open, own, anonymous]).is_ok());
        assert!(read(&[("HOST", "127.0.0.2")]).is_ok());
        assert!(read(&[("HOST", "::1")]).is_ok());
        assert!(read(&[("HOST", "localhost")]).is_ok());
    }
}
