//! How far back the log goes.
//!
//! The floor is the newest position that a reader can no longer ask for. It is raised first, and what lies at
//! or below it is deleted a good while later: a reader that was let in just above the floor reads on meanwhile,
//! and never finds that what it was promised is gone.

use chrono::{DateTime, Utc};
use sea_orm::DbErr;

use super::Feed;
use crate::db::{self, Bind};

/// Changes looked at, or deleted, at once.
const PAGE: i64 = 1_000;

impl Feed {
    /// The newest position that is no longer kept, 0 when all are.
    pub async fn floor(&self) -> Result<i64, DbErr> {
        let row = db::query_one(self.db().pool(), "SELECT floor FROM feed_state WHERE id = 1", []).await?;
        row.map_or(Ok(0), |row| row.try_get("", "floor"))
    }

    /// Raises the floor over what was committed before `before`, and answers it. Deletes nothing.
    pub async fn raise_floor(&self, before: DateTime<Utc>) -> Result<i64, DbErr> {
        let from = self.floor().await?;
        let mut floor = from;
        // There is no index on the time, and the log is in its order: page by page up to the first that is kept.
        loop {
            let mut bind = Bind::new(self.db().backend());
            let (after, limit, before) = (bind.push(floor), bind.push(PAGE), bind.push_instant(before));
            let sql = format!(
                "SELECT MAX(seq) AS newest, COUNT(*) AS old FROM (SELECT seq, committed_at FROM changes \
                 WHERE seq > {after} ORDER BY seq LIMIT {limit}) AS page WHERE committed_at < {before}"
            );
            let row = db::query_one(self.db().pool(), sql, bind.into_values()).await?;
            let row = row.ok_or_else(|| DbErr::RecordNotFound("the age of changes".to_owned()))?;
            let Some(newest) = row.try_get::<Option<i64>>("", "newest")? else { break };
            floor = newest;
            if row.try_get::<i64>("", "old")? < PAGE {
                break;
            }
        }
        if floor > from {
            let tx = self.db().begin_write().await?;
            let sql = "UPDATE feed_state SET floor = $1 WHERE id = 1 AND floor < $1";
            db::execute(tx.conn(), sql, [floor.into()]).await?;
            tx.commit().await?;
        }
        Ok(floor)
    }

    /// Deletes a batch of what lies at or below `floor`; answers how many changes that were.
    pub async fn forget(&self, floor: i64) -> Result<u64, DbErr> {
        let sql = "DELETE FROM changes WHERE seq IN \
                   (SELECT seq FROM changes WHERE seq <= $1 ORDER BY seq LIMIT $2)";
        let tx = self.db().begin_write().await?;
        let deleted = db::execute(tx.conn(), sql, [floor.into(), PAGE.into()]).await?;
        tx.commit().await?;
        Ok(deleted.rows_affected())
    }

    /// Gives the log another name: every cursor made before is refused from then on. For a database that
    /// was restored, whose log goes on from an earlier position than clients have seen. Servers that run
    /// keep the old name until they are started again.
    pub async fn rename(&self, new_epoch: i64) -> Result<(), DbErr> {
        let tx = self.db().begin_write().await?;
        db::execute(tx.conn(), "UPDATE feed_state SET epoch = $1 WHERE id = 1", [new_epoch.into()]).await?;
        tx.commit().await
    }
}
