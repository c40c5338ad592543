//! `docs/configuration.md`: names, defaults and bounds as they are read, and what is meant by them.
//!
//! A variable that is read and has no meaning here fails a test, and so does a meaning that nothing reads.

use std::fmt::Write as _;

use super::{Config, Setting};

/// A variable that is read elsewhere than in [`Config`].
const ELSEWHERE: [(&str, &str, &str); 14] = [
    ("SSL_CERT_FILE", "none", "a file of certificates (PEM)"),
    ("SSL_CERT_DIR", "none", "folders, separated by colons"),
    ("RUST_LOG", "warn,besty=info", "a filter of tracing-subscriber"),
    ("LOG_FORMAT", "text", "`text` or `json`"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "none", "a URL"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "none", "a URL"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "`http/protobuf`"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "none", "`name=value`, separated by commas"),
    ("OTEL_SERVICE_NAME", "besty", ""),
    ("OTEL_RESOURCE_ATTRIBUTES", "none", "`name=value`, separated by commas"),
    (
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "`always_on`, `always_off`, `traceidratio`, or one of these after `parentbased_`",
    ),
    ("OTEL_TRACES_SAMPLER_ARG", "1.0", "0.0 to 1.0"),
    ("OTEL_BSP_SCHEDULE_DELAY", "5000", "milliseconds"),
    ("OTEL_SDK_DISABLED", "false", "`true` or `false`"),
];

/// Instead of what is read: it depends on another variable.
const DEFAULTS: [(&str, &str); 4] = [
    ("MAX_CONNECTIONS", "2 x MAX_SOCKETS"),
    ("SPOOL_PATH", "besty-spool-<PORT>.db"),
    ("DATABASE_URL", "sqlite://besty.db?mode=rwc"),
    ("DB_PASSWORD", "interview_password"),
];

/// By topic: what each variable means.
const MEANINGS: &[(&str, &[(&str, &str)])] = &[
    (
        "Listening",
        &[
            (
                "HOST",
                "The address to listen on: an IP address or `localhost`. Another than a loopback address needs to know who may (`TOKENS_FILE`, `OIDC_ISSUER` or `ALLOW_ANONYMOUS`), and a secret of your own",
            ),
            ("PORT", "The port to listen on; 0: any that is free"),
            ("ALLOW_ANONYMOUS", "Serve everyone who can reach `HOST`, without a login"),
            (
                "MAX_CONNECTIONS",
                "TCP connections at once. Beyond, 64 more are let in for one health check or webhook each; the rest is reset, and counted",
            ),
            (
                "SHUTDOWN_DELAY_SECONDS",
                "How long a server that was told to stop goes on, no longer ready, so that a balancer sends requests elsewhere",
            ),
            (
                "CORS_ORIGINS",
                "Origins whose pages may call the server and open WebSockets, separated by commas",
            ),
        ],
    ),
    (
        "Access",
        &[
            (
                "TOKENS_FILE",
                "Whose tokens are taken, as [access.md](access.md) has it; `besty token create` writes it",
            ),
            (
                "OIDC_ISSUER",
                "An OpenID provider whose tokens are taken, as they have it in `iss`; `https`, or on this machine. Goes with `OIDC_AUDIENCE`",
            ),
            ("OIDC_AUDIENCE", "What its tokens have in `aud` when they are for this server"),
            (
                "OIDC_ROLE_CLAIM",
                "Where its tokens have their roles: a claim, or a JSON pointer such as `/realm_access/roles`",
            ),
            (
                "TRUSTED_PROXIES",
                "Proxies in front of the server, as IP addresses or networks such as `10.0.0.0/8`, separated by commas. For what comes from one of them, and for nothing else, the caller's address is the last one in `X-Forwarded-For` that is none of theirs",
            ),
            (
                "MAX_REQUESTS_PER_SECOND",
                "For each token, or each address where nobody has one; twice as many at once. More are answered 429 with `Retry-After`. Webhooks are not counted, nor is this machine where no access is configured",
            ),
            ("MAX_MUTATIONS_PER_MINUTE", "The same for mutations and `POST` of REST"),
        ],
    ),
    (
        "Database",
        &[
            (
                "DATABASE_URL",
                "`postgres://...` or `sqlite://...`; goes before `DB_*`. The default is a file in the working directory. TLS is used where PostgreSQL offers it; `?sslmode=verify-full&sslrootcert=<file>` demands it and checks the certificate",
            ),
            ("DB_HOST", "`DB_*` are used when at least one of them is set and `DATABASE_URL` is not"),
            ("DB_PORT", "PostgreSQL's port"),
            ("DB_USER", "PostgreSQL's user"),
            ("DB_PASSWORD", "That user's password"),
            ("DB_NAME", "The name of the database"),
            (
                "DB_POOL_MAX",
                "The most connections to the database at once; two of them (one, below 5) are for webhooks alone",
            ),
        ],
    ),
    (
        "Webhooks",
        &[
            (
                "WEBHOOK_SECRET",
                "What `X-Webhook-Secret` must carry, or signatures be made with; several, separated by commas, while one is rotated. What follows `whsec_` is a signing key in base64. The default is accepted on a loopback `HOST` only",
            ),
            ("SPOOL_PATH", "Where events are kept while the database is away: one file a process"),
            (
                "SPOOL_MAX_BYTES",
                "Bytes of events the spool may hold; beyond, webhooks are answered 503. Rejected webhooks may take a \
                 quarter as many beside them, the newest 10,000",
            ),
        ],
    ),
    (
        "Guest API",
        &[
            ("GUEST_API_BASE_URL", "The Guest API, `http://` or `https://`"),
            (
                "PUBLIC_WEBHOOK_URL",
                "Where the source reaches our `/webhooks`; when set, the server keeps it registered and checks every 15 seconds, until `webhookUnregister`, and again from `webhookRegister`. The same for all processes of a database",
            ),
            ("BROADCAST_CONCURRENCY", "The most requests to the Guest API in flight at once"),
            ("BROADCAST_MAX_ATTEMPTS", "Tries for each message; an answer of 429 is not a try"),
            (
                "SSL_CERT_FILE",
                "The root certificates that `https` trusts, here and to OpenID providers and collectors of traces. By default those of the machine, and where it has none, Mozilla's as they are built in",
            ),
            ("SSL_CERT_DIR", "The same, one file a certificate"),
        ],
    ),
    (
        "GraphQL and live connections",
        &[
            (
                "GRAPHQL_INTROSPECTION",
                "Whether clients may ask for the schema; without it the playground knows no names",
            ),
            (
                "MAX_SOCKETS",
                "Live connections at once, WebSockets and event streams together; more are answered 503 with `Retry-After`",
            ),
            (
                "MAX_SUBSCRIPTIONS_PER_SOCKET",
                "GraphQL operations at once on one WebSocket; more are refused with the code `TOO_MANY_SUBSCRIPTIONS`",
            ),
        ],
    ),
    (
        "Retention",
        &[
            (
                "RETENTION_CHANGES_DAYS",
                "How long the change log is kept, and so how long a client may be away and still miss nothing; see [life-cycle.md](life-cycle.md)",
            ),
            ("RETENTION_REJECTED_DAYS", "How long rejected webhooks are kept"),
            ("RETENTION_BROADCASTS_DAYS", "How long finished broadcasts are kept, with their messages"),
            ("RETENTION_AUDIT_DAYS", "How long entries of the audit log are kept"),
        ],
    ),
    (
        "Logs",
        &[
            ("RUST_LOG", "What is logged, for example `besty=debug`"),
            ("LOG_FORMAT", "Lines for people, or one JSON object a line"),
        ],
    ),
    (
        "Traces",
        &[
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "Where spans are sent, with `/v1/traces` after it. Without this or the next, nothing is traced. These are OpenTelemetry's own variables, and others of its SDK are read too (`OTEL_BSP_*`, `OTEL_SPAN_*_LIMIT`)",
            ),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "The same, as it is; goes before"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "Another is refused"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Headers for the collector, such as credentials"),
            ("OTEL_SERVICE_NAME", "What this server is called"),
            ("OTEL_RESOURCE_ATTRIBUTES", "What else is to be known of it"),
            (
                "OTEL_TRACES_SAMPLER",
                "Which traces are sent. A caller's `traceparent` decides where there is one",
            ),
            ("OTEL_TRACES_SAMPLER_ARG", "The share of traces, for the samplers by ratio"),
            ("OTEL_BSP_SCHEDULE_DELAY", "How long spans are collected before they are sent"),
            ("OTEL_SDK_DISABLED", "Trace nothing, whatever else is set"),
        ],
    ),
];

const BEGINNING: &str = "<!-- Written by `make docs` from the code. -->\n\
# Configuration\n\n\
Environment variables, or a `.env` file in the working directory; [.env.example](../.env.example) is a template. \
A value that cannot be used stops the start, and the message names the variable.\n";

/// The document.
#[must_use]
pub fn markdown() -> String {
    let settings = settings();
    let mut out = BEGINNING.to_owned();
    for (topic, meanings) in MEANINGS {
        // A text can't fail to be written to.
        let _ = write!(out, "\n## {topic}\n\n| variable | default | values | |\n|---|---|---|---|\n");
        for (name, meaning) in *meanings {
            let setting = settings.iter().find(|setting| setting.name == *name);
            let (default, values) = setting.map_or(("none", ""), |setting| {
                (setting.default.as_deref().unwrap_or("none"), setting.values.as_str())
            });
            let default = if default == "none" { default.to_owned() } else { format!("`{default}`") };
            let _ = writeln!(out, "| `{name}` | {default} | {values} | {meaning} |");
        }
    }
    out
}

/// Everything that is read, wherever it is.
fn settings() -> Vec<Setting> {
    let elsewhere = ELSEWHERE.map(|(name, default, values)| Setting {
        name,
        default: Some(default.to_owned()),
        values: values.to_owned(),
    });
    let mut settings = Config::settings();
    settings.extend(elsewhere);
    for (name, default) in DEFAULTS {
        for setting in settings.iter_mut().filter(|setting| setting.name == name) {
            setting.default = Some(default.to_owned());
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_read_has_a_meaning_and_what_has_a_meaning_is_read() {
        let read: BTreeSet<_> = settings().into_iter().map(|setting| setting.name).collect();
        let told: Vec<_> =
            MEANINGS.iter().flat_map(|(_, meanings)| meanings.iter().map(|(name, _)| *name)).collect();
        assert_eq!(read, told.iter().copied().collect());
        assert_eq!(read.len(), told.len(), "each once");
    }

    #[test]
    fn defaults_and_bounds_are_those_that_are_read() {
        let text = markdown();
        for line in [
            "| `PORT` | `3000` | 0 to 65535 |",
            "| `ALLOW_ANONYMOUS` | `false` | `true` or `false` |",
            "| `PUBLIC_WEBHOOK_URL` | none |  |",
            "| `SPOOL_PATH` | `besty-spool-<PORT>.db` |",
            "| `DB_PORT` | `5432` | 1 to 65535 |",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    /// What is another's (OpenTelemetry's, OpenSSL's) is left to the document.
    #[test]
    fn the_template_has_each_of_ours_with_its_default() {
        let template = include_str!("../../.env.example");
        for Setting { name, default, .. } in settings() {
            if name.starts_with("OTEL_") || name.starts_with("SSL_") {
                continue;
            }
            let line = template
                .lines()
                .find_map(|line| line.strip_prefix('#')?.strip_prefix(name)?.strip_prefix('='));
            let line = line.unwrap_or_else(|| panic!("{name} is not in .env.example"));
            if let Some(default) = default.filter(|default| default != "none") {
                let default = default.replace("<PORT>", "3000").replace("2 x MAX_SOCKETS", "20000");
                assert_eq!(line, default, "{name}");
            }
        }
    }
}
