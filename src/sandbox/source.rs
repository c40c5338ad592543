//! The webhook sender: posts events to whoever is registered, and watches how they answer.
//!
//! As strict as the real one: a delivery that fails is not repeated, and a URL that fails so many times in a row is
//! unregistered without notice. Only 200 within the timeout is a success. With nobody registered an event is lost;
//! only before the first one does the source wait. Nothing of an event is logged.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::join_all;
use futures::stream::{self, Stream, StreamExt};
use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::booking::{BookingSettings, events_iter};
use super::disorder::disorder;
use super::event::Event;
use super::registry::Registry;

/// How a source sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceSettings {
    /// What it makes up.
    pub booking: BookingSettings,
    /// Events a second once the opening (as many events as there are reservations) is through; `None`: as fast as they
    /// are answered. Default: 2.
    pub rate: Option<f64>,
    /// Events are shuffled among so many. Default: 6.
    pub shuffle_window: usize,
    /// The share of events that is sent again. Default: 0.1.
    pub repeat_share: f64,
    /// The most events under way at once; with 1 they arrive in the order they are sent. Default: 4.
    pub concurrency: usize,
    /// An answer later than this is a failure. Default: 5 s.
    pub timeout: Duration,
    /// So many failures in a row, and a URL is unregistered. Default: 7.
    pub max_failures: usize,
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self {
            booking: BookingSettings::default(),
            rate: Some(2.0),
            shuffle_window: 6,
            repeat_share: 0.1,
            concurrency: 4,
            timeout: Duration::from_secs(5),
            max_failures: 7,
        }
    }
}

/// What became of the events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events that were sent to somebody, or would have been.
    pub events: usize,
    /// Posts answered 200 in time.
    pub delivered: usize,
    /// Posts answered otherwise, late or not at all.
    pub failed: usize,
    /// Events for which nobody was registered.
    pub lost: usize,
    /// URLs thrown out, in that order.
    pub unregistered: Vec<String>,
}

/// A webhook sender.
pub struct Source {
    settings: SourceSettings,
    secret: String,
    client: Client,
    registry: Registry,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    summary: Summary,
    /// Failures in a row, by URL.
    failures: HashMap<String, usize>,
}

impl Source {
    /// A source that sends to the URLs of this registry: [`super::GuestApi::registry`], or [`Registry::fixed`].
    #[must_use]
    pub fn new(
        settings: SourceSettings,
        secret: impl Into<String>,
        client: Client,
        registry: Registry,
    ) -> Self {
        Self { settings, secret: secret.into(), client, registry, state: Mutex::default() }
    }

    /// Makes events up, disorders and sends them until told to stop.
    pub async fn run_live(
        &self,
        now: impl Fn() -> DateTime<Utc> + Send,
        mut rng: StdRng,
        cancel: &CancellationToken,
    ) -> Summary {
        let story = events_iter(self.settings.booking, StdRng::from_rng(&mut rng), now);
        self.run(disorder(story, self.settings.shuffle_window, self.settings.repeat_share, rng), cancel).await
    }

    /// Sends these events as they are, in this order, until there are no more or it is told to stop.
    pub async fn run(&self, events: impl IntoIterator<Item = Event>, cancel: &CancellationToken) -> Summary {
        let sending = async {
            self.registry.wait_for(|urls| !urls.is_empty()).await;
            self.paced(events)
                .for_each_concurrent(self.settings.concurrency.max(1), |event| self.send(event))
                .await;
        };
        cancel.run_until_cancelled(sending).await;
        self.summary()
    }

    /// What became of the events so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.state().summary.clone()
    }

    /// The opening at once, the rest at the rate of the settings.
    pub(super) fn paced(&self, events: impl IntoIterator<Item = Event>) -> impl Stream<Item = Event> {
        let (opening, period) = (self.settings.booking.reservations, self.settings.rate.map(period));
        let start = (events.into_iter().enumerate(), None);
        stream::unfold(start, move |(mut events, mut ticks)| async move {
            let (number, event) = events.next()?;
            if let Some(period) = period.filter(|_| number >= opening) {
                ticks.get_or_insert_with(|| interval(period)).tick().await;
            }
            Some((event, (events, ticks)))
        })
    }

    /// One event to everybody who is registered now.
    async fn send(&self, event: Event) {
        let urls = self.registry.urls();
        {
            let mut state = self.state();
            state.summary.events += 1;
            state.summary.lost += usize::from(urls.is_empty());
        }
        if urls.is_empty() {
            // An endless story told to nobody has nothing else to wait for, and must still hear that it is to stop.
            return tokio::task::yield_now().await;
        }
        match serde_json::to_string(&event) {
            Ok(body) => {
                join_all(urls.iter().map(|url| self.post(url, body.clone()))).await;
            }
            Err(error) => tracing::error!(%error, "an event could not be written as JSON"),
        }
    }

    async fn post(&self, url: &str, body: String) {
        let request = self
            .client
            .post(url)
            .timeout(self.settings.timeout)
            .header(CONTENT_TYPE, "application/json")
            .header("X-Webhook-Secret", &self.secret)
            .body(body);
        match request.send().await {
            Ok(response) if response.status() == StatusCode::OK => {
                let mut state = self.state();
                state.summary.delivered += 1;
                state.failures.remove(url);
            }
            Ok(response) => {
                tracing::debug!(status = response.status().as_u16(), "a webhook was not taken");
                self.failed(url);
            }
            Err(error) => {
                tracing::debug!(error = %error.without_url(), "a webhook got no answer");
                self.failed(url);
            }
        }
    }

    fn failed(&self, url: &str) {
        let mut state = self.state();
        state.summary.failed += 1;
        if !self.registry.contains(url) {
            return;
        }
        let failures = state.failures.entry(url.to_owned()).or_default();
        *failures += 1;
        if *failures >= self.settings.max_failures {
            tracing::warn!(failures = *failures, "a webhook URL failed too often and is unregistered");
            state.failures.remove(url);
            if self.registry.unregister(url) {
                state.summary.unregistered.push(url.to_owned());
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time between two events at this rate.
fn period(rate: f64) -> Duration {
    let day = Duration::from_hours(24);
    Duration::try_from_secs_f64(1.0 / rate).unwrap_or(day).clamp(Duration::from_micros(1), day)
}
