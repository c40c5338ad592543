//! Who asked for what, and when: written in the transaction of what was done, so that there is neither without
//! the other. What changed nothing (a repeat, a refusal) is not told.

use chrono::{DateTime, Utc};
use entity::audit;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult as _, QueryResult};
use uuid::Uuid;

use crate::{
    access::{Caller, Role},
    db::{self, Bind, Db},
    keyset::{Key, Keyset, Page, PageRequest},
};

/// The table.
const TABLE: &str = "audit";
/// Entries deleted at once.
const FORGET: i64 = 1_000;
/// Characters of a name that are kept; a provider may have longer ones.
const ACTOR_MAX: usize = 255;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A broadcast was started.
    BroadcastStarted,
    /// A broadcast was stopped until it is resumed.
    BroadcastPaused,
    /// A broadcast went on.
    BroadcastResumed,
    /// What had failed of a broadcast was tried again.
    BroadcastRetried,
    /// A broadcast was stopped for good.
    BroadcastCancelled,
    /// The webhook URL was asked onto the list.
    WebhookRegistered,
    /// The webhook URL was asked off the list.
    WebhookUnregistered,
    /// A rejected webhook was applied.
    WebhookRetried,
}

impl Action {
    const ALL: [Self; 8] = [
        Self::BroadcastStarted,
        Self::BroadcastPaused,
        Self::BroadcastResumed,
        Self::BroadcastRetried,
        Self::BroadcastCancelled,
        Self::WebhookRegistered,
        Self::WebhookUnregistered,
        Self::WebhookRetried,
    ];

    /// As it is stored.
    fn as_str(self) -> &'static str {
        match self {
            Self::BroadcastStarted => "broadcast_started",
            Self::BroadcastPaused => "broadcast_paused",
            Self::BroadcastResumed => "broadcast_resumed",
            Self::BroadcastRetried => "broadcast_retried",
            Self::BroadcastCancelled => "broadcast_cancelled",
            Self::WebhookRegistered => "webhook_registered",
            Self::WebhookUnregistered => "webhook_unregistered",
            Self::WebhookRetried => "webhook_retried",
        }
    }
}

/// What was done, by whom, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name here.
    pub id: Uuid,
    /// When it was done.
    pub at: DateTime<Utc>,
    /// Whose token it was done with.
    pub actor: String,
    /// What the token allowed.
    pub role: Role,
    /// What was done.
    pub action: Action,
    /// The broadcast or the rejected webhook, none for the registration.
    pub subject: Option<Uuid>,
}

/// Writes an entry; `conn` is the transaction of what it tells.
pub async fn write(
    conn: &impl ConnectionTrait,
    caller: &Caller,
    action: Action,
    subject: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let actor: String = caller.name().chars().filter(|c| *c != '\0').take(ACTOR_MAX).collect();
    let mut bind = Bind::new(conn.get_database_backend());
    let places = [
        bind.push(Uuid::now_v7().to_string()),
        bind.push_instant(now),
        bind.push(actor),
        bind.push(caller.role().as_str()),
        bind.push(action.as_str()),
        bind.push(subject.map(|subject| subject.to_string())),
    ];
    let sql =
        format!("INSERT INTO {TABLE} (id, at, actor, role, action, subject) VALUES ({})", places.join(", "));
    db::execute(conn, sql, bind.into_values()).await.map(drop)
}

/// The order of the entries: newest first.
#[must_use]
pub fn keyset() -> Keyset {
    Keyset {
        name: TABLE,
        value: "at".to_owned(),
        id: "id",
        descending: true,
        bind_value: Box::new(|text, bind| Some(bind.push_instant(text.parse::<DateTime<Utc>>().ok()?))),
        bind_id: |text, bind| Some(bind.push(text.parse::<Uuid>().ok()?.to_string())),
    }
}

/// The key of one in that list.
#[must_use]
pub fn key(entry: &Entry) -> Key {
    Key { value: entry.at.to_rfc3339(), id: entry.id.to_string() }
}

/// A page of them.
pub async fn page(db: &Db, request: &PageRequest) -> Result<Page<Entry>, DbErr> {
    let mut bind = Bind::new(db.backend());
    let sql = keyset().page_sql(&format!("SELECT * FROM {TABLE}"), "TRUE", request, &mut bind);
    let rows = db::query_all(db.pool(), sql, bind.into_values()).await?;
    Ok(request.cut(rows.iter().map(entry_of).collect::<Result<_, _>>()?))
}

/// Whether there is one beyond `key`.
pub async fn exists_beyond(db: &Db, key: &Key, backward: bool) -> Result<bool, DbErr> {
    let mut bind = Bind::new(db.backend());
    let sql = keyset().exists_sql(TABLE, "TRUE", key, backward, &mut bind);
    Ok(db::query_one(db.pool(), sql, bind.into_values()).await?.is_some())
}

/// Those of these names, in no order.
pub async fn by_ids(db: &Db, ids: &[Uuid]) -> Result<Vec<Entry>, DbErr> {
    let ids: Vec<_> = ids.iter().map(Uuid::to_string).collect();
    let mut bind = Bind::new(db.backend());
    let any = bind.any_of("id", ids.iter().map(String::as_str));
    let sql = format!("SELECT * FROM {TABLE} WHERE {any}");
    db::query_all(db.pool(), sql, bind.into_values()).await?.iter().map(entry_of).collect()
}

/// Deletes a batch of what was done before `before`; answers how many entries that were.
pub async fn forget(db: &Db, before: DateTime<Utc>) -> Result<u64, DbErr> {
    let mut bind = Bind::new(db.backend());
    let (before, limit) = (bind.push_instant(before), bind.push(FORGET));
    let sql = format!(
        "DELETE FROM {TABLE} WHERE id IN (SELECT id FROM {TABLE} WHERE at < {before} ORDER BY at, id LIMIT {limit})"
    );
    let tx = db.begin_write().await?;
    let deleted = db::execute(tx.conn(), sql, bind.into_values()).await?;
    tx.commit().await?;
    Ok(deleted.rows_affected())
}

/// How many there are.
pub async fn count(db: &Db) -> Result<i64, DbErr> {
    let row = db::query_one(db.pool(), format!("SELECT COUNT(*) AS n FROM {TABLE}"), []).await?;
    row.map_or(Ok(0), |row| row.try_get("", "n"))
}

fn entry_of(row: &QueryResult) -> Result<Entry, DbErr> {
    let row = audit::Model::from_query_result(row, "")?;
    let unknown = |what: &str| DbErr::Type(format!("'{what}' in {TABLE} is not known here"));
    let action = Action::ALL.into_iter().find(|action| action.as_str() == row.action);
    let subject = row.subject.map(|id| id.parse().map_err(|_| unknown(&id))).transpose()?;
    Ok(Entry {
        id: row.id.parse().map_err(|_| unknown(&row.id))?,
        at: row.at,
        actor: row.actor,
        role: Role::parse(&row.role).ok_or_else(|| unknown(&row.role))?,
        action: action.ok_or_else(|| unknown(&row.action))?,
        subject,
    })
}
