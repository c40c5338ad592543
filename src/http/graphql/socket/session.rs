//! One WebSocket that speaks `graphql-transport-ws`: one task, which takes from all its operations only
//! what the socket takes from it. While it has nothing to send, groups write their events by themselves
//! ([`outlet`](super::outlet)).
//!
//! So what a client does not read stays where it is shared: in the ring of a group, or in the change
//! log. Nothing is read from a client that owes us the reading of many answers. A socket is closed for
//! what the protocol says, at a stop, when its token ends, and when it takes nothing at all for long.

use std::{
    collections::VecDeque,
    future::poll_fn,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use futures::{SinkExt as _, StreamExt as _};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    identity::{Change, Identity},
    message::{self, ClientMessage, Close},
    outlet::{Events, Shared},
    pulse::{Beat, Pulse},
};
use crate::{
    access::{Access, Caller},
    graphql::{
        errors::Code,
        live::{Answer, Live, Watch},
    },
    http::{
        HttpState,
        line::Line,
        sockets::{FAREWELL, Limits},
    },
};

/// Answers that wait to be sent before no more is read.
const REPLIES_MAX: usize = 32;

pub(super) struct Session {
    socket: WebSocket,
    /// The same, where groups can write to it; over HTTP/2 there is none.
    shared: Option<Arc<Shared>>,
    /// What is left of a frame that a group began.
    rest: Vec<u8>,
    live: Live,
    access: Access,
    identity: Identity,
    limits: Limits,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    operations: Vec<Operation>,
    /// Whose turn it is.
    turn: usize,
    replies: VecDeque<Message>,
    is_dirty: bool,
    pulse: Pulse,
}

/// An operation under way.
struct Operation {
    id: Box<str>,
    /// What stands before each of its payloads.
    prefix: Arc<str>,
    watch: Watch,
}

/// What there is to do.
enum Step {
    Receive(Utf8Bytes),
    Close(Close),
    /// The other side has gone.
    Gone,
}

impl Session {
    /// `caller` is who asked for the socket, if that is known.
    pub(super) fn new(
        socket: WebSocket,
        direct: Option<Line>,
        state: &HttpState,
        caller: Option<Caller>,
        peer: Option<IpAddr>,
    ) -> Self {
        let limits = state.sockets.limits();
        Self {
            socket,
            shared: direct.map(Shared::new),
            rest: Vec::new(),
            live: state.live.clone(),
            access: state.access.clone(),
            identity: Identity::Waiting { upgraded: caller, peer },
            limits,
            stopping: Box::pin(state.stopping.clone().cancelled_owned()),
            operations: Vec::new(),
            turn: 0,
            replies: VecDeque::new(),
            is_dirty: false,
            pulse: Pulse::new(limits.times),
        }
    }

    pub(super) async fn run(mut self) {
        let close = loop {
            match poll_fn(|cx| self.poll_alone(cx)).await {
                Step::Receive(text) => {
                    if let Err(close) = self.receive(&text) {
                        break close;
                    }
                }
                Step::Close(close) => break close,
                Step::Gone => return,
            }
        };
        tracing::debug!(?close, "a WebSocket is closed");
        // Its groups may end.
        self.operations.clear();
        let farewell = async {
            if poll_fn(|cx| self.poll_rest(cx)).await.is_err() {
                return;
            }
            if self.socket.send(Message::Close(Some(close.frame()))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        // Whoever does not read it is cut off.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }

    /// While it is polled, nobody else writes to the socket.
    fn poll_alone(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if let Some(shared) = &self.shared {
            self.rest.append(&mut shared.take());
        }
        let step = self.poll_step(cx);
        if let Some(shared) = self.shared.as_ref().filter(|_| step.is_pending() && self.is_quiet()) {
            shared.give_back();
        }
        step
    }

    /// Whether all is out that was to go out.
    fn is_quiet(&self) -> bool {
        self.rest.is_empty() && self.replies.is_empty() && !self.is_dirty && !self.pulse.is_blocked()
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        if self.stopping.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Step::Close(Close::Restart));
        }
        match self.identity.poll(cx) {
            // Asked again at once, so that the end of the token wakes the task.
            Poll::Ready(Change::Acknowledge) => {
                self.replies.push_back(Message::Text(message::ACK));
                return self.poll_step(cx);
            }
            Poll::Ready(Change::Close(close)) => return Poll::Ready(Step::Close(close)),
            Poll::Pending => {}
        }
        if let Poll::Ready(Err(_)) = self.poll_send(cx) {
            return Poll::Ready(Step::Gone);
        }
        // Reading may answer a ping, which must not come within a frame.
        while self.replies.len() < REPLIES_MAX && self.rest.is_empty() {
            let Poll::Ready(received) = self.socket.poll_next_unpin(cx) else { break };
            self.pulse.heard();
            self.is_dirty = true;
            match received {
                Some(Ok(Message::Text(text))) => return Poll::Ready(Step::Receive(text)),
                Some(Ok(Message::Binary(_))) => {
                    return Poll::Ready(Step::Close(Close::Invalid("messages are text".to_owned())));
                }
                // Answered below us.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_))) => {}
                Some(Err(error)) => {
                    return Poll::Ready(message::fault(error).map_or(Step::Gone, Step::Close));
                }
                None => return Poll::Ready(Step::Gone),
            }
        }
        if self.is_dirty
            && let Poll::Ready(Err(_)) = self.poll_send(cx)
        {
            return Poll::Ready(Step::Gone);
        }
        while let Poll::Ready(beat) = self.pulse.poll(cx, self.identity.caller().is_some()) {
            match beat {
                Beat::Ping => {
                    self.replies.push_back(Message::Ping(Vec::new().into()));
                    if let Poll::Ready(Err(_)) = self.poll_send(cx) {
                        return Poll::Ready(Step::Gone);
                    }
                }
                Beat::Close(close) => return Poll::Ready(Step::Close(close)),
            }
        }
        Poll::Pending
    }

    /// Sends what there is for as long as the socket takes it.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        // What the socket did not take goes first: only then is it known to take something again.
        let Poll::Ready(result) = self.poll_rest(cx) else {
            self.pulse.blocked();
            return Poll::Pending;
        };
        result?;
        if self.pulse.is_blocked() {
            ready!(self.socket.poll_flush_unpin(cx))?;
            self.is_dirty = false;
            self.pulse.flushed();
        }
        loop {
            let Poll::Ready(result) = self.socket.poll_ready_unpin(cx) else {
                self.pulse.blocked();
                return Poll::Pending;
            };
            result?;
            let message = match self.replies.pop_front() {
                Some(reply) => reply,
                None => match self.poll_operations(cx) {
                    Poll::Ready(text) => Message::Text(text),
                    Poll::Pending => break,
                },
            };
            self.socket.start_send_unpin(message)?;
            self.is_dirty = true;
        }
        if self.is_dirty {
            let Poll::Ready(result) = self.socket.poll_flush_unpin(cx) else {
                self.pulse.blocked();
                return Poll::Pending;
            };
            result?;
            self.is_dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Finishes the frame that a group began.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        let Some(shared) = &self.shared else { return Poll::Ready(Ok(())) };
        while !self.rest.is_empty() {
            let written = ready!(shared.line().poll_write(cx, &self.rest)).map_err(axum::Error::new)?;
            self.rest.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// The next message of any operation, each in its turn.
    fn poll_operations(&mut self, cx: &mut Context<'_>) -> Poll<Utf8Bytes> {
        for _ in 0..self.operations.len() {
            self.turn = (self.turn + 1) % self.operations.len();
            let operation = &mut self.operations[self.turn];
            let Poll::Ready(answer) = operation.watch.poll_next_unpin(cx) else { continue };
            return Poll::Ready(match answer {
                Some(Answer::Next { body, .. }) => next(&operation.prefix, &body),
                Some(Answer::Refused(errors)) => {
                    message::error(&self.operations.swap_remove(self.turn).id, &errors)
                }
                None => message::complete(&self.operations.swap_remove(self.turn).id),
            });
        }
        Poll::Pending
    }

    fn receive(&mut self, text: &str) -> Result<(), Close> {
        match message::parse(text)? {
            ClientMessage::ConnectionInit { payload } => {
                self.identity.init(&self.access, payload.as_ref())?;
            }
            ClientMessage::Ping { payload } => self.replies.push_back(Message::Text(message::pong(payload))),
            ClientMessage::Pong { .. } => {}
            ClientMessage::Subscribe { id, payload } => {
                let caller = self.identity.caller().cloned().ok_or(Close::Unauthorized)?;
                self.subscribe(id, payload.into(), &caller)?;
            }
            ClientMessage::Complete { id } => self.operations.retain(|operation| *operation.id != *id),
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        id: String,
        request: async_graphql::Request,
        caller: &Caller,
    ) -> Result<(), Close> {
        if self.operations.iter().any(|operation| *operation.id == *id) {
            return Err(Close::Duplicate(id));
        }
        let max = self.limits.subscriptions;
        if self.operations.len() >= max {
            let problem =
                format!("MAX_SUBSCRIPTIONS_PER_SOCKET: {max} operations are under way on this socket");
            let error = Code::TooManySubscriptions.error(problem);
            self.replies.push_back(Message::Text(message::error(&id, &[error])));
            return Ok(());
        }
        let watch = match self.live.admission().count(caller) {
            Ok(()) => self.live.watch(request, caller),
            Err(error) => self.live.refuse(error),
        };
        let (prefix, mut watch) = (message::next_prefix(&id), watch);
        if let Some(shared) = &self.shared {
            watch = watch.through(Arc::new(Events::new(Arc::clone(shared), Arc::clone(&prefix))));
        }
        self.operations.push(Operation { id: id.into(), prefix, watch });
        Ok(())
    }
}

/// A `next` message: the payload is as it was written for everybody.
fn next(prefix: &str, body: &str) -> Utf8Bytes {
    let mut text = String::with_capacity(prefix.len() + body.len() + 1);
    text.push_str(prefix);
    text.push_str(body);
    text.push('}');
    text.into()
}
