//! Webhooks that could not be applied: their list, and trying one again.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::{
    caller,
    errors::{self, UserError, UserErrorCode as Code},
    ids,
    paging::{self, List, PageArgs, PageInfo},
    scalars::DateTime,
    services,
};
use crate::{
    keyset::Key,
    reservations::rejected::{self, RetryError},
};

/// A webhook request with a valid secret that could not be applied, kept as it came.
#[derive(Clone, Debug)]
pub struct RejectedWebhook(rejected::RejectedWebhook);

impl From<rejected::RejectedWebhook> for RejectedWebhook {
    fn from(row: rejected::RejectedWebhook) -> Self {
        Self(row)
    }
}

/// A webhook request with a valid secret that could not be applied, kept as it came.
#[Object]
impl RejectedWebhook {
    /// Opaque global ID.
    pub(super) async fn id(&self) -> ID {
        ids::rejected(self.0.id).into()
    }

    /// When it came.
    async fn received_at(&self) -> DateTime {
        DateTime(self.0.received_at)
    }

    /// Why it was not applied, as the sender was told.
    async fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The request body as it came; bytes that are no UTF-8 are replaced.
    async fn body(&self) -> String {
        String::from_utf8_lossy(&self.0.body).into_owned()
    }

    /// When a later try applied it, null while it is still rejected.
    async fn applied_at(&self) -> Option<DateTime> {
        self.0.applied_at.map(DateTime)
    }
}

/// A rejected webhook at its place in a list.
#[derive(Debug)]
pub struct RejectedWebhookEdge {
    key: Key,
    node: RejectedWebhook,
}

/// A rejected webhook at its place in a list.
#[Object]
impl RejectedWebhookEdge {
    /// Opaque position.
    async fn cursor(&self) -> String {
        self.key.cursor(rejected::keyset().order())
    }

    /// The rejected webhook.
    async fn node(&self) -> &RejectedWebhook {
        &self.node
    }
}

/// A page of rejected webhooks.
#[derive(Debug)]
pub struct RejectedWebhookConnection {
    edges: Vec<RejectedWebhookEdge>,
    page_info: PageInfo,
}

impl RejectedWebhookConnection {
    /// Reads a page.
    pub async fn read(ctx: &Context<'_>, args: &PageArgs) -> Result<Self> {
        let keyset = rejected::keyset();
        let request = args.request(&keyset)?;
        let page =
            rejected::page(&services(ctx)?.db, &request).await.map_err(|error| errors::internal(&error))?;
        let edge = |row| RejectedWebhookEdge { key: rejected::key(&row), node: RejectedWebhook(row) };
        let edges: Vec<_> = page.rows.into_iter().map(edge).collect();
        let ends = edges.first().zip(edges.last()).map(|(first, last)| (first.key.clone(), last.key.clone()));
        let page_info = PageInfo::new(List::RejectedWebhooks, keyset.order(), request, page.has_more, ends);
        Ok(Self { edges, page_info })
    }
}

/// A page of rejected webhooks.
#[Object]
impl RejectedWebhookConnection {
    /// The edges of this page, newest first.
    async fn edges(&self) -> &[RejectedWebhookEdge] {
        &self.edges
    }

    /// The rejected webhooks of this page.
    async fn nodes(&self) -> Vec<&RejectedWebhook> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Where this page stands.
    async fn page_info(&self) -> &PageInfo {
        &self.page_info
    }

    /// How many there are in all.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        let count = rejected::count(&services(ctx)?.db).await;
        count.map(paging::int).map_err(|error| errors::internal(&error))
    }
}

/// Input of `webhookRetry`.
#[derive(Clone, Debug, InputObject)]
pub struct WebhookRetryInput {
    /// The rejected webhook.
    pub rejected_webhook_id: ID,
}

/// Answer of `webhookRetry`.
#[derive(Debug, SimpleObject)]
pub struct WebhookRetryPayload {
    /// The rejected webhook after the call, null when it does not exist.
    pub rejected_webhook: Option<RejectedWebhook>,
    /// Why nothing was done. Empty on success.
    pub user_errors: Vec<UserError>,
}

/// Tries one again.
pub async fn retry(ctx: &Context<'_>, id: &str) -> Result<WebhookRetryPayload> {
    let services = services(ctx)?;
    let result = match ids::parse_rejected(id) {
        Some(id) => {
            rejected::retry(&services.db, &services.ingest, id, caller(ctx)?, services.clock.now()).await
        }
        None => Err(RetryError::NotFound),
    };
    let (webhook, user_error) = match result {
        Ok(webhook) => (Some(webhook), None),
        Err(RetryError::NotFound) => (None, Some((Code::NotFound, RetryError::NotFound.to_string()))),
        Err(RetryError::StillWrong(webhook, error)) => {
            (Some(*webhook), Some((Code::Invalid, error.to_string())))
        }
        Err(RetryError::Database(error)) => return Err(errors::internal(&error)),
        // The writer has logged it, or the server is stopping.
        Err(RetryError::Ingest(_)) => return Err(errors::already_logged()),
    };
    let user_error = user_error.map(|(code, message)| UserError::at(code, &["rejectedWebhookId"], message));
    Ok(WebhookRetryPayload {
        rejected_webhook: webhook.map(RejectedWebhook),
        user_errors: user_error.into_iter().collect(),
    })
}
