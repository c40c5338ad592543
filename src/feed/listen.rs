//! LISTEN/NOTIFY between processes on one PostgreSQL: a hint that there is something to read.
//!
//! A hint may be lost; the hub's poll is the floor. NOTIFY runs on its own, after the commit, never
//! inside the data transaction: there it would take a lock of the whole cluster at commit.

use std::time::Duration;

use sea_orm::{DbErr, sqlx::postgres::PgListener};
use tokio_util::sync::CancellationToken;

use super::hub::Hub;
use crate::db;

const CHANNEL: &str = "besty_changes";
/// How long after a NOTIFY the next one is sent at the earliest: under load, many commits share one.
const PACE: Duration = Duration::from_millis(20);
/// How long to wait before a lost connection is opened again.
const RECONNECT: Duration = Duration::from_secs(1);

impl Hub {
    /// Tells other processes of this one's commits. Commits that come while a NOTIFY is under way, or
    /// shortly after it, share the next one.
    pub async fn notify_others(self, cancel: CancellationToken) {
        let mut committed = self.feed().committed();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = committed.changed() => {}
            }
            let pool = self.feed().db().pool();
            if let Err(error) =
                db::execute(pool, "SELECT pg_notify($1, $2)", [CHANNEL.into(), self.id().into()]).await
            {
                tracing::debug!(%error, "NOTIFY failed; other processes will poll");
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(PACE) => {}
            }
        }
    }

    /// Reads the log whenever another process says so. A lost connection is opened again.
    pub async fn listen_to_others(self, cancel: CancellationToken) {
        let work = async {
            loop {
                if let Err(error) = self.listen().await {
                    tracing::warn!(%error, "LISTEN lost; polling until it is back");
                }
                tokio::time::sleep(RECONNECT).await;
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = work => {}
        }
    }

    async fn listen(&self) -> Result<(), DbErr> {
        let connect_error = |error: sea_orm::sqlx::Error| DbErr::Custom(error.to_string());
        let pool = self.feed().db().pool().get_postgres_connection_pool();
        let mut listener = PgListener::connect_with(pool).await.map_err(connect_error)?;
        listener.listen(CHANNEL).await.map_err(connect_error)?;
        // What was committed while nobody listened is read first.
        self.hint();
        loop {
            let hint = listener.recv().await.map_err(connect_error)?;
            // Of its own commits the hub knows without.
            if hint.payload() != self.id() {
                self.hint();
            }
        }
    }
}
