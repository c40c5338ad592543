//! Which reservations: one value, with one translation to SQL and one to a test of a row in memory.
//!
//! The two agree (a property test compares them on both databases), so what a query lists, what a
//! subscription follows and who gets a broadcast are the same set.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use serde::Serialize;
use thiserror::Error;

use super::{Reservation, Status};
use crate::db::Bind;

/// Values a list may hold.
const LIST_MAX: usize = 1_000;
/// Characters a search may have.
const SEARCH_MAX: usize = 200;

/// Every given part must match; a list matches any of its values, an empty list none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct ReservationFilter {
    /// Any of these statuses.
    pub statuses: Option<Vec<Status>>,
    /// Any of these properties.
    pub property_ids: Option<Vec<String>>,
    /// Any of these guests.
    pub guest_ids: Option<Vec<String>>,
    /// Any of these reservations.
    pub reservation_ids: Option<Vec<String>>,
    /// Check-in within this range.
    pub check_in: DateRange,
    /// Check-out within this range.
    pub check_out: DateRange,
    /// The stay includes this night: `check_in <= night < check_out`.
    pub staying_on: Option<NaiveDate>,
    /// Currency of the total.
    pub currency: Option<String>,
    /// Text within the guest's fields or an identifier; ASCII letters in either case.
    pub search: Option<String>,
}

/// A range of dates with both ends included; open where an end is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct DateRange {
    /// Earliest.
    pub from: Option<NaiveDate>,
    /// Latest.
    pub to: Option<NaiveDate>,
}

/// A filter that can't be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{field}: {problem}")]
pub struct FilterError {
    /// The part at fault, as in the GraphQL input.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// Columns that a search looks into.
const SEARCHED: [&str; 6] =
    ["guest_first_name", "guest_last_name", "guest_email", "guest_phone", "reservation_id", "guest_id"];

impl ReservationFilter {
    /// Refuses what no database takes (NUL) and what would be a burden (thousands of values).
    pub fn check(&self) -> Result<(), FilterError> {
        let refuse = |field, problem: String| Err(FilterError { field, problem });
        let lists = [
            ("propertyIds", &self.property_ids),
            ("guestIds", &self.guest_ids),
            ("reservationIds", &self.reservation_ids),
        ];
        for (field, list) in lists {
            let list = list.as_deref().unwrap_or_default();
            if list.len() > LIST_MAX {
                return refuse(field, format!("takes {LIST_MAX} values at most"));
            }
            if list.iter().any(|value| value.contains('\0')) {
                return refuse(field, "contains a NUL character".to_owned());
            }
        }
        for (field, text) in [("currencyCode", &self.currency), ("search", &self.search)] {
            let text = text.as_deref().unwrap_or_default();
            if text.contains('\0') {
                return refuse(field, "contains a NUL character".to_owned());
            }
            if text.chars().count() > SEARCH_MAX {
                return refuse(field, format!("is longer than {SEARCH_MAX} characters"));
            }
        }
        Ok(())
    }

    /// A condition over the columns of `reservations`.
    #[must_use]
    pub fn to_sql(&self, bind: &mut Bind) -> String {
        let mut all = self.others_to_sql(bind);
        if let Some(list) = &self.property_ids {
            all.push(any_of("property_id", list, bind));
        }
        all.extend(self.staying_on.map(|night| staying_sql(night, bind)));
        if all.is_empty() { "TRUE".to_owned() } else { all.join(" AND ") }
    }

    /// The same in pieces, each of which an index of PostgreSQL holds in the order of check-in, where the
    /// set has such pieces and no narrower index: a property each, if there are several, or the stays of so
    /// many nights. Sorted by check-in, a page is then read without the rest of the set.
    ///
    /// Of stays that include a night, the long ones began first: a page of early ones may be full of them, and a
    /// page of late ones of the short ones.
    #[must_use]
    pub fn pieces(&self, bind: &mut Bind) -> Option<Pieces> {
        let is_narrow = self.guest_ids.is_some() || self.reservation_ids.is_some() || self.search.is_some();
        if bind.is_sqlite() || is_narrow {
            return None;
        }
        let (source, late, own) = if let Some(properties) = &self.property_ids {
            let distinct: BTreeSet<_> = properties.iter().map(String::as_str).collect();
            if distinct.len() < 2 {
                return None;
            }
            let place = bind.push_array(distinct);
            (format!("unnest({place}::text[]) AS piece(of)"), None, "property_id = piece.of".to_owned())
        } else {
            let place = bind.push(self.staying_on?);
            // A stay of a piece has so many nights at most, so it began after so many before.
            let own = format!(
                "{SPAN} = piece.of AND check_in <= {place} \
                 AND check_in > COALESCE({place} - piece.most, '-infinity') AND check_out > {place}"
            );
            (LONG.to_owned(), Some(SHORT), own)
        };
        let mut all = self.others_to_sql(bind);
        if self.property_ids.is_some() {
            all.extend(self.staying_on.map(|night| staying_sql(night, bind)));
        }
        all.push(own);
        Some(Pieces { source, late, condition: all.join(" AND ") })
    }

    /// The parts that are written alike, whole or in pieces.
    fn others_to_sql(&self, bind: &mut Bind) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(statuses) = &self.statuses {
            let statuses: Vec<_> = statuses.iter().map(|status| status.as_str()).collect();
            all.push(any_of("status", &statuses, bind));
        }
        for (column, list) in [("guest_id", &self.guest_ids), ("reservation_id", &self.reservation_ids)] {
            all.extend(list.as_ref().map(|list| any_of(column, list, bind)));
        }
        for (column, range) in [("check_in", self.check_in), ("check_out", self.check_out)] {
            all.extend(range.from.map(|from| format!("{column} >= {}", bind.push(from))));
            all.extend(range.to.map(|to| format!("{column} <= {}", bind.push(to))));
        }
        all.extend(self.currency.as_deref().map(|code| format!("currency = {}", bind.push(code))));
        all.extend(self.search.as_deref().map(|text| search_sql(text, bind)));
        all
    }

    /// Whether a row is in the set.
    #[must_use]
    pub fn matches(&self, row: &Reservation) -> bool {
        fn any<T: PartialEq<U>, U: ?Sized>(list: Option<&Vec<T>>, value: &U) -> bool {
            list.is_none_or(|list| list.iter().any(|one| one == value))
        }
        any(self.statuses.as_ref(), &row.status)
            && any(self.property_ids.as_ref(), &row.property_id)
            && any(self.guest_ids.as_ref(), &row.guest_id)
            && any(self.reservation_ids.as_ref(), &row.reservation_id)
            && self.check_in.contains(row.check_in)
            && self.check_out.contains(row.check_out)
            && self.staying_on.is_none_or(|night| row.check_in <= night && night < row.check_out)
            && self.currency.as_ref().is_none_or(|code| *code == row.currency)
            && self.search.as_deref().is_none_or(|text| found_in(text, row))
    }
}

/// A set in pieces.
#[derive(Clone, Debug)]
pub struct Pieces {
    /// A row for each piece, as `piece(of)`.
    pub source: String,
    /// The same for pieces whose check-ins are for the most part later than those of the others.
    pub late: Option<&'static str>,
    /// What holds of the rows of a piece, over its `of` and the columns of `reservations`.
    pub condition: String,
}

/// A list of one is a value of its own: PostgreSQL then knows what to expect without looking into the list, and
/// need not plan each time.
fn any_of(column: &str, list: &[impl AsRef<str>], bind: &mut Bind) -> String {
    match list {
        [only] => format!("{column} = {}", bind.push(only.as_ref())),
        list => bind.any_of(column, list.iter().map(AsRef::as_ref)),
    }
}

fn staying_sql(night: NaiveDate, bind: &mut Bind) -> String {
    let place = bind.push(night);
    format!("check_in <= {place} AND check_out > {place}")
}

/// The piece that a stay is in, by its nights: the expression of the index `besty_reservations_stays`. Up to two
/// weeks each number is a piece of its own; beyond, each piece reaches half as far again as the one before.
const SPAN: &str = "width_bucket(check_out - check_in, \
     ARRAY[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,22,33,49,73,109,163,244,366,549,823,1234])";

/// The pieces, and how many nights a stay has at most in each: the last is open.
const SHORT: &str = "unnest(ARRAY[1,2,3,4,5,6,7,8,9,10,11,12,13,14], \
     ARRAY[1,2,3,4,5,6,7,8,9,10,11,12,13,14]) AS piece(of, most)";
const LONG: &str = "unnest(ARRAY[15,16,17,18,19,20,21,22,23,24,25,26], \
     ARRAY[21,32,48,72,108,162,243,365,548,822,1233,NULL]) AS piece(of, most)";

impl DateRange {
    fn contains(self, date: NaiveDate) -> bool {
        self.from.is_none_or(|from| from <= date) && self.to.is_none_or(|to| date <= to)
    }
}

/// What a search looks into, in lower case, line by line: the expression of the index
/// `besty_reservations_search`, word for word. On PostgreSQL `lower` follows the collation, and "C" lowers
/// ASCII alone; SQLite's does so always.
const SEARCH_TEXT: &str = "lower((coalesce(guest_first_name, '') || chr(10) || coalesce(guest_last_name, '') || \
     chr(10) || coalesce(guest_email, '') || chr(10) || coalesce(guest_phone, '') || chr(10) || \
     reservation_id || chr(10) || guest_id) COLLATE \"C\")";

/// A text of one line that occurs in all the lines together occurs in one of them.
fn search_sql(text: &str, bind: &mut Bind) -> String {
    let pattern = bind.push(format!("%{}%", escape_like(&text.to_ascii_lowercase())));
    if !bind.is_sqlite() && !text.contains('\n') {
        return format!("{SEARCH_TEXT} LIKE {pattern}");
    }
    let collate = if bind.is_sqlite() { "" } else { " COLLATE \"C\"" };
    let any: Vec<_> = SEARCHED
        .iter()
        .map(|column| format!("lower({column}{collate}) LIKE {pattern} ESCAPE '\\'"))
        .collect();
    format!("({})", any.join(" OR "))
}

fn escape_like(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

fn found_in(text: &str, row: &Reservation) -> bool {
    let text = text.to_ascii_lowercase();
    let guest = &row.guest;
    [&guest.first_name, &guest.last_name, &guest.email, &guest.phone]
        .into_iter()
        .flatten()
        .chain([&row.reservation_id, &row.guest_id])
        .any(|field| field.to_ascii_lowercase().contains(&text))
}
