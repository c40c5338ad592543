//! The spool's file: one connection, every commit synced. A file that can't be opened or written is
//! opened anew the next time. One that is damaged stays so: it is set aside, as it is, and a new one begun.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
};

use sea_orm::{ConnectionTrait as _, DbErr, QueryResult};
use tokio::sync::{Mutex, watch};

use super::{SpoolError, aside};
use crate::db::{self, Bind, Db, Failure};

/// Identifiers only grow, so what is read after one that was seen is new. `dead` keeps what is no
/// event of ours, for whoever looks into why. `rejected` came later; an older file gets it here.
const SCHEMA: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS spool (id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS dead (id INTEGER PRIMARY KEY, event TEXT NOT NULL, reason TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS rejected (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, \
     received_at TEXT NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL)",
];

/// How full the file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Events that wait to be applied.
    pub waiting: u64,
    /// Rejected webhooks that wait to be stored.
    pub rejected: u64,
    /// Bytes of the events in the file, waiting or set aside.
    pub bytes: u64,
    /// The file could not be used the last time.
    pub is_broken: bool,
}

impl Usage {
    /// How many webhooks wait for the database, of either kind.
    #[must_use]
    pub fn webhooks(&self) -> u64 {
        self.waiting + self.rejected
    }
}

/// An event that waits, as it is in the file.
#[derive(Clone, Debug)]
pub(in crate::reservations) struct Waiting {
    pub(in crate::reservations) id: i64,
    pub(in crate::reservations) event: String,
}

/// The file.
#[derive(Debug)]
pub(in crate::reservations) struct SpoolFile {
    path: PathBuf,
    open: Mutex<Option<Db>>,
    usage: watch::Sender<Usage>,
    /// The highest identifier that was read. A new file goes on after it, so that none means two events.
    seen: AtomicI64,
    /// Files that this process set aside.
    set_aside: AtomicU64,
}

impl SpoolFile {
    pub(super) async fn open(path: PathBuf) -> Self {
        let (open, usage) = (Mutex::default(), watch::Sender::default());
        let file = Self { path, open, usage, seen: AtomicI64::new(0), set_aside: AtomicU64::new(0) };
        // An error has been said, and is known to `usage`.
        let _ = file.using(async |_| Ok(())).await;
        file
    }

    pub(super) fn usage(&self) -> &watch::Sender<Usage> {
        &self.usage
    }

    pub(super) fn set_aside(&self) -> u64 {
        self.set_aside.load(Ordering::Relaxed)
    }

    /// Appends events in one commit; to a new file, when the old one turns out to be damaged.
    pub(super) async fn insert(&self, events: &[&str]) -> Result<(), SpoolError> {
        let before = self.set_aside();
        match self.insert_once(events).await {
            Err(SpoolError::Broken) if self.set_aside() > before => self.insert_once(events).await,
            result => result,
        }
    }

    async fn insert_once(&self, events: &[&str]) -> Result<(), SpoolError> {
        let insert = async |file: Db| {
            let mut bind = Bind::new(file.backend());
            let rows: Vec<_> = events.iter().map(|event| format!("({})", bind.push(*event))).collect();
            let sql = format!("INSERT INTO spool (event) VALUES {}", rows.join(", "));
            db::execute(file.pool(), sql, bind.into_values()).await
        };
        self.using(insert).await?;
        self.usage.send_modify(|usage| {
            usage.waiting += events.len() as u64;
            usage.bytes += events.iter().map(|event| size(event)).sum::<u64>();
        });
        Ok(())
    }

    /// Up to `limit` events after one that was seen, in the order they came.
    pub(in crate::reservations) async fn waiting_after(
        &self,
        id: i64,
        limit: u32,
    ) -> Result<Vec<Waiting>, SpoolError> {
        let read = async |file: Db| {
            let sql = "SELECT id, event FROM spool WHERE id > $1 ORDER BY id LIMIT $2";
            let rows = db::query_all(file.pool(), sql, [id.into(), i64::from(limit).into()]).await?;
            let waiting = |row: &QueryResult| {
                Ok(Waiting { id: row.try_get("", "id")?, event: row.try_get("", "event")? })
            };
            let waiting = rows.iter().map(waiting).collect::<Result<Vec<_>, DbErr>>()?;
            if let Some(last) = waiting.last() {
                // While the file is in our hands: a new one reads it.
                self.seen.fetch_max(last.id, Ordering::Relaxed);
            }
            Ok(waiting)
        };
        self.using(read).await
    }

    /// Deletes events that have been applied.
    pub(in crate::reservations) async fn forget(&self, done: &[&Waiting]) -> Result<(), SpoolError> {
        if done.is_empty() {
            return Ok(());
        }
        let delete = async |file: Db| {
            let mut bind = Bind::new(file.backend());
            let ids: Vec<_> = done.iter().map(|waiting| bind.push(waiting.id)).collect();
            let sql = format!("DELETE FROM spool WHERE id IN ({})", ids.join(", "));
            db::execute(file.pool(), sql, bind.into_values()).await
        };
        let deleted = self.using(delete).await?.rows_affected();
        let bytes: u64 = done.iter().map(|waiting| size(&waiting.event)).sum();
        self.usage.send_modify(|usage| {
            usage.waiting = usage.waiting.saturating_sub(deleted);
            usage.bytes = usage.bytes.saturating_sub(bytes);
        });
        Ok(())
    }

    /// Takes an event out of those that wait, and keeps it with the reason.
    pub(in crate::reservations) async fn bury(
        &self,
        waiting: &Waiting,
        reason: &str,
    ) -> Result<(), SpoolError> {
        let bury = async |file: Db| {
            let tx = file.begin_write().await?;
            let insert = "INSERT OR REPLACE INTO dead (id, event, reason) VALUES ($1, $2, $3)";
            let values = [waiting.id.into(), waiting.event.as_str().into(), reason.into()];
            db::execute(tx.conn(), insert, values).await?;
            db::execute(tx.conn(), "DELETE FROM spool WHERE id = $1", [waiting.id.into()]).await?;
            tx.commit().await
        };
        self.using(bury).await?;
        self.usage.send_modify(|usage| usage.waiting = usage.waiting.saturating_sub(1));
        Ok(())
    }

    /// Counts again what is in the file. A count may run ahead of it for a moment, when an event is
    /// applied before it was counted.
    pub(in crate::reservations) async fn recount(&self) -> Result<(), SpoolError> {
        let usage = self.using(async |file: Db| usage_of(&file).await).await?;
        self.usage.send_if_modified(|known| std::mem::replace(known, usage) != usage);
        Ok(())
    }

    /// Closes the file.
    pub(super) async fn close(&self) {
        close(&mut *self.open.lock().await).await;
    }

    /// Does something with the file, and nothing else at the same time. After an error it is opened anew the next
    /// time, or set aside if it is damaged.
    pub(super) async fn using<T>(
        &self,
        work: impl AsyncFnOnce(Db) -> Result<T, DbErr>,
    ) -> Result<T, SpoolError> {
        let mut open = self.open.lock().await;
        let result = match self.opened(&mut open).await {
            Ok(file) => work(file).await,
            Err(error) => Err(error),
        };
        self.say_broken(result.is_err());
        match result {
            Ok(done) => Ok(done),
            Err(error) => {
                tracing::error!(%error, path = %self.path.display(), "the spool can't be used");
                close(&mut open).await;
                if Failure::is_damage(&error) {
                    self.set_file_aside(&error);
                }
                Err(SpoolError::Broken)
            }
        }
    }

    /// The open file. One that can't be opened since it is damaged makes way for a new one.
    async fn opened(&self, open: &mut Option<Db>) -> Result<Db, DbErr> {
        if let Some(file) = open {
            return Ok(file.clone());
        }
        match self.open_file(open).await {
            Err(error) if Failure::is_damage(&error) => {
                close(open).await;
                self.set_file_aside(&error);
                self.open_file(open).await
            }
            opened => opened,
        }
    }

    async fn open_file(&self, open: &mut Option<Db>) -> Result<Db, DbErr> {
        // Whatever comes after this, it has to be closed before it may be renamed.
        let file = open.insert(Db::open_file(&self.path).await?);
        prepare(file, self.seen.load(Ordering::Relaxed)).await?;
        self.usage.send_replace(usage_of(file).await?);
        Ok(file.clone())
    }

    fn set_file_aside(&self, error: &DbErr) {
        let path = self.path.display();
        match aside::set_aside(&self.path) {
            Ok(kept) => {
                self.set_aside.fetch_add(1, Ordering::Relaxed);
                let kept = kept.display();
                tracing::error!(%error, %path, %kept, "the spool is damaged; it is set aside, and a new one begun");
            }
            Err(failed) => {
                tracing::error!(%error, %failed, %path, "the spool is damaged, and can't be set aside");
            }
        }
    }

    fn say_broken(&self, is_broken: bool) {
        self.usage.send_if_modified(|usage| std::mem::replace(&mut usage.is_broken, is_broken) != is_broken);
    }
}

async fn close(open: &mut Option<Db>) {
    if let Some(file) = open.take()
        && let Err(error) = file.close().await
    {
        tracing::warn!(%error, "the spool was not closed");
    }
}

/// Makes the tables. In a new file, identifiers go on after `seen`.
async fn prepare(file: &Db, seen: i64) -> Result<(), DbErr> {
    for statement in SCHEMA {
        file.pool().execute_unprepared(statement).await?;
    }
    let sql = "INSERT INTO sqlite_sequence (name, seq) SELECT 'spool', $1 \
               WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'spool')";
    db::execute(file.pool(), sql, [seen.into()]).await.map(drop)
}

async fn usage_of(file: &Db) -> Result<Usage, DbErr> {
    let sql = "SELECT COUNT(*) AS waiting, COALESCE(SUM(LENGTH(CAST(event AS BLOB))), 0) AS bytes, \
               (SELECT COALESCE(SUM(LENGTH(CAST(event AS BLOB))), 0) FROM dead) AS dead, \
               (SELECT COUNT(*) FROM rejected) AS rejected FROM spool";
    let row = db::query_one(file.pool(), sql, []).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("spool".to_owned()))?;
    let number = |name| row.try_get::<i64>("", name).map(i64::unsigned_abs);
    Ok(Usage {
        waiting: number("waiting")?,
        rejected: number("rejected")?,
        bytes: number("bytes")? + number("dead")?,
        is_broken: false,
    })
}

/// What an event counts.
pub(super) fn size(event: &str) -> u64 {
    event.len() as u64
}
