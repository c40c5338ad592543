//! The GraphQL edge: maps what comes in to calls of the flows, and what they answer to the schema.
//! It decides nothing and holds no SQL.
//!
//! The schema is `schema.graphql` at the root, word for word: the doc comments of the types here are
//! its descriptions. Roots are [`query`], [`mutation`] and [`subscription`]; the rest is one topic a
//! file.

use std::sync::Arc;

use async_graphql::{Context, Interface, Result, SDLExportOptions, SchemaBuilder};
use tokio::sync::Notify;

use crate::{
    access::Caller, clock::Clock, db::Db, feed::Hub, guest_api::registration::Registration,
    reservations::Ingest,
};

pub mod admission;
pub mod audit;
pub mod bounded;
pub mod broadcast;
pub mod broadcast_control;
pub mod broadcast_start;
pub mod document;
pub mod errors;
pub mod filter;
pub mod follow;
pub mod guest;
pub mod ids;
pub mod live;
pub mod loaders;
pub mod message;
pub mod mutation;
pub mod node;
pub mod once;
pub mod paging;
pub mod persisted;
pub mod query;
pub mod registration;
pub mod reservation;
pub mod rows;
pub mod scalars;
pub mod stats;
pub mod subscription;
pub mod told;
pub mod webhook;
pub mod written;

#[cfg(test)]
mod tests;

pub use mutation::Mutation;
pub use query::Query;
pub use subscription::Subscription;

/// The executable schema; cheap to clone.
pub type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// What resolvers call.
#[derive(Clone, Debug)]
pub struct Services {
    /// The database.
    pub db: Db,
    /// The change log and who watches it.
    pub hub: Hub,
    /// The writer's queue.
    pub ingest: Ingest,
    /// The time.
    pub clock: Clock,
    /// The registration of our webhook URL.
    pub registration: Registration,
    /// Wakes the sender.
    pub woken: Arc<Notify>,
    /// Wakes the teller of progress.
    pub changed: Arc<Notify>,
}

impl Services {
    /// The cursor that stands for a position in the change log.
    fn cursor(&self, seq: i64) -> String {
        self.hub.feed().cursor(seq).to_string()
    }

    /// Tells whoever works on broadcasts that one was started or stopped.
    fn broadcasts_changed(&self) {
        self.woken.notify_one();
        self.changed.notify_one();
    }
}

/// The `Idempotency-Key` header of the request. Request data; stands in for the field of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(pub String);

/// A payload that carries a position in a resumable stream.
/// Store the newest `cursor` you have processed and pass it back as `after` to go on without a gap.
#[derive(Debug, Interface)]
#[graphql(field(
    name = "cursor",
    ty = "Result<String>",
    desc = "Opaque position of this event. `after` is exclusive: the event itself is not sent again."
))]
pub enum Resumable {
    /// A change of a reservation.
    ReservationChange(reservation::ReservationChange),
    /// A step of a broadcast.
    BroadcastProgress(Box<broadcast::BroadcastProgress>),
}

/// The schema over these services. Where clients may not read it, an error does not tell them its names.
/// Needs a runtime to have been entered.
#[must_use]
pub fn schema(services: Services, introspection: bool) -> Schema {
    let builder = builder().data(loaders::loaders(services.clone())).data(services);
    let builder = builder.limit_recursive_depth(document::DEPTH_MAX);
    if introspection { builder.finish() } else { builder.disable_suggestions().finish() }
}

/// The schema as text, the same for the same code. What every schema has is left out: the definitions of
/// the built-in directives and the names of the roots, which come last, after the last blank line.
#[must_use]
pub fn sdl() -> String {
    let options = SDLExportOptions::new().include_specified_by().use_space_ident();
    let sdl = builder().finish().sdl_with_options(options);
    let types = sdl.rsplit_once("\n\n").map_or(sdl.as_str(), |(types, _)| types);
    format!("{types}\n")
}

fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    // No field answers this interface, so it is named here.
    Schema::build(Query, Mutation, Subscription).register_output_type::<Resumable>()
}

/// Who asks. Request data, which every transport gives.
fn caller<'a>(ctx: &Context<'a>) -> Result<&'a Caller> {
    ctx.data()
}

/// The services of the schema that runs.
fn services<'a>(ctx: &Context<'a>) -> Result<&'a Services> {
    ctx.data()
}
