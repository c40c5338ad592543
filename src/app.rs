//! The parts, built once: [`start`] spawns them, [`Running::stop`] drains them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use migration::MigratorTrait as _;
use rand::{Rng, RngExt as _};
use sea_orm::DbBackend;
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    broadcast::{progress, sender::Sender},
    clock::Clock,
    config::Config,
    db::{self, Db},
    feed::{Feed, Hub},
    graphql::{self, Services, live::Live},
    guest_api::{
        Door, GuestApi, lease,
        memory::Memory,
        registration::{self, Registration},
    },
    http::{self, HttpState, Secrets, Sockets},
    reservations::{
        Availability,
        drain::Drain,
        hydrate,
        ingest::{self, Ingest},
        rejected::{Keeper, Limits},
        spool::{Spool, SpoolWriter},
    },
    telemetry::Metrics,
};

/// How long requests may take to end once the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// One migration at a time among the processes of a database ("migrate" in ASCII).
const MIGRATION_LOCK: i64 = 0x6d_6967_7261_7465;

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
    stopping: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
    intake: Intake,
    sender: JoinHandle<()>,
    sender_cancel: CancellationToken,
    lease: JoinHandle<()>,
    lease_cancel: CancellationToken,
    background: TaskTracker,
    background_cancel: CancellationToken,
}

/// What takes events in behind [`Ingest`].
#[derive(Debug)]
struct Intake {
    writers: Vec<JoinHandle<()>>,
    writer_cancel: CancellationToken,
    drain: JoinHandle<()>,
    drain_cancel: CancellationToken,
    spool: SpoolWriter,
    availability: Availability,
}

impl Intake {
    async fn start(
        config: &Config,
        feed: &Feed,
        clock: &Clock,
        rejected: &Arc<Keeper>,
        metrics: &Metrics,
    ) -> (Ingest, Self) {
        let (spool, spool_writer) = Spool::start(config.spool_path.clone(), config.spool_max_bytes).await;
        let (availability, clock) = (Availability::default(), clock.clone());
        let drain = Drain::new(
            spool.clone(),
            availability.clone(),
            Arc::clone(rejected),
            feed.clone(),
            clock.clone(),
        );
        let (ingest, writers) =
            ingest::new(feed.clone(), clock, spool, availability.clone(), metrics.clone());
        let (writer_cancel, drain_cancel) = (CancellationToken::new(), CancellationToken::new());
        let intake = Self {
            writers: writers
                .into_iter()
                .map(|writer| tokio::spawn(writer.run(writer_cancel.clone())))
                .collect(),
            writer_cancel,
            drain: tokio::spawn(drain.run(drain_cancel.clone())),
            drain_cancel,
            spool: spool_writer,
            availability,
        };
        (ingest, intake)
    }

    /// What was accepted is written, or kept in the spool for the next start.
    async fn stop(self) {
        self.writer_cancel.cancel();
        for writer in self.writers {
            log_end("writer", writer.await.map(|()| None));
        }
        self.drain_cancel.cancel();
        log_end("drain", self.drain.await.map(|()| None));
        log_end("spool", self.spool.stop().await.map(|()| None));
    }
}

/// An HTTP client as the app uses it: no redirects, which would turn a POST into a GET.
pub fn http_client() -> anyhow::Result<reqwest::Client> {
    // Fails when a provider is installed already, which then is the one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .build()
        .context("the HTTP client can't be made")
}

/// Connects and applies the migrations.
pub async fn open_database(config: &Config) -> anyhow::Result<Db> {
    let db =
        Db::connect(&config.database).await.context("DATABASE_URL, DB_*: the database can't be reached")?;
    migrate(&db).await.context("the migrations can't be applied")?;
    Ok(db)
}

async fn migrate(db: &Db) -> Result<(), sea_orm::DbErr> {
    let lock = db.begin_write().await?;
    if db.backend() == DbBackend::Postgres {
        // The migrations run on other connections, and may take longer than a transaction may stand still.
        db::execute(lock.conn(), "SET LOCAL idle_in_transaction_session_timeout = 0", []).await?;
        db::execute(lock.conn(), "SELECT pg_advisory_xact_lock($1)", [MIGRATION_LOCK.into()]).await?;
        migration::Migrator::up(db.pool(), None).await?;
        return lock.commit().await;
    }
    // One process has the file; the transaction would only be in the migrations' way.
    drop(lock);
    migration::Migrator::up(db.pool(), None).await
}

/// Builds and spawns everything. The server answers on `listener` when this returns.
pub async fn start(config: &Config, listener: TcpListener, mut outside: Outside) -> anyhow::Result<Running> {
    let addr = listener.local_addr()?;
    let db = open_database(config).await?;
    let feed = Feed::open(db.clone(), outside.rng.random()).await?;
    let hub = Hub::open(feed.clone()).await?;
    let (metrics, rejected) = (Metrics::new()?, Arc::new(Keeper::new(db.clone(), Limits::SERVER)));
    let (ingest, intake) = Intake::start(config, &feed, &outside.clock, &rejected, &metrics).await;
    let (lease_state, lease) = watch::channel(None);
    let api = GuestApi::new(outside.http, config.guest_api_base_url.clone(), outside.clock.clone());
    let door = Door::new(api, config.broadcast_concurrency, lease.clone());
    let memory = Memory::new(door.clone(), config.guest_api_base_url.clone(), outside.clock.clone());
    let (stopping, sender_cancel) = (CancellationToken::new(), CancellationToken::new());
    let url = config.public_webhook_url.clone();
    let registration = Registration::new(db.clone(), outside.clock.clone(), url, stopping.clone());
    let services = Services {
        db: db.clone(),
        hub: hub.clone(),
        ingest,
        clock: outside.clock.clone(),
        registration: registration.clone(),
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
    };
    let (lease_cancel, background_cancel) = (CancellationToken::new(), CancellationToken::new());
    let lease_task = tokio::spawn(lease::keep(db.clone(), memory.clone(), lease_state, lease_cancel.clone()));
    let background = TaskTracker::new();
    background.spawn(background_cancel.clone().run_until_cancelled_owned(metrics.clone().upkeep()));
    background.spawn(memory.keep(db.clone(), lease.clone(), background_cancel.clone()));
    spawn_background(&background, &background_cancel, &services, &door, lease);
    let state = state(config, services, (rejected, metrics), stopping.clone())?;
    Ok(Running {
        addr,
        db,
        hub,
        registration,
        server: serve(listener, state, stopping.clone()),
        stopping,
        intake,
        sender: tokio::spawn(sender.run(sender_cancel.clone())),
        sender_cancel,
        lease: lease_task,
        lease_cancel,
        background,
        background_cancel,
    })
}

fn spawn_background(
    tracker: &TaskTracker,
    cancel: &CancellationToken,
    services: &Services,
    door: &Door,
    lease: watch::Receiver<Option<lease::Held>>,
) {
    let (hub, feed, clock) = (&services.hub, services.hub.feed(), &services.clock);
    tracker.spawn(hub.clone().run(cancel.clone()));
    if services.db.backend() == DbBackend::Postgres {
        tracker.spawn(hub.clone().notify_others(cancel.clone()));
        tracker.spawn(hub.clone().listen_to_others(cancel.clone()));
    }
    let changed: Arc<Notify> = Arc::clone(&services.changed);
    tracker.spawn(progress::run(feed.clone(), clock.clone(), changed, lease.clone(), cancel.clone()));
    tracker.spawn(hydrate::run(feed.clone(), door.clone(), clock.clone(), cancel.clone()));
    tracker.spawn(registration::keep(services.registration.clone(), door.clone(), lease, cancel.clone()));
}

fn state(
    config: &Config,
    services: Services,
    (rejected, metrics): (Arc<Keeper>, Metrics),
    stopping: CancellationToken,
) -> anyhow::Result<HttpState> {
    let secrets = Secrets::new(&config.webhook_secrets).context("a webhook secret can't sign")?;
    let schema = graphql::schema(services.clone());
    Ok(HttpState::new(http::Parts {
        live: Live::new(schema.clone(), services.hub.clone()),
        sockets: Sockets::new(config.live),
        schema,
        ingest: services.ingest.clone(),
        rejected,
        services,
        metrics,
        secrets,
        origins: config.cors_origins.clone(),
        stopping,
    }))
}

fn serve(
    listener: TcpListener,
    state: HttpState,
    stopping: CancellationToken,
) -> JoinHandle<std::io::Result<()>> {
    tokio::spawn(async move {
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            // Answers and events are small and must not wait for more.
            let _ = stream.set_nodelay(true);
        });
        let sockets = state.sockets.clone();
        let server = axum::serve(listener, http::router(state))
            .with_graceful_shutdown(stopping.clone().cancelled_owned());
        // A WebSocket is no longer the server's.
        let end = async {
            let result = std::future::IntoFuture::into_future(server).await;
            sockets.gone().await;
            result
        };
        tokio::select! {
            result = end => result,
            () = async { stopping.cancelled().await; tokio::time::sleep(DRAIN).await } => {
                tracing::warn!("connections that did not end in time are cut off");
                Ok(())
            }
        }
    })
}

impl Running {
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

    /// Stops from the top down: no new requests, what was accepted is written or spooled, messages under
    /// way get their results, and the lease is given back.
    pub async fn stop(self) {
        self.stopping.cancel();
        log_end("server", self.server.await.map(Result::err));
        if self.intake.availability.is_away() {
            tokio::spawn(give_up(self.db.clone()));
        }
        self.intake.stop().await;
        self.sender_cancel.cancel();
        log_end("sender", self.sender.await.map(|()| None));
        self.background_cancel.cancel();
        self.background.close();
        self.background.wait().await;
        // Last: until here somebody could still be calling the provider.
        self.lease_cancel.cancel();
        log_end("lease", self.lease.await.map(|()| None));
        if let Err(error) = self.db.close().await {
            tracing::warn!(%error, "the database connections were not closed");
        }
    }
}

/// While the database is away, the parts would wait for a connection one after the other, and in vain.
async fn give_up(db: Db) {
    tokio::time::sleep(DRAIN).await;
    if let Err(error) = db.close().await {
        tracing::debug!(%error, "the database connections were not closed");
    }
}

fn log_end(part: &str, result: Result<Option<std::io::Error>, tokio::task::JoinError>) {
    match result {
        Ok(None) => {}
        Ok(Some(error)) => tracing::error!(part, %error, "ended with an error"),
        Err(error) => tracing::error!(part, %error, "did not end well"),
    }
}
