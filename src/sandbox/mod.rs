//! Stand-ins for the two systems on the other side: a Guest API with limits and faults, and a webhook source that
//! shuffles and repeats.
//!
//! For people who try besty out, and for tests as the scripted other side. What they guarantee:
//! - They answer and send what the real ones do, in the same form; nobody in them is real.
//! - Randomness and the wall clock come in as arguments: the same seed gives the same events.
//! - [`GuestApi`] and [`Registry`] publish their changes, so tests wait on signals.
//!
//! From the bottom up: `limit`, `history`, `guests` and `registry` know nothing of each other; `effect` and `faults` are
//! the script; `report` holds what can be asked;
//! `ledger` is what the Guest API has seen; `guest_api` is its handle and `routes` its HTTP side. `booking` makes
//! events in causal order, `disorder` shuffles and repeats them, and `source` posts them.

mod booking;
mod disorder;
mod effect;
mod event;
mod faults;
mod guest_api;
mod guests;
mod history;
mod ledger;
mod limit;
mod registry;
mod report;
mod routes;
mod source;
#[cfg(test)]
mod tests;

use std::future::IntoFuture;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use booking::{BookingSettings, events, events_iter};
pub use disorder::disorder;
pub use effect::{Effect, Kind, RetryAfter};
pub use event::{Cents, Event, EventType, Reservation};
pub use faults::{Fault, Faults};
pub use guest_api::{GuestApi, GuestApiSettings};
pub use limit::Limit;
pub use registry::Registry;
pub use report::{Delivered, Report, Seen};
pub use source::{Source, SourceSettings, Summary};

/// How long calls under way may take once the sandbox is told to stop.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves a Guest API until it is told to stop; then calls under way have a second to finish.
pub async fn serve(listener: TcpListener, api: GuestApi, cancel: CancellationToken) -> std::io::Result<()> {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let server = axum::serve(listener, api.router()).with_graceful_shutdown(cancel.clone().cancelled_owned());
    tokio::select! {
        result = server.into_future() => result,
        () = async { cancel.cancelled().await; tokio::time::sleep(DRAIN).await } => Ok(()),
    }
}
