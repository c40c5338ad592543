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
    graphql::live::{Event, Offered, Outlet},
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

    /// Writes what is taken of whole frames. What a frame that is cut lacks is kept.
    fn offer(&self, frames: &[u8], lengths: impl Iterator<Item = usize>) -> Offered {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return Offered::Refused,
        };
        if !state.is_free {
            return Offered::Refused;
        }
        match self.line.try_write(frames) {
            Ok(written) if written == frames.len() => Offered::Taken,
            Ok(written) => {
                let (mut count, mut end) = (0, 0);
                for length in lengths {
                    (count, end) = (count + 1, end + length);
                    if end >= written {
                        break;
                    }
                }
                state.rest.extend_from_slice(&frames[written..end]);
                state.is_free = false;
                Offered::Begun(count)
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

impl Events {
    /// A `next` message as a text frame.
    fn write(&self, body: &str, frames: &mut Vec<u8>) -> io::Result<()> {
        header().format(self.payload(body) as u64, frames).map_err(io::Error::other)?;
        frames.extend_from_slice(self.prefix.as_bytes());
        frames.extend_from_slice(body.as_bytes());
        frames.push(b'}');
        Ok(())
    }

    /// Bytes of the message.
    fn payload(&self, body: &str) -> usize {
        self.prefix.len() + body.len() + 1
    }

    /// Bytes of the frame.
    fn length(&self, body: &str) -> usize {
        let payload = self.payload(body);
        header().len(payload as u64) + payload
    }
}

fn header() -> FrameHeader {
    FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() }
}

impl Outlet for Events {
    fn offer(&self, events: &[Event], scratch: &mut Vec<u8>) -> Offered {
        scratch.clear();
        if events.iter().any(|(_, body)| self.write(body, scratch).is_err()) {
            return Offered::Refused;
        }
        self.socket.offer(scratch, events.iter().map(|(_, body)| self.length(body)))
    }
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

    fn next(body: &str) -> Event {
        (1, body.into())
    }

    #[tokio::test]
    async fn what_is_taken_is_a_message_each() {
        let (server, client) = pair().await;
        let socket = Shared::new(server.line().clone());
        let events = Events::new(Arc::clone(&socket), r#"{"id":"1","payload":"#.into());
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let mut scratch = Vec::new();
        for length in [1, 100, 1_000, 100_000] {
            let bodies = [format!(r#""{}""#, "é".repeat(length)), "{}".to_owned()];
            let both = bodies.each_ref().map(|body| next(body));
            assert_eq!(events.offer(&both, &mut scratch), Offered::Refused, "the session has it");
            socket.give_back();
            assert_eq!(events.offer(&both, &mut scratch), Offered::Taken);
            for body in bodies {
                let Some(Ok(Message::Text(text))) = futures::StreamExt::next(&mut client).await else {
                    panic!()
                };
                assert_eq!(text.as_str(), format!(r#"{{"id":"1","payload":{body}}}"#));
            }
            assert!(socket.take().is_empty());
        }
    }

    /// Several frames at a time, and the socket is full within the first, the second or the third of them.
    #[tokio::test]
    async fn the_rest_of_a_frame_is_left_to_the_session() {
        for lengths in [[100_003, 1, 1], [1, 100_003, 1], [1, 1, 100_003], [300, 20_000, 70_000]] {
            let (server, mut client) = pair().await;
            let socket = Shared::new(server.line().clone());
            let events = Events::new(Arc::clone(&socket), "".into());
            let (mut frames, three) = (Vec::new(), lengths.map(|length| next(&"x".repeat(length))));
            socket.give_back();
            let mut whole = 0;
            let last = loop {
                match events.offer(&three, &mut frames) {
                    Offered::Taken => whole += 1,
                    last => break last,
                }
            };
            let Offered::Begun(count) = last else { panic!("{last:?}") };
            assert_eq!(events.offer(&three, &mut Vec::new()), Offered::Refused, "a frame is not whole");
            let rest = socket.take();
            // What the session goes on with is the end of the frame that was begun, and no more.
            let mut due = frames.repeat(whole);
            for (_, body) in &three[..count] {
                events.write(body, &mut due).unwrap();
            }
            assert!(rest.len() < events.length(&three[count - 1].1));
            let mut sent = vec![0; due.len() - rest.len()];
            client.read_exact(&mut sent).await.unwrap();
            assert!([sent, rest].concat() == due, "{lengths:?}");
        }
    }
}
