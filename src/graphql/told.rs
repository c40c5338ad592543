//! What a transport and a subscription tell each other about positions, as data of the request.
//!
//! A transport says where to begin, when that is not for the argument `after` to say. A subscription
//! says which position its next event has, so that the transport knows it though the client did not ask
//! for `cursor`. An execution has one root field and makes one event at a time, so what was told last
//! is of the event that comes out next.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use async_graphql::Context;

/// No position: those of the log are not negative.
const NONE: i64 = -1;

/// Where a subscription begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Where the argument `after` says.
    Argument,
    /// After this cursor, whatever the argument says: the `Last-Event-ID` of an event stream.
    Cursor(String),
    /// After `from`, which was checked before, and no further than `until`.
    Range {
        /// The position already seen.
        from: i64,
        /// The last position wanted; none for ever.
        until: Option<i64>,
    },
}

/// What the two sides of one execution tell each other.
#[derive(Debug)]
pub struct Told {
    /// Said by the transport.
    pub begin: Begin,
    seq: AtomicI64,
}

impl Told {
    /// Nothing said by the subscription yet.
    #[must_use]
    pub fn new(begin: Begin) -> Arc<Self> {
        Arc::new(Self { begin, seq: AtomicI64::new(NONE) })
    }

    /// What is told to the execution that `ctx` is of, if its transport asks.
    #[must_use]
    pub fn of(ctx: &Context<'_>) -> Option<Arc<Self>> {
        ctx.data_opt::<Arc<Self>>().cloned()
    }

    /// Says that the next event is the one at `seq`.
    pub fn tell(&self, seq: i64) {
        self.seq.store(seq, Ordering::Relaxed);
    }

    /// The position of the event that came out, once; none when what came out is no event.
    #[must_use]
    pub fn take(&self) -> Option<i64> {
        Some(self.seq.swap(NONE, Ordering::Relaxed)).filter(|seq| *seq != NONE)
    }
}
