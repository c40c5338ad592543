//! Paging by key, not by offset: a page begins after the row that a cursor names, so it costs the
//! same however deep it is and holds still while rows come and go.
//!
//! A list is sorted by one value and, where values are equal, by an identifier, both in the same
//! direction. A cursor is opaque: the order with its direction, the value and the identifier of its row.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::db::Bind;

/// Binds the text of a key as the type of its column; `None` when it can't be one.
pub type BindText = dyn Fn(&str, &mut Bind) -> Option<String> + Send + Sync;

/// How a list is sorted.
pub struct Keyset {
    /// Name of the list or of what it is sorted by.
    pub name: &'static str,
    /// SQL expression of the value.
    pub value: String,
    /// Column of the identifier.
    pub id: &'static str,
    /// Greatest first.
    pub descending: bool,
    /// Binds the value of a cursor.
    pub bind_value: Box<BindText>,
    /// Binds the identifier of a cursor.
    pub bind_id: fn(&str, &mut Bind) -> Option<String>,
}

/// What a list is sorted by and which way: part of each cursor, so that one of another order is refused.
/// Beyond a row lies something else when the list runs the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    name: &'static str,
    descending: bool,
}

impl Order {
    /// Sorted by `name`, greatest first or last.
    #[must_use]
    pub fn new(name: &'static str, descending: bool) -> Self {
        Self { name, descending }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, if self.descending { "desc" } else { "asc" })
    }
}

/// Where a row stands in a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The value, as text.
    pub value: String,
    /// The identifier, as text.
    pub id: String,
}

/// Which page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PageRequest {
    /// Rows at most.
    pub limit: u32,
    /// The last rows instead of the first.
    pub backward: bool,
    /// Only rows after this one.
    pub after: Option<Key>,
    /// Only rows before this one.
    pub before: Option<Key>,
}

/// A page in the order of the list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether more follow in the direction of reading.
    pub has_more: bool,
}

impl Key {
    /// The opaque text.
    #[must_use]
    pub fn cursor(&self, order: Order) -> String {
        URL_SAFE_NO_PAD.encode(format!("{order}\n{}\n{}", self.value, self.id))
    }

    /// Reads the opaque text of a cursor of this order.
    #[must_use]
    pub fn parse(text: &str, order: &Keyset) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = text.splitn(3, '\n');
        let (name, value, id) = (parts.next()?, parts.next()?, parts.next()?);
        let mut scratch = Bind::new(sea_orm::DbBackend::Postgres);
        let fits = name == order.order().to_string()
            && !text.contains('\0')
            && (order.bind_value)(value, &mut scratch).is_some()
            && (order.bind_id)(id, &mut scratch).is_some();
        fits.then(|| Self { value: value.to_owned(), id: id.to_owned() })
    }
}

impl PageRequest {
    /// How many rows to read: one more than the page has, which tells whether there are more.
    #[must_use]
    pub fn rows(&self) -> u64 {
        u64::from(self.limit) + 1
    }

    /// Makes a page of what was read: up to `limit + 1` rows in the direction of reading.
    #[must_use]
    pub fn cut<T>(&self, mut rows: Vec<T>) -> Page<T> {
        let limit = self.limit as usize;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        if self.backward {
            rows.reverse();
        }
        Page { rows, has_more }
    }
}

impl Keyset {
    /// What stands in its cursors.
    #[must_use]
    pub fn order(&self) -> Order {
        Order::new(self.name, self.descending)
    }

    /// `ORDER BY`, in the direction of reading.
    #[must_use]
    pub fn order_sql(&self, backward: bool) -> String {
        let direction = if self.is_ascending(backward) { "ASC" } else { "DESC" };
        format!("ORDER BY {} {direction}, {} {direction}", self.value, self.id)
    }

    /// Whether reading this way meets the least value first.
    #[must_use]
    pub fn is_ascending(&self, backward: bool) -> bool {
        self.descending == backward
    }

    /// A statement for one row more than the page has, which tells whether there are more. The limit stands in
    /// the text: PostgreSQL takes one that it does not know for a tenth of all rows, and plans each page anew.
    pub fn page_sql(&self, select: &str, condition: &str, request: &PageRequest, bind: &mut Bind) -> String {
        let mut all = vec![format!("({condition})")];
        all.extend(request.after.as_ref().map(|key| self.beyond(key, false, bind)));
        all.extend(request.before.as_ref().map(|key| self.beyond(key, true, bind)));
        let (order, limit) = (self.order_sql(request.backward), request.rows());
        format!("{select} WHERE {} {order} LIMIT {limit}", all.join(" AND "))
    }

    /// A statement that answers a row when something lies beyond `key`.
    pub fn exists_sql(
        &self,
        table: &str,
        condition: &str,
        key: &Key,
        backward: bool,
        bind: &mut Bind,
    ) -> String {
        let beyond = self.beyond(key, backward, bind);
        format!("SELECT 1 AS found FROM {table} WHERE ({condition}) AND {beyond} LIMIT 1")
    }

    fn beyond(&self, key: &Key, backward: bool, bind: &mut Bind) -> String {
        let compare = if self.is_ascending(backward) { ">" } else { "<" };
        // `Key::parse` let only keys through that can be bound.
        let value = (self.bind_value)(&key.value, bind).unwrap_or_else(|| "NULL".to_owned());
        let id = (self.bind_id)(&key.id, bind).unwrap_or_else(|| "NULL".to_owned());
        let beyond = format!("({}, {}) {compare} ({value}, {id})", self.value, self.id);
        // SQLite finds a row's place by a pair of columns; where the value is an expression, by it alone.
        if bind.is_sqlite() { format!("{} {compare}= {value} AND {beyond}", self.value) } else { beyond }
    }
}

impl fmt::Debug for Keyset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyset")
            .field("name", &self.name)
            .field("descending", &self.descending)
            .finish_non_exhaustive()
    }
}
