//! `broadcast_recipients`: the message of a broadcast to one guest.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "broadcast_recipients")]
pub struct Model {
    /// The broadcast.
    #[sea_orm(primary_key, auto_increment = false)]
    pub broadcast_id: String,
    /// The guest.
    #[sea_orm(primary_key, auto_increment = false)]
    pub guest_id: String,
    /// `pending`, `sending`, `sent`, `failed`, `uncertain` or `cancelled`.
    pub state: String,
    /// Tries so far.
    pub attempts: i32,
    /// Earliest time of the next try, NULL for at once.
    pub not_before: Option<DateTimeUtc>,
    /// The sender's epoch that marked it SENDING last.
    pub epoch: i64,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// Place among the final results of the broadcast.
    pub finished_seq: Option<i64>,
    /// When its result became final.
    pub finished_at: Option<DateTimeUtc>,
    /// Tries that came before the last retry of the broadcast.
    pub tries_before: i32,
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
