//! Flow 2, top to bottom: a mutation becomes messages.
//!
//! [`start`] fixes the audience, [`control`] stops it and lets it go on, [`sender`] sends ([`schedule`] says for
//! whom, [`outcome`] what came of it, [`health`] whether it is worth trying), [`store`] holds the SQL,
//! [`progress`] tells the change log. The states of a broadcast and of a message:
//!
//! ```text
//! broadcast   QUEUED -> SENDING -> COMPLETED
//!                       SENDING <-> SUSPENDED
//!             QUEUED, SENDING, SUSPENDED -> PAUSED -> SENDING (QUEUED when its time has not come)
//!             QUEUED, SENDING, SUSPENDED, PAUSED -> CANCELLED
//!             COMPLETED -> SENDING    by a retry of what failed
//!
//! message     PENDING -> SENDING -> SENT | FAILED | UNCERTAIN
//!             SENDING -> PENDING      held back (no try), or to be tried again
//!             PENDING -> CANCELLED    with its broadcast
//!             FAILED, UNCERTAIN -> PENDING   by a retry of its broadcast
//! ```
//!
//! A message is marked SENDING, with the sender's epoch, and committed before a byte of it leaves.
//! Counts change in the transaction that changes the messages, so they always add up. What was PAUSED or
//! SUSPENDED with its last message under way is COMPLETED by the result of that.

use chrono::{DateTime, Utc};
use entity::{broadcast, broadcast_recipient};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub mod control;
mod health;
mod outcome;
pub mod progress;
mod schedule;
pub mod sender;
pub mod start;
pub mod store;

/// Gives an enum its names in the database, both ways.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// The name in the database.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            fn parse(text: &str) -> Result<Self, DbErr> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    other => Err(DbErr::Type(format!("'{other}' is no {}", stringify!($name)))),
                }
            }
        }
    };
}

named!(
    /// Where a broadcast stands.
    BroadcastStatus {
        /// Stored; not started, or scheduled for later.
        Queued = "queued",
        /// Messages are being sent.
        Sending = "sending",
        /// Stopped on request.
        Paused = "paused",
        /// Stopped by the server for a while.
        Suspended = "suspended",
        /// Every message has a final result.
        Completed = "completed",
        /// Stopped for good.
        Cancelled = "cancelled",
    }
);

named!(
    /// Where a message stands.
    MessageState {
        /// Waiting for its first try or for a retry.
        Pending = "pending",
        /// Leaving right now.
        Sending = "sending",
        /// Accepted by the provider.
        Sent = "sent",
        /// Given up.
        Failed = "failed",
        /// Left, and no answer came.
        Uncertain = "uncertain",
        /// Never sent.
        Cancelled = "cancelled",
    }
);

named!(
    /// What to do with a message that left when no answer came.
    UncertainPolicy {
        /// Send it again with the same key.
        Resend = "resend",
        /// Leave it to a person.
        Hold = "hold",
    }
);

named!(
    /// Why the server suspended a broadcast.
    SuspensionReason {
        /// The provider asked for a long wait.
        Limited = "limited",
        /// The provider refuses our credentials.
        Unauthorized = "unauthorized",
        /// The provider does not answer.
        Unavailable = "unavailable",
    }
);

impl BroadcastStatus {
    /// Whether nothing will change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }
}

/// Messages by state; the five parts add up to `total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Recipients in all.
    pub total: i32,
    /// Without a final result.
    pub pending: i32,
    /// Accepted.
    pub sent: i32,
    /// Given up.
    pub failed: i32,
    /// Left, and no answer came.
    pub uncertain: i32,
    /// Never sent.
    pub cancelled: i32,
}

/// A broadcast as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broadcast {
    /// UUID, version 7.
    pub id: Uuid,
    /// Text sent to each guest.
    pub message: String,
    /// Where it stands.
    pub status: BroadcastStatus,
    /// Messages by state.
    pub counts: Counts,
    /// What to do with a message that left when no answer came.
    pub on_uncertain: UncertainPolicy,
    /// Why it is suspended, and until when.
    pub suspension: Option<(SuspensionReason, Option<DateTime<Utc>>)>,
    /// Number of the newest final result.
    pub finished_seq: i64,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When it is due to start, or started.
    pub starts_at: DateTime<Utc>,
    /// When the last result was written.
    pub completed_at: Option<DateTime<Utc>>,
    /// How often what failed was tried anew. Steps written before there were retries lack it.
    #[serde(default)]
    pub retries: i32,
}

/// The message of a broadcast to one guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The broadcast.
    pub broadcast_id: Uuid,
    /// The guest.
    pub guest_id: String,
    /// Where it stands.
    pub state: MessageState,
    /// Tries so far.
    pub attempts: i32,
    /// Earliest time of the next try.
    pub not_before: Option<DateTime<Utc>>,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

fn uuid(text: &str) -> Result<Uuid, DbErr> {
    text.parse().map_err(|_| DbErr::Type(format!("'{text}' is no UUID")))
}

impl TryFrom<broadcast::Model> for Broadcast {
    type Error = DbErr;

    fn try_from(row: broadcast::Model) -> Result<Self, DbErr> {
        let reason = row.suspension_reason.as_deref().map(SuspensionReason::parse).transpose()?;
        Ok(Self {
            id: uuid(&row.id)?,
            message: row.message,
            status: BroadcastStatus::parse(&row.status)?,
            counts: Counts {
                total: row.total,
                pending: row.pending,
                sent: row.sent,
                failed: row.failed,
                uncertain: row.uncertain,
                cancelled: row.cancelled,
            },
            on_uncertain: UncertainPolicy::parse(&row.on_uncertain)?,
            suspension: reason.map(|reason| (reason, row.resumes_at)),
            finished_seq: row.finished_seq,
            created_at: row.created_at,
            starts_at: row.starts_at,
            completed_at: row.completed_at,
            retries: row.retries,
        })
    }
}

impl TryFrom<broadcast_recipient::Model> for Message {
    type Error = DbErr;

    fn try_from(row: broadcast_recipient::Model) -> Result<Self, DbErr> {
        Ok(Self {
            broadcast_id: uuid(&row.broadcast_id)?,
            guest_id: row.guest_id,
            state: MessageState::parse(&row.state)?,
            attempts: row.attempts,
            not_before: row.not_before,
            last_error: row.last_error,
        })
    }
}
