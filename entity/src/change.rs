//! `changes`: the change log, in commit order.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "changes")]
pub struct Model {
    /// Position in the log, drawn under the feed lock.
    #[sea_orm(primary_key)]
    pub seq: i64,
    /// What kind of object changed.
    pub topic: String,
    /// Which one.
    pub key: String,
    /// What happened to it, in the words of the topic.
    pub kind: String,
    /// JSON of the object before, NULL when it was not there.
    pub before: Option<String>,
    /// JSON of the object after.
    pub after: String,
    /// When it was committed.
    pub committed_at: DateTimeUtc,
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
