//! The filter of the REST routes -> [`ReservationFilter`].

use chrono::NaiveDate;
use serde::Deserialize;

use crate::{
    http::answer::Refusal,
    reservations::{ReservationFilter, Status, filter::DateRange},
};

/// The filter as existing clients write it. An empty value counts as not given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RestFilter {
    pub(super) status: Option<String>,
    pub(super) property_id: Option<String>,
    pub(super) guest_id: Option<String>,
    pub(super) check_in_from: Option<String>,
    pub(super) check_in_to: Option<String>,
    pub(super) search: Option<String>,
}

impl TryFrom<RestFilter> for ReservationFilter {
    type Error = Refusal;

    fn try_from(given: RestFilter) -> Result<Self, Refusal> {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let status = some(given.status).map(|text| {
            text.parse::<Status>()
                .map_err(|_| Refusal::bad_request("status: must be confirmed, modified or cancelled"))
        });
        let date = |field: &str, text: Option<String>| {
            some(text)
                .map(|text| {
                    let date = text.parse::<NaiveDate>().ok().filter(|date| date.to_string() == text);
                    date.ok_or_else(|| {
                        Refusal::bad_request(format!("{field}: must be a date like 2026-04-06"))
                    })
                })
                .transpose()
        };
        let filter = Self {
            statuses: status.transpose()?.map(|status| vec![status]),
            property_ids: some(given.property_id).map(|id| vec![id]),
            guest_ids: some(given.guest_id).map(|id| vec![id]),
            check_in: DateRange {
                from: date("checkInFrom", given.check_in_from)?,
                to: date("checkInTo", given.check_in_to)?,
            },
            search: some(given.search),
            ..Self::default()
        };
        // One value here, a list there.
        let one = |field: &'static str| field.strip_suffix('s').unwrap_or(field);
        filter
            .check()
            .map_err(|error| Refusal::bad_request(format!("{}: {}", one(error.field), error.problem)))?;
        Ok(filter)
    }
}
