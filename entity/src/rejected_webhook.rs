//! `rejected_webhooks`: a webhook with a valid secret that could not be applied.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rejected_webhooks")]
pub struct Model {
    /// UUID, version 7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// When it came.
    pub received_at: DateTimeUtc,
    /// Why it was not applied, as the sender was told.
    pub reason: String,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// When a later try applied it.
    pub applied_at: Option<DateTimeUtc>,
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
