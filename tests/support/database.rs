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

    /// The same, for a user whom PostgreSQL asks for this password: as it is, and as it is in a URL.
    pub async fn postgres_with_password(password: (&str, &str)) -> Self {
        let db = Self::postgres().await;
        let user = format!("p{}", uuid::Uuid::new_v4().simple());
        db.sql(&format!("CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{}'", password.0)).await;
        // A line for this user only, before the one that trusts everybody.
        let rules = format!("{}/pg_hba.conf", std::env::var("TEST_POSTGRES_DATA").unwrap());
        {
            static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
            let _alone = ONE_AT_A_TIME.lock().await;
            let others = std::fs::read_to_string(&rules).unwrap();
            std::fs::write(&rules, format!("host all {user} 127.0.0.1/32 scram-sha-256\n{others}")).unwrap();
            db.sql("SELECT pg_reload_conf()").await;
        }
        let (_, host) = db.url.split_once('@').unwrap();
        let open = format!("postgres://{user}@{host}");
        super::within("the server to ask for the password", async {
            while let Ok(trusted) = sea_orm::Database::connect(&open).await {
                trusted.close().await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
        Self { url: format!("postgres://{user}:{}@{host}", password.1), ..db }
    }

    /// Gives its user another password.
    pub async fn set_password(&self, password: &str) {
        self.sql(&format!("ALTER ROLE {} PASSWORD '{password}'", self.parts().0)).await;
    }

    /// The user, where the server listens, and the name of the database.
    pub fn parts(&self) -> (String, String, String) {
        let (user, rest) = self.url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
        let (at, name) = rest.split_once('/').unwrap();
        let user = user.split(':').next().unwrap_or(user);
        (user.to_owned(), at.to_owned(), name.to_owned())
    }

    /// Runs a statement as this database's user.
    async fn sql(&self, statement: &str) {
        let admin = sea_orm::Database::connect(&self.url).await.unwrap();
        admin.execute_unprepared(statement).await.unwrap();
        admin.close().await.unwrap();
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
