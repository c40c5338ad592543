//! Relay's paging arguments and `PageInfo`, over any of our lists.
//!
//! What a page does not tell by itself is asked for only when the client asks.

use std::sync::Arc;

use async_graphql::{Context, Object, Result};

use super::{
    errors,
    loaders::{self, MessagePage},
    services,
};
use crate::{
    audit,
    broadcast::{self, store::MessageSet},
    keyset::{Key, Keyset, Order, PageRequest},
    reservations::{self, ReservationFilter, rejected, store::OrderField},
};

/// Elements of a page when neither `first` nor `last` is given.
const DEFAULT: u32 = 50;
/// Elements of a page at most.
const MAX: i32 = 100;

/// The four arguments of a list.
#[derive(Clone, Debug, Default)]
pub struct PageArgs {
    /// Only elements after this cursor.
    pub after: Option<String>,
    /// Only elements before this cursor.
    pub before: Option<String>,
    /// The first elements.
    pub first: Option<i32>,
    /// The last elements.
    pub last: Option<i32>,
}

impl PageArgs {
    /// The page they ask for, in a list of this order.
    pub fn request(&self, order: &Keyset) -> Result<PageRequest> {
        let (limit, backward) = match (self.first, self.last) {
            (Some(_), Some(_)) => return Err(errors::bad_input("give `first` or `last`, not both")),
            (None, Some(last)) => (limit("last", last)?, true),
            (first, None) => (first.map_or(Ok(DEFAULT), |first| limit("first", first))?, false),
        };
        let after = key("after", self.after.as_deref(), order)?;
        let before = key("before", self.before.as_deref(), order)?;
        Ok(PageRequest { limit, backward, after, before })
    }
}

/// How many elements an argument asks for.
pub fn limit(argument: &str, count: i32) -> Result<u32> {
    let limit = u32::try_from(count).ok().filter(|_| count <= MAX);
    limit.ok_or_else(|| errors::bad_input(format!("`{argument}` must be between 0 and {MAX}")))
}

fn key(argument: &str, cursor: Option<&str>, order: &Keyset) -> Result<Option<Key>> {
    let read = |cursor| {
        Key::parse(cursor, order).ok_or_else(|| {
            errors::bad_position(format!("`{argument}` is no cursor of this list in this order"))
        })
    };
    cursor.map(read).transpose()
}

/// A whole list, of which pages are shown.
#[derive(Clone, Debug)]
pub enum List {
    /// Reservations that match, in an order.
    Reservations(Arc<ReservationFilter>, (OrderField, bool)),
    /// Broadcasts.
    Broadcasts,
    /// Messages of a broadcast, in some states.
    Messages(MessageSet),
    /// Rejected webhooks.
    RejectedWebhooks,
    /// The audit log.
    Audit,
}

impl List {
    /// Whether anything lies beyond `key`; without a key, whether there is anything at all.
    async fn exists(&self, ctx: &Context<'_>, key: Option<&Key>, backward: bool) -> Result<bool> {
        let db = &services(ctx)?.db;
        let any = PageRequest::default();
        let found = match (self, key) {
            (Self::Reservations(filter, order), key) => {
                reservations::store::exists_beyond(db, filter, *order, key, backward).await
            }
            (Self::Broadcasts, Some(key)) => broadcast::store::exists_beyond(db, key, backward).await,
            (Self::Broadcasts, None) => broadcast::store::page(db, &any).await.map(|page| page.has_more),
            (Self::Messages(set), key) => {
                let key = key.cloned();
                let (after, before) = if backward { (None, key) } else { (key, None) };
                let page = MessagePage { set: set.clone(), request: PageRequest { after, before, ..any } };
                return Ok(loaders::load(ctx, page).await?.is_some_and(|page| page.has_more));
            }
            (Self::RejectedWebhooks, Some(key)) => rejected::exists_beyond(db, key, backward).await,
            (Self::RejectedWebhooks, None) => rejected::page(db, &any).await.map(|page| page.has_more),
            (Self::Audit, Some(key)) => audit::exists_beyond(db, key, backward).await,
            (Self::Audit, None) => audit::page(db, &any).await.map(|page| page.has_more),
        };
        found.map_err(|error| errors::internal(&error))
    }
}

/// Where a page stands within the whole list (Relay Cursor Connections).
#[derive(Debug)]
pub struct PageInfo {
    list: List,
    order: Order,
    request: PageRequest,
    has_more: bool,
    ends: Option<(Key, Key)>,
}

impl PageInfo {
    /// Where the page stands that `request` found; `ends` are the keys of its first and last element.
    #[must_use]
    pub fn new(
        list: List,
        order: Order,
        request: PageRequest,
        has_more: bool,
        ends: Option<(Key, Key)>,
    ) -> Self {
        Self { list, order, request, has_more, ends }
    }

    /// Whether there is more on one side. Reading that way, the page knows it when more was found. Where
    /// no cursor bounds the page, the list ends with it.
    async fn more(&self, ctx: &Context<'_>, backward: bool) -> Result<bool> {
        if self.has_more && self.request.backward == backward {
            return Ok(true);
        }
        let bound = if backward { &self.request.after } else { &self.request.before };
        if bound.is_none() {
            return Ok(false);
        }
        let end = self.ends.as_ref().map(|(first, last)| if backward { first } else { last });
        self.list.exists(ctx, end, backward).await
    }
}

/// Where a page stands within the whole list (Relay Cursor Connections).
#[Object]
impl PageInfo {
    /// True when more edges follow `endCursor`.
    async fn has_next_page(&self, ctx: &Context<'_>) -> Result<bool> {
        self.more(ctx, false).await
    }

    /// True when edges come before `startCursor`.
    async fn has_previous_page(&self, ctx: &Context<'_>) -> Result<bool> {
        self.more(ctx, true).await
    }

    /// Cursor of the first edge of this page, null when the page is empty.
    async fn start_cursor(&self) -> Option<String> {
        self.ends.as_ref().map(|(first, _)| first.cursor(self.order))
    }

    /// Cursor of the last edge of this page, null when the page is empty.
    async fn end_cursor(&self) -> Option<String> {
        self.ends.as_ref().map(|(_, last)| last.cursor(self.order))
    }
}

/// A count as GraphQL's `Int` can hold it.
#[must_use]
pub fn int(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broadcast::store::{broadcasts_keyset, messages_keyset};

    fn page(first: Option<i32>, last: Option<i32>) -> Result<(u32, bool), String> {
        let args = PageArgs { first, last, ..PageArgs::default() };
        args.request(&messages_keyset())
            .map(|request| (request.limit, request.backward))
            .map_err(|error| error.message)
    }

    #[test]
    fn first_or_last_from_0_to_100() {
        assert_eq!(page(None, None), Ok((50, false)));
        assert_eq!(page(Some(0), None), Ok((0, false)));
        assert_eq!(page(Some(100), None), Ok((100, false)));
        assert_eq!(page(None, Some(7)), Ok((7, true)));
        for (first, last, named) in [
            (Some(-1), None, "first"),
            (Some(101), None, "first"),
            (None, Some(-1), "last"),
            (None, Some(101), "last"),
        ] {
            let message = page(first, last).expect_err("out of range");
            assert!(message.contains(named), "{message}");
        }
        let message = page(Some(1), Some(1)).expect_err("both");
        assert!(message.contains("first") && message.contains("last"), "{message}");
    }

    #[test]
    fn a_cursor_is_of_this_list() {
        let key = Key { value: "guest_1".to_owned(), id: "guest_1".to_owned() };
        let args = |cursor: String| PageArgs { after: Some(cursor), ..PageArgs::default() };
        let request =
            args(key.cursor(messages_keyset().order())).request(&messages_keyset()).expect("a cursor");
        assert_eq!(request.after, Some(key.clone()));
        let backward = Keyset { descending: true, ..messages_keyset() }.order();
        for cursor in [
            key.cursor(broadcasts_keyset().order()),
            key.cursor(backward),
            "garbage".to_owned(),
            String::new(),
        ] {
            let error = args(cursor).request(&messages_keyset()).expect_err("no cursor");
            assert!(error.message.contains("after"), "{}", error.message);
        }
        assert!(
            args(key.cursor(broadcasts_keyset().order())).request(&broadcasts_keyset()).is_err(),
            "no time, no UUID"
        );
    }
}
