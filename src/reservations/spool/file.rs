//! The spool's file: one connection, every commit synced. A file that can't be opened or written is
//! opened anew the next time.

use std::path::{Path, PathBuf};

use sea_orm::{ConnectionTrait as _, DbErr, QueryResult};
use tokio::sync::{Mutex, watch};

use super::SpoolError;
use crate::db::{self, Bind, Db};

/// Identifiers only grow, so what is read after one that was seen is new. `dead` keeps events that the
/// database refused for good, for whoever looks into why.
const SCHEMA: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS spool (id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS dead (id INTEGER PRIMARY KEY, event TEXT NOT NULL, reason TEXT NOT NULL)",
];

/// How full the file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Events that wait to be applied.
    pub waiting: u64,
    /// Bytes of the events in the file, waiting or refused.
    pub bytes: u64,
    /// The file could not be used the last time.
    pub is_broken: bool,
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
}

impl SpoolFile {
    pub(super) async fn open(path: PathBuf) -> Self {
        let file = Self { path, open: Mutex::default(), usage: watch::Sender::default() };
        // An error has been said, and is known to `usage`.
        let _ = file.db().await;
        file
    }

    pub(super) fn usage(&self) -> &watch::Sender<Usage> {
        &self.usage
    }

    /// Appends events in one commit.
    pub(super) async fn insert(&self, events: &[&str]) -> Result<(), SpoolError> {
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
            rows.iter().map(waiting).collect::<Result<Vec<_>, DbErr>>()
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
        if let Some(file) = self.open.lock().await.take()
            && let Err(error) = file.close().await
        {
            tracing::warn!(%error, "the spool was not closed");
        }
    }

    /// Does something with the file. After an error it is opened anew the next time.
    async fn using<T>(&self, work: impl AsyncFnOnce(Db) -> Result<T, DbErr>) -> Result<T, SpoolError> {
        let file = self.db().await?;
        match work(file).await {
            Ok(done) => {
                self.say_broken(false);
                Ok(done)
            }
            Err(error) => {
                tracing::error!(%error, path = %self.path.display(), "the spool can't be used");
                self.close().await;
                self.say_broken(true);
                Err(SpoolError::Broken)
            }
        }
    }

    async fn db(&self) -> Result<Db, SpoolError> {
        let mut file = self.open.lock().await;
        if let Some(open) = &*file {
            return Ok(open.clone());
        }
        match open(&self.path).await {
            Ok((opened, usage)) => {
                self.usage.send_replace(usage);
                Ok(file.insert(opened).clone())
            }
            Err(error) => {
                tracing::error!(%error, path = %self.path.display(), "the spool can't be opened");
                self.say_broken(true);
                Err(SpoolError::Broken)
            }
        }
    }

    fn say_broken(&self, is_broken: bool) {
        self.usage.send_if_modified(|usage| std::mem::replace(&mut usage.is_broken, is_broken) != is_broken);
    }
}

async fn open(path: &Path) -> Result<(Db, Usage), DbErr> {
    let file = Db::open_file(path).await?;
    for statement in SCHEMA {
        file.pool().execute_unprepared(statement).await?;
    }
    let usage = usage_of(&file).await?;
    Ok((file, usage))
}

async fn usage_of(file: &Db) -> Result<Usage, DbErr> {
    let sql = "SELECT COUNT(*) AS waiting, COALESCE(SUM(LENGTH(CAST(event AS BLOB))), 0) AS bytes, \
               (SELECT COALESCE(SUM(LENGTH(CAST(event AS BLOB))), 0) FROM dead) AS dead FROM spool";
    let row = db::query_one(file.pool(), sql, []).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("spool".to_owned()))?;
    let number = |name| row.try_get::<i64>("", name).map(i64::unsigned_abs);
    Ok(Usage { waiting: number("waiting")?, bytes: number("bytes")? + number("dead")?, is_broken: false })
}

/// What an event counts.
pub(super) fn size(event: &str) -> u64 {
    event.len() as u64
}
