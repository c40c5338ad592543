//! The messages of a broadcast, one per guest.

use async_graphql::{Enum, ID, Object, Result};
use uuid::Uuid;

use super::{
    Services, errors,
    guest::{Guest, GuestBatch},
    ids,
    paging::{List, PageArgs, PageInfo},
    scalars::DateTime,
};
use crate::{
    broadcast::{Message, MessageState, store},
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

impl BroadcastMessage {
    /// Messages that are shown together: their guests are read in one statement.
    #[must_use]
    pub fn together(rows: Vec<Message>) -> Vec<Self> {
        let guests = GuestBatch::new(rows.iter().map(|row| row.guest_id.clone()).collect());
        let message =
            |row: Message| Self { guest: Guest::in_batch(row.guest_id.clone(), guests.clone()), row };
        rows.into_iter().map(message).collect()
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
        services: &Services,
        broadcast_id: Uuid,
        statuses: Option<&[BroadcastMessageStatus]>,
        args: &PageArgs,
    ) -> Result<Self> {
        let keyset = store::messages_keyset();
        let request = args.request(&keyset)?;
        let states: Option<Vec<_>> =
            statuses.map(|statuses| statuses.iter().flat_map(|status| status.states()).copied().collect());
        let page = store::messages(&services.db, broadcast_id, states.as_deref(), &request).await;
        let page = page.map_err(|error| errors::internal(&error))?;
        let edge = |node: BroadcastMessage| BroadcastMessageEdge { key: store::message_key(&node.row), node };
        let edges: Vec<_> = BroadcastMessage::together(page.rows).into_iter().map(edge).collect();
        let ends = edges.first().zip(edges.last()).map(|(first, last)| (first.key.clone(), last.key.clone()));
        let list = List::Messages(broadcast_id, states);
        Ok(Self { edges, page_info: PageInfo::new(list, keyset.order(), request, page.has_more, ends) })
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
