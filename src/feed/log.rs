//! The change log: append inside the caller's transaction, read after a position.
//!
//! Sequences are drawn while the feed lock is held, and the lock is held until the commit. So they
//! become visible in their own order, and "everything after n" never misses a late commit.

use std::{
    any::Any,
    sync::{Arc, OnceLock},
};

use chrono::{DateTime, Utc};
use entity::change;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, FromQueryResult};
use tokio::sync::watch;

use super::cursor::{Cursor, CursorError};
use crate::db::{self, Bind, Db, WriteTx};

/// The advisory lock of the feed ("besty" in ASCII). Locks are per database, so replicas share it and
/// strangers do not.
const FEED_LOCK: i64 = 0x62_6573_7479;

/// How long to wait for it, in milliseconds. Whoever has given up waiting by then must not leave a
/// connection behind that still waits.
const FEED_LOCK_WAIT: &str = "4000";

/// Changes a statement; 100 rows of six values stay far below every limit on placeholders.
const APPEND_CHUNK: usize = 100;

/// The head: what a reader of everything has seen. Never the sequence's own value, which runs ahead
/// of what is committed.
pub const HEAD_SQL: &str =
    "COALESCE((SELECT MAX(seq) FROM changes), (SELECT floor FROM feed_state WHERE id = 1))";

/// What kind of object a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// One reservation; the key is the booking source's identifier.
    Reservation,
    /// One broadcast; the key is its UUID.
    Broadcast,
}

impl Topic {
    /// The name in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reservation => "reservation",
            Self::Broadcast => "broadcast",
        }
    }

    fn parse(text: &str) -> Result<Self, DbErr> {
        match text {
            "reservation" => Ok(Self::Reservation),
            "broadcast" => Ok(Self::Broadcast),
            other => Err(DbErr::Type(format!("changes.topic holds '{other}'"))),
        }
    }
}

/// A change to be appended; the images are JSON.
#[derive(Clone, Debug)]
pub struct NewChange {
    /// What kind of object.
    pub topic: Topic,
    /// Which one.
    pub key: String,
    /// What happened to it, in the words of the topic.
    pub kind: &'static str,
    /// The object before, none when it was not there.
    pub before: Option<String>,
    /// The object after.
    pub after: String,
    /// When.
    pub committed_at: DateTime<Utc>,
}

/// A change as it is in the log.
#[derive(Debug)]
pub struct Entry {
    /// Position.
    pub seq: i64,
    /// What kind of object.
    pub topic: Topic,
    /// Which one.
    pub key: String,
    /// What happened.
    pub kind: String,
    /// JSON before.
    pub before: Option<String>,
    /// JSON after.
    pub after: String,
    /// When.
    pub committed_at: DateTime<Utc>,
    decoded: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Entry {
    /// What `decode` makes of this entry, made once however many watchers ask. A topic has one
    /// decoder; asked with another type than the first time, this answers `None`.
    pub fn decoded<T: Any + Send + Sync>(&self, decode: impl FnOnce(&Self) -> T) -> Option<&T> {
        self.decoded.get_or_init(|| Box::new(decode(self))).downcast_ref()
    }
}

impl TryFrom<change::Model> for Entry {
    type Error = DbErr;

    fn try_from(row: change::Model) -> Result<Self, DbErr> {
        Ok(Self {
            seq: row.seq,
            topic: Topic::parse(&row.topic)?,
            key: row.key,
            kind: row.kind,
            before: row.before,
            after: row.after,
            committed_at: row.committed_at,
            decoded: OnceLock::new(),
        })
    }
}

/// What this process has committed to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Committed {
    /// The newest sequence that is known without reading the log; 0 when none is.
    pub seq: i64,
    /// Commits whose sequences are not known.
    pub unread: u64,
}

/// The log of one database: where writers begin and readers read.
#[derive(Clone, Debug)]
pub struct Feed {
    db: Db,
    epoch: i64,
    committed: watch::Sender<Committed>,
}

/// A write transaction that does not hold the feed lock yet.
#[derive(Debug)]
pub struct UnlockedTx {
    tx: WriteTx,
    committed: watch::Sender<Committed>,
}

/// A write transaction that holds the feed lock.
#[derive(Debug)]
pub struct FeedTx {
    tx: WriteTx,
    committed: watch::Sender<Committed>,
    appended: bool,
}

impl Feed {
    /// Opens the log; names it if it has no name yet. `new_epoch` is that name, at random.
    pub async fn open(db: Db, new_epoch: i64) -> Result<Self, DbErr> {
        let insert =
            "INSERT INTO feed_state (id, epoch, floor) VALUES (1, $1, 0) ON CONFLICT (id) DO NOTHING";
        db::execute(db.pool(), insert, [new_epoch.into()]).await?;
        let row = db::query_one(db.pool(), "SELECT epoch FROM feed_state WHERE id = 1", []).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("feed_state".to_owned()))?;
        Ok(Self { db, epoch: row.try_get("", "epoch")?, committed: watch::Sender::default() })
    }

    /// Begins a transaction with the feed lock taken. SQLite has one writer at a time, which is the same.
    pub async fn begin(&self) -> Result<FeedTx, DbErr> {
        self.prepare().await?.lock().await
    }

    /// Begins a transaction without it, for what has to be waited for or worked out first: ingest stands still
    /// while the lock is held.
    pub async fn prepare(&self) -> Result<UnlockedTx, DbErr> {
        Ok(UnlockedTx { tx: self.db.begin_write().await?, committed: self.committed.clone() })
    }

    /// The key of the feed lock, for a call that takes it inside the database.
    #[must_use]
    pub fn lock(&self) -> i64 {
        FEED_LOCK
    }

    /// Says that a call appended and committed, and what the newest sequence was.
    pub fn appended(&self, seq: i64) {
        self.committed.send_modify(|committed| committed.seq = committed.seq.max(seq));
    }

    /// Changes after every commit of this process that appended something.
    #[must_use]
    pub fn committed(&self) -> watch::Receiver<Committed> {
        self.committed.subscribe()
    }

    /// The database the log is in.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The cursor that stands for `seq` in this log.
    #[must_use]
    pub fn cursor(&self, seq: i64) -> Cursor {
        Cursor { epoch: self.epoch, seq }
    }

    /// The newest position.
    pub async fn head(&self) -> Result<i64, DbErr> {
        Ok(self.bounds().await?.1)
    }

    /// Up to `limit` entries after `seq`, oldest first.
    pub async fn read_after(&self, seq: i64, limit: u32) -> Result<Vec<Arc<Entry>>, DbErr> {
        let sql = "SELECT * FROM changes WHERE seq > $1 ORDER BY seq LIMIT $2";
        entries(self.db.pool(), sql, [seq.into(), i64::from(limit).into()]).await
    }

    /// Up to `limit` entries about one object, newest first.
    pub async fn history(&self, topic: Topic, key: &str, limit: u32) -> Result<Vec<Arc<Entry>>, DbErr> {
        self.histories(topic, &[key], limit).await
    }

    /// Up to `limit` entries about each of these objects, newest first. Those of one object are not side by
    /// side.
    pub async fn histories(&self, topic: Topic, keys: &[&str], limit: u32) -> Result<Vec<Arc<Entry>>, DbErr> {
        let mut bind = Bind::new(self.db.backend());
        let any = bind.any_of("key", keys.iter().copied());
        let (topic, limit) = (bind.push(topic.as_str()), bind.push(i64::from(limit)));
        let sql = format!(
            "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY key ORDER BY seq DESC) AS place \
             FROM changes WHERE {any} AND topic = {topic}) AS placed WHERE place <= {limit} ORDER BY seq DESC"
        );
        entries(self.db.pool(), &sql, bind.into_values()).await
    }

    /// Checks that a client's cursor can be resumed from. One past the head of the database was made
    /// by another log; one past what this process has read so far is merely early.
    pub async fn resume(&self, cursor: Cursor) -> Result<Result<i64, CursorError>, DbErr> {
        if cursor.epoch != self.epoch {
            return Ok(Err(CursorError::Invalid));
        }
        let (floor, head) = self.bounds().await?;
        Ok(match cursor.seq {
            seq if seq > head || seq < 0 => Err(CursorError::Invalid),
            seq if seq < floor => Err(CursorError::Expired),
            seq => Ok(seq),
        })
    }

    async fn bounds(&self) -> Result<(i64, i64), DbErr> {
        let sql = format!("SELECT floor, {HEAD_SQL} AS head FROM feed_state WHERE id = 1");
        let row = db::query_one(self.db.pool(), sql, []).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound("feed_state".to_owned()))?;
        Ok((row.try_get("", "floor")?, row.try_get("", "head")?))
    }
}

async fn entries(
    conn: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = sea_orm::Value>,
) -> Result<Vec<Arc<Entry>>, DbErr> {
    let rows = db::query_all(conn, sql, values).await?;
    rows.iter().map(|row| Entry::try_from(change::Model::from_query_result(row, "")?).map(Arc::new)).collect()
}

impl UnlockedTx {
    /// The connection of the transaction.
    #[must_use]
    pub fn conn(&self) -> &DatabaseTransaction {
        self.tx.conn()
    }

    /// Takes the feed lock. Rows that this transaction has locked by now must be none that others lock while they
    /// hold the feed lock. On PostgreSQL it is a statement of its own, so that the next one sees everything that
    /// committed before it was granted.
    pub async fn lock(self) -> Result<FeedTx, DbErr> {
        if self.conn().get_database_backend() == DbBackend::Postgres {
            // The wait is set first: what is selected is worked out for each row of what it is selected from.
            let lock = "SELECT pg_advisory_xact_lock($1) FROM set_config('lock_timeout', $2, TRUE)";
            db::execute(self.conn(), lock, [FEED_LOCK.into(), FEED_LOCK_WAIT.into()]).await?;
        }
        Ok(FeedTx { tx: self.tx, committed: self.committed, appended: false })
    }
}

impl FeedTx {
    /// The connection of the transaction.
    #[must_use]
    pub fn conn(&self) -> &DatabaseTransaction {
        self.tx.conn()
    }

    /// Appends changes in the order given.
    pub async fn append(&mut self, changes: &[NewChange]) -> Result<(), DbErr> {
        if changes.is_empty() {
            return Ok(());
        }
        match self.conn().get_database_backend() {
            DbBackend::Sqlite => append_values(self.conn(), changes).await?,
            _ => append_arrays(self.conn(), changes).await?,
        }
        self.appended = true;
        Ok(())
    }

    /// Commits, and wakes whoever reads the log.
    pub async fn commit(self) -> Result<(), DbErr> {
        self.tx.commit().await?;
        if self.appended {
            self.committed.send_modify(|committed| committed.unread += 1);
        }
        Ok(())
    }
}

/// PostgreSQL: one statement, the same for any number of changes. The arrays hold no NULL, so a
/// missing image is an empty text.
async fn append_arrays(conn: &impl ConnectionTrait, changes: &[NewChange]) -> Result<(), DbErr> {
    let mut bind = Bind::new(conn.get_database_backend());
    let topics = bind.push_array(changes.iter().map(|change| change.topic.as_str()));
    let keys = bind.push_array(changes.iter().map(|change| change.key.as_str()));
    let kinds = bind.push_array(changes.iter().map(|change| change.kind));
    let before = bind.push_array(changes.iter().map(|change| change.before.as_deref().unwrap_or_default()));
    let after = bind.push_array(changes.iter().map(|change| change.after.as_str()));
    let at = bind.push(changes.iter().map(|change| change.committed_at).collect::<Vec<_>>());
    let sql = format!(
        "INSERT INTO changes (topic, key, kind, before, after, committed_at) \
         SELECT topic, key, kind, NULLIF(before, ''), after, at \
         FROM unnest({topics}::text[], {keys}::text[], {kinds}::text[], {before}::text[], {after}::text[], \
         {at}::timestamptz[]) WITH ORDINALITY AS t(topic, key, kind, before, after, at, n) ORDER BY n"
    );
    db::execute(conn, sql, bind.into_values()).await.map(drop)
}

async fn append_values(conn: &impl ConnectionTrait, changes: &[NewChange]) -> Result<(), DbErr> {
    for chunk in changes.chunks(APPEND_CHUNK) {
        let mut bind = Bind::new(conn.get_database_backend());
        let rows: Vec<_> = chunk
            .iter()
            .map(|change| {
                let topic = bind.push(change.topic.as_str());
                let key = bind.push(change.key.as_str());
                let kind = bind.push(change.kind);
                let before = bind.push(change.before.clone());
                let after = bind.push(change.after.clone());
                let at = bind.push_instant(change.committed_at);
                format!("({topic}, {key}, {kind}, {before}, {after}, {at})")
            })
            .collect();
        let sql = format!(
            "INSERT INTO changes (topic, key, kind, before, after, committed_at) VALUES {}",
            rows.join(", ")
        );
        db::execute(conn, sql, bind.into_values()).await?;
    }
    Ok(())
}
