//! SENDING -> SUSPENDED, for all broadcasts at once: they share the provider that refuses.

use chrono::{DateTime, Utc};
use sea_orm::DbErr;

use super::{is_holder, lock_in_order};
use crate::{
    broadcast::SuspensionReason,
    db::{self, Bind, Db},
};

/// Suspends every broadcast that is SENDING, if `epoch` is still the lease's. Answers how many there were.
pub(in crate::broadcast) async fn suspend_all(
    db: &Db,
    epoch: i64,
    reason: SuspensionReason,
    resumes_at: DateTime<Utc>,
) -> Result<u64, DbErr> {
    let mut bind = Bind::new(db.backend());
    let (reason, at) = (bind.push(reason.as_str()), bind.push_instant(resumes_at));
    let sending = "status = 'sending' AND completed_at IS NULL";
    let sql = format!(
        "UPDATE broadcasts SET status = 'suspended', suspension_reason = {reason}, resumes_at = {at}, \
         unreported = TRUE WHERE {sending}"
    );
    let tx = db.begin_write().await?;
    if !is_holder(tx.conn(), epoch).await? {
        return Ok(0);
    }
    lock_in_order(tx.conn(), sending, []).await?;
    let suspended = db::execute(tx.conn(), sql, bind.into_values()).await?.rows_affected();
    tx.commit().await?;
    Ok(suspended)
}
