//! Reservations, their list, and what happened to them.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};

use super::{
    errors, filter,
    guest::Guest,
    ids,
    loaders::{self, History},
    paging::{self, List, PageArgs, PageInfo},
    rows::{Edges, Nodes, Plan},
    scalars::{Date, DateTime, Decimal},
    services,
};
use crate::{
    feed::Entry,
    reservations::{
        self, ReservationFilter, change,
        store::{self, OrderField},
    },
};

/// Where a reservation stands, as last told by the booking source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "reservations::Status")]
pub enum ReservationStatus {
    /// Created and not changed since.
    Confirmed,
    /// Changed at least once after it was created.
    Modified,
    /// Cancelled. An event that happened earlier never revives it, however late it arrives.
    Cancelled,
}

/// An amount of money in one currency.
#[derive(Clone, Debug, SimpleObject)]
pub struct Money {
    /// Exact amount in major units.
    pub amount: Decimal,
    /// ISO 4217 currency code, three capital letters.
    pub currency_code: String,
}

/// One booking of one property for one stay.
#[derive(Clone, Debug)]
pub struct Reservation(pub reservations::Reservation);

impl Reservation {
    /// The one with this identifier in the booking source.
    pub async fn find(ctx: &Context<'_>, reservation_id: &str) -> Result<Option<Self>> {
        // PostgreSQL takes no NUL, so no identifier has one.
        if reservation_id.contains('\0') {
            return Ok(None);
        }
        let found = store::by_id(services(ctx)?.db.pool(), reservation_id).await;
        Ok(found.map_err(|error| errors::internal(&error))?.map(Self))
    }
}

/// One booking of one property for one stay.
#[Object]
impl Reservation {
    /// Opaque global ID of the reservation.
    pub(super) async fn id(&self) -> ID {
        ids::reservation(&self.0.reservation_id).into()
    }

    /// Identifier of the reservation in the booking source (`reservationId` in the webhook).
    async fn reservation_id(&self) -> &str {
        &self.0.reservation_id
    }

    /// Identifier of the property in the booking source.
    async fn property_id(&self) -> &str {
        &self.0.property_id
    }

    /// Current status.
    async fn status(&self) -> ReservationStatus {
        self.0.status.into()
    }

    /// First day of the stay.
    async fn check_in(&self) -> Date {
        Date(self.0.check_in)
    }

    /// Day of departure. Always later than `checkIn`.
    async fn check_out(&self) -> Date {
        Date(self.0.check_out)
    }

    /// Nights between `checkIn` and `checkOut`.
    async fn nights(&self) -> i32 {
        paging::int((self.0.check_out - self.0.check_in).num_days())
    }

    /// How many people stay.
    async fn guest_count(&self) -> i32 {
        self.0.num_guests
    }

    /// Total price of the stay.
    async fn total(&self) -> Money {
        Money { amount: Decimal(self.0.total_amount), currency_code: self.0.currency.clone() }
    }

    /// The guest. Contact fields stay null until the Guest API has answered.
    async fn guest(&self) -> Guest {
        Guest::known(self.0.guest_id.clone(), self.0.guest.clone())
    }

    /// Applied changes of this reservation, newest first, as far back as the change log is kept.
    async fn history(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20, desc = "How many, at most 100.")] first: i32,
    ) -> Result<Vec<ReservationChange>> {
        let first = paging::limit("first", first)?;
        let history = History { reservation_id: self.0.reservation_id.clone(), first };
        let entries = loaders::load(ctx, history).await?.unwrap_or_default();
        let all = ReservationFilter::default();
        Ok(entries.iter().filter_map(|entry| ReservationChange::of(entry, &all)).collect())
    }

    /// When the booking source says the last applied event happened. Null for rows written by other means.
    async fn event_at(&self) -> Option<DateTime> {
        self.0.event_timestamp.map(DateTime)
    }

    /// When the row was first written here. A row that others wrote without it answers `updatedAt`, or 1970.
    async fn created_at(&self) -> DateTime {
        DateTime(store::created_at(&self.0))
    }

    /// When the row was last written here.
    async fn updated_at(&self) -> DateTime {
        DateTime(store::updated_at(&self.0))
    }
}

/// A reservation at its place in a list.
#[derive(Debug)]
pub struct ReservationEdge {
    order: OrderField,
    descending: bool,
    pub(super) node: Reservation,
}

impl ReservationEdge {
    /// Its cursor.
    pub(super) fn position(&self) -> String {
        store::key(self.order, &self.node.0).cursor(store::order(self.order, self.descending))
    }
}

/// A reservation at its place in a list.
#[Object]
impl ReservationEdge {
    /// Opaque position, for `after` and `before` of `reservations`.
    async fn cursor(&self) -> String {
        self.position()
    }

    /// The reservation.
    async fn node(&self) -> &Reservation {
        &self.node
    }
}

/// A page of reservations.
#[derive(Debug)]
pub struct ReservationConnection {
    edges: Vec<ReservationEdge>,
    page_info: PageInfo,
    filter: Arc<ReservationFilter>,
    head: i64,
}

impl ReservationConnection {
    /// Reads a page.
    pub async fn read(
        ctx: &Context<'_>,
        filter: Option<filter::ReservationFilter>,
        order: filter::ReservationOrder,
        args: &PageArgs,
    ) -> Result<Self> {
        let filter = filter::checked(filter)?;
        let order: (store::OrderField, bool) = order.into();
        let keyset = store::keyset(order.0, order.1, false);
        let request = args.request(&keyset)?;
        let (page, head) = store::page(&services(ctx)?.db, &filter, order, &request)
            .await
            .map_err(|error| errors::internal(&error))?;
        let edge = |row| ReservationEdge { order: order.0, descending: order.1, node: Reservation(row) };
        let edges: Vec<_> = page.rows.into_iter().map(edge).collect();
        let key = |edge: &ReservationEdge| store::key(order.0, &edge.node.0);
        let ends = edges.first().zip(edges.last()).map(|(first, last)| (key(first), key(last)));
        let filter = Arc::new(filter);
        let list = List::Reservations(Arc::clone(&filter), order);
        let page_info = PageInfo::new(list, keyset.order(), request, page.has_more, ends);
        Ok(Self { edges, page_info, filter, head })
    }
}

/// A page of reservations.
#[Object]
impl ReservationConnection {
    /// The edges of this page, in order.
    async fn edges(&self, ctx: &Context<'_>) -> Edges<'_> {
        Edges { edges: &self.edges, plan: Plan::of_edges(ctx.field()) }
    }

    /// The reservations of this page, for clients that need no cursors.
    async fn nodes(&self, ctx: &Context<'_>) -> Nodes<'_> {
        Nodes(Edges { edges: &self.edges, plan: Plan::of_nodes(ctx.field()) })
    }

    /// Where this page stands.
    async fn page_info(&self) -> &PageInfo {
        &self.page_info
    }

    /// How many reservations match the filter in all. Costs a count; ask only when shown.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        let count = store::count(&services(ctx)?.db, &self.filter).await;
        count.map(paging::int).map_err(|error| errors::internal(&error))
    }

    /// Position of the change stream at which this page was read. Pass it as `after` to
    /// `reservationChanged` with the same filter: no change between this read and the
    /// subscription is lost, and none is sent twice.
    fn stream_cursor(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(services(ctx)?.cursor(self.head))
    }
}

/// What happened to a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "change::ChangeKind")]
pub enum ReservationChangeKind {
    /// It was seen for the first time.
    Created,
    /// One or more of its fields changed.
    Updated,
    /// It was cancelled.
    Cancelled,
    /// The guest's contact data arrived or changed.
    GuestUpdated,
}

/// What a change means for the set selected by the filter of the subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "change::Transition")]
pub enum FilterTransition {
    /// It did not match before and does now: add it.
    Entered,
    /// It matched before and still does: replace it.
    Stayed,
    /// It matched before and does not now: remove it.
    Left,
}

/// One committed change of one reservation that touches the filtered set.
#[derive(Clone, Debug)]
pub struct ReservationChange {
    entry: Arc<Entry>,
    transition: change::Transition,
}

impl ReservationChange {
    /// The change in a log entry; `None` when it is about something else, or touches no row of the set.
    #[must_use]
    pub fn of(entry: &Arc<Entry>, filter: &ReservationFilter) -> Option<Self> {
        let transition = change::ReservationChange::of(entry)?.transition(filter)?;
        Some(Self { entry: Arc::clone(entry), transition })
    }

    /// Its position in the change log.
    pub(super) fn seq(&self) -> i64 {
        self.entry.seq
    }

    /// Decoded once a process, however many watch.
    fn change(&self) -> Result<&change::ReservationChange> {
        change::ReservationChange::of(&self.entry).ok_or_else(errors::already_logged)
    }
}

/// One committed change of one reservation that touches the filtered set.
#[Object]
impl ReservationChange {
    /// Position of this change. Changes arrive in commit order.
    #[expect(clippy::unused_async, reason = "the interface awaits it")]
    pub(super) async fn cursor(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(services(ctx)?.cursor(self.entry.seq))
    }

    /// What happened.
    fn kind(&self) -> Result<ReservationChangeKind> {
        Ok(self.change()?.kind.into())
    }

    /// What it means for the filtered set. Without a filter, and in `Reservation.history`: `ENTERED` when the
    /// reservation was first seen, `STAYED` after that.
    async fn transition(&self) -> FilterTransition {
        self.transition.into()
    }

    /// The reservation as of this change.
    fn reservation(&self) -> Result<Reservation> {
        Ok(Reservation(self.change()?.after.clone()))
    }

    /// Names of the fields of `Reservation` that differ from before, empty for `CREATED`.
    fn changed_fields(&self) -> Result<Vec<&'static str>> {
        Ok(self.change()?.changed_fields())
    }

    /// When the change was committed here.
    async fn committed_at(&self) -> DateTime {
        DateTime(self.entry.committed_at)
    }
}
