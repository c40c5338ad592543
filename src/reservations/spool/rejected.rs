//! Rejected webhooks in the spool's file: there until the database takes them. They have bounds of their own,
//! so that they take no room from events; the oldest make room for the newest.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait as _, DbErr, QueryResult};
use uuid::Uuid;

use super::{
    SpoolError,
    file::{SpoolFile, Waiting, size},
};
use crate::db::{self, Bind, Db, WriteTx};

/// A webhook that carried a valid secret and is not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its name, wherever it is kept: stored twice, it is there once.
    pub id: Uuid,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// Why it is not applied, as the sender is told.
    pub reason: String,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

impl Rejection {
    /// Names it.
    #[must_use]
    pub fn new(body: &[u8], reason: &str, received_at: DateTime<Utc>) -> Self {
        Self { id: Uuid::now_v7(), received_at, reason: reason.to_owned(), body: body.to_vec() }
    }
}

/// How much of them the file may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl SpoolFile {
    /// Keeps webhooks in one commit, and has the oldest make room; in a new file, when the old one turns out to
    /// be damaged.
    pub(super) async fn insert_rejected(
        &self,
        webhooks: &[&Rejection],
        room: Room,
    ) -> Result<(), SpoolError> {
        let before = self.set_aside();
        match self.insert_rejected_once(webhooks, room).await {
            Err(SpoolError::Broken) if self.set_aside() > before => {
                self.insert_rejected_once(webhooks, room).await
            }
            result => result,
        }
    }

    async fn insert_rejected_once(&self, webhooks: &[&Rejection], room: Room) -> Result<(), SpoolError> {
        let insert_all = async |file: Db| {
            let tx = file.begin_write().await?;
            for webhook in webhooks {
                insert(&tx, webhook).await?;
            }
            let make_room = "DELETE FROM rejected WHERE n IN (SELECT n FROM (\
                 SELECT n, ROW_NUMBER() OVER newest AS place, SUM(LENGTH(body)) OVER newest AS bytes \
                 FROM rejected WINDOW newest AS (ORDER BY n DESC ROWS UNBOUNDED PRECEDING)) \
                 WHERE place > $1 OR bytes > $2)";
            let limit = |limit| i64::try_from(limit).unwrap_or(i64::MAX).into();
            let deleted = db::execute(tx.conn(), make_room, [limit(room.rows), limit(room.bytes)]).await?;
            tx.commit().await?;
            Ok(deleted.rows_affected())
        };
        let deleted = self.using(insert_all).await?;
        if deleted > 0 {
            tracing::error!(deleted, "the oldest rejected webhooks in the spool made room for newer ones");
        }
        self.usage().send_modify(|usage| {
            usage.rejected = (usage.rejected + webhooks.len() as u64).saturating_sub(deleted);
        });
        Ok(())
    }

    /// Takes an event out of those that wait, and keeps it here. It has been in the file before, so nothing makes
    /// room for it.
    pub(in crate::reservations) async fn reject(
        &self,
        waiting: &Waiting,
        webhook: &Rejection,
    ) -> Result<(), SpoolError> {
        let reject = async |file: Db| {
            let tx = file.begin_write().await?;
            insert(&tx, webhook).await?;
            let deleted =
                db::execute(tx.conn(), "DELETE FROM spool WHERE id = $1", [waiting.id.into()]).await?;
            tx.commit().await?;
            Ok(deleted.rows_affected())
        };
        let deleted = self.using(reject).await?;
        self.usage().send_modify(|usage| {
            usage.waiting = usage.waiting.saturating_sub(deleted);
            usage.bytes = usage.bytes.saturating_sub(size(&waiting.event));
            usage.rejected += 1;
        });
        Ok(())
    }

    /// Up to `limit` of them after number `n`, oldest first, with their numbers.
    pub(in crate::reservations) async fn rejected_after(
        &self,
        n: i64,
        limit: u32,
    ) -> Result<Vec<(i64, Rejection)>, SpoolError> {
        let read = async |file: Db| {
            let sql = "SELECT * FROM rejected WHERE n > $1 ORDER BY n LIMIT $2";
            let rows = db::query_all(file.pool(), sql, [n.into(), i64::from(limit).into()]).await?;
            rows.iter().map(numbered).collect::<Result<Vec<_>, DbErr>>()
        };
        self.using(read).await
    }

    /// Deletes one that is stored.
    pub(in crate::reservations) async fn forget_rejected(&self, id: Uuid) -> Result<(), SpoolError> {
        let delete = async |file: Db| {
            // By its name: in a new file the number may be that of another one.
            db::execute(file.pool(), "DELETE FROM rejected WHERE id = $1", [id.to_string().into()]).await
        };
        let deleted = self.using(delete).await?.rows_affected();
        self.usage().send_modify(|usage| usage.rejected = usage.rejected.saturating_sub(deleted));
        Ok(())
    }
}

async fn insert(tx: &WriteTx, webhook: &Rejection) -> Result<(), DbErr> {
    let mut bind = Bind::new(tx.conn().get_database_backend());
    let places = [
        bind.push(webhook.id.to_string()),
        bind.push_instant(webhook.received_at),
        bind.push(webhook.reason.as_str()),
        bind.push(webhook.body.clone()),
    ];
    let sql = "INSERT INTO rejected (id, received_at, reason, body) VALUES";
    db::execute(tx.conn(), format!("{sql} ({})", places.join(", ")), bind.into_values()).await.map(drop)
}

fn numbered(row: &QueryResult) -> Result<(i64, Rejection), DbErr> {
    let id: String = row.try_get("", "id")?;
    let webhook = Rejection {
        id: id.parse().map_err(|_| DbErr::Type(format!("'{id}' is no UUID")))?,
        received_at: row.try_get("", "received_at")?,
        reason: row.try_get("", "reason")?,
        body: row.try_get("", "body")?,
    };
    Ok((row.try_get("", "n")?, webhook))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::reservations::spool::{Spool, SpoolWriter};

    fn rejection(body: &str) -> Rejection {
        // To the microsecond, as it is kept.
        let at = DateTime::from_timestamp_micros(1_770_000_000_123_456).unwrap();
        Rejection::new(body.as_bytes(), "body: it's wrong", at)
    }

    async fn start(path: &Path) -> (Spool, SpoolWriter) {
        Spool::start(path.to_owned(), 1 << 20).await
    }

    async fn bodies(spool: &Spool) -> Vec<String> {
        let kept = spool.file().rejected_after(0, 100).await.unwrap();
        kept.into_iter().map(|(_, webhook)| String::from_utf8(webhook.body).unwrap()).collect()
    }

    #[tokio::test]
    async fn webhooks_come_back_as_they_were_and_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.db");
        let (spool, writer) = start(&path).await;
        let mut webhooks: Vec<_> = (0..5).map(|n| rejection(&format!("body {n}"))).collect();
        webhooks[1].body = b"\xff and \0".to_vec();
        for webhook in &webhooks {
            assert_eq!(spool.append_rejected(webhook).await, Ok(()));
        }
        writer.stop().await.unwrap();

        let (spool, writer) = start(&path).await;
        let usage = *spool.usage().borrow();
        assert_eq!((usage.rejected, usage.waiting, usage.webhooks(), usage.bytes), (5, 0, 5, 0));
        let kept = spool.file().rejected_after(0, 100).await.unwrap();
        assert_eq!(
            kept.iter().map(|(_, webhook)| webhook).collect::<Vec<_>>(),
            webhooks.iter().collect::<Vec<_>>()
        );
        assert_eq!(spool.file().rejected_after(kept[2].0, 1).await.unwrap(), kept[3..4]);
        for (_, webhook) in &kept {
            spool.file().forget_rejected(webhook.id).await.unwrap();
        }
        assert_eq!(spool.usage().borrow().rejected, 0);
        assert!(bodies(&spool).await.is_empty());
        writer.stop().await.unwrap();
    }

    #[tokio::test]
    async fn the_oldest_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, writer) = start(&folder.path().join("spool.db")).await;
        let keep = async |all: &[&str], rows, bytes| {
            let webhooks: Vec<_> = all.iter().map(|body| rejection(body)).collect();
            let webhooks: Vec<_> = webhooks.iter().collect();
            spool.file().insert_rejected(&webhooks, Room { rows, bytes }).await.unwrap();
            let kept = bodies(&spool).await;
            assert_eq!(spool.usage().borrow().rejected, kept.len() as u64);
            kept
        };
        assert_eq!(keep(&["a", "b", "c"], 3, 100).await, ["a", "b", "c"]);
        assert_eq!(keep(&["d"], 3, 100).await, ["b", "c", "d"]);
        assert_eq!(keep(&["eeee"], 9, 6).await, ["c", "d", "eeee"], "6 bytes");
        assert_eq!(keep(&["f", "g", "h"], 2, 100).await, ["g", "h"]);
        // A quarter of what events may take, and room for these is not taken from those.
        let half = "x".repeat((1 << 17) + 1);
        assert_eq!(spool.append_rejected(&rejection(&half)).await, Ok(()));
        assert_eq!(spool.append_rejected(&rejection(&half)).await, Ok(()));
        assert_eq!(bodies(&spool).await, [half.as_str()]);
        assert_eq!(spool.append_rejected(&rejection(&half.repeat(2))).await, Err(SpoolError::Full));
        assert_eq!((spool.refused(), bodies(&spool).await.len(), spool.usage().borrow().bytes), (1, 1, 0));
        writer.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_file_of_an_older_version_gets_a_place_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.db");
        let old = Db::open_file(&path).await.unwrap();
        for statement in [
            "CREATE TABLE spool (id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL)",
            "CREATE TABLE dead (id INTEGER PRIMARY KEY, event TEXT NOT NULL, reason TEXT NOT NULL)",
            "INSERT INTO spool (event) VALUES ('{}')",
        ] {
            old.pool().execute_unprepared(statement).await.unwrap();
        }
        old.close().await.unwrap();
        let (spool, writer) = start(&path).await;
        assert_eq!((spool.set_aside(), spool.usage().borrow().waiting), (0, 1));
        assert_eq!(spool.append_rejected(&rejection("x")).await, Ok(()));
        assert_eq!(bodies(&spool).await, ["x"]);
        assert_eq!(spool.usage().borrow().webhooks(), 2);
        writer.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_damaged_file_is_no_reason_not_to_keep_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.db");
        let (spool, writer) = start(&path).await;
        for n in 0..100 {
            assert_eq!(spool.append_rejected(&rejection(&n.to_string())).await, Ok(()));
        }
        spool.file().close().await;
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[8_192..].fill(0xff);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(spool.append_rejected(&rejection("new")).await, Ok(()), "nobody notices");
        assert_eq!((spool.set_aside(), bodies(&spool).await), (1, vec!["new".to_owned()]));
        writer.stop().await.unwrap();
    }
}
