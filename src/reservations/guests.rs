//! What is known of each guest, and its projection onto `reservations.guest_*`.
//!
//! A field is kept beside the order of what it was learned from and only ever gives way to a greater
//! order. So the fields end alike however events and look-ups are mixed, what a stale event says of
//! a guest is not lost, and an event without names loses none.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use entity::guest;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, QueryResult};

use super::{
    GuestFields, Reservation, ReservationEvent, change,
    order::{GuestSource, guest_order},
    store,
};
use crate::{
    db::{self, Bind},
    feed::{Feed, FeedTx},
};

/// Guests a statement.
const CHUNK: usize = 200;

/// The guests that one transaction deals with.
#[derive(Debug, Default)]
pub(super) struct GuestBook {
    guests: HashMap<String, Guest>,
}

/// One guest, and what became of them in this transaction.
#[derive(Debug, Default)]
pub(super) struct Guest {
    /// First name, last name, email, phone.
    fields: [Field; 4],
    /// Not in the table yet.
    is_new: bool,
    /// A field differs from what the table has.
    is_changed: bool,
    /// Only the order of a field differs: nothing for a watcher, but later events must see it.
    is_confirmed: bool,
    /// What PostgreSQL calls the version of the row this was read from, where it was asked for.
    version: Option<String>,
}

/// A value and where it came from. `None < Some`, so anything learned beats nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Field {
    order: Option<String>,
    value: Option<String>,
}

impl Guest {
    fn learn(&mut self, fields: &GuestFields, order: &str) {
        let learned = [&fields.first_name, &fields.last_name, &fields.email, &fields.phone];
        for (known, value) in self.fields.iter_mut().zip(learned) {
            let Some(value) = value else { continue };
            let news = Field { order: Some(order.to_owned()), value: Some(value.clone()) };
            if news > *known {
                self.is_changed |= news.value != known.value;
                self.is_confirmed = true;
                *known = news;
            }
        }
    }

    fn fields(&self) -> GuestFields {
        let [first_name, last_name, email, phone] = self.fields.each_ref().map(|field| field.value.clone());
        GuestFields { first_name, last_name, email, phone }
    }

    /// There is something to write.
    fn is_learned(&self) -> bool {
        self.is_new || self.is_confirmed
    }

    fn is_complete(&self) -> bool {
        self.fields.iter().all(|field| field.value.is_some())
    }
}

impl From<guest::Model> for Guest {
    fn from(row: guest::Model) -> Self {
        let field = |order, value| Field { order, value };
        Self {
            fields: [
                field(row.first_name_order, row.first_name),
                field(row.last_name_order, row.last_name),
                field(row.email_order, row.email),
                field(row.phone_order, row.phone),
            ],
            ..Self::default()
        }
    }
}

impl GuestBook {
    /// Reads what is known of these guests. One who is not in `guests` yet begins with what their
    /// rows in `reservations` say, which others may have written; anything we learn beats that.
    pub(super) async fn load(conn: &impl ConnectionTrait, ids: BTreeSet<&str>) -> Result<Self, DbErr> {
        let mut book = Self::default();
        let ids: Vec<_> = ids.into_iter().collect();
        for chunk in ids.chunks(CHUNK) {
            let mut bind = Bind::new(conn.get_database_backend());
            let any = bind.any_of("guest_id", chunk.iter().copied());
            let sql = format!("SELECT * FROM guests WHERE {any}");
            for row in db::query_all(conn, sql, bind.into_values()).await? {
                let row = guest::Model::from_query_result(&row, "")?;
                book.guests.insert(row.guest_id.clone(), row.into());
            }
        }
        let new: Vec<_> = ids.into_iter().filter(|id| !book.guests.contains_key(*id)).collect();
        for id in &new {
            book.guests.insert((*id).to_owned(), Guest { is_new: true, ..Guest::default() });
        }
        for row in store::with_guest_fields(conn, &new).await? {
            if let Some(guest) = book.guests.get_mut(&row.guest_id) {
                guest.learn(&row.guest, "");
                // Not learned from anybody: the rows it was read from stay as they are.
                (guest.is_changed, guest.is_confirmed) = (false, false);
            }
        }
        Ok(book)
    }

    /// Begins with a guest as the table has them in this version.
    pub(super) fn know(&mut self, row: guest::Model, version: String) {
        let id = row.guest_id.clone();
        self.guests.insert(id, Guest { version: Some(version), ..row.into() });
    }

    /// Begins with guests as they were [settled](Self::settle).
    pub(super) fn recall(guests: HashMap<String, Guest>) -> Self {
        Self { guests }
    }

    /// The guests as they are once what was learned is committed: in a row of this version.
    pub(super) fn settle(self, version: &str) -> HashMap<String, Guest> {
        let settled = |(id, guest): (String, Guest)| {
            let version = if guest.is_learned() { Some(version.to_owned()) } else { guest.version };
            (id, Guest { fields: guest.fields, version, ..Guest::default() })
        };
        self.guests.into_iter().map(settled).collect()
    }

    /// Begins those guests of these events that it does not know: neither the table nor a reservation says anything
    /// of them.
    pub(super) fn begin(&mut self, events: &[Arc<ReservationEvent>]) {
        for event in events {
            if !self.knows(&event.guest_id) {
                self.guests.insert(event.guest_id.clone(), Guest { is_new: true, ..Guest::default() });
            }
        }
    }

    /// Whether it has begun with this guest.
    pub(super) fn knows(&self, guest_id: &str) -> bool {
        self.guests.contains_key(guest_id)
    }

    /// Takes up what events say of their guests.
    pub(super) fn learn_from(&mut self, events: &[Arc<ReservationEvent>]) {
        for event in events {
            let webhook_id = event.webhook_id.as_deref().unwrap_or_default();
            let source = GuestSource::Event { status: event.status, webhook_id };
            self.learn(&event.guest_id, &event.guest, event.timestamp, source);
        }
    }

    /// Takes up what an event or a look-up says of a guest.
    pub(super) fn learn(
        &mut self,
        guest_id: &str,
        fields: &GuestFields,
        at: Option<DateTime<Utc>>,
        source: GuestSource<'_>,
    ) {
        if let Some(guest) = self.guests.get_mut(guest_id)
            && !fields.is_empty()
        {
            guest.learn(fields, &guest_order(at, source));
        }
    }

    /// What is known of a guest.
    pub(super) fn fields(&self, guest_id: &str) -> GuestFields {
        self.guests.get(guest_id).map(Guest::fields).unwrap_or_default()
    }

    /// Guests of whom a field changed, so that rows of theirs may differ.
    pub(super) fn changed(&self) -> impl Iterator<Item = &str> {
        self.guests.iter().filter(|(_, guest)| guest.is_changed).map(|(id, _)| id.as_str())
    }

    /// Whether rows of a guest who was known before may differ from what is known now.
    pub(super) fn has_changed_rows(&self) -> bool {
        self.guests.values().any(|guest| guest.is_changed && !guest.is_new)
    }

    /// The version that a guest's row must have for this to be what is known of them; empty where there is
    /// something to write, which is checked by itself.
    pub(super) fn version(&self, guest_id: &str) -> &str {
        let guest = self.guests.get(guest_id).filter(|guest| !guest.is_learned());
        guest.and_then(|guest| guest.version.as_deref()).unwrap_or_default()
    }

    /// What was learned, as `besty_apply_batch` takes it: with the version of each guest who is in the
    /// table. None when nothing was.
    pub(super) fn news_json(&self) -> Option<serde_json::Value> {
        let news: Vec<_> = self
            .learned()
            .map(|(id, guest)| {
                let [first_name, last_name, email, phone] = &guest.fields;
                serde_json::json!({
                    "guest_id": id, "version": guest.version,
                    "first_name": first_name.value, "first_name_order": first_name.order,
                    "last_name": last_name.value, "last_name_order": last_name.order,
                    "email": email.value, "email_order": email.order,
                    "phone": phone.value, "phone_order": phone.order,
                })
            })
            .collect();
        (!news.is_empty()).then(|| news.into())
    }

    fn learned(&self) -> impl Iterator<Item = (&String, &Guest)> {
        self.guests.iter().filter(|(_, guest)| guest.is_learned())
    }

    /// Writes what was learned. A new guest of whom a field is missing is due for a look-up.
    pub(super) async fn write(&self, conn: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<(), DbErr> {
        let learned: Vec<_> = self.learned().collect();
        for chunk in learned.chunks(CHUNK) {
            let mut bind = Bind::new(conn.get_database_backend());
            let rows: Vec<_> = chunk
                .iter()
                .map(|(id, guest)| {
                    let mut places = vec![bind.push(id.as_str())];
                    for field in &guest.fields {
                        places.push(bind.push(field.value.clone()));
                        places.push(bind.push(field.order.clone()));
                    }
                    places.push(bind.push_instant((!guest.is_complete()).then_some(now)));
                    format!("({})", places.join(", "))
                })
                .collect();
            // `fetch_after` belongs to the look-ups once the guest is known.
            let sql = format!(
                "INSERT INTO guests (guest_id, first_name, first_name_order, last_name, last_name_order, \
                 email, email_order, phone, phone_order, fetch_after) VALUES {} \
                 ON CONFLICT (guest_id) DO UPDATE SET \
                 first_name = excluded.first_name, first_name_order = excluded.first_name_order, \
                 last_name = excluded.last_name, last_name_order = excluded.last_name_order, \
                 email = excluded.email, email_order = excluded.email_order, \
                 phone = excluded.phone, phone_order = excluded.phone_order",
                rows.join(", ")
            );
            db::execute(conn, sql, bind.into_values()).await?;
        }
        Ok(())
    }

    /// Brings the rows of changed guests up to date, but for those in `done`, and appends a change
    /// for each.
    pub(super) async fn project(
        &self,
        tx: &mut FeedTx,
        done: &BTreeSet<&str>,
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        let ids: Vec<_> = self.changed().collect();
        let mut rows = Vec::new();
        let mut changes = Vec::new();
        for before in store::of_guests(tx.conn(), &ids).await? {
            let known = self.fields(&before.guest_id);
            if done.contains(before.reservation_id.as_str()) || before.guest == known {
                continue;
            }
            let after = Reservation { guest: known, updated_at: Some(now), ..before.clone() };
            changes.push(
                change::by_guest(&before, &after, now).map_err(|error| DbErr::Json(error.to_string()))?,
            );
            rows.push(after);
        }
        store::write(tx, &rows, &changes).await
    }
}

/// Takes up what the Guest API said of a guest, in a transaction of its own.
pub(super) async fn learn_from_look_up(
    feed: &Feed,
    guest_id: &str,
    fields: &GuestFields,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let mut tx = feed.begin().await?;
    let mut book = GuestBook::load(tx.conn(), BTreeSet::from([guest_id])).await?;
    book.learn(guest_id, fields, Some(now), GuestSource::LookUp);
    book.write(tx.conn(), now).await?;
    book.project(&mut tx, &BTreeSet::new(), now).await?;
    let done = "UPDATE guests SET fetch_after = NULL, fetch_attempts = 0 WHERE guest_id = $1";
    db::execute(tx.conn(), done, [guest_id.into()]).await?;
    tx.commit().await
}

/// Guests by the booking source's identifiers, those that there are: in `guests`, else with what the
/// reservations say that others wrote for them, as [`GuestBook::load`] would begin with.
pub async fn by_ids(
    conn: &impl ConnectionTrait,
    guest_ids: &[String],
) -> Result<HashMap<String, GuestFields>, DbErr> {
    let mut found = HashMap::with_capacity(guest_ids.len());
    for chunk in guest_ids.chunks(CHUNK) {
        let mut bind = Bind::new(conn.get_database_backend());
        let any = bind.any_of("guest_id", chunk.iter().map(String::as_str));
        let sql = format!("SELECT * FROM guests WHERE {any}");
        for row in db::query_all(conn, sql, bind.into_values()).await? {
            let row = guest::Model::from_query_result(&row, "")?;
            found.insert(row.guest_id.clone(), Guest::from(row).fields());
        }
    }
    let others: Vec<_> = guest_ids.iter().filter(|id| !found.contains_key(*id)).cloned().collect();
    for chunk in others.chunks(CHUNK) {
        found.extend(of_others(conn, chunk).await?);
    }
    Ok(found)
}

/// Guests of whom `guests` does not know: field by field the greatest value of their reservations.
async fn of_others(
    conn: &impl ConnectionTrait,
    guest_ids: &[String],
) -> Result<Vec<(String, GuestFields)>, DbErr> {
    let mut bind = Bind::new(conn.get_database_backend());
    let bytes = if bind.is_sqlite() { "" } else { "COLLATE \"C\"" };
    let any = bind.any_of("guest_id", guest_ids.iter().map(String::as_str));
    let greatest = |field: &str| format!("MAX(guest_{field} {bytes}) AS {field}");
    let fields = ["first_name", "last_name", "email", "phone"].map(greatest).join(", ");
    let sql = format!("SELECT guest_id, {fields} FROM reservations WHERE {any} GROUP BY guest_id");
    let rows = db::query_all(conn, sql, bind.into_values()).await?;
    let fields = |row: &QueryResult| {
        Ok::<_, DbErr>(GuestFields {
            first_name: row.try_get("", "first_name")?,
            last_name: row.try_get("", "last_name")?,
            email: row.try_get("", "email")?,
            phone: row.try_get("", "phone")?,
        })
    };
    rows.iter().map(|row| Ok((row.try_get("", "guest_id")?, fields(row)?))).collect()
}
