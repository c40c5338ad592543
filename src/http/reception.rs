//! The way in before the database is there: webhooks are taken, and it is said how things are. The routes behind it
//! come when there is a database, and until then their requests are answered 503.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{Connections, HttpState, Secrets, Sockets, answer::Refusal, graphql, metrics::Sampled};
use crate::{
    access::Access,
    clock::Clock,
    db::Db,
    guest_api::registration::Registration,
    reservations::{ingest::Ingest, rejected::Keeper},
    telemetry::Metrics,
    vitals::Vitals,
};

/// How long whoever comes too early is asked to wait, in seconds.
const RETRY_AFTER: u16 = 2;

/// What the routes need that answer with or without a database.
pub struct Front {
    /// The database, which may be away.
    pub db: Db,
    /// What events are stamped with.
    pub clock: Clock,
    /// The writer's queue.
    pub ingest: Ingest,
    /// Where webhooks go that can't be applied.
    pub rejected: Arc<Keeper>,
    /// Counts what webhooks are answered.
    pub registration: Registration,
    /// What is measured.
    pub metrics: Metrics,
    /// The tasks that must live.
    pub vitals: Vitals,
    /// Who may do what.
    pub access: Access,
    /// What webhooks must carry.
    pub secrets: Secrets,
    /// Places for connections.
    pub connections: Connections,
    /// Places for live connections.
    pub sockets: Sockets,
    /// Origins whose pages may call us.
    pub origins: Vec<String>,
    /// Cancelled when the server is about to stop: it is not ready any more, and goes on.
    pub leaving: CancellationToken,
    /// Cancelled when the server stops.
    pub stopping: CancellationToken,
}

/// The same, shared, and what is behind it; cheap to clone.
#[derive(Clone)]
pub struct Reception(Arc<Inner>);

struct Inner {
    front: Front,
    behind: OnceLock<Behind>,
    sampled: Sampled,
}

struct Behind {
    routes: Router,
    state: HttpState,
}

impl Deref for Reception {
    type Target = Front;

    fn deref(&self) -> &Front {
        &self.0.front
    }
}

impl Reception {
    /// With nothing behind it.
    #[must_use]
    pub fn new(front: Front) -> Self {
        Self(Arc::new(Inner { front, behind: OnceLock::new(), sampled: Sampled::default() }))
    }

    /// From now on the routes that need a database answer.
    pub fn complete(&self, state: HttpState) {
        self.0.behind.get_or_init(|| Behind { routes: super::behind(state.clone()), state });
    }

    /// Whether they do.
    pub(super) fn is_complete(&self) -> bool {
        self.0.behind.get().is_some()
    }

    /// What the database said when it was last asked for `/metrics`.
    pub(super) fn sampled(&self) -> &Sampled {
        &self.0.sampled
    }

    /// What is behind, once there is something.
    pub(super) fn state(&self) -> Option<&HttpState> {
        self.0.behind.get().map(|behind| &behind.state)
    }
}

/// Passes a request on to the routes behind.
pub(super) async fn pass_on(State(reception): State<Reception>, request: Request) -> Response {
    if let Some(behind) = reception.0.behind.get() {
        return behind.routes.clone().oneshot(request).await.into_response();
    }
    let refusal = Refusal::unavailable("the database has not been reached yet", RETRY_AFTER);
    // Each in the words of its clients.
    match request.uri().path() {
        "/graphql" => graphql::refuse(request.headers(), refusal),
        _ => refusal.into_response(),
    }
}
