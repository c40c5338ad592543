//! `webhook_registrations`: what is wanted of a webhook URL, and what the provider's list shows.

use sea_orm::entity::prelude::*;

/// One row a URL.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_registrations")]
pub struct Model {
    /// The URL that events are posted to.
    #[sea_orm(primary_key, auto_increment = false)]
    pub url: String,
    /// Whether it is to be registered.
    pub wanted: bool,
    /// Number of the newest request of a client.
    pub requested: i64,
    /// Number of the newest request that was carried out.
    pub answered: i64,
    /// JSON of what came of that request.
    pub answer: Option<String>,
    /// Whether the provider's list showed it when it was last read.
    pub is_registered: bool,
    /// Whether the list is to show it: it did, and nobody asked for an end of that.
    pub expected: bool,
    /// When the list was last read.
    pub checked_at: Option<DateTimeUtc>,
    /// When the list last showed it.
    pub listed_at: Option<DateTimeUtc>,
    /// When the last event came in.
    pub last_event_at: Option<DateTimeUtc>,
    /// Why the last call failed, NULL after one that did not.
    pub last_error: Option<String>,
    /// When the URL was first configured.
    pub created_at: DateTimeUtc,
    /// When the row last changed, but for `last_event_at`.
    pub updated_at: DateTimeUtc,
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
