//! Keeps our webhook URL registered with the provider, which drops it without notice, or off its list
//! when that was asked for.
//!
//! The row of the URL says what is wanted. The process that holds the lease reads the provider's list
//! and makes it so ([`keep`]); whoever is asked, in any process, leaves a numbered request in the row
//! and waits for its answer ([`Registration::ask`]). All processes of a database are to be given the
//! same URL. [`decide`] is pure, [`store`] is the SQL.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::client::PassedOn;
use crate::{access::Caller, clock::Clock, db::Db};

mod decide;
mod deliveries;
mod keeper;
mod store;

pub use deliveries::Deliveries;
pub use keeper::keep;

/// How long a request waits for its answer. It is carried out later all the same.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often who waits looks into the row; an answer of this process wakes at once.
const LOOK: Duration = Duration::from_millis(200);

/// The registration of this server's webhook URL; cheap to clone.
#[derive(Clone, Debug)]
pub struct Registration(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    clock: Clock,
    url: Option<String>,
    deliveries: Deliveries,
    /// Gaps that this process found.
    gaps_found: AtomicU64,
    /// A request was left in the row.
    asked: Notify,
    /// An answer was.
    answered: Notify,
    stopping: CancellationToken,
}

/// How the registration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The URL that events are sent to.
    pub url: String,
    /// Whether it is to be registered.
    pub is_wanted: bool,
    /// Whether the provider's list showed it at `checked_at`.
    pub is_registered: bool,
    /// When the list was last read.
    pub checked_at: Option<DateTime<Utc>>,
    /// When the last event came in.
    pub last_event_at: Option<DateTime<Utc>>,
}

/// A time in which events may have been missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last event before it, or the last time the URL was seen registered.
    pub from: DateTime<Utc>,
    /// When it was seen registered again.
    pub to: Option<DateTime<Utc>>,
}

/// Why a request has no answer of the provider.
#[derive(Debug, Error)]
pub enum AskError {
    /// There is no URL to register.
    #[error("PUBLIC_WEBHOOK_URL is not set")]
    NotConfigured,
    /// It could not be asked in time. The request stays and is carried out when it can be.
    #[error("the Guest API could not be asked in time; it is tried again")]
    NotYet,
    /// The opposite was asked for since.
    #[error("the opposite was asked for at the same time, and was done")]
    Overtaken,
    /// The provider did not answer.
    #[error("the Guest API did not answer: {0}")]
    Failed(String),
    /// The database is at fault.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// What came of the requests up to a number, as it is kept in the row.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    /// What was asked for.
    wanted: bool,
    /// What the provider said, or why it said nothing.
    result: Result<PassedOn, String>,
}

impl Registration {
    /// The registration of `url`; without one nothing is ever registered. Nobody waits for an answer
    /// after `stopping`.
    #[must_use]
    pub fn new(db: Db, clock: Clock, url: Option<String>, stopping: CancellationToken) -> Self {
        let (deliveries, asked, answered) = (Deliveries::default(), Notify::new(), Notify::new());
        let gaps_found = AtomicU64::new(0);
        Self(Arc::new(Inner { db, clock, url, deliveries, gaps_found, asked, answered, stopping }))
    }

    /// How our answers look to the provider.
    #[must_use]
    pub fn deliveries(&self) -> &Deliveries {
        &self.0.deliveries
    }

    /// The present instant, by the clock that events are stamped with.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    /// Whether there is a URL to be registered.
    #[must_use]
    pub fn has_url(&self) -> bool {
        self.0.url.is_some()
    }

    /// How it stands; `None` without a URL.
    pub async fn status(&self) -> Result<Option<Status>, DbErr> {
        let Some(url) = self.0.url.clone() else {
            return Ok(None);
        };
        let row = store::find(self.0.db.pool(), &url).await?;
        let here = self.0.deliveries.last_event_at();
        Ok(Some(match row {
            None => {
                Status { url, is_wanted: true, is_registered: false, checked_at: None, last_event_at: here }
            }
            Some(row) => Status {
                url,
                is_wanted: row.wanted,
                is_registered: row.is_registered,
                checked_at: row.checked_at,
                last_event_at: row.last_event_at.max(here),
            },
        }))
    }

    /// How many gaps this process found since it started.
    #[must_use]
    pub fn gaps_found(&self) -> u64 {
        self.0.gaps_found.load(Ordering::Relaxed)
    }

    fn found_gap(&self) {
        self.0.gaps_found.fetch_add(1, Ordering::Relaxed);
    }

    /// The latest gaps, newest first.
    pub async fn gaps(&self) -> Result<Vec<Gap>, DbErr> {
        let Some(url) = &self.0.url else {
            return Ok(Vec::new());
        };
        let rows = store::gaps(self.0.db.pool(), url).await?;
        Ok(rows.into_iter().map(|row| Gap { from: row.from_at, to: row.to_at }).collect())
    }

    /// Asks the holder of the lease to register the URL, or to take it off and keep it off; answers
    /// what the provider said. What is wanted is kept in any case.
    pub async fn ask(&self, wanted: bool, caller: &Caller) -> Result<PassedOn, AskError> {
        let inner = &self.0;
        let url = inner.url.as_deref().ok_or(AskError::NotConfigured)?;
        let number = store::request(&inner.db, url, wanted, caller, inner.clock.now()).await?;
        inner.asked.notify_one();
        let answer = tokio::select! {
            () = inner.stopping.cancelled() => return Err(AskError::NotYet),
            () = tokio::time::sleep(PATIENCE) => return Err(AskError::NotYet),
            answer = self.answer_to(url, number) => answer?,
        };
        if answer.wanted != wanted {
            return Err(AskError::Overtaken);
        }
        answer.result.map_err(AskError::Failed)
    }

    /// Waits until the row holds the answer to a request, or to a later one.
    async fn answer_to(&self, url: &str, number: i64) -> Result<Answer, DbErr> {
        loop {
            let answered = self.0.answered.notified();
            let row = store::find(self.0.db.pool(), url).await?.filter(|row| row.answered >= number);
            if let Some(json) = row.and_then(|row| row.answer) {
                return serde_json::from_str(&json)
                    .map_err(|error| DbErr::Type(format!("the answer in the row can't be read: {error}")));
            }
            let _ = tokio::time::timeout(LOOK, answered).await;
        }
    }
}
