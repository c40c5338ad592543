//! `GET /api/events`: each change of a reservation as a server-sent event.
//!
//! The `id:` of an event is its cursor, so a browser that reconnects sends it as `Last-Event-ID` and
//! misses nothing. `ready` carries the position the stream begins at, for the same reason.

use std::{convert::Infallible, time::Duration};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt as _, stream};
use serde_json::json;

use crate::{
    access::Caller,
    feed::{Cursor, CursorError, Hub, Watcher},
    http::{HttpState, answer::Refusal, sockets::Transport},
    reservations::change::ReservationChange,
    telemetry::request_id,
};

/// How often an idle stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(12);
/// How long to wait when the log can't be read, and for a client whose server stops.
const RETRY: Duration = Duration::from_secs(1);

/// Streams changes, from now or from `Last-Event-ID`.
pub(in crate::http) async fn stream(
    State(state): State<HttpState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let hub = state.services.hub.clone();
    let seq = match headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default()) {
        None | Some("") => hub.head(),
        Some(text) => resume(&hub, text).await?,
    };
    let ready = Event::default().event("ready").id(hub.feed().cursor(seq).to_string()).data("{}");
    let events = stream::iter([ready]).chain(changes(hub.watch(seq), hub));
    let place = state.sockets.take(Transport::Events)?;
    let events = events.map(move |event| {
        let _held = &place;
        Ok::<_, Infallible>(event)
    });
    let events = events.take_until(state.stopping.clone().cancelled_owned());
    let events = events.chain(stream::iter([Ok(farewell())])).take_until(caller.ended());
    let events = request_id::within(events);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// The end, which comes when the server stops: no event, but when to come back.
fn farewell() -> Event {
    Event::default().retry(RETRY)
}

async fn resume(hub: &Hub, text: &str) -> Result<i64, Refusal> {
    let checked = match Cursor::parse(text) {
        Ok(cursor) => hub.feed().resume(cursor).await.map_err(|error| Refusal::internal(&error))?,
        Err(error) => Err(error),
    };
    checked.map_err(|error| {
        let status = match error {
            CursorError::Invalid => StatusCode::BAD_REQUEST,
            CursorError::Expired => StatusCode::GONE,
        };
        Refusal::new(status, format!("Last-Event-ID: {error}"))
    })
}

fn changes(watcher: Watcher, hub: Hub) -> impl Stream<Item = Event> {
    stream::unfold((watcher, hub), |(mut watcher, hub)| async move {
        loop {
            match watcher.next().await {
                Ok(entries) => {
                    let events: Vec<_> = entries
                        .iter()
                        .filter_map(|entry| ReservationChange::of(entry))
                        .map(|change| event(change, &hub))
                        .collect();
                    return Some((stream::iter(events), (watcher, hub)));
                }
                // The position is kept, so nothing is lost by waiting.
                Err(error) => {
                    tracing::warn!(%error, "the change log can't be read for a watcher; trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    })
    .flatten()
}

fn event(change: &ReservationChange, hub: &Hub) -> Event {
    let row = &change.after;
    let data = json!({ "reservationId": row.reservation_id, "status": row.status });
    Event::default()
        .event("reservation.updated")
        .id(hub.feed().cursor(change.seq).to_string())
        .data(data.to_string())
}
