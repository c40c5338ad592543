//! `pacer_state`: what was learned of a provider's limit.

use sea_orm::entity::prelude::*;

/// One provider.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "pacer_state")]
pub struct Model {
    /// Its base URL.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub provider: String,
    /// Requests a second that it takes.
    pub rate: Option<f64>,
    /// Requests a second that its quota allows.
    pub ceiling: Option<f64>,
    /// When this was last seen to be so.
    pub learned_at: Option<DateTimeUtc>,
    /// Until when nothing may be sent.
    pub closed_until: Option<DateTimeUtc>,
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
