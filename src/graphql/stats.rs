//! Figures over the reservations that match a filter, all from one statement.

use async_graphql::{Context, Result, SimpleObject};

use super::{
    errors, filter, paging,
    reservation::{Money, ReservationStatus},
    scalars::Decimal,
    services,
};
use crate::reservations::{
    Status,
    stats::{self, Stats},
};

/// How many reservations have one status.
#[derive(Clone, Copy, Debug, SimpleObject)]
pub struct ReservationStatusCount {
    /// The status.
    pub status: ReservationStatus,
    /// How many reservations have it.
    pub count: i32,
}

/// The sum of the totals in one currency.
#[derive(Clone, Debug, SimpleObject)]
pub struct CurrencyTotal {
    /// The sum.
    pub total: Money,
    /// How many reservations it is of.
    pub count: i32,
}

/// Figures over a filtered set.
#[derive(Clone, Debug, SimpleObject)]
pub struct ReservationStats {
    /// Reservations in all.
    pub count: i32,
    /// Distinct guests: how many messages a broadcast with the same filter would send.
    pub guest_count: i32,
    /// Reservations by status, every status once.
    pub by_status: Vec<ReservationStatusCount>,
    /// Totals by currency.
    pub totals: Vec<CurrencyTotal>,
}

impl ReservationStats {
    /// Reads them. Guests are counted only when the client asks: it costs more than all the rest.
    pub async fn read(ctx: &Context<'_>, filter: Option<filter::ReservationFilter>) -> Result<Self> {
        let filter = filter::checked(filter)?;
        let guests = ctx.look_ahead().field("guestCount").exists();
        let stats = stats::read(&services(ctx)?.db, &filter, guests).await;
        Ok(Self::from(stats.map_err(|error| errors::internal(&error))?))
    }
}

impl From<Stats> for ReservationStats {
    fn from(stats: Stats) -> Self {
        let by_status = Status::ALL.map(|status| ReservationStatusCount {
            status: status.into(),
            count: paging::int(stats.by_status.get(status.as_str()).copied().unwrap_or_default()),
        });
        let total = |(currency_code, (sum, count))| CurrencyTotal {
            total: Money { amount: Decimal(sum), currency_code },
            count: paging::int(count),
        };
        Self {
            count: paging::int(stats.by_status.values().sum()),
            guest_count: paging::int(stats.guests),
            by_status: by_status.to_vec(),
            totals: stats.totals.into_iter().map(total).collect(),
        }
    }
}
