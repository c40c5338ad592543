//! What is read when somebody asks, instead of being counted as it happens.

use ::metrics::{counter, gauge};

use super::names;

/// Everything that is read.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a gauge of its own")]
pub struct Readings {
    /// The release.
    pub version: &'static str,
    /// `postgres` or `sqlite`.
    pub database: &'static str,
    /// Whether `/healthz` would answer 200.
    pub is_alive: bool,
    /// Whether `/readyz` would answer 200.
    pub is_ready: bool,
    /// Whether the database answered.
    pub is_database_up: bool,
    /// Events that wait for the writer.
    pub queued: usize,
    /// Webhooks that wait in the spool.
    pub spool_waiting: u64,
    /// Whether the database is away or events wait.
    pub spool_in_use: bool,
    /// Bytes in the spool, and how many there may be.
    pub spool_bytes: (u64, u64),
    /// Webhooks the spool did not keep.
    pub spool_refused: u64,
    /// Damaged spool files that this process set aside.
    pub spool_set_aside: u64,
    /// Webhooks answered otherwise than 200 since the last 200.
    pub failures_in_a_row: u32,
    /// When the last webhook with a right secret came, in seconds since 1970.
    pub last_webhook: f64,
    /// The newest position of the log, and the newest that this process has read.
    pub heads: (i64, i64),
    /// Executions of subscriptions that run.
    pub executions: usize,
    /// GraphQL operations that are watched.
    pub watchers: usize,
    /// TCP connections, and how many there may be.
    pub connections: (usize, usize),
    /// How many there were too many.
    pub connections_refused: u64,
    /// WebSockets and event streams, by transport.
    pub sockets: Vec<(&'static str, usize)>,
    /// How many there may be.
    pub sockets_max: usize,
    /// The way to the Guest API.
    pub door: DoorReading,
    /// Broadcasts that are not done.
    pub broadcasts: Vec<BroadcastReading>,
    /// The registration of the webhook URL.
    pub registration: RegistrationReading,
    /// The pools of connections.
    pub pools: Vec<PoolReading>,
    /// How long it took to get a connection, in seconds.
    pub acquire: f64,
}

/// What the pacer is at.
#[derive(Clone, Copy, Debug, Default)]
pub struct DoorReading {
    /// Whether this process calls the Guest API.
    pub is_held: bool,
    /// Requests a second that may leave.
    pub rate: f64,
    /// Requests a second that the provider is believed to take.
    pub estimate: Option<f64>,
    /// Seconds in which nothing may be sent.
    pub gate: f64,
    /// Requests under way.
    pub in_flight: u32,
}

/// The broadcasts of a status.
#[derive(Clone, Copy, Debug)]
pub struct BroadcastReading {
    /// The status.
    pub status: &'static str,
    /// How many.
    pub broadcasts: i64,
    /// Their messages without a result.
    pub messages: i64,
}

/// How the registration stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegistrationReading {
    /// There is a URL, and it is to be registered.
    pub is_wanted: bool,
    /// The list showed it.
    pub is_registered: bool,
    /// When the list was last read, in seconds since 1970.
    pub checked_at: f64,
    /// Times this process found that the provider had dropped our webhook URL.
    pub gaps: u64,
}

/// How a pool is used.
#[derive(Clone, Copy, Debug)]
pub struct PoolReading {
    /// Which one.
    pub pool: &'static str,
    /// Connections that are open.
    pub open: u32,
    /// Those of them that nobody uses.
    pub idle: u32,
    /// Connections there may be.
    pub max: u32,
}

impl Readings {
    /// Sets all of them in the recorder that is in force.
    pub(super) fn set(&self) {
        gauge!(names::BUILD, "version" => self.version, "database" => self.database).set(1);
        gauge!(names::ALIVE).set(u8::from(self.is_alive));
        gauge!(names::READY).set(u8::from(self.is_ready));
        gauge!(names::DATABASE_UP).set(u8::from(self.is_database_up));
        self.set_intake();
        self.set_feed();
        self.set_outgoing();
        for pool in &self.pools {
            gauge!(names::POOL_OPEN, "pool" => pool.pool, "state" => "idle").set(pool.idle);
            let used = pool.open.saturating_sub(pool.idle);
            gauge!(names::POOL_OPEN, "pool" => pool.pool, "state" => "used").set(used);
            gauge!(names::POOL_MAX, "pool" => pool.pool).set(pool.max);
        }
        gauge!(names::ACQUIRE).set(self.acquire);
    }

    fn set_intake(&self) {
        gauge!(names::FAILURES).set(self.failures_in_a_row);
        gauge!(names::LAST_WEBHOOK).set(self.last_webhook);
        gauge!(names::QUEUED).set(number(self.queued));
        gauge!(names::SPOOL_IN_USE).set(u8::from(self.spool_in_use));
        gauge!(names::SPOOL_WAITING).set(number(self.spool_waiting));
        gauge!(names::SPOOL_BYTES).set(number(self.spool_bytes.0));
        gauge!(names::SPOOL_MAX).set(number(self.spool_bytes.1));
        counter!(names::SPOOL_REFUSED).absolute(self.spool_refused);
        counter!(names::SPOOL_SET_ASIDE).absolute(self.spool_set_aside);
    }

    fn set_feed(&self) {
        let (log, hub) = self.heads;
        gauge!(names::LOG_HEAD).set(number(log));
        gauge!(names::HUB_HEAD).set(number(hub));
        gauge!(names::LAG).set(number(log.saturating_sub(hub).max(0)));
        gauge!(names::EXECUTIONS).set(number(self.executions));
        gauge!(names::WATCHERS).set(number(self.watchers));
        for (transport, open) in &self.sockets {
            gauge!(names::SOCKETS, "transport" => *transport).set(number(*open));
        }
        gauge!(names::SOCKETS_MAX).set(number(self.sockets_max));
        gauge!(names::CONNECTIONS).set(number(self.connections.0));
        gauge!(names::CONNECTIONS_MAX).set(number(self.connections.1));
        counter!(names::CONNECTIONS_REFUSED).absolute(self.connections_refused);
    }

    fn set_outgoing(&self) {
        gauge!(names::LEASE).set(u8::from(self.door.is_held));
        gauge!(names::RATE).set(self.door.rate);
        gauge!(names::ESTIMATE).set(self.door.estimate.unwrap_or_default());
        gauge!(names::GATE).set(self.door.gate);
        gauge!(names::IN_FLIGHT).set(self.door.in_flight);
        for reading in &self.broadcasts {
            gauge!(names::BROADCASTS, "status" => reading.status).set(number(reading.broadcasts));
            gauge!(names::QUEUE, "status" => reading.status).set(number(reading.messages));
        }
        gauge!(names::REGISTRATION_WANTED).set(u8::from(self.registration.is_wanted));
        gauge!(names::REGISTERED).set(u8::from(self.registration.is_registered));
        gauge!(names::CHECKED).set(self.registration.checked_at);
        counter!(names::GAPS).absolute(self.registration.gaps);
    }

    #[cfg(test)]
    pub(super) fn example() -> Self {
        Self {
            sockets: vec![("sse", 1)],
            broadcasts: vec![BroadcastReading { status: "sending", broadcasts: 1, messages: 2 }],
            pools: vec![PoolReading { pool: "main", open: 2, idle: 1, max: 20 }],
            ..Self::default()
        }
    }
}

/// Prometheus has no other numbers.
#[expect(clippy::cast_precision_loss, reason = "from 2^53 on, what is told is rounded")]
fn number(value: impl TryInto<i64>) -> f64 {
    value.try_into().unwrap_or(i64::MAX) as f64
}
