//! `GET /api/reservations`: the rows as they are in the table, newest write first.

use axum::{Json, extract::RawQuery, extract::State};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};

use super::filter::RestFilter;
use crate::{
    http::{HttpState, answer::Refusal},
    reservations::{Reservation, Status, store},
};

/// Rows without `limit`, and at most.
const LIMIT_DEFAULT: i64 = 100;
const LIMIT_MAX: i64 = 500;

/// The query. What is not known here is left alone, as the list always did.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Query {
    status: Option<String>,
    property_id: Option<String>,
    guest_id: Option<String>,
    check_in_from: Option<String>,
    check_in_to: Option<String>,
    search: Option<String>,
    limit: Option<String>,
    offset: Option<String>,
}

/// The answer.
#[derive(Serialize)]
pub(in crate::http) struct List {
    data: Vec<Row>,
}

/// A row under the names of its columns.
#[derive(Serialize)]
struct Row {
    id: i32,
    reservation_id: String,
    property_id: String,
    guest_id: String,
    status: Status,
    check_in: NaiveDate,
    check_out: NaiveDate,
    num_guests: i32,
    total_amount: String,
    currency: String,
    guest_first_name: Option<String>,
    guest_last_name: Option<String>,
    guest_email: Option<String>,
    guest_phone: Option<String>,
    webhook_id: Option<String>,
    #[serde(serialize_with = "instant")]
    event_timestamp: Option<DateTime<Utc>>,
    #[serde(serialize_with = "instant")]
    created_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "instant")]
    updated_at: Option<DateTime<Utc>>,
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn instant<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true)).serialize(serializer)
}

impl From<Reservation> for Row {
    fn from(row: Reservation) -> Self {
        Self {
            id: row.id,
            reservation_id: row.reservation_id,
            property_id: row.property_id,
            guest_id: row.guest_id,
            status: row.status,
            check_in: row.check_in,
            check_out: row.check_out,
            num_guests: row.num_guests,
            total_amount: row.total_amount.to_string(),
            currency: row.currency,
            guest_first_name: row.guest.first_name,
            guest_last_name: row.guest.last_name,
            guest_email: row.guest.email,
            guest_phone: row.guest.phone,
            webhook_id: row.webhook_id,
            event_timestamp: row.event_timestamp,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Lists reservations.
pub(in crate::http) async fn list(
    State(state): State<HttpState>,
    RawQuery(query): RawQuery,
) -> Result<Json<List>, Refusal> {
    let query: Query = serde_urlencoded::from_str(query.as_deref().unwrap_or_default())
        .map_err(|error| Refusal::bad_request(format!("query: {error}")))?;
    let limit = number("limit", query.limit, LIMIT_DEFAULT)?.clamp(1, LIMIT_MAX);
    let offset = number("offset", query.offset, 0)?.max(0);
    let filter = RestFilter {
        status: query.status,
        property_id: query.property_id,
        guest_id: query.guest_id,
        check_in_from: query.check_in_from,
        check_in_to: query.check_in_to,
        search: query.search,
    };
    let rows = store::latest(&state.services.db, &filter.try_into()?, limit, offset)
        .await
        .map_err(|error| Refusal::internal(&error))?;
    Ok(Json(List { data: rows.into_iter().map(Row::from).collect() }))
}

fn number(field: &str, text: Option<String>, default: i64) -> Result<i64, Refusal> {
    match text.filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => {
            text.parse().map_err(|_| Refusal::bad_request(format!("{field}: must be a whole number")))
        }
    }
}
