//! The SQL of the registration. What the holder of the lease writes is guarded by its epoch.

use chrono::{DateTime, Utc};
use entity::{webhook_gap, webhook_registration};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult as _, Value};

use super::decide::{self, Before};
use crate::{
    access::Caller,
    audit::{self, Action},
    db::{self, Bind, Db},
};

/// Gaps that are kept for a URL.
const GAPS_KEPT: i64 = 20;

/// The row of a URL.
pub(super) type Row = webhook_registration::Model;

/// A gap in the registration of a URL.
pub(super) type GapRow = webhook_gap::Model;

/// What the list told us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// It was not there before, and is now.
    pub(super) appeared: bool,
    /// A gap was opened, which began then.
    pub(super) gap_since: Option<DateTime<Utc>>,
}

/// The row of a URL, if there is one.
pub(super) async fn find(conn: &impl ConnectionTrait, url: &str) -> Result<Option<Row>, DbErr> {
    let row = db::query_one(conn, "SELECT * FROM webhook_registrations WHERE url = $1", [url.into()]).await?;
    row.map(|row| Row::from_query_result(&row, "")).transpose()
}

/// The latest gaps of a URL, newest first.
pub(super) async fn gaps(conn: &impl ConnectionTrait, url: &str) -> Result<Vec<GapRow>, DbErr> {
    let sql = "SELECT * FROM webhook_gaps WHERE url = $1 ORDER BY id DESC LIMIT $2";
    let rows = db::query_all(conn, sql, [url.into(), GAPS_KEPT.into()]).await?;
    rows.iter().map(|row| GapRow::from_query_result(row, "")).collect()
}

/// Makes the row of a URL that was configured; one that is there keeps what was wanted last.
pub(super) async fn ensure(db: &Db, url: &str, now: DateTime<Utc>) -> Result<(), DbErr> {
    let now = db::instant(db.backend(), now);
    let sql = "INSERT INTO webhook_registrations (url, wanted, created_at, updated_at) \
               VALUES ($1, TRUE, $2, $2) ON CONFLICT (url) DO NOTHING";
    write(db, sql, vec![url.into(), now]).await
}

/// Leaves a request; answers its number. A URL that is asked off is not expected on the list any more.
pub(super) async fn request(
    db: &Db,
    url: &str,
    wanted: bool,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<i64, DbErr> {
    let tx = db.begin_write().await?;
    let sql = "INSERT INTO webhook_registrations AS kept (url, wanted, requested, created_at, updated_at) \
               VALUES ($1, $2, 1, $3, $3) ON CONFLICT (url) DO UPDATE SET \
               wanted = excluded.wanted, requested = kept.requested + 1, \
               expected = kept.expected AND excluded.wanted, updated_at = excluded.updated_at \
               RETURNING requested";
    let values = [url.into(), wanted.into(), db::instant(db.backend(), now)];
    let row = db::query_one(tx.conn(), sql, values).await?;
    let number = row.ok_or_else(|| DbErr::RecordNotFound(url.to_owned()))?.try_get("", "requested")?;
    let action = if wanted { Action::WebhookRegistered } else { Action::WebhookUnregistered };
    audit::write(tx.conn(), caller, action, None, now).await?;
    tx.commit().await?;
    Ok(number)
}

/// Answers the requests up to `number`. A former holder of the lease answers nobody.
pub(super) async fn answer(db: &Db, url: &str, epoch: i64, number: i64, answer: &str) -> Result<(), DbErr> {
    let sql = "UPDATE webhook_registrations SET answered = $2, answer = $3 WHERE url = $1 AND answered < $2 \
               AND (SELECT epoch FROM sender_lease WHERE id = 1) = $4";
    write(db, sql, vec![url.into(), number.into(), answer.into(), epoch.into()]).await
}

/// Notes when the last event came in.
pub(super) async fn arrived(db: &Db, url: &str, at: DateTime<Utc>) -> Result<(), DbErr> {
    let sql = "UPDATE webhook_registrations SET last_event_at = $2 \
               WHERE url = $1 AND (last_event_at IS NULL OR last_event_at < $2)";
    write(db, sql, vec![url.into(), db::instant(db.backend(), at)]).await
}

/// Notes why a call failed.
pub(super) async fn failed(db: &Db, url: &str, reason: &str, now: DateTime<Utc>) -> Result<(), DbErr> {
    let sql = "UPDATE webhook_registrations SET last_error = $2, updated_at = $3 WHERE url = $1";
    write(db, sql, vec![url.into(), reason.into(), db::instant(db.backend(), now)]).await
}

/// Notes what the list shows; opens or closes a gap with it. A former holder of the lease sees nothing.
pub(super) async fn saw(
    db: &Db,
    url: &str,
    epoch: i64,
    listed: bool,
    now: DateTime<Utc>,
) -> Result<Seen, DbErr> {
    let tx = db.begin_write().await?;
    let Some(row) = lock(tx.conn(), url, epoch).await? else {
        return Ok(Seen::default());
    };
    let before = Before {
        wanted: row.wanted,
        expected: row.expected,
        listed_at: row.listed_at,
        last_event_at: row.last_event_at,
    };
    let gap_since = decide::gap_since(before, listed);
    note(tx.conn(), url, listed, now).await?;
    if let Some(since) = gap_since {
        open_gap(tx.conn(), url, since).await?;
    }
    if listed {
        close_gap(tx.conn(), url, now).await?;
    }
    tx.commit().await?;
    Ok(Seen { appeared: listed && !row.is_registered, gap_since })
}

/// The row, so that nobody changes it until the transaction ends; none when the lease is another's.
async fn lock(conn: &impl ConnectionTrait, url: &str, epoch: i64) -> Result<Option<Row>, DbErr> {
    let lock = if conn.get_database_backend() == DbBackend::Postgres { " FOR UPDATE" } else { "" };
    let sql = format!(
        "SELECT * FROM webhook_registrations WHERE url = $1 \
         AND (SELECT epoch FROM sender_lease WHERE id = 1) = $2{lock}"
    );
    let row = db::query_one(conn, sql, [url.into(), epoch.into()]).await?;
    row.map(|row| Row::from_query_result(&row, "")).transpose()
}

async fn note(conn: &impl ConnectionTrait, url: &str, listed: bool, now: DateTime<Utc>) -> Result<(), DbErr> {
    let mut bind = Bind::new(conn.get_database_backend());
    let (url, listed, now) = (bind.push(url), bind.push(listed), bind.push_instant(now));
    let sql = format!(
        "UPDATE webhook_registrations SET is_registered = {listed}, checked_at = {now}, \
         expected = wanted AND {listed}, listed_at = CASE WHEN {listed} THEN {now} ELSE listed_at END, \
         last_error = NULL, updated_at = {now} WHERE url = {url}"
    );
    db::execute(conn, sql, bind.into_values()).await.map(|_| ())
}

/// Opens a gap; the oldest beyond those that are kept go.
async fn open_gap(conn: &impl ConnectionTrait, url: &str, since: DateTime<Utc>) -> Result<(), DbErr> {
    let since = db::instant(conn.get_database_backend(), since);
    let sql = "INSERT INTO webhook_gaps (url, from_at) VALUES ($1, $2)";
    db::execute(conn, sql, [url.into(), since]).await?;
    let sql = "DELETE FROM webhook_gaps WHERE url = $1 AND id <= \
               (SELECT id FROM webhook_gaps WHERE url = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";
    db::execute(conn, sql, [url.into(), GAPS_KEPT.into()]).await.map(|_| ())
}

async fn close_gap(conn: &impl ConnectionTrait, url: &str, now: DateTime<Utc>) -> Result<(), DbErr> {
    let now = db::instant(conn.get_database_backend(), now);
    let sql = "UPDATE webhook_gaps SET to_at = $2 WHERE url = $1 AND to_at IS NULL";
    db::execute(conn, sql, [url.into(), now]).await.map(|_| ())
}

async fn write(db: &Db, sql: &str, values: Vec<Value>) -> Result<(), DbErr> {
    let tx = db.begin_write().await?;
    db::execute(tx.conn(), sql, values).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use migration::MigratorTrait as _;

    use super::*;

    const URL: &str = "http://h/webhooks";
    /// As the migration leaves the lease.
    const EPOCH: i64 = 0;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    async fn database(folder: &tempfile::TempDir) -> Db {
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("besty.db").display());
        let db = Db::connect(&db::DatabaseSettings { url: url.into(), pool_max: 2 }).await.unwrap();
        migration::Migrator::up(db.pool(), None).await.unwrap();
        ensure(&db, URL, at(0)).await.unwrap();
        db
    }

    #[tokio::test]
    async fn the_latest_gaps_are_kept_and_each_is_opened_once() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        for n in 1..=25 {
            assert!(saw(&db, URL, EPOCH, true, at(10 * n)).await.unwrap().appeared);
            let seen = saw(&db, URL, EPOCH, false, at(10 * n + 5)).await.unwrap();
            assert_eq!(seen.gap_since, Some(at(10 * n)));
            let again = saw(&db, URL, EPOCH, false, at(10 * n + 6)).await.unwrap();
            assert_eq!(again.gap_since, None, "told once");
        }
        let gaps = gaps(db.pool(), URL).await.unwrap();
        let times: Vec<_> = gaps.iter().map(|gap| (gap.from_at, gap.to_at)).collect();
        let closed = (6..25).rev().map(|n| (at(10 * n), Some(at(10 * n + 10))));
        let expected: Vec<_> = std::iter::once((at(250), None)).chain(closed).collect();
        assert_eq!(times, expected);
        let rows = db::query_all(db.pool(), "SELECT id FROM webhook_gaps", []).await.unwrap();
        assert_eq!(rows.len(), 20);
    }

    #[tokio::test]
    async fn a_former_holder_of_the_lease_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        let number = request(&db, URL, true, &Caller::anonymous(None), at(1)).await.unwrap();
        let before = find(db.pool(), URL).await.unwrap();
        saw(&db, URL, EPOCH + 1, true, at(2)).await.unwrap();
        answer(&db, URL, EPOCH + 1, number, "{}").await.unwrap();
        assert_eq!(find(db.pool(), URL).await.unwrap(), before);
    }

    #[tokio::test]
    async fn what_is_asked_off_is_not_missed_even_when_it_is_asked_on_again() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        saw(&db, URL, EPOCH, true, at(1)).await.unwrap();
        assert_eq!(request(&db, URL, false, &Caller::anonymous(None), at(2)).await.unwrap(), 1);
        assert_eq!(request(&db, URL, true, &Caller::anonymous(None), at(3)).await.unwrap(), 2);
        assert_eq!(saw(&db, URL, EPOCH, false, at(4)).await.unwrap(), Seen::default());
        ensure(&db, URL, at(5)).await.unwrap();
        request(&db, URL, false, &Caller::anonymous(None), at(6)).await.unwrap();
        ensure(&db, URL, at(7)).await.unwrap();
        assert!(!find(db.pool(), URL).await.unwrap().unwrap().wanted, "a start leaves it as it was asked");
    }
}
