//! Input -> one transaction: the broadcast and its recipients. From then on its audience is fixed.
//!
//! The same idempotency key with the same input answers the first broadcast; with other input it is
//! refused.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{DbErr, SqlErr};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use uuid::Uuid;

use super::{Broadcast, UncertainPolicy, store};
use crate::{
    access::Caller,
    audit::{self, Action},
    db::Db,
    reservations::{ReservationFilter, filter::FilterError},
    telemetry::traces,
};

/// Characters a message may have.
pub const MESSAGE_MAX: usize = 2_000;
/// Characters a key may have.
const KEY_MAX: usize = 255;
/// How long a key is remembered.
const KEY_LIFE: TimeDelta = TimeDelta::hours(24);

/// What to send, and to whom.
#[derive(Clone, Debug)]
pub struct StartInput {
    /// Text to send.
    pub message: String,
    /// Whose guests to write to.
    pub filter: ReservationFilter,
    /// Number of recipients the caller was shown.
    pub expected_recipients: Option<i32>,
    /// The caller's key.
    pub idempotency_key: Option<String>,
    /// When to start; none for at once.
    pub starts_at: Option<DateTime<Utc>>,
    /// What to do with a message that left when no answer came.
    pub on_uncertain: UncertainPolicy,
    /// Count only.
    pub dry_run: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Started {
    /// Stored; it will be sent.
    New(Broadcast),
    /// An earlier call with the same key and input stored this one.
    Replay(Broadcast),
    /// A dry run: so many guests would be written to.
    DryRun(i32),
}

/// Why nothing is sent.
#[derive(Debug, Error)]
pub enum StartError {
    /// The message is empty, too long, or holds a NUL.
    #[error("{0}")]
    Message(&'static str),
    /// The key is empty or too long, or holds a NUL.
    #[error("{0}")]
    Key(&'static str),
    /// The filter can't be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The filter selects nobody.
    #[error("the filter selects no guest, so there is nobody to send to")]
    NoRecipients,
    /// The audience is not the one the caller was shown.
    #[error("the filter selects {actual} guests now, not {expected} as expected")]
    RecipientsChanged {
        /// What the caller was shown.
        expected: i32,
        /// What it is.
        actual: i32,
    },
    /// The key belongs to another broadcast.
    #[error("this idempotency key was used before with other input")]
    KeyReused,
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// Stores a broadcast and its recipients.
pub async fn start(
    db: &Db,
    input: &StartInput,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<Started, StartError> {
    check(input)?;
    if input.dry_run {
        let count = store::count_recipients(db, &input.filter).await?;
        expect_recipients(input, count)?;
        return Ok(Started::DryRun(count));
    }
    traces::within(traces::broadcast(), store_once(db, input, caller, now)).await
}

async fn store_once(
    db: &Db,
    input: &StartInput,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<Started, StartError> {
    match store_new(db, input, caller, now).await {
        // Another call with the same key committed in between: it is the first one now.
        Err(StartError::Database(error))
            if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) =>
        {
            store_new(db, input, caller, now).await
        }
        result => result,
    }
}

fn check(input: &StartInput) -> Result<(), StartError> {
    if input.message.trim().is_empty() {
        return Err(StartError::Message("the message is empty"));
    }
    if input.message.chars().count() > MESSAGE_MAX {
        return Err(StartError::Message("the message is longer than 2,000 characters"));
    }
    if input.message.contains('\0') {
        return Err(StartError::Message("the message contains a NUL character"));
    }
    if let Some(key) = &input.idempotency_key {
        if key.is_empty() || key.chars().count() > KEY_MAX {
            return Err(StartError::Key("the idempotency key must have 1 to 255 characters"));
        }
        if key.contains('\0') {
            return Err(StartError::Key("the idempotency key contains a NUL character"));
        }
    }
    Ok(input.filter.check()?)
}

fn expect_recipients(input: &StartInput, actual: i32) -> Result<(), StartError> {
    match input.expected_recipients {
        Some(expected) if expected != actual => Err(StartError::RecipientsChanged { expected, actual }),
        _ if actual == 0 => Err(StartError::NoRecipients),
        _ => Ok(()),
    }
}

async fn store_new(
    db: &Db,
    input: &StartInput,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<Started, StartError> {
    let digest = digest(input);
    let tx = db.begin_write().await?;
    if let Some(key) = &input.idempotency_key
        && let Some((earlier, earlier_digest)) = store::by_key(tx.conn(), key).await?
    {
        if earlier.created_at + KEY_LIFE > now {
            return if earlier_digest == digest {
                Ok(Started::Replay(earlier))
            } else {
                Err(StartError::KeyReused)
            };
        }
        store::forget_key(tx.conn(), key).await?;
    }
    let id = Uuid::now_v7();
    store::insert(tx.conn(), id, input, &digest, now).await?;
    let count = store::insert_recipients(tx.conn(), id, &input.filter).await?;
    // Dropping the transaction undoes the inserts.
    expect_recipients(input, count)?;
    let broadcast = store::set_total(tx.conn(), id, count).await?;
    audit::write(tx.conn(), caller, Action::BroadcastStarted, Some(id), now).await?;
    traces::broadcast_started(id);
    tx.commit().await?;
    Ok(Started::New(broadcast))
}

/// What makes two calls the same: everything that decides who gets what, and when.
fn digest(input: &StartInput) -> String {
    let parts =
        (&input.message, &input.filter, input.expected_recipients, input.starts_at, input.on_uncertain);
    // Plain data with string keys; serialising it can't fail.
    let bytes = serde_json::to_vec(&parts).unwrap_or_default();
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        use std::fmt::Write as _;
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
