//! `webhook_gaps`: times in which events may have been missed.

use sea_orm::entity::prelude::*;

/// One gap.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_gaps")]
pub struct Model {
    /// In the order they were noticed.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The URL that was not registered.
    pub url: String,
    /// The last event before it, or the last time the URL was seen registered.
    pub from_at: DateTimeUtc,
    /// When the URL was registered again, NULL while it is not.
    pub to_at: Option<DateTimeUtc>,
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
