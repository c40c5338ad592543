//! What the pacer learned, kept for the next process that calls the provider.
//!
//! It is read in the transaction that takes the lease, so nobody sends before it is known, and written
//! with the lease's epoch, so a former holder changes nothing. A rate counts for a day, and for the
//! provider it was learned of; a wait that the provider asked for counts until it is over.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    door::{Door, Knowledge},
    lease::Held,
    pacer::Learned,
};
use crate::{
    clock::Clock,
    db::{self, Bind, Db},
};

/// How long a rate is believed.
const LIFE: TimeDelta = TimeDelta::hours(24);
/// How often what changed is written. A gate that closes is written at once.
const EVERY: Duration = Duration::from_secs(5);
/// The least time between two writes.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a rate that stays the same is confirmed, while it is used.
const CONFIRM: TimeDelta = TimeDelta::hours(1);

/// Keeps and brings back what a door knows; cheap to clone.
#[derive(Clone, Debug)]
pub struct Memory {
    door: Door,
    /// The provider: another one has other limits.
    provider: String,
    clock: Clock,
}

/// What was written last.
#[derive(Debug, Default)]
struct Written {
    learned: Option<Learned>,
    at: Option<DateTime<Utc>>,
    /// Requests made until then.
    requests: u32,
}

impl Memory {
    /// The memory of this door to this provider.
    #[must_use]
    pub fn new(door: Door, provider: String, clock: Clock) -> Self {
        Self { door, provider, clock }
    }

    /// Tells the door what an earlier process knew.
    pub(super) async fn recall(&self, conn: &impl ConnectionTrait) -> Result<(), DbErr> {
        let sql = "SELECT rate, ceiling, learned_at, closed_until FROM pacer_state WHERE provider = $1";
        let Some(row) = db::query_one(conn, sql, [self.provider.as_str().into()]).await? else {
            return Ok(());
        };
        let (rate, ceiling): (Option<f64>, Option<f64>) =
            (row.try_get("", "rate")?, row.try_get("", "ceiling")?);
        let learned_at: Option<DateTime<Utc>> = row.try_get("", "learned_at")?;
        let closed_until: Option<DateTime<Utc>> = row.try_get("", "closed_until")?;
        let now = self.clock.now();
        let fresh = learned_at.is_some_and(|at| now - at < LIFE);
        let learned = rate.filter(|_| fresh).map(|rate| Learned { rate, ceiling });
        let shut = closed_until.and_then(|until| (until - now).to_std().ok()).unwrap_or_default();
        if learned.is_some() || !shut.is_zero() {
            tracing::info!(?rate, ?ceiling, ?shut, "the limit of the Guest API is remembered");
        }
        self.door.remember(Knowledge { learned, shut });
        Ok(())
    }

    /// Writes down what changes, until cancelled; then once more.
    pub async fn keep(self, db: Db, lease: watch::Receiver<Option<Held>>, cancel: CancellationToken) {
        let mut written = Written::default();
        loop {
            // Asked before the last write, so that nothing comes after it.
            let end = cancel.is_cancelled();
            let held = *lease.borrow();
            if let Some(held) = held
                && let Err(error) = self.write(&db, held.epoch, &mut written).await
            {
                tracing::warn!(%error, "what was learned of the Guest API's limit can't be written down");
            }
            if end {
                return;
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = async { tokio::time::sleep(PAUSE).await; self.door.closed().await } => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn write(&self, db: &Db, epoch: i64, written: &mut Written) -> Result<(), DbErr> {
        let Knowledge { learned, shut } = self.door.knowledge();
        let (now, requests) = (self.clock.now(), self.door.requests());
        let old = written.at.is_none_or(|at| now - at >= CONFIRM) && requests != written.requests;
        if written.learned == learned && !old && shut.is_zero() {
            return Ok(());
        }
        let closed_until = (!shut.is_zero()).then(|| now + TimeDelta::from_std(shut).unwrap_or(LIFE));
        let mut bind = Bind::new(db.backend());
        let (provider, epoch) = (bind.push(self.provider.as_str()), bind.push(epoch));
        let values = [
            bind.push(learned.map(|learned| learned.rate)),
            bind.push(learned.and_then(|learned| learned.ceiling)),
            bind.push_instant(learned.map(|_| now)),
            bind.push_instant(closed_until),
        ];
        let sql = format!(
            "INSERT INTO pacer_state (provider, rate, ceiling, learned_at, closed_until) \
             SELECT {provider}, {} FROM sender_lease WHERE id = 1 AND epoch = {epoch} \
             ON CONFLICT (provider) DO UPDATE SET rate = COALESCE(excluded.rate, pacer_state.rate), \
             ceiling = CASE WHEN excluded.rate IS NULL THEN pacer_state.ceiling ELSE excluded.ceiling END, \
             learned_at = COALESCE(excluded.learned_at, pacer_state.learned_at), \
             closed_until = excluded.closed_until",
            values.join(", ")
        );
        let tx = db.begin_write().await?;
        db::execute(tx.conn(), sql, bind.into_values()).await?;
        tx.commit().await?;
        *written = Written { learned, at: Some(now), requests };
        Ok(())
    }
}
