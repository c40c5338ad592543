//! The audit log: who asked for what, and when.

use async_graphql::{Context, Enum, ID, Object, Result};

use super::{
    errors, ids,
    paging::{self, List, PageArgs, PageInfo},
    scalars::DateTime,
    services,
};
use crate::{
    access,
    audit::{self, Action},
    keyset::Key,
};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Action")]
pub enum AuditAction {
    /// A broadcast was started.
    BroadcastStarted,
    /// A broadcast was stopped until it is resumed.
    BroadcastPaused,
    /// A broadcast went on.
    BroadcastResumed,
    /// What had failed of a broadcast was tried again.
    BroadcastRetried,
    /// A broadcast was stopped for good.
    BroadcastCancelled,
    /// The webhook URL was asked onto the list of the Guest API.
    WebhookRegistered,
    /// The webhook URL was asked off the list of the Guest API.
    WebhookUnregistered,
    /// A rejected webhook was applied.
    WebhookRetried,
}

/// What a token allows; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "access::Role")]
pub enum Role {
    /// Reads and subscriptions.
    Viewer,
    /// Broadcasts too.
    Sender,
    /// Webhooks and the audit log too.
    Admin,
}

/// Something that somebody asked for and that was done.
#[derive(Clone, Debug)]
pub struct AuditEntry(audit::Entry);

impl From<audit::Entry> for AuditEntry {
    fn from(entry: audit::Entry) -> Self {
        Self(entry)
    }
}

/// Something that somebody asked for and that was done.
#[Object]
impl AuditEntry {
    /// Opaque global ID.
    pub(super) async fn id(&self) -> ID {
        ids::audit(self.0.id).into()
    }

    /// When it was done.
    async fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// Whose token it was done with: its name in the file of tokens, or the subject an OpenID provider gave
    /// it; `anonymous` where no access is configured.
    async fn actor(&self) -> &str {
        &self.0.actor
    }

    /// What the token allowed.
    async fn role(&self) -> Role {
        self.0.role.into()
    }

    /// What was done.
    async fn action(&self) -> AuditAction {
        self.0.action.into()
    }

    /// Global ID of the broadcast or the rejected webhook it was done to, which may be gone by now. Null for
    /// the webhook registration.
    async fn subject_id(&self) -> Option<ID> {
        let subject = self.0.subject?;
        match self.0.action {
            Action::BroadcastStarted
            | Action::BroadcastPaused
            | Action::BroadcastResumed
            | Action::BroadcastRetried
            | Action::BroadcastCancelled => Some(ids::broadcast(subject).into()),
            Action::WebhookRetried => Some(ids::rejected(subject).into()),
            Action::WebhookRegistered | Action::WebhookUnregistered => None,
        }
    }
}

/// An entry of the audit log at its place in the list.
#[derive(Debug)]
pub struct AuditEntryEdge {
    key: Key,
    node: AuditEntry,
}

/// An entry of the audit log at its place in the list.
#[Object]
impl AuditEntryEdge {
    /// Opaque position.
    async fn cursor(&self) -> String {
        self.key.cursor(audit::keyset().order())
    }

    /// The entry.
    async fn node(&self) -> &AuditEntry {
        &self.node
    }
}

/// A page of the audit log.
#[derive(Debug)]
pub struct AuditEntryConnection {
    edges: Vec<AuditEntryEdge>,
    page_info: PageInfo,
}

impl AuditEntryConnection {
    /// Reads a page.
    pub async fn read(ctx: &Context<'_>, args: &PageArgs) -> Result<Self> {
        let keyset = audit::keyset();
        let request = args.request(&keyset)?;
        let page =
            audit::page(&services(ctx)?.db, &request).await.map_err(|error| errors::internal(&error))?;
        let edge = |entry| AuditEntryEdge { key: audit::key(&entry), node: AuditEntry(entry) };
        let edges: Vec<_> = page.rows.into_iter().map(edge).collect();
        let ends = edges.first().zip(edges.last()).map(|(first, last)| (first.key.clone(), last.key.clone()));
        let page_info = PageInfo::new(List::Audit, keyset.order(), request, page.has_more, ends);
        Ok(Self { edges, page_info })
    }
}

/// A page of the audit log.
#[Object]
impl AuditEntryConnection {
    /// The edges of this page, newest first.
    async fn edges(&self) -> &[AuditEntryEdge] {
        &self.edges
    }

    /// The entries of this page.
    async fn nodes(&self) -> Vec<&AuditEntry> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Where this page stands.
    async fn page_info(&self) -> &PageInfo {
        &self.page_info
    }

    /// How many there are in all.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        let count = audit::count(&services(ctx)?.db).await;
        count.map(paging::int).map_err(|error| errors::internal(&error))
    }
}
