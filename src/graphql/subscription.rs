//! The root of live data. Each stream reads the change log at a position of its own.
//!
//! What can't be followed (a cursor, a filter or an ID that is no good) fails the operation before the
//! first event. After that only the client, the end of a broadcast or the end of the process ends a
//! stream: while the database is away it waits, and goes on from where it was.

use std::sync::Arc;

use async_graphql::{Context, ID, Result, Subscription};
use futures::{Stream, StreamExt as _, stream::BoxStream};

use super::{
    Services,
    broadcast::BroadcastProgress,
    errors,
    filter::{self, ReservationFilter},
    follow, ids,
    reservation::ReservationChange,
    services,
    told::{Begin, Told},
};
use crate::{
    broadcast::{progress::Progress, store},
    feed::Cursor,
};

/// Live data, over `graphql-transport-ws`, `text/event-stream` and `multipart/mixed`.
/// Every event implements `Resumable`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subscription;

/// Live data, over `graphql-transport-ws`, `text/event-stream` and `multipart/mixed`.
/// Every event implements `Resumable`.
#[Subscription]
impl Subscription {
    /// Every committed change that touches the set selected by `filter`, in commit order, each once.
    /// Without `after` it starts with the next change. With `after` it first replays what was missed and
    /// then goes on live, without a gap or a repeat. A cursor older than the retention of the change
    /// log ends the subscription with the error code `CURSOR_EXPIRED`; read `reservations` again and
    /// start from its `streamCursor`. Role: viewer.
    async fn reservation_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which reservations to follow. Left out, all.")] filter: Option<ReservationFilter>,
        #[graphql(
            desc = "Newest cursor already processed: from an earlier event or from `ReservationConnection.streamCursor`."
        )]
        after: Option<String>,
    ) -> Result<BoxStream<'static, ReservationChange>> {
        let services = services(ctx)?;
        let filter = filter::checked(filter)?;
        let told = Told::of(ctx);
        let (from, until) = match told.as_deref().map(|told| &told.begin) {
            Some(Begin::Range { from, until }) => (*from, *until),
            begin => {
                let seq = resume(services, begin, after.as_deref()).await?;
                (seq.unwrap_or_else(|| services.hub.head()), None)
            }
        };
        let changes = follow::reservations(services.hub.watch(from), until, filter);
        Ok(telling(changes, told, ReservationChange::seq))
    }

    /// Progress of one broadcast: its present state first, then a step whenever messages finish,
    /// at most five a second. Completes when the broadcast does. Role: viewer.
    async fn broadcast_progress(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global ID of the broadcast.")] broadcast_id: ID,
        #[graphql(desc = "Newest cursor already processed.")] after: Option<String>,
    ) -> Result<BoxStream<'static, BroadcastProgress>> {
        let services = services(ctx)?;
        let told = Told::of(ctx);
        let after = resume(services, told.as_deref().map(|told| &told.begin), after.as_deref()).await?;
        let unknown = || errors::not_found("there is no such broadcast");
        let id = ids::parse_broadcast(&broadcast_id).ok_or_else(unknown)?;
        let pool = services.db.pool();
        let found = store::by_id_at(pool, id).await.map_err(|error| errors::internal(&error))?;
        let (broadcast, head) = found.ok_or_else(unknown)?;
        let present = Progress::present(pool, broadcast, services.clock.now()).await;
        let present = present.map_err(|error| errors::internal(&error))?;
        let watcher = services.hub.watch(after.unwrap_or(head));
        let steps = follow::broadcast(watcher, present, head, after.is_some());
        Ok(telling(steps, told, BroadcastProgress::seq))
    }
}

/// Tells the transport, if it listens, the position of each event before it is resolved.
fn telling<T: Send + 'static>(
    events: impl Stream<Item = T> + Send + 'static,
    told: Option<Arc<Told>>,
    seq: fn(&T) -> i64,
) -> BoxStream<'static, T> {
    match told {
        Some(told) => events.inspect(move |event| told.tell(seq(event))).boxed(),
        None => events.boxed(),
    }
}

/// The position to go on from, if a cursor was given. That of the transport goes before the argument.
async fn resume(services: &Services, begin: Option<&Begin>, after: Option<&str>) -> Result<Option<i64>> {
    let text = match begin {
        Some(Begin::Cursor(text)) => text,
        Some(Begin::Range { from, .. }) => return Ok(Some(*from)),
        Some(Begin::Argument) | None => match after {
            Some(text) => text,
            None => return Ok(None),
        },
    };
    let cursor = Cursor::parse(text).map_err(errors::bad_cursor)?;
    let seq = services.hub.feed().resume(cursor).await.map_err(|error| errors::internal(&error))?;
    seq.map(Some).map_err(errors::bad_cursor)
}
