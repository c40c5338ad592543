//! Flow 1, top to bottom: a webhook becomes a row, and the row a live change.
//!
//! [`event`] parses, [`order`] says which of two events is newer, [`ingest`] queues, [`batch`] writes
//! (upon what is [`recent`] where it can); while the database is away [`spool`] keeps and [`drain`] makes up
//! for it. [`filter`], [`store`] and [`stats`] read, [`change`]
//! is what watchers see, [`rejected`] keeps what could not be applied. What is known of guests is kept by
//! [`guests`], completed by [`hydrate`], and deleted by [`forget`].

use chrono::{DateTime, NaiveDate, Utc};
use entity::reservation;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use thiserror::Error;

mod attempt;
pub mod batch;
pub mod change;
pub mod drain;
pub mod event;
pub mod filter;
pub mod forget;
pub mod guests;
pub mod hydrate;
pub mod ingest;
mod optimistic;
pub mod order;
pub mod recent;
pub mod rejected;
pub mod spool;
pub mod stats;
pub mod store;

pub use attempt::Availability;
pub use event::{GuestFields, ReservationEvent, Status};
pub use filter::ReservationFilter;
pub use ingest::Ingest;

/// One reservation as it stands. Serialised, it is the image in the change log: the columns of the
/// table but for our own row number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Row number, 0 in an image.
    #[serde(skip)]
    pub id: i32,
    /// Identifier in the booking source.
    pub reservation_id: String,
    /// Property in the booking source.
    pub property_id: String,
    /// Guest in the booking source.
    pub guest_id: String,
    /// Where it stands.
    pub status: Status,
    /// Day of arrival.
    pub check_in: NaiveDate,
    /// Day of departure.
    pub check_out: NaiveDate,
    /// How many people stay.
    pub num_guests: i32,
    /// Total price, always two places.
    pub total_amount: Decimal,
    /// Currency code.
    pub currency: String,
    /// What is known of the guest.
    pub guest: GuestFields,
    /// The event that was applied last.
    pub webhook_id: Option<String>,
    /// When that event happened; rows of others may lack it.
    pub event_timestamp: Option<DateTime<Utc>>,
    /// First write here; rows of others may lack it.
    pub created_at: Option<DateTime<Utc>>,
    /// Last write here; rows of others may lack it.
    pub updated_at: Option<DateTime<Utc>>,
}

/// A row whose status is none of the contract's.
#[derive(Debug, Error)]
#[error("reservation {reservation_id} has the unknown status '{status}'")]
pub struct UnreadableRow {
    reservation_id: String,
    status: String,
}

impl TryFrom<reservation::Model> for Reservation {
    type Error = UnreadableRow;

    fn try_from(row: reservation::Model) -> Result<Self, UnreadableRow> {
        let Ok(status) = row.status.parse() else {
            return Err(UnreadableRow { reservation_id: row.reservation_id, status: row.status });
        };
        Ok(Self {
            id: row.id,
            reservation_id: row.reservation_id,
            property_id: row.property_id,
            guest_id: row.guest_id,
            status,
            check_in: row.check_in,
            check_out: row.check_out,
            num_guests: row.num_guests,
            total_amount: two_places(row.total_amount),
            currency: row.currency,
            guest: GuestFields {
                first_name: row.guest_first_name,
                last_name: row.guest_last_name,
                email: row.guest_email,
                phone: row.guest_phone,
            },
            webhook_id: row.webhook_id,
            event_timestamp: row.event_timestamp,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// SQLite keeps amounts as REAL, so two places are restored at every read.
fn two_places(amount: Decimal) -> Decimal {
    let mut rounded = amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
    rounded.rescale(2);
    rounded
}
