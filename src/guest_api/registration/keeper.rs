//! The holder's loop: read the list, decide, ask the provider, note what came of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Answer, Registration,
    decide::{self, Action},
    store::{self, Row},
};
use crate::{
    db::Db,
    guest_api::{
        client::{GuestApi, Outcome, PassedOn},
        door::Door,
        lanes::Lane,
        lease::Held,
    },
};

/// How often the row is looked at for requests of other processes.
const POLL: Duration = Duration::from_secs(1);
/// How often the time of the last event is written down.
const FLUSH: Duration = Duration::from_secs(3);
/// How long to wait for a permit before what is wanted is looked at again.
const PERMIT: Duration = Duration::from_secs(5);

/// Keeps the provider's list as it is wanted, until cancelled. Calls are made by the process that
/// holds the lease; the others note when events come in.
pub async fn keep(
    registration: Registration,
    door: Door,
    lease: watch::Receiver<Option<Held>>,
    cancel: CancellationToken,
) {
    let Some(url) = registration.0.url.clone() else {
        return;
    };
    let now = Instant::now();
    let mut keeper = Keeper {
        registration,
        url,
        door,
        lease,
        next_check: now,
        flushed: None,
        next_flush: now,
        failures: 0,
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = keeper.work() => {}
    }
    keeper.next_flush = Instant::now();
    if let Err(error) = keeper.flush().await {
        tracing::warn!(%error, "the time of the last event was not written down");
    }
}

struct Keeper {
    registration: Registration,
    url: String,
    door: Door,
    lease: watch::Receiver<Option<Held>>,
    next_check: Instant,
    /// The time of the last event, as it was written down, and when that may be done again.
    flushed: Option<DateTime<Utc>>,
    next_flush: Instant,
    /// Rounds in a row that did not end as wanted.
    failures: u32,
}

/// Why a round did not end as wanted.
enum Fault {
    /// A call could not leave, or the provider says to wait.
    Later,
    /// It was not done, or nobody knows.
    Failed(String),
    /// The database is at fault.
    Database(DbErr),
}

impl From<DbErr> for Fault {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl Keeper {
    async fn work(&mut self) {
        loop {
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "the registration can't be looked after; trying again");
                self.next_check = Instant::now() + POLL;
            }
            let registration = self.registration.clone();
            let until = (Instant::now() + POLL).min(self.next_check);
            tokio::select! {
                () = registration.0.asked.notified() => {}
                _ = self.lease.changed() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// Looks at the row, and at the list when a check is due or somebody asks.
    async fn round(&mut self) -> Result<(), DbErr> {
        self.flush().await?;
        let held = *self.lease.borrow_and_update();
        let now = Instant::now();
        let Some(held) = held.filter(|held| now < held.until) else {
            // Whoever takes over looks at once.
            self.next_check = now + POLL;
            return Ok(());
        };
        let Some(row) = store::find(self.db().pool(), &self.url).await? else {
            return store::ensure(self.db(), &self.url, self.registration.now()).await;
        };
        let asked = row.requested > row.answered;
        if !asked && now < self.next_check {
            return Ok(());
        }
        let pause = match self.bring_about(&row, asked, held.epoch).await {
            Ok(()) => {
                self.failures = 0;
                decide::pause(0)
            }
            Err(Fault::Later) => POLL,
            Err(Fault::Failed(reason)) => {
                self.failed(&reason).await?;
                decide::pause(self.failures)
            }
            Err(Fault::Database(error)) => return Err(error),
        };
        self.next_check = Instant::now() + pause;
        Ok(())
    }

    /// Makes the list show what is wanted, and answers who asked for it.
    async fn bring_about(&self, row: &Row, asked: bool, epoch: i64) -> Result<(), Fault> {
        let listed = given(self.read_list(epoch).await)?;
        let action = decide::action(row.wanted, asked, listed.as_ref().ok().copied());
        if action == Action::Nothing {
            return listed.map(|_| ()).map_err(Fault::Failed);
        }
        let result = given(self.ask_provider(action).await)?;
        let outcome = match &result {
            Ok(answer) if action.is_done(answer.status) => self.confirm(row.wanted, epoch).await,
            Ok(answer) => Err(Fault::Failed(format!("answered {}", answer.status))),
            Err(reason) => Err(Fault::Failed(reason.clone())),
        };
        if asked {
            self.answer(row, epoch, result).await?;
        }
        outcome
    }

    /// Reads the list once more: only it says that the provider did as it answered.
    async fn confirm(&self, wanted: bool, epoch: i64) -> Result<(), Fault> {
        match self.read_list(epoch).await? {
            listed if listed == wanted => Ok(()),
            true => Err(Fault::Failed("lists the URL that it took off".to_owned())),
            false => Err(Fault::Failed("does not list the URL that it registered".to_owned())),
        }
    }

    /// Whether the list shows our URL; noted, and told when it was dropped.
    async fn read_list(&self, epoch: i64) -> Result<bool, Fault> {
        let urls = self.call(|api| async move { api.registered().await }).await?;
        let listed = urls.iter().any(|url| decide::is_same(url, &self.url));
        let seen = store::saw(self.db(), &self.url, epoch, listed, self.registration.now()).await?;
        if let Some(since) = seen.gap_since {
            self.registration.found_gap();
            tracing::warn!(url = %self.url, %since, "the Guest API dropped the webhook URL; events may have been missed");
        }
        if seen.appeared {
            tracing::info!(url = %self.url, "the webhook URL is registered with the Guest API");
        }
        Ok(listed)
    }

    async fn ask_provider(&self, action: Action) -> Result<PassedOn, Fault> {
        let url = self.url.clone();
        if action == Action::Register {
            self.call(|api| async move { api.register(&url).await }).await
        } else {
            self.call(|api| async move { api.unregister(&url).await }).await
        }
    }

    async fn call<T, F: Future<Output = Outcome<T>>>(
        &self,
        request: impl FnOnce(GuestApi) -> F,
    ) -> Result<T, Fault> {
        let Ok(permit) = tokio::time::timeout(PERMIT, self.door.enter(Lane::Registration)).await else {
            return Err(Fault::Later);
        };
        let outcome = request(self.door.api().clone()).await;
        permit.answered(&outcome);
        match outcome {
            Outcome::Done(answer) => Ok(answer),
            Outcome::Limited { .. } => Err(Fault::Later),
            Outcome::NotFound => Err(Fault::Failed("has no such route".to_owned())),
            Outcome::Refused { reason }
            | Outcome::Unauthorized { reason }
            | Outcome::Retry { reason, .. }
            | Outcome::Ambiguous { reason } => Err(Fault::Failed(reason)),
        }
    }

    async fn answer(&self, row: &Row, epoch: i64, result: Result<PassedOn, String>) -> Result<(), DbErr> {
        let answer = serde_json::to_string(&Answer { wanted: row.wanted, result })
            .map_err(|error| DbErr::Type(error.to_string()))?;
        store::answer(self.db(), &self.url, epoch, row.requested, &answer).await?;
        self.registration.0.answered.notify_waiters();
        Ok(())
    }

    /// Told once for a run of failures.
    async fn failed(&mut self, reason: &str) -> Result<(), DbErr> {
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            tracing::warn!(reason, "the webhook registration is not as wanted; trying again");
        }
        store::failed(self.db(), &self.url, reason, self.registration.now()).await
    }

    /// Writes down when the last event came to this process, if one came since.
    async fn flush(&mut self) -> Result<(), DbErr> {
        let (now, last) = (Instant::now(), self.registration.deliveries().last_event_at());
        let Some(at) = last.filter(|_| last != self.flushed && now >= self.next_flush) else {
            return Ok(());
        };
        store::arrived(self.db(), &self.url, at).await?;
        self.flushed = last;
        self.next_flush = now + FLUSH;
        Ok(())
    }

    fn db(&self) -> &Db {
        &self.registration.0.db
    }
}

/// Sets a refusal of the provider, which concerns who asked, apart from what ends the round.
fn given<T>(result: Result<T, Fault>) -> Result<Result<T, String>, Fault> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Fault::Failed(reason)) => Ok(Err(reason)),
        Err(fault) => Err(fault),
    }
}
