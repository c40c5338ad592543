//! `audit`: who asked for what, and when.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// When it was done.
    pub at: DateTimeUtc,
    /// Whose token it was done with.
    pub actor: String,
    /// What the token allowed.
    pub role: String,
    /// What was done.
    pub action: String,
    /// The broadcast or the rejected webhook, none for the registration.
    pub subject: Option<String>,
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
