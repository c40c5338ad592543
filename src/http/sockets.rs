//! Live connections: WebSockets and event streams. So many and no more, and a stop waits for their
//! farewells.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::answer::Refusal;

/// How long a client is asked to wait, in seconds.
const RETRY_AFTER: u16 = 5;
/// How long the client of a WebSocket may take to say farewell.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// How much may be live; from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Live connections (`MAX_SOCKETS`).
    pub sockets: usize,
    /// TCP connections, whatever is spoken on them (`MAX_CONNECTIONS`).
    pub connections: usize,
    /// Operations at once on one WebSocket (`MAX_SUBSCRIPTIONS_PER_SOCKET`).
    pub subscriptions: usize,
    /// Not configured; tests wait less.
    pub times: Times,
}

/// How long connections wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// For `connection_init`, before the socket is closed with 4408.
    pub init: Duration,
    /// Between signs of life: pings, comments, heartbeats.
    pub ping: Duration,
    /// For a connection to take something, before it is closed; a WebSocket with 1013.
    pub stalled: Duration,
    /// For the head of a request, from its first byte or from the beginning of the connection, before that is
    /// closed.
    pub head: Duration,
    /// Between two requests, before their connection is closed. Longer than balancers keep connections that they do
    /// not use (Cloudflare 15 minutes, Google 10, the others less): it is they who close, and none of them sends
    /// a webhook into a connection that was just closed here.
    pub idle: Duration,
}

impl Times {
    /// As documented.
    pub const SERVER: Self = Self {
        init: Duration::from_secs(10),
        ping: Duration::from_secs(12),
        stalled: Duration::from_secs(30),
        head: Duration::from_secs(10),
        idle: Duration::from_mins(16),
    };
}

/// The places there are; cheap to clone.
#[derive(Clone, Debug)]
pub struct Sockets {
    limits: Limits,
    free: Arc<Semaphore>,
    tracker: TaskTracker,
    open: Arc<[AtomicUsize; TRANSPORTS.len()]>,
}

/// A live connection has one for as long as it lives.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _token: TaskTrackerToken,
    open: Arc<[AtomicUsize; TRANSPORTS.len()]>,
    transport: Transport,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open[self.transport as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is spoken on a live connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// `graphql-transport-ws`
    WebSocket,
    /// `graphql-ws`
    LegacyWebSocket,
    /// GraphQL over `text/event-stream`
    Sse,
    /// GraphQL over `multipart/mixed`
    Multipart,
    /// `/api/events`
    Events,
}

/// Their names, in their order.
const TRANSPORTS: [&str; 5] = ["graphql-transport-ws", "graphql-ws", "sse", "multipart", "events"];

impl Sockets {
    /// All places free.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let free = Semaphore::new(limits.sockets.min(Semaphore::MAX_PERMITS));
        Self { limits, free: Arc::new(free), tracker: TaskTracker::new(), open: Arc::default() }
    }

    /// What was configured.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How long a connection may take nothing. WebSockets are told so before they are cut off.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.limits.times.stalled + FAREWELL
    }

    /// How many are live, by what is spoken on them.
    pub(super) fn open(&self) -> Vec<(&'static str, usize)> {
        TRANSPORTS.into_iter().zip(self.open.iter().map(|open| open.load(Ordering::Relaxed))).collect()
    }

    /// A place, or 503 when all are taken.
    pub(super) fn take(&self, transport: Transport) -> Result<Place, Refusal> {
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(|_| {
            let message =
                format!("MAX_SOCKETS: all {} places for live connections are taken", self.limits.sockets);
            Refusal::unavailable(message, RETRY_AFTER)
        })?;
        self.open[transport as usize].fetch_add(1, Ordering::Relaxed);
        let open = Arc::clone(&self.open);
        Ok(Place { _permit: permit, _token: self.tracker.token(), open, transport })
    }

    /// Waits until all have gone.
    pub async fn gone(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
