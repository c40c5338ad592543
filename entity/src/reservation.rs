//! `reservations`: one row a reservation, as last told by the booking source. Fixed by contract.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reservations")]
pub struct Model {
    /// Our number of the row.
    #[sea_orm(primary_key)]
    pub id: i32,
    /// Identifier in the booking source.
    #[sea_orm(unique)]
    pub reservation_id: String,
    /// Property in the booking source.
    pub property_id: String,
    /// Guest in the booking source.
    pub guest_id: String,
    /// `confirmed`, `modified` or `cancelled`.
    pub status: String,
    /// Day of arrival.
    pub check_in: Date,
    /// Day of departure.
    pub check_out: Date,
    /// How many people stay.
    pub num_guests: i32,
    /// Total price, two places.
    pub total_amount: Decimal,
    /// Currency code.
    pub currency: String,
    /// Projection of `guests`.
    pub guest_first_name: Option<String>,
    /// Projection of `guests`.
    pub guest_last_name: Option<String>,
    /// Projection of `guests`.
    pub guest_email: Option<String>,
    /// Projection of `guests`.
    pub guest_phone: Option<String>,
    /// The event that was applied last.
    pub webhook_id: Option<String>,
    /// When the source says that event happened.
    pub event_timestamp: Option<DateTimeUtc>,
    /// First write here; rows of others may lack it.
    pub created_at: Option<DateTimeUtc>,
    /// Last write here; rows of others may lack it.
    pub updated_at: Option<DateTimeUtc>,
}

/// No relations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
