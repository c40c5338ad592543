//! Requests -> [`Outcome`]: what the provider's answers mean, decided in one place.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use reqwest::{Method, StatusCode, Url, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{door, pacer::Advice, rate_limit, retry_after};
use crate::{clock::Clock, telemetry::traces};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read, and characters of a reason that are kept.
const BODY_MAX: usize = 64 * 1024;
const REASON_MAX: usize = 200;

/// The Guest API; cheap to clone.
#[derive(Clone, Debug)]
pub struct GuestApi {
    http: reqwest::Client,
    base: String,
    clock: Clock,
    /// Who hears what responses tell of the limit.
    heard_by: Option<Arc<door::Inner>>,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// 2xx.
    Done(T),
    /// 404.
    NotFound,
    /// 429, or 503 with `Retry-After`: nothing may be sent for so long. Not a try.
    Limited {
        /// How long.
        wait: Duration,
    },
    /// 401 or 403: our credentials are refused, whoever we write to. Not a try.
    Unauthorized {
        /// What was answered.
        reason: String,
    },
    /// Another 4xx: the same request will be refused again.
    Refused {
        /// What was answered.
        reason: String,
    },
    /// 408, 425, 5xx, or no connection: it was not done and may be tried again.
    Retry {
        /// What happened.
        reason: String,
        /// Whether the provider answered at all.
        answered: bool,
    },
    /// It left, and no answer came back: it may have been done.
    Ambiguous {
        /// What happened.
        reason: String,
    },
}

/// A guest, as far as the provider knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GuestRecord {
    /// Given name.
    #[serde(alias = "firstName")]
    pub first_name: Option<String>,
    /// Family name.
    #[serde(alias = "lastName")]
    pub last_name: Option<String>,
    /// Email address.
    pub email: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
}

/// An answer to be passed on as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOn {
    /// HTTP status.
    pub status: u16,
    /// Content type, when one was given.
    pub content_type: Option<String>,
    /// The body, as far as it was read.
    pub body: Vec<u8>,
}

impl GuestApi {
    /// `base` is the URL without a slash at the end.
    #[must_use]
    pub fn new(http: reqwest::Client, base: String, clock: Clock) -> Self {
        Self { http, base, clock, heard_by: None }
    }

    /// The same, with somebody who hears what responses tell of the limit.
    pub(super) fn heard_by(self, door: Arc<door::Inner>) -> Self {
        Self { heard_by: Some(door), ..self }
    }

    /// `GET /guests/:id`.
    pub async fn guest(&self, guest_id: &str) -> Outcome<GuestRecord> {
        let Some(url) = self.url(&["guests", guest_id]) else {
            return Outcome::NotFound;
        };
        let (head, body) = match self.send(Method::GET, url, None, None).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome.retyped(),
        };
        self.judge(&head, &body).and_then(|()| match serde_json::from_slice(&body) {
            Ok(record) => Outcome::Done(record),
            Err(error) => Outcome::Retry {
                reason: format!("answered a guest that can't be read: {error}"),
                answered: true,
            },
        })
    }

    /// `POST /guests/:id/messages`. The same `key` goes with every try of the same message.
    pub async fn send_message(&self, guest_id: &str, message: &str, key: &str) -> Outcome<()> {
        let Some(url) = self.url(&["guests", guest_id, "messages"]) else {
            return Outcome::Refused { reason: "the guest's identifier can't be part of a URL".to_owned() };
        };
        match self.send(Method::POST, url, Some(json!({ "message": message })), Some(key)).await {
            Ok((head, body)) => self.judge(&head, &body),
            Err(outcome) => outcome,
        }
    }

    /// `POST /webhooks/register`, answered as it came.
    pub async fn register(&self, webhook_url: &str) -> Outcome<PassedOn> {
        self.passed_on(Method::POST, "register", webhook_url).await
    }

    /// `DELETE /webhooks/unregister`, answered as it came.
    pub async fn unregister(&self, webhook_url: &str) -> Outcome<PassedOn> {
        self.passed_on(Method::DELETE, "unregister", webhook_url).await
    }

    async fn passed_on(&self, method: Method, call: &str, webhook_url: &str) -> Outcome<PassedOn> {
        let Some(url) = self.url(&["webhooks", call]) else {
            return Outcome::NotFound;
        };
        let (head, body) = match self.send(method, url, Some(json!({ "url": webhook_url })), None).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome.retyped(),
        };
        // Passed on whatever it says; only a limit concerns the others.
        match self.judge(&head, &body) {
            Outcome::Limited { wait } => Outcome::Limited { wait },
            _ => Outcome::Done(PassedOn {
                status: head.status.as_u16(),
                content_type: head.content_type,
                body,
            }),
        }
    }

    /// `GET /webhooks/registered`: the URLs, whether they come in an object or bare.
    pub async fn registered(&self) -> Outcome<Vec<String>> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Urls {
            Object { urls: Vec<String> },
            Bare(Vec<String>),
        }
        let Some(url) = self.url(&["webhooks", "registered"]) else {
            return Outcome::NotFound;
        };
        let (head, body) = match self.send(Method::GET, url, None, None).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome.retyped(),
        };
        self.judge(&head, &body).and_then(|()| match serde_json::from_slice(&body) {
            Ok(Urls::Object { urls } | Urls::Bare(urls)) => Outcome::Done(urls),
            Err(error) => Outcome::Retry {
                reason: format!("answered a list that can't be read: {error}"),
                answered: true,
            },
        })
    }

    /// The URL of a path; `None` when a segment would not stay one (`.` and `..` vanish in a URL).
    fn url(&self, segments: &[&str]) -> Option<Url> {
        let mut url = Url::parse(&self.base).ok()?;
        let before = url.path_segments()?.filter(|segment| !segment.is_empty()).count();
        url.path_segments_mut().ok()?.pop_if_empty().extend(segments);
        (url.path_segments()?.count() == before + segments.len()).then_some(url)
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<Value>,
        key: Option<&str>,
    ) -> Result<(Head, Vec<u8>), Outcome<()>> {
        let mut request = self.http.request(method, url).timeout(TIMEOUT).headers(traces::headers());
        if let Some(body) = body {
            request = request.json(&body);
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let mut response = request.send().await.map_err(|error| failure(&error))?;
        let head = Head::of(&response);
        if let Some(door) = &self.heard_by {
            door.advised(self.advice(&head, response.headers()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.unwrap_or_default() {
            body.extend_from_slice(&chunk);
            if body.len() >= BODY_MAX {
                break;
            }
        }
        Ok((head, body))
    }

    fn advice(&self, head: &Head, headers: &header::HeaderMap) -> Advice {
        let now = head.date.as_deref().and_then(|date| httpdate::parse_http_date(date).ok());
        let since_1970 =
            now.unwrap_or(self.clock.now().into()).duration_since(UNIX_EPOCH).unwrap_or_default();
        let text = |name: &str| {
            let lines: Vec<_> = headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
            (!lines.is_empty()).then(|| lines.join(", "))
        };
        rate_limit::advice(text, since_1970.as_secs_f64())
    }

    fn judge(&self, head: &Head, body: &[u8]) -> Outcome<()> {
        let status = head.status;
        let reason = || format!("answered {}{}", status.as_u16(), excerpt(body));
        let limited = status == StatusCode::TOO_MANY_REQUESTS
            || (status == StatusCode::SERVICE_UNAVAILABLE && head.retry_after.is_some());
        match status.as_u16() {
            _ if status.is_success() => Outcome::Done(()),
            _ if limited => {
                let now = self.clock.now().into();
                Outcome::Limited {
                    wait: retry_after::wait(head.retry_after.as_deref(), head.date.as_deref(), now),
                }
            }
            404 => Outcome::NotFound,
            401 | 403 => Outcome::Unauthorized { reason: reason() },
            408 | 425 | 500..=599 => Outcome::Retry { reason: reason(), answered: true },
            // Redirects are not followed for a POST; like the other 4xx they will not change.
            _ => Outcome::Refused { reason: reason() },
        }
    }
}

/// What is needed of an answer besides its body.
struct Head {
    status: StatusCode,
    retry_after: Option<String>,
    date: Option<String>,
    content_type: Option<String>,
}

impl Head {
    fn of(response: &reqwest::Response) -> Self {
        let text =
            |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self {
            status: response.status(),
            retry_after: text(header::RETRY_AFTER),
            date: text(header::DATE),
            content_type: text(header::CONTENT_TYPE),
        }
    }
}

/// A request that got no answer: it can be repeated without doubt only if it never left.
fn failure(error: &reqwest::Error) -> Outcome<()> {
    if error.is_connect() {
        return Outcome::Retry { reason: "could not connect".to_owned(), answered: false };
    }
    let reason =
        if error.is_timeout() { "no answer in time" } else { "the connection broke before the answer" };
    Outcome::Ambiguous { reason: reason.to_owned() }
}

/// The beginning of a body, for a reason that a person reads.
fn excerpt(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body)
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(REASON_MAX)
        .collect();
    if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) }
}

impl<T> Outcome<T> {
    /// In a word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::NotFound => "not_found",
            Self::Limited { .. } => "limited",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Refused { .. } => "refused",
            Self::Retry { .. } => "retry",
            Self::Ambiguous { .. } => "ambiguous",
        }
    }

    fn and_then<U>(self, next: impl FnOnce(T) -> Outcome<U>) -> Outcome<U> {
        match self {
            Self::Done(value) => next(value),
            Self::NotFound => Outcome::NotFound,
            Self::Limited { wait } => Outcome::Limited { wait },
            Self::Unauthorized { reason } => Outcome::Unauthorized { reason },
            Self::Refused { reason } => Outcome::Refused { reason },
            Self::Retry { reason, answered } => Outcome::Retry { reason, answered },
            Self::Ambiguous { reason } => Outcome::Ambiguous { reason },
        }
    }
}

impl Outcome<()> {
    /// A failure of a request, as the failure of one that would have answered something else.
    fn retyped<U>(self) -> Outcome<U> {
        self.and_then(|()| Outcome::Retry { reason: "no answer".to_owned(), answered: false })
    }
}
