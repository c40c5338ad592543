//! A socket as two sides may write to it: its session, and, while that has nothing to say, the groups
//! that its operations are in. So an event goes out to many sockets without waking a task for each.
//!
//! Frames never mix: the session takes the socket before it does anything and gives it back when all it
//! had is out, and what a group could not get out whole is the session's to finish.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
};

use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Data, OpCode},
};

use crate::{
    graphql::live::{Offered, Outlet},
    http::line::Line,
};

/// One socket.
#[derive(Debug)]
pub(super) struct Shared {
    line: Line,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The session has given the socket back.
    is_free: bool,
    /// What is left of a frame that a group began.
    rest: Vec<u8>,
}

impl Shared {
    /// The session has it.
    pub(super) fn new(line: Line) -> Arc<Self> {
        Arc::new(Self { line, state: Mutex::default() })
    }

    /// The socket itself, for whoever has taken it.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// Takes the socket for the session; answers what must go out before anything else.
    pub(super) fn take(&self) -> Vec<u8> {
        let mut state = self.lock();
        state.is_free = false;
        std::mem::take(&mut state.rest)
    }

    /// Gives it back.
    pub(super) fn give_back(&self) {
        self.lock().is_free = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the state is half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer(&self, frame: &[u8]) -> Offered {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return Offered::Refused,
        };
        if !state.is_free {
            return Offered::Refused;
        }
        match self.line.try_write(frame) {
            Ok(written) if written == frame.len() => Offered::Taken,
            Ok(written) => {
                state.rest.extend_from_slice(&frame[written..]);
                state.is_free = false;
                Offered::Begun
            }
            // Full or broken, which the session finds too.
            Err(_) => Offered::Refused,
        }
    }
}

/// Where the events of one operation go.
#[derive(Debug)]
pub(super) struct Events {
    socket: Arc<Shared>,
    prefix: Arc<str>,
}

impl Events {
    /// `prefix` stands before each payload.
    pub(super) fn new(socket: Arc<Shared>, prefix: Arc<str>) -> Self {
        Self { socket, prefix }
    }
}

impl Outlet for Events {
    fn offer(&self, body: &str, scratch: &mut Vec<u8>) -> Offered {
        scratch.clear();
        match write_frame(&self.prefix, body, scratch) {
            Ok(()) => self.socket.offer(scratch),
            Err(_) => Offered::Refused,
        }
    }
}

/// A `next` message as a text frame.
fn write_frame(prefix: &str, body: &str, frame: &mut Vec<u8>) -> io::Result<()> {
    let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
    let length = (prefix.len() + body.len() + 1) as u64;
    header.format(length, frame).map_err(io::Error::other)?;
    frame.extend_from_slice(prefix.as_bytes());
    frame.extend_from_slice(body.as_bytes());
    frame.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncReadExt as _,
        net::{TcpListener, TcpStream},
    };
    use tokio_tungstenite::{
        WebSocketStream,
        tungstenite::{Message, protocol::Role},
    };

    use super::*;
    use crate::http::line::LineStream;

    async fn pair() -> (LineStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (LineStream::new(listener.accept().await.unwrap().0), client)
    }

    #[tokio::test]
    async fn what_is_taken_is_a_message() {
        let (server, client) = pair().await;
        let socket = Shared::new(server.line().clone());
        let events = Events::new(Arc::clone(&socket), r#"{"id":"1","payload":"#.into());
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let mut scratch = Vec::new();
        for length in [1, 100, 1_000, 100_000] {
            let body = format!(r#""{}""#, "é".repeat(length));
            assert_eq!(events.offer(&body, &mut scratch), Offered::Refused, "the session has it");
            socket.give_back();
            assert_eq!(events.offer(&body, &mut scratch), Offered::Taken);
            let Some(Ok(Message::Text(text))) = futures::StreamExt::next(&mut client).await else { panic!() };
            assert_eq!(text.as_str(), format!(r#"{{"id":"1","payload":{body}}}"#));
            assert!(socket.take().is_empty());
        }
    }

    #[tokio::test]
    async fn the_rest_of_a_frame_is_left_to_the_session() {
        let (server, mut client) = pair().await;
        let socket = Shared::new(server.line().clone());
        let events = Events::new(Arc::clone(&socket), "".into());
        let (mut frame, body) = (Vec::new(), "x".repeat(100_003));
        socket.give_back();
        let mut whole = 0;
        let last = loop {
            match events.offer(&body, &mut frame) {
                Offered::Taken => whole += 1,
                last => break last,
            }
        };
        assert_eq!(last, Offered::Begun);
        assert_eq!(events.offer(&body, &mut Vec::new()), Offered::Refused, "a frame is not whole");
        let rest = socket.take();
        assert!(frame.ends_with(&rest));
        let mut sent = vec![0; frame.len() * (whole + 1) - rest.len()];
        client.read_exact(&mut sent).await.unwrap();
        assert_eq!([sent, rest].concat(), frame.repeat(whole + 1));
    }
}
