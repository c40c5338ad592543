//! `broadcast`: input, answer, and what is wrong with an input.

use async_graphql::{Context, Enum, InputObject, Result, SimpleObject};

use super::{
    IdempotencyKey,
    broadcast::Broadcast,
    caller,
    errors::{self, UserError, UserErrorCode as Code},
    filter::ReservationFilter,
    scalars::DateTime,
    services,
};
use crate::broadcast::{
    self,
    start::{StartError, StartInput, Started},
};

/// What to do with a message that left when no answer came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[graphql(remote = "broadcast::UncertainPolicy")]
pub enum UncertainPolicy {
    /// Send it again with the same idempotency key: nobody is missed, and a provider that ignores the key may deliver twice.
    #[default]
    Resend,
    /// Leave it `UNCERTAIN` for a person to decide: nobody gets it twice.
    Hold,
}

/// Input of `broadcast`.
#[derive(Clone, Debug, InputObject)]
pub struct BroadcastInput {
    /// Text to send, 1 to 2,000 characters.
    pub message: String,
    /// Whose guests to write to. Guests with several matching reservations get one message.
    pub filter: ReservationFilter,
    /// Number of recipients the caller was shown. When given and no longer true, nothing is sent and
    /// `RECIPIENTS_CHANGED` is answered.
    pub expected_recipients: Option<i32>,
    /// Key chosen by the caller, a UUID is best. A second call with the same key and input within
    /// 24 hours sends nothing and answers the first broadcast. The HTTP header `Idempotency-Key`
    /// does the same.
    pub idempotency_key: Option<String>,
    /// When to start. Left out, at once.
    pub starts_at: Option<DateTime>,
    /// What to do with a message that left when no answer came back.
    #[graphql(default)]
    pub on_uncertain: UncertainPolicy,
    /// True counts the recipients and sends nothing.
    #[graphql(default)]
    pub dry_run: bool,
}

/// Answer of `broadcast`.
#[derive(Debug, Default, SimpleObject)]
pub struct BroadcastPayload {
    /// The broadcast, null when `userErrors` is not empty or on a dry run.
    pub broadcast: Option<Broadcast>,
    /// How many guests were, or on a dry run would be, written to.
    pub recipient_count: Option<i32>,
    /// True when an earlier call with the same idempotency key is answered again.
    pub is_replay: bool,
    /// Why nothing was sent. Empty on success.
    pub user_errors: Vec<UserError>,
}

impl BroadcastPayload {
    fn stored(broadcast: broadcast::Broadcast, is_replay: bool) -> Self {
        let recipient_count = Some(broadcast.counts.total);
        Self { broadcast: Some(broadcast.into()), recipient_count, is_replay, user_errors: Vec::new() }
    }
}

impl From<UserError> for BroadcastPayload {
    fn from(error: UserError) -> Self {
        Self { user_errors: vec![error], ..Self::default() }
    }
}

pub(super) async fn start(ctx: &Context<'_>, input: BroadcastInput) -> Result<BroadcastPayload> {
    let services = services(ctx)?;
    let input = match start_input(input, ctx.data_opt()) {
        Ok(input) => input,
        Err(error) => return Ok(error.into()),
    };
    Ok(match broadcast::start::start(&services.db, &input, caller(ctx)?, services.clock.now()).await {
        Ok(Started::New(started)) => {
            services.broadcasts_changed();
            BroadcastPayload::stored(started, false)
        }
        Ok(Started::Replay(earlier)) => BroadcastPayload::stored(earlier, true),
        Ok(Started::DryRun(count)) => {
            BroadcastPayload { recipient_count: Some(count), ..BroadcastPayload::default() }
        }
        Err(error) => refusal(&error)?.into(),
    })
}

fn start_input(input: BroadcastInput, header: Option<&IdempotencyKey>) -> Result<StartInput, UserError> {
    let header = header.map(|key| &key.0);
    if input.idempotency_key.is_some() && header.is_some() && input.idempotency_key.as_ref() != header {
        let message =
            "the idempotency key is not that of the Idempotency-Key header; give one of them, or the same";
        return Err(UserError::at(Code::Invalid, &["idempotencyKey"], message));
    }
    if input.expected_recipients.is_some_and(|count| count < 0) {
        return Err(UserError::at(
            Code::Invalid,
            &["expectedRecipients"],
            "the number of recipients is negative",
        ));
    }
    Ok(StartInput {
        message: input.message,
        filter: input.filter.into(),
        expected_recipients: input.expected_recipients,
        idempotency_key: input.idempotency_key.or_else(|| header.cloned()),
        starts_at: input.starts_at.map(|at| at.0),
        on_uncertain: input.on_uncertain.into(),
        dry_run: input.dry_run,
    })
}

/// Why nothing is sent, to the caller; a fault of the database is none of theirs.
fn refusal(error: &StartError) -> Result<UserError> {
    let (code, field): (_, &[&str]) = match error {
        StartError::Message(_) => (Code::Invalid, &["message"]),
        StartError::Key(_) => (Code::Invalid, &["idempotencyKey"]),
        StartError::Filter(filter) => (Code::Invalid, &["filter", filter.field]),
        StartError::NoRecipients => (Code::NoRecipients, &["filter"]),
        StartError::RecipientsChanged { .. } => (Code::RecipientsChanged, &["expectedRecipients"]),
        StartError::KeyReused => (Code::IdempotencyKeyReused, &["idempotencyKey"]),
        StartError::Database(error) => return Err(errors::internal(error)),
    };
    Ok(UserError::at(code, field, error.to_string()))
}
