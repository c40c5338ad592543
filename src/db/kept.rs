//! Connections to PostgreSQL that are kept in hand between statements.
//!
//! A pool tests a connection whenever it lends it and whenever it gets it back, which is two more round
//! trips for every statement. Here a connection stays out of its pool for as long as nothing goes wrong
//! on it; one that lay idle is tested before it is lent again, and one that is dropped instead of kept is
//! closed.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use sea_orm::{
    DbErr, RuntimeErr, SqlxError,
    sqlx::{Connection as _, PgConnection, PgPool, Postgres, pool::PoolConnection},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::TRUSTED;
use crate::telemetry::metrics::PoolReading;

/// A pool whose connections are kept in hand; cheap to clone.
#[derive(Clone)]
pub struct KeptConnections {
    pool: PgPool,
    /// As many as the pool has connections. Waiting for a connection is waiting here: the pool is not
    /// told of one that is given back.
    lent: Arc<Semaphore>,
    opened: Arc<AtomicU64>,
    idle: Arc<Mutex<Vec<Idle>>>,
}

/// A connection that is not lent.
struct Idle {
    connection: PoolConnection<Postgres>,
    since: Instant,
}

/// A connection that is lent.
pub struct KeptConnection {
    connection: PoolConnection<Postgres>,
    _lent: OwnedSemaphorePermit,
}

impl fmt::Debug for KeptConnections {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("KeptConnections").field("lent", &self.lent).finish_non_exhaustive()
    }
}

impl KeptConnections {
    /// Takes over a pool of so many connections.
    pub(super) fn new(pool: PgPool, connections: u32) -> Self {
        let lent = Arc::new(Semaphore::new(usize::try_from(connections).unwrap_or(1)));
        Self { pool, lent, opened: Arc::default(), idle: Arc::default() }
    }

    /// Lends a connection; waits until there is one.
    pub async fn lend(&self) -> Result<KeptConnection, DbErr> {
        let lent = Arc::clone(&self.lent).acquire_owned().await;
        let lent = lent.map_err(|_| query_error(SqlxError::PoolClosed))?;
        let idle = self.idle().pop();
        let connection = match idle {
            Some(idle) => tested(idle).await,
            None => None,
        };
        let connection = match connection {
            Some(connection) => connection,
            None => self.open().await.map_err(query_error)?,
        };
        Ok(KeptConnection { connection, _lent: lent })
    }

    /// How many connections were opened so far.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Acquire)
    }

    async fn open(&self) -> Result<PoolConnection<Postgres>, SqlxError> {
        let mut connection = self.pool.acquire().await?;
        self.opened.fetch_add(1, Ordering::Release);
        // The pool would test it without a limit of time, and a silent one would keep its place.
        connection.close_on_drop();
        Ok(connection)
    }

    /// Keeps a connection on which all went well.
    pub fn keep(&self, lent: KeptConnection) {
        let KeptConnection { connection, _lent } = lent;
        self.idle().push(Idle { connection, since: Instant::now() });
    }

    /// Closes every connection; whoever waits for one is refused.
    pub(super) async fn close(&self) {
        self.lent.close();
        self.idle().clear();
        self.pool.close().await;
    }

    /// How the pool is used. What is kept in hand is idle here, though not to the pool.
    pub(super) fn reading(&self) -> PoolReading {
        let of_pool = super::reading("ingest", &self.pool);
        let kept = u32::try_from(self.idle().len()).unwrap_or(u32::MAX);
        PoolReading { idle: (of_pool.idle + kept).min(of_pool.open), ..of_pool }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        // Pushing and popping leave nothing half done.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection, if it is still there.
async fn tested(idle: Idle) -> Option<PoolConnection<Postgres>> {
    let Idle { mut connection, since } = idle;
    (since.elapsed() < TRUSTED || connection.ping().await.is_ok()).then_some(connection)
}

impl Deref for KeptConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for KeptConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// An error of the driver as that of a statement.
#[must_use]
pub fn query_error(error: SqlxError) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}
