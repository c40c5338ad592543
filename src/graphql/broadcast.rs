//! Broadcasts, their list, and how they go on.

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use tokio::sync::OnceCell;

use super::{
    errors, ids,
    loaders::{self, SendRate},
    message::{BroadcastMessage, BroadcastMessageConnection, BroadcastMessageStatus},
    paging::{self, List, PageArgs, PageInfo},
    scalars::DateTime,
    services,
};
use crate::{
    broadcast::{
        self,
        progress::{Progress, estimate},
        store,
    },
    keyset::Key,
};

/// Where a broadcast stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "broadcast::BroadcastStatus")]
pub enum BroadcastStatus {
    /// Accepted and stored; not started yet, or scheduled for later.
    Queued,
    /// Messages are being sent.
    Sending,
    /// Stopped on request; `broadcastResume` goes on.
    Paused,
    /// Stopped by the server because the Guest API refuses for now: see `Broadcast.suspension`.
    /// It goes on by itself when the reason has passed.
    Suspended,
    /// Every message has a final result. Some may have failed: see `BroadcastCounts.failed`.
    Completed,
    /// Stopped for good on request before every message had a result.
    Cancelled,
}

/// How many messages of a broadcast are in each state. They add up to `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SimpleObject)]
pub struct BroadcastCounts {
    /// Recipients chosen when the broadcast was accepted, each guest once.
    pub total: i32,
    /// Waiting for their first try or for a retry, or being sent right now.
    pub pending: i32,
    /// Accepted by the Guest API.
    pub sent: i32,
    /// Given up: refused for good, or out of tries.
    pub failed: i32,
    /// The server stopped or the connection broke after the message had left and before the answer came.
    pub uncertain: i32,
    /// Not sent because the broadcast was cancelled.
    pub cancelled: i32,
}

impl From<broadcast::Counts> for BroadcastCounts {
    fn from(counts: broadcast::Counts) -> Self {
        let broadcast::Counts { total, pending, sent, failed, uncertain, cancelled } = counts;
        Self { total, pending, sent, failed, uncertain, cancelled }
    }
}

/// Why a broadcast is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "broadcast::SuspensionReason")]
pub enum SuspensionReason {
    /// The Guest API asked for a wait longer than the server rides out silently.
    #[graphql(name = "RATE_LIMITED")]
    Limited,
    /// The Guest API refuses the server's credentials (401 or 403).
    Unauthorized,
    /// The Guest API does not answer.
    Unavailable,
}

/// A stop that the server chose.
#[derive(Clone, Copy, Debug, SimpleObject)]
pub struct Suspension {
    /// Why.
    pub reason: SuspensionReason,
    /// When sending is tried again, null when it waits for a person.
    pub resumes_at: Option<DateTime>,
}

/// One message sent to the guests of every reservation that matched a filter.
#[derive(Debug)]
pub struct Broadcast {
    row: broadcast::Broadcast,
    /// Known in a step; else taken once, when a field needs it. Nothing when it could not be read, which
    /// was logged.
    pace: OnceCell<Option<Pace>>,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    send_rate: f64,
    estimated_completion_at: Option<chrono::DateTime<chrono::Utc>>,
}

impl From<&Progress> for Pace {
    fn from(step: &Progress) -> Self {
        Self { send_rate: step.send_rate, estimated_completion_at: step.estimated_completion_at }
    }
}

impl From<broadcast::Broadcast> for Broadcast {
    fn from(row: broadcast::Broadcast) -> Self {
        Self { row, pace: OnceCell::new() }
    }
}

impl From<&Progress> for Broadcast {
    fn from(step: &Progress) -> Self {
        Self { row: step.broadcast.clone(), pace: OnceCell::new_with(Some(Some(step.into()))) }
    }
}

impl Broadcast {
    /// The one with this global ID.
    pub async fn find(ctx: &Context<'_>, id: &str) -> Result<Option<Self>> {
        let Some(id) = ids::parse_broadcast(id) else {
            return Ok(None);
        };
        let found = store::by_id(services(ctx)?.db.pool(), id).await;
        Ok(found.map_err(|error| errors::internal(&error))?.map(Self::from))
    }

    async fn pace(&self, ctx: &Context<'_>) -> Result<Pace> {
        let now = services(ctx)?.clock.now();
        let read = async || {
            let send_rate = loaders::load(ctx, SendRate(self.row.clone())).await.ok()?.unwrap_or_default();
            Some(Pace { send_rate, estimated_completion_at: estimate(&self.row, send_rate, now) })
        };
        self.pace.get_or_init(read).await.ok_or_else(errors::already_logged)
    }
}

/// One message sent to the guests of every reservation that matched a filter.
#[Object]
impl Broadcast {
    /// Opaque global ID of the broadcast.
    pub(super) async fn id(&self) -> ID {
        ids::broadcast(self.row.id).into()
    }

    /// Text sent to each guest.
    async fn message(&self) -> &str {
        &self.row.message
    }

    /// Where it stands.
    async fn status(&self) -> BroadcastStatus {
        self.row.status.into()
    }

    /// Messages by state.
    async fn counts(&self) -> BroadcastCounts {
        self.row.counts.into()
    }

    /// The messages, one per guest.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the elements after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the elements before this cursor.")] before: Option<String>,
        #[graphql(desc = "Returns the first _n_ elements, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Returns the last _n_ elements, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Only messages in one of these states.")] statuses: Option<
            Vec<BroadcastMessageStatus>,
        >,
    ) -> Result<BroadcastMessageConnection> {
        let args = PageArgs { after, before, first, last };
        BroadcastMessageConnection::read(ctx, self.row.id, statuses.as_deref(), &args).await
    }

    /// Why it is suspended, null unless `status` is `SUSPENDED`.
    async fn suspension(&self) -> Option<Suspension> {
        let (reason, resumes_at) = self.row.suspension?;
        Some(Suspension { reason: reason.into(), resumes_at: resumes_at.map(DateTime) })
    }

    /// Messages per second over the last ten seconds, zero when nothing is being sent.
    async fn send_rate(&self, ctx: &Context<'_>) -> Result<f64> {
        Ok(self.pace(ctx).await?.send_rate)
    }

    /// When it will be done at the present rate, null when that can't be said.
    async fn estimated_completion_at(&self, ctx: &Context<'_>) -> Option<Result<DateTime>> {
        let pace = self.pace(ctx).await;
        pace.map(|pace| pace.estimated_completion_at.map(DateTime)).transpose()
    }

    /// When it was accepted.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// When it is due to start, or started.
    async fn starts_at(&self) -> DateTime {
        DateTime(self.row.starts_at)
    }

    /// When every message had a final result, null before.
    async fn completed_at(&self) -> Option<DateTime> {
        self.row.completed_at.map(DateTime)
    }
}

/// A broadcast at its place in a list.
#[derive(Debug)]
pub struct BroadcastEdge {
    key: Key,
    node: Broadcast,
}

/// A broadcast at its place in a list.
#[Object]
impl BroadcastEdge {
    /// Opaque position.
    async fn cursor(&self) -> String {
        self.key.cursor(store::broadcasts_keyset().order())
    }

    /// The broadcast.
    async fn node(&self) -> &Broadcast {
        &self.node
    }
}

/// A page of broadcasts.
#[derive(Debug)]
pub struct BroadcastConnection {
    edges: Vec<BroadcastEdge>,
    page_info: PageInfo,
}

impl BroadcastConnection {
    /// Reads a page.
    pub async fn read(ctx: &Context<'_>, args: &PageArgs) -> Result<Self> {
        let keyset = store::broadcasts_keyset();
        let request = args.request(&keyset)?;
        let page =
            store::page(&services(ctx)?.db, &request).await.map_err(|error| errors::internal(&error))?;
        let edge = |row| BroadcastEdge { key: store::broadcast_key(&row), node: row.into() };
        let edges: Vec<_> = page.rows.into_iter().map(edge).collect();
        let ends = edges.first().zip(edges.last()).map(|(first, last)| (first.key.clone(), last.key.clone()));
        let page_info = PageInfo::new(List::Broadcasts, keyset.order(), request, page.has_more, ends);
        Ok(Self { edges, page_info })
    }
}

/// A page of broadcasts.
#[Object]
impl BroadcastConnection {
    /// The edges of this page, in order.
    async fn edges(&self) -> &[BroadcastEdge] {
        &self.edges
    }

    /// The broadcasts of this page.
    async fn nodes(&self) -> Vec<&Broadcast> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Where this page stands.
    async fn page_info(&self) -> &PageInfo {
        &self.page_info
    }

    /// How many broadcasts there are in all.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        let count = store::count(&services(ctx)?.db).await;
        count.map(paging::int).map_err(|error| errors::internal(&error))
    }
}

/// A step of a broadcast.
#[derive(Debug)]
pub struct BroadcastProgress {
    seq: i64,
    broadcast: Broadcast,
    /// Final results of this step: those numbered in `(after, up_to]`.
    finished: (i64, i64),
}

impl BroadcastProgress {
    /// A step at a position of the change log; `finished` are the numbers of its final results.
    #[must_use]
    pub fn new(seq: i64, step: &Progress, finished: (i64, i64)) -> Self {
        Self { seq, broadcast: step.into(), finished }
    }

    /// Its position in the change log.
    pub(super) fn seq(&self) -> i64 {
        self.seq
    }
}

#[cfg(test)]
impl BroadcastProgress {
    /// The numbers of its final results.
    pub(super) fn finished(&self) -> (i64, i64) {
        self.finished
    }
}

/// A step of a broadcast.
#[Object]
impl BroadcastProgress {
    /// Position of this step.
    #[expect(clippy::unused_async, reason = "the interface awaits it")]
    pub(super) async fn cursor(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(services(ctx)?.cursor(self.seq))
    }

    /// The broadcast as of this step. The last step has a final `status`; the subscription then completes.
    async fn broadcast(&self) -> &Broadcast {
        &self.broadcast
    }

    /// Messages that reached a final state since the step before.
    async fn finished_messages(&self, ctx: &Context<'_>) -> Result<Vec<BroadcastMessage>> {
        let (after, up_to) = self.finished;
        if after >= up_to {
            return Ok(Vec::new());
        }
        let found = store::finished_between(&services(ctx)?.db, self.broadcast.row.id, after, up_to).await;
        Ok(found.map_err(|error| errors::internal(&error))?.into_iter().map(BroadcastMessage::from).collect())
    }
}
