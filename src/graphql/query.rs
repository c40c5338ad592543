//! The root of reads. Its fields are nullable, so that one that fails leaves the others their answer: they
//! are `Option<Result<_>>`, of which an error is caught where the null goes.

use async_graphql::{Context, ID, Object, Result};

use super::{
    audit::AuditEntryConnection,
    broadcast::{Broadcast, BroadcastConnection},
    filter::{ReservationFilter, ReservationOrder},
    guest::Guest,
    node::{self, Node},
    paging::PageArgs,
    registration::WebhookRegistration,
    reservation::{Reservation, ReservationConnection},
    stats::ReservationStats,
    webhook::RejectedWebhookConnection,
};

/// Reads. All of them may be sent by GET and none changes anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query;

/// Reads. All of them may be sent by GET and none changes anything.
#[Object]
impl Query {
    /// Any object by its global ID, null when there is none. Role: viewer.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "Global ID.")] id: ID) -> Option<Result<Node>> {
        node::find(ctx, &id).await.transpose()
    }

    /// Several objects by global ID, in the order asked, null where there is none. Role: viewer.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global IDs, at most 100.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        node::find_all(ctx, &ids).await
    }

    /// One reservation by the booking source's identifier, null when there is none. Role: viewer.
    async fn reservation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Identifier in the booking source.")] reservation_id: String,
    ) -> Option<Result<Reservation>> {
        Reservation::find(ctx, &reservation_id).await.transpose()
    }

    /// Reservations that match a filter, as a Relay connection. Give `first` or `last`; without
    /// either the first 50 come. Role: viewer.
    #[expect(clippy::too_many_arguments, reason = "the schema has as many")]
    async fn reservations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the elements after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the elements before this cursor.")] before: Option<String>,
        #[graphql(desc = "Returns the first _n_ elements, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Returns the last _n_ elements, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Which reservations to take. Left out, all.")] filter: Option<ReservationFilter>,
        #[graphql(desc = "Order of the list. Left out, by check-in.")] order_by: Option<ReservationOrder>,
    ) -> Option<Result<ReservationConnection>> {
        let args = PageArgs { after, before, first, last };
        Some(ReservationConnection::read(ctx, filter, order_by.unwrap_or_default(), &args).await)
    }

    /// Figures over the reservations that match a filter. Role: viewer.
    async fn reservation_stats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which reservations to take. Left out, all.")] filter: Option<ReservationFilter>,
    ) -> Option<Result<ReservationStats>> {
        Some(ReservationStats::read(ctx, filter).await)
    }

    /// One guest by the booking source's identifier, null when there is none. Role: viewer.
    async fn guest(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Identifier in the booking source.")] guest_id: String,
    ) -> Option<Result<Guest>> {
        Guest::find(ctx, guest_id).await.transpose()
    }

    /// One broadcast by its global ID, null when there is none. Role: viewer.
    async fn broadcast(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global ID of the broadcast.")] id: ID,
    ) -> Option<Result<Broadcast>> {
        Broadcast::find(ctx, &id).await.transpose()
    }

    /// Broadcasts, newest first, as a Relay connection. Role: viewer.
    async fn broadcasts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the elements after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the elements before this cursor.")] before: Option<String>,
        #[graphql(desc = "Returns the first _n_ elements, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Returns the last _n_ elements, at most 100.")] last: Option<i32>,
    ) -> Option<Result<BroadcastConnection>> {
        let args = PageArgs { after, before, first, last };
        Some(BroadcastConnection::read(ctx, &args).await)
    }

    /// The webhook registration, null when no public URL is configured. Role: admin.
    async fn webhook_registration(&self, ctx: &Context<'_>) -> Option<Result<WebhookRegistration>> {
        WebhookRegistration::find(ctx).await.transpose()
    }

    /// Webhooks that could not be applied, newest first. Role: admin.
    async fn rejected_webhooks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the elements after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the elements before this cursor.")] before: Option<String>,
        #[graphql(desc = "Returns the first _n_ elements, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Returns the last _n_ elements, at most 100.")] last: Option<i32>,
    ) -> Option<Result<RejectedWebhookConnection>> {
        let args = PageArgs { after, before, first, last };
        Some(RejectedWebhookConnection::read(ctx, &args).await)
    }

    /// Who started, stopped or retried what, and when, newest first, as a Relay connection. Role: admin.
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the elements after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the elements before this cursor.")] before: Option<String>,
        #[graphql(desc = "Returns the first _n_ elements, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Returns the last _n_ elements, at most 100.")] last: Option<i32>,
    ) -> Option<Result<AuditEntryConnection>> {
        let args = PageArgs { after, before, first, last };
        Some(AuditEntryConnection::read(ctx, &args).await)
    }
}
