//! GraphQL over server-sent events, distinct connections mode.
//!
//! <https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md>: results are `next` events, then
//! comes `complete`; a request that can't be run answers the same way, with errors. Ours besides: the
//! `id:` of an event is its cursor, so that browsers resume by themselves.

use super::stream::Framing;
use crate::http::sockets::Transport;

/// Writes events.
pub(super) enum Events {}

impl Framing for Events {
    const TRANSPORT: Transport = Transport::Sse;
    const CONTENT_TYPE: &'static str = "text/event-stream";
    const ALIVE: &'static str = ":\n\n";
    // Without a line for data, browsers would not tell it.
    const COMPLETE: &'static str = "event: complete\ndata:\n\n";
    // Without `complete`, clients come back; and this, which is no event, says when.
    const STOPPING: &'static str = "retry: 1000\n\n";
    const UNAUTHENTICATED: &'static str = "";

    /// A comment, for browsers that take a stream as open at its first byte only; and an `id:` alone,
    /// which is no event, so that nothing is missed should the connection break before the first one.
    fn begin(cursor: Option<&str>) -> String {
        match cursor {
            Some(cursor) => format!(":\n\nid: {cursor}\n\n"),
            None => ":\n\n".to_owned(),
        }
    }

    fn next(cursor: Option<&str>, body: &str) -> String {
        match cursor {
            Some(cursor) => format!("event: next\nid: {cursor}\ndata: {body}\n\n"),
            None => format!("event: next\ndata: {body}\n\n"),
        }
    }
}
