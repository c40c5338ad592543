//! The stop, from the top down and within a time.
//!
//! What was answered is safe by then, whatever happens to the rest: an event that was told 200 is in the table or
//! in the spool, and a message that left without a result is looked after at the next start. So what does not
//! end in time is cut off.

use std::time::Duration;

use super::{Running, log_end};
use crate::db::Db;

/// How long requests may take to end.
pub(super) const DRAIN: Duration = Duration::from_secs(5);
/// How long all of it may take. Whoever asked for it waits ten seconds, mostly, and then kills.
const WHOLE: Duration = Duration::from_secs(8);
/// How long a database that is known to be away may still turn up.
const LAST_CHANCE: Duration = Duration::from_secs(1);

impl Running {
    /// Stops from the top down: no new requests, what was accepted is written or spooled, messages under
    /// way get their results, and the lease is given back.
    ///
    /// With a delay configured, the server first says that it is not ready, and to whom it answers that the
    /// connection ends; meanwhile whoever spreads the requests finds out and sends them elsewhere.
    pub async fn stop(self) {
        self.leaving.cancel();
        tokio::time::sleep(self.shutdown_delay).await;
        if tokio::time::timeout(WHOLE, self.stop_in_order()).await.is_err() {
            tracing::warn!("not all ended in time; the rest is cut off");
        }
    }

    async fn stop_in_order(self) {
        self.stopping.cancel();
        // Beside the requests: those do not need it, and its own may take their time.
        self.sender_cancel.cancel();
        log_end("server", self.server.await.map(Result::err));
        if self.intake.is_database_away() {
            tokio::spawn(give_up(self.db.clone()));
        }
        self.intake.stop().await;
        log_end("sender", self.sender.await.map(|()| None));
        self.background_cancel.cancel();
        self.background.close();
        self.background.wait().await;
        // Last: until here somebody could still be calling the provider.
        self.lease_cancel.cancel();
        log_end("lease", self.lease.await.map(|()| None));
        if let Err(error) = self.db.close().await {
            tracing::warn!(%error, "the database connections were not closed");
        }
    }
}

/// While the database is away, the parts would wait for a connection one after the other, and in vain.
async fn give_up(db: Db) {
    tokio::time::sleep(LAST_CHANCE).await;
    if let Err(error) = db.close().await {
        tracing::debug!(%error, "the database connections were not closed");
    }
}
