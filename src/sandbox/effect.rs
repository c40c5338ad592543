//! The words that faults are written in: which kind of call, and what happens to it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What kind of call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// `GET /guests/{id}`
    Guest,
    /// `POST /guests/{id}/messages`
    Message,
    /// Anything under `/webhooks/`
    Webhooks,
    /// A path that does not exist
    Other,
}

/// A `Retry-After` header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RetryAfter {
    /// In whole seconds. On a 429 it also starts the watch for calls that do not wait.
    Seconds(u64),
    /// As it is: an HTTP-date, or nonsense. Nobody is held to it unless it is a number after all.
    Verbatim(String),
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Effect {
    /// Nothing is done, and this is the answer.
    Answer {
        /// The status, 200 to 599; another is answered as 500.
        status: u16,
        /// The `Retry-After` header, if any.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
    },
    /// The call is carried out at once, but its answer takes this much longer.
    Hang {
        /// Milliseconds.
        ms: u64,
    },
    /// The connection is cut instead of an answer.
    Cut {
        /// Whether the call is carried out first: a message reaches its guest and nobody is told.
        #[serde(default = "yes")]
        delivered: bool,
    },
}

impl Effect {
    /// This status instead of the call.
    #[must_use]
    pub fn answer(status: u16) -> Self {
        Self::Answer { status, retry_after: None }
    }

    /// This status instead of the call, and when to come back.
    #[must_use]
    pub fn answer_later(status: u16, seconds: u64) -> Self {
        Self::Answer { status, retry_after: Some(RetryAfter::Seconds(seconds)) }
    }

    /// The call, and its answer late.
    #[must_use]
    pub fn hang(delay: Duration) -> Self {
        Self::Hang { ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX) }
    }

    /// The call, and no answer.
    #[must_use]
    pub fn cut() -> Self {
        Self::Cut { delivered: true }
    }
}

fn yes() -> bool {
    true
}
