//! The parts, built once: [`start`] spawns them, [`Running::stop`] drains them.

mod client;
mod database;
mod front;
mod intake;
pub mod retention;
mod stop;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use rand::Rng;
use sea_orm::DbBackend;
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{front::Front, intake::RunningIntake, retention::Kept};
use crate::{
    broadcast::{progress, sender::Sender},
    clock::Clock,
    config::Config,
    db::Db,
    feed::Hub,
    graphql::{self, Services, admission::Admission, document::Rules, live::Live},
    guest_api::{
        Door, GuestApi, lease,
        memory::Memory,
        registration::{self, Registration},
    },
    http::{self, HttpState},
    reservations::hydrate,
    vitals::Vitals,
};

pub use self::{client::http_client, database::open_database};

/// What the app takes from outside besides its configuration.
pub struct Outside {
    /// Tells the time.
    pub clock: Clock,
    /// For names and jitter.
    pub rng: Box<dyn Rng + Send + Sync>,
    /// For calls to the provider.
    pub http: reqwest::Client,
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    db: Db,
    hub: Hub,
    registration: Registration,
    shutdown_delay: Duration,
    leaving: CancellationToken,
    stopping: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
    intake: RunningIntake,
    sender: JoinHandle<()>,
    sender_cancel: CancellationToken,
    lease: JoinHandle<()>,
    lease_cancel: CancellationToken,
    background: TaskTracker,
    background_cancel: CancellationToken,
}

/// Builds and spawns everything. When this returns the server answers on `listener`: all of it, since this
/// waits for the database, and answers for it meanwhile.
pub async fn start(config: &Config, listener: TcpListener, outside: Outside) -> anyhow::Result<Running> {
    let running = start_unless(config, listener, outside, std::future::pending::<()>()).await?;
    running.context("stopped before it had started")
}

/// The same; when `stop` comes first, an orderly end and nothing that runs.
pub async fn start_unless(
    config: &Config,
    listener: TcpListener,
    outside: Outside,
    stop: impl Future,
) -> anyhow::Result<Option<Running>> {
    Front::new(config, listener, outside).await?.complete(stop).await
}

fn spawn_background(
    tracker: &TaskTracker,
    cancel: &CancellationToken,
    services: &Services,
    door: &Door,
    kept: Kept,
    lease: watch::Receiver<Option<lease::Held>>,
    vitals: &Vitals,
) {
    let (hub, feed, clock) = (&services.hub, services.hub.feed(), &services.clock);
    vitals.watch("feed", tracker.spawn(hub.clone().run(cancel.clone())).abort_handle());
    if services.db.backend() == DbBackend::Postgres {
        tracker.spawn(hub.clone().notify_others(cancel.clone()));
        tracker.spawn(hub.clone().listen_to_others(cancel.clone()));
    }
    let changed: Arc<Notify> = Arc::clone(&services.changed);
    let retention = retention::run(feed.clone(), clock.clone(), kept, lease.clone(), cancel.clone());
    vitals.watch("retention", tracker.spawn(retention).abort_handle());
    let progress = progress::run(feed.clone(), clock.clone(), changed, lease.clone(), cancel.clone());
    vitals.watch("progress", tracker.spawn(progress).abort_handle());
    let hydrate = hydrate::run(feed.clone(), door.clone(), clock.clone(), cancel.clone());
    vitals.watch("guests", tracker.spawn(hydrate).abort_handle());
    let registration = registration::keep(services.registration.clone(), door.clone(), lease, cancel.clone());
    let registration = tracker.spawn(registration);
    // Without a URL there is nothing to be kept, and its task ends.
    if services.registration.has_url() {
        vitals.watch("registration", registration.abort_handle());
    }
}

fn state(
    config: &Config,
    rules: Rules,
    services: Services,
    door: Door,
    front: &http::Front,
    stopping: CancellationToken,
) -> HttpState {
    let schema = graphql::schema(services.clone(), config.introspection);
    HttpState::new(http::Parts {
        live: Live::new(
            schema.clone(),
            Admission::new(rules, front.access.clone()),
            services.hub.clone(),
            front.metrics.deliveries().clone(),
            services.clock.clone(),
        ),
        access: front.access.clone(),
        sockets: front.sockets.clone(),
        door,
        schema,
        services,
        origins: config.cors_origins.clone(),
        stopping,
    })
}

impl Running {
    /// Puts the rest behind the front, and answers.
    fn new(front: Front, hub: Hub) -> Self {
        let Front { config, rules, outside, addr, db, intake, reception, stopping, server } = front;
        let (lease_state, lease) = watch::channel(None);
        let api = GuestApi::new(outside.http, config.guest_api_base_url.clone(), outside.clock.clone());
        let metrics = &reception.metrics;
        let requests = metrics.requests().clone();
        let door = Door::new(api, config.broadcast_concurrency, lease.clone(), requests);
        let memory = Memory::new(door.clone(), config.guest_api_base_url.clone(), outside.clock.clone());
        let services = Services {
            db: db.clone(),
            hub: hub.clone(),
            ingest: intake.ingest().clone(),
            clock: outside.clock.clone(),
            registration: reception.registration.clone(),
            woken: Arc::default(),
            changed: Arc::default(),
        };
        let sender = Sender {
            db: db.clone(),
            door: door.clone(),
            clock: outside.clock,
            rng: outside.rng,
            max_attempts: config.broadcast_max_attempts,
            woken: Arc::clone(&services.woken),
            changed: Arc::clone(&services.changed),
            lease: lease.clone(),
            messages: metrics.messages().clone(),
        };
        let (lease_cancel, background_cancel) = (CancellationToken::new(), CancellationToken::new());
        let (sender_cancel, background) = (CancellationToken::new(), TaskTracker::new());
        let lease_task =
            tokio::spawn(lease::keep(db.clone(), memory.clone(), lease_state, lease_cancel.clone()));
        background
            .spawn(background_cancel.clone().run_until_cancelled_owned(reception.metrics.clone().upkeep()));
        background.spawn(memory.keep(db.clone(), lease.clone(), background_cancel.clone()));
        let vitals = &reception.vitals;
        vitals.watch("lease", lease_task.abort_handle());
        spawn_background(&background, &background_cancel, &services, &door, config.kept, lease, vitals);
        let sender = tokio::spawn(sender.run(sender_cancel.clone()));
        vitals.watch("sender", sender.abort_handle());
        let intake = intake.run(hub.feed(), &reception.rejected, vitals);
        let registration = services.registration.clone();
        reception.complete(state(&config, rules, services, door, &reception, stopping.clone()));
        Self {
            addr,
            db,
            hub,
            registration,
            server: server.answer(addr),
            shutdown_delay: config.shutdown_delay,
            leaving: reception.leaving.clone(),
            stopping,
            intake,
            sender,
            sender_cancel,
            lease: lease_task,
            lease_cancel,
            background,
            background_cancel,
        }
    }

    /// Where the server listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The feed's reader.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The registration of our webhook URL.
    #[must_use]
    pub fn registration(&self) -> &Registration {
        &self.registration
    }
}

fn log_end(part: &str, result: Result<Option<std::io::Error>, tokio::task::JoinError>) {
    match result {
        Ok(None) => {}
        Ok(Some(error)) => tracing::error!(part, %error, "ended with an error"),
        Err(error) => tracing::error!(part, %error, "did not end well"),
    }
}
