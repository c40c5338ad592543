//! Throw-away databases: a file in a temporary folder, or a database of the run's own PostgreSQL.

use besty::db::{DatabaseSettings, Db};
use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;

use super::proxy::Proxy;

/// A database that one test has for itself.
#[derive(Debug)]
pub struct TestDb {
    url: String,
    folder: TempDir,
}

impl TestDb {
    /// A new SQLite file.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("besty.db").display());
        Self { url, folder }
    }

    /// A new database on the server that `tests/with-postgres` started.
    pub async fn postgres() -> Self {
        let server = std::env::var("TEST_POSTGRES_URL")
            .expect("no PostgreSQL: run `make test`, or `tests/with-postgres cargo test`");
        let name = format!("t{}", uuid::Uuid::new_v4().simple());
        let admin = sea_orm::Database::connect(&server).await.unwrap();
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        admin.close().await.unwrap();
        let (base, _) = server.rsplit_once('/').unwrap();
        Self { url: format!("{base}/{name}"), folder: tempfile::tempdir().unwrap() }
    }

    /// The same, for a user who may make tables and no extensions.
    pub async fn postgres_without_extensions() -> Self {
        let db = Self::postgres().await;
        let (user, admin) = (
            format!("u{}", uuid::Uuid::new_v4().simple()),
            sea_orm::Database::connect(&db.url).await.unwrap(),
        );
        let sql = format!("CREATE ROLE {user} LOGIN; GRANT ALL ON SCHEMA public TO {user}");
        admin.execute_unprepared(&sql).await.unwrap();
        admin.close().await.unwrap();
        let (_, host) = db.url.split_once('@').unwrap();
        Self { url: format!("postgres://{user}@{host}"), ..db }
    }

    /// The same, reached through a proxy that can be cut.
    pub async fn postgres_behind_proxy() -> (Self, Proxy) {
        Self::postgres().await.behind_proxy()
    }

    /// This one, reached through a proxy from now on.
    pub fn behind_proxy(self) -> (Self, Proxy) {
        let (proxy, url) = Proxy::before(&self.url);
        (Self { url, ..self }, proxy)
    }

    /// What `DATABASE_URL` is to be.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A folder for whatever else the test writes.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A pool of its own, beside the app's.
    pub async fn connect(&self) -> Db {
        Db::connect(&DatabaseSettings { url: self.url.clone().into(), pool_max: 5 }).await.unwrap()
    }
}
