//! Subscriptions that are paid for once: watchers who ask for the same share one execution and one
//! serialisation.
//!
//! The same is the same document, operation name, variables (but for the cursor to begin after) and role
//! of the caller. A [`Watch`] is one watcher: a
//! position, and the group it is in. What it has not taken is in the group's ring, or, when the ring
//! has moved on, in the change log, which it then reads by an execution of its own until it has caught
//! up. So a slow watcher costs no more than a quick one and loses nothing.
//!
//! What can't be shared (queries, mutations, the progress of a broadcast) goes the same way with an
//! execution of its own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_graphql::{Request, ServerError, Value};

use super::{
    Schema,
    admission::Admission,
    document::{Operation, Position},
};
use crate::{
    access::{Caller, Role},
    clock::Clock,
    feed::{Cursor, Hub},
    telemetry::{metrics::Deliveries, traces},
};

mod counts;
mod execution;
mod group;
mod recipe;
mod watch;

pub use counts::Counts;
use group::Group;
use recipe::{Key, Recipe};
pub use watch::Watch;

/// What a watcher is told.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A response, as JSON, shared with whoever else gets it.
    Next {
        /// The position of the event in it; none for a query or a mutation.
        seq: Option<i64>,
        /// `{"data": ...}`
        body: Arc<str>,
    },
    /// The request can't be run. Nothing comes after.
    Refused(Arc<[ServerError]>),
}

/// The position of an event, and the response with it.
pub type Event = (i64, Arc<str>);

/// Where the events of a watcher can be put at once, by whoever makes them: what is made for a thousand
/// watchers then wakes none of them.
pub trait Outlet: Send + Sync {
    /// Puts events there, at least one, if nothing else is under way. `scratch` is for whatever it likes.
    fn offer(&self, events: &[Event], scratch: &mut Vec<u8>) -> Offered;
}

/// What became of events that were offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// All have gone out.
    Taken,
    /// The first of them are taken, so many and at least one, and the watcher must see to what is left of
    /// the last of these.
    Begun(usize),
    /// None, not now. The watcher takes them as it can.
    Refused,
}

/// Where operations are run and watched; cheap to clone.
#[derive(Clone)]
pub struct Live(Arc<Inner>);

struct Inner {
    schema: Schema,
    admission: Admission,
    hub: Hub,
    groups: Mutex<HashMap<Arc<Key>, Arc<Group>>>,
    counts: Arc<Counts>,
    deliveries: Deliveries,
    clock: Clock,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("counts", self.counts()).finish_non_exhaustive()
    }
}

impl Live {
    /// Nothing watched yet.
    #[must_use]
    pub fn new(schema: Schema, admission: Admission, hub: Hub, deliveries: Deliveries, clock: Clock) -> Self {
        let (groups, counts) = (Mutex::default(), Arc::default());
        Self(Arc::new(Inner { schema, admission, hub, groups, counts, deliveries, clock }))
    }

    /// What every request comes through first.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.0.admission
    }

    /// How much is going on.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// The cursor of a position.
    #[must_use]
    pub fn cursor(&self, seq: i64) -> String {
        self.0.hub.feed().cursor(seq).to_string()
    }

    /// What answers a request that can't be run.
    #[must_use]
    pub fn refuse(&self, error: ServerError) -> Watch {
        Watch::refused(&self.0, error)
    }

    /// Runs a request. A subscription to changes that brings no cursor begins here and now.
    #[must_use]
    pub fn watch(&self, mut request: Request, caller: &Caller) -> Watch {
        match self.0.admission.admit(&mut request, caller) {
            Ok(operation) => self.watch_checked(&operation, request, caller.role(), None),
            Err(error) => self.refuse(error),
        }
    }

    /// The same for a request that [`Live::admission`] has let in. `last_event_id` is a cursor that goes
    /// before the one in the request.
    #[must_use]
    pub fn watch_checked(
        &self,
        operation: &Operation,
        request: Request,
        role: Role,
        last_event_id: Option<String>,
    ) -> Watch {
        let variable = match operation {
            Operation::Subscription(Position::Now) => None,
            Operation::Subscription(Position::Variable(name)) => Some(name),
            Operation::Subscription(Position::Field) => {
                return Watch::alone(&self.0, request, last_event_id);
            }
            Operation::Query | Operation::Mutation => {
                return Watch::once(&self.0, request, operation.clone());
            }
        };
        let given = variable.and_then(|name| request.variables.get(name));
        let after = match (last_event_id, given) {
            (Some(cursor), _) => Some(cursor),
            (None, None | Some(async_graphql::Value::Null)) => None,
            (None, Some(Value::String(cursor))) => Some(cursor.clone()),
            // Not a cursor at all, which executing it says.
            (None, Some(_)) => return Watch::alone(&self.0, request, None),
        };
        match (Recipe::new(request, role, variable), after) {
            (Ok(recipe), Some(cursor)) => Watch::resumed(&self.0, recipe, cursor),
            (Ok(recipe), None) => Watch::shared(&self.0, Arc::new(recipe), self.0.hub.head()),
            (Err(error), _) => self.refuse(error),
        }
    }
}

impl Inner {
    /// The position of a cursor, if it can be resumed from.
    async fn resume(&self, cursor: &str) -> Option<i64> {
        let cursor = Cursor::parse(cursor).ok()?;
        self.hub.feed().resume(cursor).await.ok()?.ok()
    }

    /// The event of a position was given to those who wait for it.
    fn delivered(&self, seq: i64) {
        if let Some(changed_at) = self.hub.changed_at(seq) {
            self.deliveries.given(changed_at, self.clock.now());
            traces::delivered(changed_at);
        }
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<Arc<Key>, Arc<Group>>> {
        // Nothing panics while the map is half changed.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
