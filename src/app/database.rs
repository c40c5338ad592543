//! From an address to a database that can be used: connected, migrated, its change log open.

use std::collections::HashSet;

use anyhow::Context as _;
use migration::MigratorTrait as _;
use sea_orm::{DbBackend, DbErr};

use crate::{
    config::Config,
    db::{self, Db},
    feed::{Feed, Hub},
};

/// One migration at a time among the processes of a database ("migrate" in ASCII).
const MIGRATION_LOCK: i64 = 0x6d_6967_7261_7465;

/// Connects and applies the migrations.
pub async fn open_database(config: &Config) -> anyhow::Result<Db> {
    let db =
        Db::connect(&config.database).await.context("DATABASE_URL, DB_*: the database can't be reached")?;
    migrate(&db).await.context("the migrations can't be applied")?;
    Ok(db)
}

/// The same for a database that was opened before, up to the reader of its log. `new_epoch` names a log that
/// has no name yet.
pub(super) async fn open_hub(db: Db, new_epoch: i64) -> Result<Hub, DbErr> {
    db.reach().await?;
    migrate(&db).await?;
    Hub::open(Feed::open(db, new_epoch).await?).await
}

/// A database that is up to date is left alone: many processes start at once, and only the first has work to do.
async fn migrate(db: &Db) -> Result<(), DbErr> {
    if is_up_to_date(db).await {
        return Ok(());
    }
    let lock = db.begin_write().await?;
    if db.backend() == DbBackend::Postgres {
        // The migrations run on other connections, and may take longer than a transaction may stand still.
        db::execute(lock.conn(), "SET LOCAL idle_in_transaction_session_timeout = 0", []).await?;
        db::execute(lock.conn(), "SELECT pg_advisory_xact_lock($1)", [MIGRATION_LOCK.into()]).await?;
        // Whoever had the lock before may have been of a newer version.
        if !is_up_to_date(db).await {
            migration::Migrator::up(db.pool(), None).await?;
        }
        return lock.commit().await;
    }
    // All of them or none, or a kill between two statements of one would be in the way of the next start. Each
    // statement by itself is also synced by itself.
    migration::Migrator::up(lock.conn(), None).await?;
    lock.commit().await
}

/// Whether all migrations of this version are applied. So may be those of a newer one, which is to be replaced or
/// to be gone back from: migrations only add what the version before can live with.
async fn is_up_to_date(db: &Db) -> bool {
    // Before the first migration there is no such table. Whatever else is wrong is told by what comes after.
    let Ok(rows) = db::query_all(db.pool(), "SELECT version FROM seaql_migrations", []).await else {
        return false;
    };
    let applied: HashSet<String> = rows.iter().filter_map(|row| row.try_get("", "version").ok()).collect();
    let ours = migration::Migrator::migrations();
    let newer = applied.len().saturating_sub(ours.len());
    let is_up_to_date = ours.iter().all(|migration| applied.contains(migration.name()));
    if is_up_to_date && newer > 0 {
        tracing::warn!(newer, "the database has migrations of a newer version");
    }
    is_up_to_date
}
