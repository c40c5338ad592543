//! The lists of broadcasts and of their messages, page by page.

use chrono::{DateTime, Utc};
use entity::broadcast_recipient;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, QueryResult};
use uuid::Uuid;

use super::broadcast_of;
use crate::{
    broadcast::{Broadcast, Message, MessageState},
    db::{self, Bind, Db},
    keyset::{Key, Keyset, Page, PageRequest},
};

/// The order of the list of broadcasts: newest first.
#[must_use]
pub fn broadcasts_keyset() -> Keyset {
    Keyset {
        name: "broadcasts",
        value: "created_at".to_owned(),
        id: "id",
        descending: true,
        bind_value: Box::new(|text, bind| Some(bind.push_instant(text.parse::<DateTime<Utc>>().ok()?))),
        bind_id: |text, bind| Some(bind.push(text.parse::<Uuid>().ok()?.to_string())),
    }
}

/// The key of a broadcast in that list.
#[must_use]
pub fn broadcast_key(broadcast: &Broadcast) -> Key {
    Key { value: broadcast.created_at.to_rfc3339(), id: broadcast.id.to_string() }
}

/// A page of broadcasts.
pub async fn page(db: &Db, request: &PageRequest) -> Result<Page<Broadcast>, DbErr> {
    let mut bind = Bind::new(db.backend());
    let sql = broadcasts_keyset().page_sql("SELECT * FROM broadcasts", "TRUE", request, &mut bind);
    let rows = db::query_all(db.pool(), sql, bind.into_values()).await?;
    Ok(request.cut(rows.iter().map(broadcast_of).collect::<Result<_, _>>()?))
}

/// How many broadcasts there are.
pub async fn count(db: &Db) -> Result<i64, DbErr> {
    let row = db::query_one(db.pool(), "SELECT COUNT(*) AS n FROM broadcasts", []).await?;
    row.map_or(Ok(0), |row| row.try_get("", "n"))
}

/// The order of the messages of a broadcast: by guest.
#[must_use]
pub fn messages_keyset() -> Keyset {
    Keyset {
        name: "messages",
        value: "guest_id".to_owned(),
        id: "guest_id",
        descending: false,
        bind_value: Box::new(|text, bind| Some(bind.push(text))),
        bind_id: |text, bind| Some(bind.push(text)),
    }
}

/// The key of a message in that list.
#[must_use]
pub fn message_key(message: &Message) -> Key {
    Key { value: message.guest_id.clone(), id: message.guest_id.clone() }
}

/// Which messages: those of a broadcast, in some states if given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageSet {
    /// The broadcast.
    pub broadcast_id: Uuid,
    /// Any of these states.
    pub states: Option<Vec<MessageState>>,
}

impl MessageSet {
    /// A condition over `broadcast_recipients`.
    fn to_sql(&self, bind: &mut Bind) -> String {
        let mut condition = format!("broadcast_id = {}", bind.push(self.broadcast_id.to_string()));
        if let Some(states) = &self.states {
            condition.push_str(" AND ");
            condition.push_str(&bind.any_of("state", states.iter().map(|state| state.as_str())));
        }
        condition
    }
}

/// A page of messages.
pub async fn messages(db: &Db, set: &MessageSet, request: &PageRequest) -> Result<Page<Message>, DbErr> {
    let pages = message_pages(db, &[(set, request)]).await?;
    Ok(pages.into_iter().next().unwrap_or(Page { rows: Vec::new(), has_more: false }))
}

/// Pages of messages, each of a set of its own, in one statement.
pub async fn message_pages(
    db: &Db,
    wanted: &[(&MessageSet, &PageRequest)],
) -> Result<Vec<Page<Message>>, DbErr> {
    let (mut bind, keyset) = (Bind::new(db.backend()), messages_keyset());
    let page = |(part, (set, request)): (usize, &(&MessageSet, &PageRequest))| {
        let condition = set.to_sql(&mut bind);
        let page = keyset.page_sql("SELECT * FROM broadcast_recipients", &condition, request, &mut bind);
        let order = keyset.order_sql(request.backward);
        format!("SELECT {part} AS part, ROW_NUMBER() OVER ({order}) AS place, page.* FROM ({page}) AS page")
    };
    let pages: Vec<_> = wanted.iter().enumerate().map(page).collect();
    if pages.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT * FROM ({}) AS pages ORDER BY part, place", pages.join(" UNION ALL "));
    let rows = db::query_all(db.pool(), sql, bind.into_values()).await?;
    let mut parts: Vec<_> = wanted.iter().map(|_| Vec::new()).collect();
    for row in &rows {
        let part: i32 = row.try_get("", "part")?;
        if let Some(part) = usize::try_from(part).ok().and_then(|part| parts.get_mut(part)) {
            part.push(message_of(row)?);
        }
    }
    Ok(wanted.iter().zip(parts).map(|((_, request), rows)| request.cut(rows)).collect())
}

/// Messages by broadcast and guest, in no order.
pub async fn messages_by_ids(
    conn: &impl ConnectionTrait,
    ids: &[(Uuid, String)],
) -> Result<Vec<Message>, DbErr> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut bind = Bind::new(conn.get_database_backend());
    let pairs: Vec<_> = ids
        .iter()
        .map(|(id, guest)| format!("({}, {})", bind.push(id.to_string()), bind.push(guest.as_str())))
        .collect();
    let sql = format!(
        "SELECT * FROM broadcast_recipients WHERE (broadcast_id, guest_id) IN (VALUES {})",
        pairs.join(", ")
    );
    let rows = db::query_all(conn, sql, bind.into_values()).await?;
    rows.iter().map(message_of).collect()
}

/// Messages whose final result has a number in `(after, up_to]`, in the order of the results.
pub async fn finished_between(db: &Db, id: Uuid, after: i64, up_to: i64) -> Result<Vec<Message>, DbErr> {
    let sql = "SELECT * FROM broadcast_recipients WHERE broadcast_id = $1 AND finished_seq > $2 \
               AND finished_seq <= $3 ORDER BY finished_seq";
    let rows = db::query_all(db.pool(), sql, [id.to_string().into(), after.into(), up_to.into()]).await?;
    rows.iter().map(message_of).collect()
}

/// The first messages that failed for good or are uncertain, by guest.
pub async fn failures(db: &Db, broadcast_id: Uuid, limit: u32) -> Result<Vec<Message>, DbErr> {
    let request = PageRequest { limit, ..PageRequest::default() };
    let states = Some(vec![MessageState::Failed, MessageState::Uncertain]);
    Ok(messages(db, &MessageSet { broadcast_id, states }, &request).await?.rows)
}

/// Whether a broadcast lies beyond `key`.
pub async fn exists_beyond(db: &Db, key: &Key, backward: bool) -> Result<bool, DbErr> {
    let mut bind = Bind::new(db.backend());
    let sql = broadcasts_keyset().exists_sql("broadcasts", "TRUE", key, backward, &mut bind);
    Ok(db::query_one(db.pool(), sql, bind.into_values()).await?.is_some())
}

fn message_of(row: &QueryResult) -> Result<Message, DbErr> {
    broadcast_recipient::Model::from_query_result(row, "")?.try_into()
}
