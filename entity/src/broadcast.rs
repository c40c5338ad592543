//! `broadcasts`: one row a broadcast, with its counts.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "broadcasts")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Text sent to each guest.
    pub message: String,
    /// `queued`, `sending`, `paused`, `suspended`, `completed` or `cancelled`.
    pub status: String,
    /// Recipients in all.
    pub total: i32,
    /// Recipients without a final result, those being sent among them.
    pub pending: i32,
    /// Accepted by the provider.
    pub sent: i32,
    /// Given up.
    pub failed: i32,
    /// Left, and no answer came.
    pub uncertain: i32,
    /// Never sent.
    pub cancelled: i32,
    /// `resend` or `hold`.
    pub on_uncertain: String,
    /// The caller's key.
    pub idempotency_key: Option<String>,
    /// SHA-256 of the input, to tell a repeat from another broadcast with the same key.
    pub input_digest: String,
    /// Why the server stopped it.
    pub suspension_reason: Option<String>,
    /// When the server goes on.
    pub resumes_at: Option<DateTimeUtc>,
    /// Number of the newest final result.
    pub finished_seq: i64,
    /// Number of the newest final result that the change log has.
    pub reported_seq: i64,
    /// Whether the change log lacks the present state.
    pub unreported: bool,
    /// When it was accepted.
    pub created_at: DateTimeUtc,
    /// When it is due to start, or started.
    pub starts_at: DateTimeUtc,
    /// When the last result was written.
    pub completed_at: Option<DateTimeUtc>,
    /// How often its failed messages were tried anew.
    pub retries: i32,
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
