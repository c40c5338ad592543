//! What can be asked of a stand-in Guest API: numbers, messages, calls. Plain values.

use std::time::Duration;

use serde::Serialize;

use super::effect::Kind;

/// Numbers since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Calls that arrived, whatever became of them.
    pub requests: usize,
    /// Messages taken.
    pub accepted: usize,
    /// Messages that reached a guest: all that were taken, less the repeats held back because the key is honoured.
    pub delivered: usize,
    /// Messages taken under a key that had been used before.
    pub repeats: usize,
    /// Guests that a message reached.
    pub distinct_guests: usize,
    /// Calls answered 429.
    pub limited: usize,
    /// Calls that came while an answered 429 told to wait.
    pub violations: usize,
    /// Calls about a guest that nobody knows, answered 404.
    pub unknown: usize,
    /// Calls under way now.
    pub in_flight: usize,
    /// The most calls under way at one time.
    pub max_in_flight: usize,
}

/// A message that reached its guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// To whom.
    pub guest_id: String,
    /// What it says.
    pub message: String,
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// When, since the start of the API.
    pub at: Duration,
    /// Whether this key had been used before: the guest reads it twice.
    pub repeat: bool,
}

/// A call that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When, since the start of the API.
    pub at: Duration,
    /// What kind of call.
    pub kind: Kind,
    /// Its method and path.
    pub path: String,
    /// What was answered; `None` while it is under way, or when nobody got an answer.
    pub status: Option<u16>,
    /// Whether it came while an answered 429 told to wait.
    pub violation: bool,
}
