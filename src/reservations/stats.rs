//! Figures over the reservations that match a filter.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sea_orm::DbErr;

use super::ReservationFilter;
use crate::db::{self, Bind, Db};

/// The figures of one set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Reservations by status, as it is in the table; others may write more than ours.
    pub by_status: BTreeMap<String, i64>,
    /// By currency: the sum of the totals, with two places, and of how many reservations.
    pub totals: BTreeMap<String, (Decimal, i64)>,
    /// Distinct guests, 0 unless they were to be counted.
    pub guests: i64,
}

/// Reads them in one statement, so that they are of one moment. Sums are of whole cents: SQLite keeps
/// amounts as REAL, and their sum would drift.
pub async fn read(db: &Db, filter: &ReservationFilter, count_guests: bool) -> Result<Stats, DbErr> {
    let mut bind = Bind::new(db.backend());
    let condition = filter.to_sql(&mut bind);
    let guests = if count_guests {
        format!("(SELECT COUNT(*) FROM (SELECT DISTINCT guest_id FROM reservations WHERE {condition}) AS d)")
    } else {
        "CAST(0 AS BIGINT)".to_owned()
    };
    let sql = format!(
        "SELECT status, currency, COUNT(*) AS n, \
         CAST(SUM(CAST(ROUND(total_amount * 100) AS BIGINT)) AS BIGINT) AS cents, {guests} AS guests \
         FROM reservations WHERE {condition} GROUP BY status, currency"
    );
    let mut stats = Stats::default();
    for row in db::query_all(db.pool(), sql, bind.into_values()).await? {
        let count: i64 = row.try_get("", "n")?;
        *stats.by_status.entry(row.try_get("", "status")?).or_default() += count;
        let (sum, of) = stats.totals.entry(row.try_get("", "currency")?).or_default();
        *sum += Decimal::new(row.try_get("", "cents")?, 2);
        *of += count;
        stats.guests = row.try_get("", "guests")?;
    }
    Ok(stats)
}
