//! Finished broadcasts that are no longer kept.

use chrono::{DateTime, Utc};
use sea_orm::DbErr;

use crate::db::{self, Bind, Db};

/// Deletes the oldest broadcast that was finished before `before`, with its messages and its idempotency key.
/// Answers whether there was one. A single one at a time: all of it goes at once, since a retry of one whose
/// messages are half gone would not add up.
pub async fn forget_finished(db: &Db, before: DateTime<Utc>) -> Result<bool, DbErr> {
    let mut bind = Bind::new(db.backend());
    let before = bind.push_instant(before);
    // Said twice: who retries it at the same moment keeps it.
    let sql = format!(
        "DELETE FROM broadcasts WHERE completed_at < {before} AND id = (SELECT id FROM broadcasts \
         WHERE completed_at < {before} AND NOT unreported ORDER BY completed_at, id LIMIT 1)"
    );
    let tx = db.begin_write().await?;
    let deleted = db::execute(tx.conn(), sql, bind.into_values()).await?;
    tx.commit().await?;
    Ok(deleted.rows_affected() > 0)
}
