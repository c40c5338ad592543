//! The bridge from what committed to who watches.
//!
//! Writers append to the log inside their own transaction, under one lock ([`log`]); every process
//! reads the log once, into a ring, and watchers read the ring at their own position ([`hub`]). A
//! position travels to clients as an opaque [`cursor`]. [`listen`] only makes it quick: without it
//! the hub's poll finds the same rows. [`retention`] says how far back the log goes.
//!
//! Guarantee: a reader that has seen position n never finds something new at or below n.

pub mod cursor;
pub mod hub;
mod listen;
pub mod log;
mod retention;

pub use cursor::{Cursor, CursorError};
pub use hub::{Hub, Watcher};
pub use log::{Entry, Feed, FeedTx, NewChange, Topic};
