//! Starts the real app on a port of its own, with a database of its own and a scripted Guest API.

pub mod app;
pub mod balancer;
pub mod binary;
pub mod database;
pub mod events;
pub mod fold;
pub mod follow;
pub mod multipart;
pub mod openid;
pub mod proxy;
pub mod socket;
pub mod sse;
pub mod storm;
pub mod unread;

pub use app::TestApp;
pub use database::TestDb;

/// Makes two tests of an `async fn(TestDb)`: one on SQLite, one on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::support::TestDb::sqlite()).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::support::TestDb::postgres().await).await;
            })+
        }
    };
}
pub(crate) use on_both;

/// How long a test waits for a signal before it says that none came.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Waits for `future`, and says what did not come when it takes too long.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let result = tokio::time::timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("{what}: nothing within {PATIENCE:?}"))
}
