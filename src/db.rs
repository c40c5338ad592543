//! The database: one type for PostgreSQL and SQLite, and the few values they write differently.
//!
//! Stores write their SQL once, with `$1` placeholders, which both databases take. What differs is
//! here: how an instant is bound, how a write transaction begins, and who may hold one.

mod failure;
mod kept;

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, RuntimeErr, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value,
    sqlx::{
        Connection as _, Database, PgConnection, Pool,
        postgres::PgConnectOptions,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::Instant,
};

pub use failure::Failure;
pub use kept::{KeptConnection, KeptConnections, query_error};

use crate::telemetry::metrics::PoolReading;

/// How long a transaction of ours may stand still. A process that is frozen in the middle of one, or cut off
/// from the network, would keep its locks, and with them everybody else, until it is back.
const IDLE_IN_TRANSACTION: &str = "5s";

/// How long a connection may lie idle before it is tested: the server may have been restarted meanwhile.
const TRUSTED: Duration = Duration::from_secs(1);

/// How long PostgreSQL may take to let somebody in.
const CONNECT: Duration = Duration::from_secs(5);

/// Where the database is and how many connections may be open.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// `postgres://...` or `sqlite://...`; may hold a password.
    pub url: SecretString,
    /// Connections at most.
    pub pool_max: u32,
}

/// A pool of connections to either database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    pool: DatabaseConnection,
    /// PostgreSQL: connections for [`Db::batches`].
    batches: Option<KeptConnections>,
    /// SQLite has one writer at a time. Waiting here is fair and wakes at once; waiting in SQLite is
    /// polling.
    sqlite_writer: Option<Arc<Mutex<()>>>,
}

/// An open write transaction; rolled back when dropped.
#[derive(Debug)]
pub struct WriteTx {
    tx: DatabaseTransaction,
    _sqlite_writer: Option<OwnedMutexGuard<()>>,
}

impl Db {
    /// Opens the pool; fails when the database can't be reached.
    pub async fn connect(settings: &DatabaseSettings) -> Result<Self, DbErr> {
        let db = Self::open(settings).await?;
        db.reach().await?;
        Ok(db)
    }

    /// Opens the pool. On PostgreSQL, nothing is connected before it is needed.
    pub async fn open(settings: &DatabaseSettings) -> Result<Self, DbErr> {
        let url = settings.url.expose_secret();
        if url.starts_with("sqlite:") {
            return Ok(Self::new(open(url, settings.pool_max, None).await?, None));
        }
        // Read here first: sea-orm repeats what it can't read, and a password in it.
        let readable = url.parse::<PgConnectOptions>();
        readable.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into())))?;
        // One for the writer and one for the drain of the spool.
        let for_batches = if settings.pool_max > 4 { 2 } else { 1 };
        let pool = open(url, settings.pool_max.saturating_sub(for_batches).max(1), None).await?;
        let batches = open_for_batches(url, for_batches).await?;
        Ok(Self::new(pool, Some(batches)))
    }

    /// Fails when the database can't be reached, and says why: a pool tries for long and then says that it timed
    /// out. A SQLite file that was opened is reached.
    pub async fn reach(&self) -> Result<(), DbErr> {
        if self.backend() == DbBackend::Sqlite {
            return Ok(());
        }
        let options = self.pool.get_postgres_connection_pool().connect_options();
        let connecting = tokio::time::timeout(CONNECT, PgConnection::connect_with(&options));
        let connected =
            connecting.await.unwrap_or_else(|_| Err(std::io::Error::from(ErrorKind::TimedOut).into()));
        let one = connected.map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into())))?;
        one.close().await.ok();
        Ok(())
    }

    /// Opens a SQLite file of our own, through one connection; made if it is not there.
    pub async fn open_file(path: &Path) -> Result<Self, DbErr> {
        Ok(Self::new(open("sqlite://file?mode=rwc", 1, Some(path.to_owned())).await?, None))
    }

    fn new(pool: DatabaseConnection, batches: Option<KeptConnections>) -> Self {
        let sqlite_writer = (pool.get_database_backend() == DbBackend::Sqlite).then(Arc::default);
        Self { pool, batches, sqlite_writer }
    }

    /// The pool, for statements of their own.
    #[must_use]
    pub fn pool(&self) -> &DatabaseConnection {
        &self.pool
    }

    /// Connections that the statements of ingest have for themselves, so that no other work holds them up.
    /// Each statement there looks up a list of keys: what PostgreSQL plans for one list is planned once, and
    /// never as a scan, even while it takes the tables for empty. SQLite has none.
    #[must_use]
    pub fn batches(&self) -> Option<&KeptConnections> {
        self.batches.as_ref()
    }

    /// Which database it is.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        self.pool.get_database_backend()
    }

    /// Begins a transaction that may write.
    pub async fn begin_write(&self) -> Result<WriteTx, DbErr> {
        let guard = match &self.sqlite_writer {
            Some(writer) => Some(Arc::clone(writer).lock_owned().await),
            None => None,
        };
        let options = TransactionOptions {
            // A deferred transaction that turns into a writer fails at once when another one wrote.
            sqlite_transaction_mode: guard.as_ref().map(|_| SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(WriteTx { tx: self.pool.begin_with_options(options).await?, _sqlite_writer: guard })
    }

    /// How the pools are used.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolReading> {
        let batches = self.batches.as_ref().map(KeptConnections::reading);
        let main = match self.backend() {
            DbBackend::Sqlite => reading("main", self.pool.get_sqlite_connection_pool()),
            _ => reading("main", self.pool.get_postgres_connection_pool()),
        };
        [Some(main), batches].into_iter().flatten().collect()
    }

    /// How long one has to wait for a connection.
    pub async fn wait(&self) -> Result<Duration, DbErr> {
        let started = Instant::now();
        let lent = match self.backend() {
            DbBackend::Sqlite => self.pool.get_sqlite_connection_pool().acquire().await.map(drop),
            _ => self.pool.get_postgres_connection_pool().acquire().await.map(drop),
        };
        lent.map(|()| started.elapsed()).map_err(query_error)
    }

    /// Closes every connection.
    pub async fn close(&self) -> Result<(), DbErr> {
        if let Some(batches) = &self.batches {
            batches.close().await;
        }
        self.pool.close_by_ref().await
    }
}

/// A path is given as it is: in a URL some of its characters would mean something else.
async fn open(url: &str, connections: u32, path: Option<PathBuf>) -> Result<DatabaseConnection, DbErr> {
    let mut options = options(url, connections);
    options
        .map_sqlx_sqlite_opts(move |sqlite| {
            let sqlite = match &path {
                Some(path) => sqlite.filename(path),
                None => sqlite,
            };
            // FULL: a commit is on disk when it returns, as with PostgreSQL.
            sqlite
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(10))
        })
        .map_sqlx_postgres_opts(|postgres| {
            let limits = [("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION)];
            postgres.application_name("besty").options(limits)
        });
    sea_orm::Database::connect(options).await
}

async fn open_for_batches(url: &str, connections: u32) -> Result<KeptConnections, DbErr> {
    let mut options = options(url, connections);
    options.map_sqlx_postgres_opts(|postgres| {
        postgres.application_name("besty ingest").options([
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("plan_cache_mode", "force_generic_plan"),
            // Less than a batch may take: whoever has given up waiting for the feed lock must not leave a
            // connection behind that still waits, and writes what was answered otherwise by then.
            ("lock_timeout", "1s"),
        ])
    });
    let pool = sea_orm::Database::connect(options).await?;
    Ok(KeptConnections::new(pool.get_postgres_connection_pool().clone(), connections))
}

fn reading<D: Database>(name: &'static str, pool: &Pool<D>) -> PoolReading {
    // Read before the others, so that no more are idle than are open.
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
    PoolReading { pool: name, open: pool.size().max(idle), idle, max: pool.options().get_max_connections() }
}

fn options(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(3))
        // A test is a round trip of its own; one that was just in use has no need of it.
        .test_before_acquire_if_idle_for(TRUSTED)
        .sqlx_logging(false);
    // A SQLite file is opened at once, so that it is known whether it can be.
    options.connect_lazy(!url.starts_with("sqlite:"));
    options
}

impl WriteTx {
    /// The connection the transaction runs on.
    #[must_use]
    pub fn conn(&self) -> &DatabaseTransaction {
        &self.tx
    }

    /// Makes it last. Whoever is told of it may be told after this.
    pub async fn commit(self) -> Result<(), DbErr> {
        self.tx.commit().await
    }
}

/// Runs a statement that changes rows; the result says how many.
pub async fn execute<C: ConnectionTrait>(
    conn: &C,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = Value>,
) -> Result<ExecResult, DbErr> {
    conn.execute_raw(statement(conn, sql, values)).await
}

/// The first row of an answer.
pub async fn query_one<C: ConnectionTrait>(
    conn: &C,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = Value>,
) -> Result<Option<QueryResult>, DbErr> {
    conn.query_one_raw(statement(conn, sql, values)).await
}

/// All rows of an answer.
pub async fn query_all<C: ConnectionTrait>(
    conn: &C,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<QueryResult>, DbErr> {
    conn.query_all_raw(statement(conn, sql, values)).await
}

/// SQL and its values, for the database behind `conn`.
pub fn statement<C: ConnectionTrait>(
    conn: &C,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    Statement::from_sql_and_values(conn.get_database_backend(), sql, values)
}

/// An instant as the database stores it. SQLite gets text of one width, which sorts as it is.
pub fn instant(backend: DbBackend, at: impl Into<Option<DateTime<Utc>>>) -> Value {
    let at = at.into();
    match backend {
        DbBackend::Sqlite => at.map(|at| at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()).into(),
        _ => at.into(),
    }
}

/// Collects the values of a statement that is put together piece by piece.
#[derive(Debug)]
pub struct Bind {
    backend: DbBackend,
    values: Vec<Value>,
}

impl Bind {
    /// Nothing bound yet.
    #[must_use]
    pub fn new(backend: DbBackend) -> Self {
        Self { backend, values: Vec::new() }
    }

    /// Whether the statement is for SQLite.
    #[must_use]
    pub fn is_sqlite(&self) -> bool {
        self.backend == DbBackend::Sqlite
    }

    /// Binds a value; answers its placeholder.
    pub fn push(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// Binds an instant; answers its placeholder.
    pub fn push_instant(&mut self, at: impl Into<Option<DateTime<Utc>>>) -> String {
        self.push(instant(self.backend, at))
    }

    /// Binds an amount; answers its placeholder. SQLite keeps amounts as REAL.
    pub fn push_amount(&mut self, amount: Decimal) -> String {
        if self.is_sqlite() { self.push(amount.to_f64()) } else { self.push(amount) }
    }

    /// Binds an array of texts, for PostgreSQL; answers its placeholder.
    pub fn push_array<T: Into<String>>(&mut self, texts: impl IntoIterator<Item = T>) -> String {
        self.push(texts.into_iter().map(Into::into).collect::<Vec<String>>())
    }

    /// A condition that a column has one of these texts; an empty list has none. On PostgreSQL the
    /// list is one value, so that the statement is the same, and prepared once, however long it is.
    pub fn any_of<'t>(&mut self, column: &str, texts: impl IntoIterator<Item = &'t str>) -> String {
        if !self.is_sqlite() {
            return format!("{column} = ANY({})", self.push_array(texts));
        }
        let places: Vec<_> = texts.into_iter().map(|text| self.push(text)).collect();
        if places.is_empty() { "FALSE".to_owned() } else { format!("{column} IN ({})", places.join(", ")) }
    }

    /// The values, in the order of their placeholders.
    #[must_use]
    pub fn into_values(self) -> Vec<Value> {
        self.values
    }
}
