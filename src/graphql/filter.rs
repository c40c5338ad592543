//! Which reservations, and in what order: the inputs, and what they are inside.

use async_graphql::{Enum, InputObject, Result};

use super::{errors, reservation::ReservationStatus, scalars::Date};
use crate::reservations::{self, filter, store};

/// A range of dates. Both ends are included; leave one out for an open range.
#[derive(Clone, Copy, Debug, Default, InputObject)]
pub struct DateRangeInput {
    /// Earliest date that matches.
    pub from: Option<Date>,
    /// Latest date that matches.
    pub to: Option<Date>,
}

/// Which reservations to take. Every given field must match (AND); a list matches any of its values (OR).
/// An empty filter matches all. The same input selects rows in `reservations`, in
/// `reservationChanged` and in `broadcast`, so what a person sees is what gets the message.
#[derive(Clone, Debug, Default, InputObject)]
pub struct ReservationFilter {
    /// Any of these statuses.
    pub statuses: Option<Vec<ReservationStatus>>,
    /// Any of these properties.
    pub property_ids: Option<Vec<String>>,
    /// Any of these guests.
    pub guest_ids: Option<Vec<String>>,
    /// Any of these reservations, by the booking source's identifier.
    pub reservation_ids: Option<Vec<String>>,
    /// Check-in within this range.
    pub check_in: Option<DateRangeInput>,
    /// Check-out within this range.
    pub check_out: Option<DateRangeInput>,
    /// Stay that includes this night.
    pub staying_on: Option<Date>,
    /// ISO 4217 currency of the total.
    pub currency_code: Option<String>,
    /// Text that occurs in the guest's first name, last name, email or phone, or in the reservation's or guest's
    /// identifier. ASCII letters match in either case; other characters match themselves.
    pub search: Option<String>,
}

impl From<DateRangeInput> for filter::DateRange {
    fn from(range: DateRangeInput) -> Self {
        Self { from: range.from.map(|date| date.0), to: range.to.map(|date| date.0) }
    }
}

impl From<ReservationFilter> for reservations::ReservationFilter {
    fn from(input: ReservationFilter) -> Self {
        Self {
            statuses: input.statuses.map(|statuses| statuses.into_iter().map(Into::into).collect()),
            property_ids: input.property_ids,
            guest_ids: input.guest_ids,
            reservation_ids: input.reservation_ids,
            check_in: input.check_in.unwrap_or_default().into(),
            check_out: input.check_out.unwrap_or_default().into(),
            staying_on: input.staying_on.map(|date| date.0),
            currency: input.currency_code,
            search: input.search,
        }
    }
}

/// The filter of a read: all reservations when left out.
pub fn checked(input: Option<ReservationFilter>) -> Result<reservations::ReservationFilter> {
    let filter = reservations::ReservationFilter::from(input.unwrap_or_default());
    filter.check().map_err(|error| errors::bad_filter(&error))?;
    Ok(filter)
}

/// What to sort reservations by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
#[graphql(remote = "store::OrderField")]
pub enum ReservationOrderField {
    /// Day of arrival.
    #[default]
    CheckIn,
    /// Day of departure.
    CheckOut,
    /// Time of the first write.
    CreatedAt,
    /// Time of the last write.
    UpdatedAt,
    /// Amount of the total, regardless of currency.
    TotalAmount,
}

/// Direction of a sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub enum OrderDirection {
    /// Smallest or oldest first.
    #[default]
    Asc,
    /// Largest or newest first.
    Desc,
}

/// How to sort reservations. Ties are broken by ID, so paging is stable.
#[derive(Clone, Copy, Debug, Default, InputObject)]
pub struct ReservationOrder {
    /// Field to sort by.
    #[graphql(default)]
    pub field: ReservationOrderField,
    /// Direction of the sort.
    #[graphql(default)]
    pub direction: OrderDirection,
}

impl From<ReservationOrder> for (store::OrderField, bool) {
    fn from(order: ReservationOrder) -> Self {
        (order.field.into(), order.direction == OrderDirection::Desc)
    }
}
