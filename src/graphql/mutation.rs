//! The root of writes. What the caller can mend is answered as data, in `userErrors`.

use async_graphql::{Context, Object, Result};

use super::{
    broadcast_control::{
        self, BroadcastCancelInput, BroadcastCancelPayload, BroadcastPauseInput, BroadcastPausePayload,
        BroadcastResumeInput, BroadcastResumePayload, BroadcastRetryInput, BroadcastRetryPayload,
    },
    broadcast_start::{self, BroadcastInput, BroadcastPayload},
    registration::{self, WebhookRegistrationPayload},
    webhook::{self, WebhookRetryInput, WebhookRetryPayload},
};
use crate::broadcast::control::Command;

/// Writes. POST only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutation;

/// Writes. POST only.
#[Object]
impl Mutation {
    /// Sends one message to the guests of every reservation that matches a filter. Answers as soon as
    /// the recipients are stored; follow `broadcastProgress` for the rest. Role: sender.
    async fn broadcast(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to send, and to whom.")] input: BroadcastInput,
    ) -> Option<Result<BroadcastPayload>> {
        Some(broadcast_start::start(ctx, input).await)
    }

    /// Stops a broadcast until it is resumed. No message leaves after the answer. Role: sender.
    async fn broadcast_pause(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which broadcast.")] input: BroadcastPauseInput,
    ) -> Option<Result<BroadcastPausePayload>> {
        Some(broadcast_control::run(ctx, &input.broadcast_id, Command::Pause).await)
    }

    /// Goes on with a paused or suspended broadcast. Role: sender.
    async fn broadcast_resume(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which broadcast.")] input: BroadcastResumeInput,
    ) -> Option<Result<BroadcastResumePayload>> {
        Some(broadcast_control::run(ctx, &input.broadcast_id, Command::Resume).await)
    }

    /// Tries the failed and uncertain messages of a finished broadcast again. Role: sender.
    async fn broadcast_retry(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which broadcast.")] input: BroadcastRetryInput,
    ) -> Option<Result<BroadcastRetryPayload>> {
        Some(broadcast_control::run(ctx, &input.broadcast_id, Command::Retry).await)
    }

    /// Stops a broadcast for good. Messages already sent stay sent. Role: sender.
    async fn broadcast_cancel(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which broadcast.")] input: BroadcastCancelInput,
    ) -> Option<Result<BroadcastCancelPayload>> {
        Some(broadcast_control::run(ctx, &input.broadcast_id, Command::Cancel).await)
    }

    /// Registers this server's webhook URL with the Guest API. Role: admin.
    async fn webhook_register(&self, ctx: &Context<'_>) -> Option<Result<WebhookRegistrationPayload>> {
        Some(registration::ask(ctx, true).await)
    }

    /// Takes this server's webhook URL off the Guest API's list, and keeps it off until `webhookRegister`. Role: admin.
    async fn webhook_unregister(&self, ctx: &Context<'_>) -> Option<Result<WebhookRegistrationPayload>> {
        Some(registration::ask(ctx, false).await)
    }

    /// Tries to apply a rejected webhook again. Role: admin.
    async fn webhook_retry(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which rejected webhook.")] input: WebhookRetryInput,
    ) -> Option<Result<WebhookRetryPayload>> {
        Some(webhook::retry(ctx, &input.rejected_webhook_id).await)
    }
}
