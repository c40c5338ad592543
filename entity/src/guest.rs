//! `guests`: what is known of each guest, field by field.

use sea_orm::entity::prelude::*;

/// One row. Each `*_order` is the order of what the field was learned from.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "guests")]
pub struct Model {
    /// Identifier in the booking source.
    #[sea_orm(primary_key, auto_increment = false)]
    pub guest_id: String,
    /// Given name.
    pub first_name: Option<String>,
    /// Where it came from.
    pub first_name_order: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Where it came from.
    pub last_name_order: Option<String>,
    /// Email address.
    pub email: Option<String>,
    /// Where it came from.
    pub email_order: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
    /// Where it came from.
    pub phone_order: Option<String>,
    /// Earliest time of the next look-up, NULL when none is due.
    pub fetch_after: Option<DateTimeUtc>,
    /// Look-ups in a row that failed.
    pub fetch_attempts: i32,
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
