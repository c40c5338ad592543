//! Whether a client is still there: when it is asked, and when a socket is given up.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep};

use super::message::Close;
use crate::http::sockets::Times;

/// When to ask whether the client is there, and when to give up on it.
pub(super) struct Pulse {
    times: Times,
    timer: Pin<Box<Sleep>>,
    begun: Instant,
    ping_at: Instant,
    /// Since when the socket takes nothing.
    blocked: Option<Instant>,
    /// When the oldest ping was sent that nothing was heard after.
    asked: Option<Instant>,
}

/// What is due.
pub(super) enum Beat {
    Ping,
    Close(Close),
}

impl Pulse {
    /// From the moment the socket was opened.
    pub(super) fn new(times: Times) -> Self {
        let begun = Instant::now();
        let first = tokio::time::sleep_until(begun + times.init);
        Self { times, timer: Box::pin(first), begun, ping_at: begun + times.ping, blocked: None, asked: None }
    }

    /// Something came from the client.
    pub(super) fn heard(&mut self) {
        self.asked = None;
    }

    /// The socket takes nothing for now.
    pub(super) fn blocked(&mut self) {
        if self.blocked.is_none() {
            let now = Instant::now();
            self.blocked = Some(now);
            let deadline = self.timer.deadline().min(now + self.times.stalled);
            self.timer.as_mut().reset(deadline);
        }
    }

    /// Whether there is something that the socket did not take.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// The socket took it. What was in the way of a ping is gone with it, which is an answer of a kind.
    pub(super) fn flushed(&mut self) {
        self.blocked = None;
        self.asked = None;
    }

    /// What is due; wakes the task when something is.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, is_acknowledged: bool) -> Poll<Beat> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            let init_until = self.begun + self.times.init;
            if !is_acknowledged && now >= init_until {
                return Poll::Ready(Beat::Close(Close::InitTimeout));
            }
            let silent = [self.blocked, self.asked].into_iter().flatten().min();
            if silent.is_some_and(|since| now >= since + self.times.stalled) {
                return Poll::Ready(Beat::Close(Close::Stalled));
            }
            let is_due = now >= self.ping_at;
            if is_due {
                self.ping_at = now + self.times.ping;
            }
            let ends = [
                Some(self.ping_at),
                silent.map(|since| since + self.times.stalled),
                (!is_acknowledged).then_some(init_until),
            ];
            self.timer.as_mut().reset(ends.into_iter().flatten().min().unwrap_or(self.ping_at));
            // Behind what is not taken, another ping tells nothing.
            if is_due && self.blocked.is_none() {
                self.asked.get_or_insert(now);
                return Poll::Ready(Beat::Ping);
            }
        }
    }
}
