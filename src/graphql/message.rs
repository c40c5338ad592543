//! The messages of a broadcast, one per guest.

use async_graphql::{Context, Enum, ID, Object, Result};
use uuid::Uuid;

use super::{
    errors,
    guest::Guest,
    ids,
    loaders::{self, MessagePage},
    paging::{List, PageArgs, PageInfo},
    scalars::DateTime,
};
use crate::{
    broadcast::{
        Message, MessageState,
        store::{self, MessageSet},
    },
    keyset::Key,
};

/// State of one message of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum BroadcastMessageStatus {
    /// Waiting for its first try or for a retry.
    Pending,
    /// Accepted by the Guest API.
    Sent,
    /// Given up.
    Failed,
    /// It left, and no answer came back: the guest may or may not have it.
    Uncertain,
    /// Never sent: the broadcast was cancelled first.
    Cancelled,
}

impl From<MessageState> for BroadcastMessageStatus {
    fn from(state: MessageState) -> Self {
        match state {
            MessageState::Pending | MessageState::Sending => Self::Pending,
            MessageState::Sent => Self::Sent,
            MessageState::Failed => Self::Failed,
            MessageState::Uncertain => Self::Uncertain,
            MessageState::Cancelled => Self::Cancelled,
        }
    }
}

impl BroadcastMessageStatus {
    /// The states that show as this one.
    fn states(self) -> &'static [MessageState] {
        match self {
            Self::Pending => &[MessageState::Pending, MessageState::Sending],
            Self::Sent => &[MessageState::Sent],
            Self::Failed => &[MessageState::Failed],
            Self::Uncertain => &[MessageState::Uncertain],
            Self::Cancelled => &[MessageState::Cancelled],
        }
    }
}

/// The message of a broadcast to one guest.
#[derive(Clone, Debug)]
pub struct BroadcastMessage {
    row: Message,
    guest: Guest,
}

impl From<Message> for BroadcastMessage {
    fn from(row: Message) -> Self {
        Self { guest: Guest::unread(row.guest_id.clone()), row }
    }
}

/// The message of a broadcast to one guest.
#[Object]
impl BroadcastMessage {
    /// Opaque global ID of the message.
    pub(super) async fn id(&self) -> ID {
        ids::message(self.row.broadcast_id, &self.row.guest_id).into()
    }

    /// The guest it is for.
    async fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Its state.
    async fn status(&self) -> BroadcastMessageStatus {
        self.row.state.into()
    }

    /// Tries so far.
    async fn attempts(&self) -> i32 {
        self.row.attempts
    }

    /// Why the last try failed, null when none failed.
    async fn last_error(&self) -> Option<&str> {
        self.row.last_error.as_deref()
    }

    /// When it is tried next, null when its state is final.
    async fn next_attempt_at(&self) -> Option<DateTime> {
        let is_waiting = self.row.state == MessageState::Pending;
        self.row.not_before.filter(|_| is_waiting).map(DateTime)
    }
}

/// A message at its place in a list.
#[derive(Debug)]
pub struct BroadcastMessageEdge {
    key: Key,
    node: BroadcastMessage,
}

/// A message at its place in a list.
#[Object]
impl BroadcastMessageEdge {
    /// Opaque position.
    async fn cursor(&self) -> String {
        self.key.cursor(store::messages_keyset().order())
    }

    /// The message.
    async fn node(&self) -> &BroadcastMessage {
        &self.node
    }
}

/// A page of messages.
#[derive(Debug)]
pub struct BroadcastMessageConnection {
    edges: Vec<BroadcastMessageEdge>,
    page_info: PageInfo,
}

impl BroadcastMessageConnection {
    /// Reads a page.
    pub async fn read(
        ctx: &Context<'_>,
        broadcast_id: Uuid,
        statuses: Option<&[BroadcastMessageStatus]>,
        args: &PageArgs,
    ) -> Result<Self> {
        let keyset = store::messages_keyset();
        let request = args.request(&keyset)?;
        let states =
            statuses.map(|statuses| statuses.iter().flat_map(|status| status.states()).copied().collect());
        let set = MessageSet { broadcast_id, states };
        let page = loaders::load(ctx, MessagePage { set: set.clone(), request: request.clone() }).await?;
        let page = page.ok_or_else(errors::already_logged)?;
        let edge =
            |row: &Message| BroadcastMessageEdge { key: store::message_key(row), node: row.clone().into() };
        let edges: Vec<_> = page.rows.iter().map(edge).collect();
        let ends = edges.first().zip(edges.last()).map(|(first, last)| (first.key.clone(), last.key.clone()));
        let page_info = PageInfo::new(List::Messages(set), keyset.order(), request, page.has_more, ends);
        Ok(Self { edges, page_info })
    }
}

/// A page of messages.
#[Object]
impl BroadcastMessageConnection {
    /// The edges of this page, in order.
    async fn edges(&self) -> &[BroadcastMessageEdge] {
        &self.edges
    }

    /// The messages of this page.
    async fn nodes(&self) -> Vec<&BroadcastMessage> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Where this page stands.
    async fn page_info(&self) -> &PageInfo {
        &self.page_info
    }
}
