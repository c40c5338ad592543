//! The root of writes. What the caller can mend is answered as data, in `userErrors`.

use std::time::Duration;

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use sea_orm::DbErr;
use uuid::Uuid;

use super::{
    IdempotencyKey, Services,
    broadcast::Broadcast,
    errors::{self, UserError, UserErrorCode as Code},
    filter::ReservationFilter,
    ids,
    registration::{self, WebhookRegistrationPayload},
    scalars::DateTime,
    services,
    webhook::{self, WebhookRetryInput, WebhookRetryPayload},
};
use crate::broadcast::{
    self, BroadcastStatus,
    start::{StartError, StartInput, Started},
    store,
};

/// How often a cancel looks whether a message is still leaving, and for how long.
const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(20);

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

/// Input of `broadcastCancel`.
#[derive(Clone, Debug, InputObject)]
pub struct BroadcastCancelInput {
    /// The broadcast to stop.
    pub broadcast_id: ID,
}

/// Answer of `broadcastCancel`.
#[derive(Debug, SimpleObject)]
pub struct BroadcastCancelPayload {
    /// The broadcast after the call, null when it does not exist.
    pub broadcast: Option<Broadcast>,
    /// Why nothing was stopped. Empty on success.
    pub user_errors: Vec<UserError>,
}

/// Writes. POST only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutation;

/// Writes. POST only.
#[Object]
impl Mutation {
    /// Sends one message to the guests of every reservation that matches a filter. Answers as soon as
    /// the recipients are stored; follow `broadcastProgress` for the rest.
    async fn broadcast(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to send, and to whom.")] input: BroadcastInput,
    ) -> Option<Result<BroadcastPayload>> {
        Some(start(ctx, input).await)
    }

    /// Stops a broadcast for good. Messages already sent stay sent.
    async fn broadcast_cancel(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which broadcast.")] input: BroadcastCancelInput,
    ) -> Option<Result<BroadcastCancelPayload>> {
        Some(stop(ctx, &input.broadcast_id).await)
    }

    /// Registers this server's webhook URL with the Guest API.
    async fn webhook_register(&self, ctx: &Context<'_>) -> Option<Result<WebhookRegistrationPayload>> {
        Some(registration::ask(ctx, true).await)
    }

    /// Takes this server's webhook URL off the Guest API's list, and keeps it off until `webhookRegister`.
    async fn webhook_unregister(&self, ctx: &Context<'_>) -> Option<Result<WebhookRegistrationPayload>> {
        Some(registration::ask(ctx, false).await)
    }

    /// Tries to apply a rejected webhook again.
    async fn webhook_retry(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which rejected webhook.")] input: WebhookRetryInput,
    ) -> Option<Result<WebhookRetryPayload>> {
        Some(webhook::retry(ctx, &input.rejected_webhook_id).await)
    }
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

async fn start(ctx: &Context<'_>, input: BroadcastInput) -> Result<BroadcastPayload> {
    let services = services(ctx)?;
    let input = match start_input(input, ctx.data_opt()) {
        Ok(input) => input,
        Err(error) => return Ok(error.into()),
    };
    Ok(match broadcast::start::start(&services.db, &input, services.clock.now()).await {
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

async fn stop(ctx: &Context<'_>, id: &str) -> Result<BroadcastCancelPayload> {
    let broadcast = match ids::parse_broadcast(id) {
        Some(id) => cancel(services(ctx)?, id).await.map_err(|error| errors::internal(&error))?,
        None => None,
    };
    let user_error = match broadcast.as_ref().map(|broadcast| broadcast.status) {
        None => Some(UserError::at(Code::NotFound, &["broadcastId"], "there is no such broadcast")),
        Some(BroadcastStatus::Completed) => {
            let message = "the broadcast is completed, so there is nothing left to stop";
            Some(UserError::new(Code::Conflict, message))
        }
        Some(_) => None,
    };
    Ok(BroadcastCancelPayload {
        broadcast: broadcast.map(Broadcast::from),
        user_errors: user_error.into_iter().collect(),
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

/// Stops a broadcast, and waits until no message of it is leaving any more. Answers it as it is then.
async fn cancel(services: &Services, id: Uuid) -> Result<Option<broadcast::Broadcast>, DbErr> {
    let Some((_, is_stopped_now)) = store::cancel(&services.db, id, services.clock.now()).await? else {
        return Ok(None);
    };
    if is_stopped_now {
        services.broadcasts_changed();
    }
    let quiet = async {
        while store::is_sending(&services.db, id).await? {
            tokio::time::sleep(LOOK).await;
        }
        Ok::<_, DbErr>(())
    };
    if let Ok(result) = tokio::time::timeout(PATIENCE, quiet).await {
        result?;
    } else {
        tracing::warn!(broadcast = %id, "a message of a cancelled broadcast is still leaving");
    }
    store::by_id(services.db.pool(), id).await
}
