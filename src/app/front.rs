//! What is there before the database is: the spool, and the routes that answer without one.
//!
//! With the database there, the server answers nothing before it answers everything. While the database is away,
//! or slow to get ready, webhooks are taken into the spool and the rest is answered 503, until it is there. What
//! no waiting mends, a wrong password for example, ends the start with an error; but not once events are taken.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use rand::RngExt as _;
use sea_orm::{DbBackend, DbErr};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{Outside, Running, database, intake::Intake, log_end, stop::DRAIN};
use crate::{
    access::Access,
    config::Config,
    db::{Db, Failure},
    feed::Hub,
    graphql::{self, document::Rules},
    guest_api::registration::Registration,
    http::{self, Connections, Reception, Secrets, Sockets},
    reservations::rejected::{Keeper, Limits},
    telemetry::Metrics,
    vitals::Vitals,
};

/// How long webhooks wait for the database to get ready; the source drops slow receivers.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait after a try that failed, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// A server without its database.
pub(super) struct Front {
    pub(super) config: Config,
    pub(super) rules: Rules,
    pub(super) outside: Outside,
    pub(super) addr: SocketAddr,
    pub(super) db: Db,
    pub(super) intake: Intake,
    pub(super) reception: Reception,
    pub(super) stopping: CancellationToken,
    pub(super) server: Server,
}

/// The task that answers, from when it is told to.
pub(super) struct Server {
    answers: watch::Sender<bool>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Front {
    /// Builds it; answers nothing yet.
    pub(super) async fn new(
        config: &Config,
        listener: TcpListener,
        outside: Outside,
    ) -> anyhow::Result<Self> {
        let addr = listener.local_addr()?;
        let db =
            Db::open(&config.database).await.context("DATABASE_URL, DB_*: the database can't be used")?;
        let (metrics, stopping) = (Metrics::new()?, CancellationToken::new());
        let access = Access::open(&config.access, &outside.http, &outside.clock).context("TOKENS_FILE")?;
        tokio::spawn(access.clone().keep(stopping.clone()));
        let vitals = Vitals::default();
        let intake = Intake::open(config, &outside.clock, &metrics, &vitals).await;
        let url = config.public_webhook_url.clone();
        let reception = Reception::new(http::Front {
            db: db.clone(),
            clock: outside.clock.clone(),
            ingest: intake.ingest().clone(),
            rejected: Arc::new(Keeper::new(db.clone(), Limits::SERVER)),
            registration: Registration::new(db.clone(), outside.clock.clone(), url, stopping.clone()),
            access,
            secrets: Secrets::new(&config.webhook_secrets).context("a webhook secret can't sign")?,
            connections: Connections::new(config.live.connections),
            sockets: Sockets::new(config.live),
            origins: config.cors_origins.clone(),
            metrics,
            vitals,
            leaving: CancellationToken::new(),
            stopping: stopping.clone(),
        });
        let server = Server::new(listener, reception.clone(), stopping.clone());
        let rules = Rules::new(&graphql::sdl(), config.introspection).context("the schema can't be read")?;
        let config = config.clone();
        Ok(Self { config, rules, outside, addr, db, intake, reception, stopping, server })
    }

    /// Waits for the database and builds the rest. `None`: `stop` came first, and all is stopped.
    pub(super) async fn complete(mut self, stop: impl Future) -> anyhow::Result<Option<Running>> {
        let reached = tokio::select! {
            reached = self.reach() => reached,
            _ = stop => {
                self.stop().await;
                return Ok(None);
            }
        };
        match reached {
            Ok(hub) => Ok(Some(Running::new(self, hub))),
            Err(error) => {
                self.stop().await;
                Err(error)
            }
        }
    }

    async fn reach(&mut self) -> anyhow::Result<Hub> {
        let epoch = self.outside.rng.random();
        let (mut pause, mut told) = (PAUSE.0, String::new());
        loop {
            let error = match self.attempt(epoch).await {
                Ok(hub) => return Ok(hub),
                Err(error) => error,
            };
            // A SQLite file is this process's own: nobody else brings it back.
            let passes = self.db.backend() == DbBackend::Postgres && Failure::passes(&error);
            if !passes && !self.server.answers() {
                return Err(error).context("DATABASE_URL, DB_*: the database can't be used");
            }
            // Each reason once; it is tried for as long as it takes.
            if error.to_string() != told {
                told = error.to_string();
                tracing::error!(%error, "DATABASE_URL, DB_*: the database can't be used yet; trying again");
            }
            self.serve_without_database();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn attempt(&self, epoch: i64) -> Result<Hub, DbErr> {
        let mut opening = std::pin::pin!(database::open_hub(self.db.clone(), epoch));
        if !self.server.answers()
            && let Ok(result) = tokio::time::timeout(PATIENCE, &mut opening).await
        {
            return result;
        }
        self.serve_without_database();
        opening.await
    }

    fn serve_without_database(&self) {
        if !self.server.answers() {
            self.intake.availability().lost();
            self.server.begin(self.addr);
        }
    }

    async fn stop(self) {
        self.stopping.cancel();
        log_end("server", self.server.task.await.map(Result::err));
        self.intake.stop().await;
    }
}

impl Server {
    fn new(listener: TcpListener, reception: Reception, stopping: CancellationToken) -> Self {
        let (answers, begin) = watch::channel(false);
        Self { answers, task: tokio::spawn(serve(listener, reception, begin, stopping)) }
    }

    fn answers(&self) -> bool {
        *self.answers.borrow()
    }

    fn begin(&self, addr: SocketAddr) {
        if !self.answers.send_replace(true) {
            tracing::info!(address = %addr, "listening");
        }
    }

    /// Answers from now on at the latest.
    pub(super) fn answer(self, addr: SocketAddr) -> JoinHandle<std::io::Result<()>> {
        self.begin(addr);
        self.task
    }
}

async fn serve(
    listener: TcpListener,
    reception: Reception,
    mut begin: watch::Receiver<bool>,
    stopping: CancellationToken,
) -> std::io::Result<()> {
    if !matches!(stopping.run_until_cancelled(begin.wait_for(|begin| *begin)).await, Some(Ok(_))) {
        return Ok(());
    }
    let sockets = reception.sockets.clone();
    let listener = http::Listener::new(listener, sockets.patience(), reception.connections.clone());
    // A WebSocket is no longer the server's.
    let end = async {
        http::serve(listener, http::router(reception), sockets.limits().times, stopping.clone()).await;
        sockets.gone().await;
    };
    tokio::select! {
        () = end => Ok(()),
        () = async { stopping.cancelled().await; tokio::time::sleep(DRAIN).await } => {
            tracing::warn!("connections that did not end in time are cut off");
            Ok(())
        }
    }
}
