//! A stand-in for the Guest API: the same calls, answers and limits, and faults on demand.
//!
//! [`GuestApi`] is the handle: tests script it, look at what arrived, and wait for it. `routes.rs` is its HTTP side.
//! Every change of the numbers is published, so nobody has to sleep and look again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::effect::Kind;
use super::faults::Faults;
use super::ledger::Ledger;
use super::limit::Limit;
use super::registry::Registry;
use super::report::{Delivered, Report, Seen};

/// How a stand-in Guest API behaves.
#[derive(Clone, Debug)]
pub struct GuestApiSettings {
    /// One limit over all calls; `None`: no limit. Default: 50/s with a burst of 10.
    pub limit: Option<Limit>,
    /// How long every answer takes, a refusal too. A message counts as delivered before that. Default: 20 ms.
    pub latency: Duration,
    /// Whether a message under a known `Idempotency-Key` is answered 200 and not delivered again. Default: false, as
    /// the API documents no such key.
    pub honours_key: bool,
    /// Whether guests are answered in snake_case. Default: false.
    pub snake_case: bool,
    /// How long after a first 429 further calls were on their way already, and no violation. Default: 50 ms.
    pub grace: Duration,
    /// How many calls, messages and keys are kept to look at. Default: 100,000 of each.
    pub history: usize,
}

impl Default for GuestApiSettings {
    fn default() -> Self {
        Self {
            limit: Some(Limit { per_second: 50.0, burst: 10 }),
            latency: Duration::from_millis(20),
            honours_key: false,
            snake_case: false,
            grace: Duration::from_millis(50),
            history: 100_000,
        }
    }
}

/// A stand-in Guest API. Clones are the same API.
#[derive(Clone, Debug)]
pub struct GuestApi {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: GuestApiSettings,
    faults: Faults,
    registry: Registry,
    ledger: Mutex<Ledger>,
    report: watch::Sender<Report>,
}

impl Default for GuestApi {
    fn default() -> Self {
        Self::new(GuestApiSettings::default())
    }
}

impl GuestApi {
    /// An API that nobody has called yet.
    #[must_use]
    pub fn new(settings: GuestApiSettings) -> Self {
        let ledger = Mutex::new(Ledger::new(&settings, Instant::now()));
        let (faults, registry) = (Faults::default(), Registry::default());
        Self {
            inner: Arc::new(Inner { settings, faults, registry, ledger, report: watch::Sender::default() }),
        }
    }

    /// Every route, for `axum::serve`; [`super::serve`] does that.
    pub fn router(&self) -> axum::Router {
        super::routes::router(self.clone())
    }

    /// How it behaves.
    #[must_use]
    pub fn settings(&self) -> &GuestApiSettings {
        &self.inner.settings
    }

    /// The script of faults.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// The list of webhook URLs, which a [`super::Source`] posts to.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// The webhook URLs as they are now.
    #[must_use]
    pub fn registered_urls(&self) -> Vec<String> {
        self.inner.registry.urls()
    }

    /// The messages that reached a guest, oldest first.
    #[must_use]
    pub fn delivered(&self) -> Vec<Delivered> {
        self.ledger().delivered.to_vec()
    }

    /// The calls that arrived, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.ledger().seen.to_vec()
    }

    /// The numbers as they are now.
    #[must_use]
    pub fn report(&self) -> Report {
        self.ledger().report
    }

    /// The numbers, and each change of them.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Report> {
        self.inner.report.subscribe()
    }

    /// Waits until the numbers are as wished: `wait_for(|report| report.in_flight == 0)`.
    pub async fn wait_for(&self, wished: impl FnMut(&Report) -> bool) -> Report {
        // The sender is in `self`: the only error, that it is gone, can't happen.
        self.watch().wait_for(wished).await.map_or_else(|_| self.report(), |report| *report)
    }

    /// Waits until so many messages have reached a guest.
    pub async fn wait_delivered(&self, count: usize) -> Report {
        self.wait_for(|report| report.delivered >= count).await
    }

    /// A call arrives: the visit, and how long to wait if it is over the limit.
    pub(super) fn arrive(&self, kind: Kind, path: String) -> (Visit, Option<Duration>) {
        let (number, wait) = self.change(|ledger, now| ledger.arrive(now, kind, path));
        (Visit { api: self.clone(), number }, wait)
    }

    /// A message is taken.
    pub(super) fn accept(&self, guest_id: String, message: String, key: Option<String>) {
        self.change(|ledger, now| ledger.accept(now, guest_id, message, key));
    }

    /// The one place that changes the ledger: published before the lock is given up, so in order.
    fn change<T>(&self, change: impl FnOnce(&mut Ledger, Instant) -> T) -> T {
        let mut ledger = self.ledger();
        let answer = change(&mut ledger, Instant::now());
        self.inner.report.send_replace(ledger.report);
        answer
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.inner.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way. It leaves when this is dropped, also when the caller hangs up.
#[derive(Debug)]
pub(super) struct Visit {
    api: GuestApi,
    number: usize,
}

impl Visit {
    /// The answer that goes out now.
    pub(super) fn answer(&self, status: u16, retry_after: Option<Duration>) {
        self.api.change(|ledger, now| ledger.answer(now, self.number, status, retry_after));
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.api.change(|ledger, _| ledger.leave());
    }
}
