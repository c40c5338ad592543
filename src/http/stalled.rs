//! Connections whose other side takes nothing are closed, whatever is spoken on them.
//!
//! It is seen here and nowhere above: an answer that streams is asked for more when the connection has
//! taken what it had, and can't tell that this will not happen again. Taking little is enough to stay.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpListener,
    time::Sleep,
};

use super::{
    connections::{Connections, Place},
    idle::Uses,
    line::{Line, LineStream},
};

/// Bytes that wait in the kernel while the other side takes nothing. Without this bound it is megabytes
/// for each connection, and a third of them must be taken before one is said to take anything.
#[cfg(target_os = "linux")]
const UNSENT_MAX: u32 = 16 * 1024;

/// Accepts connections while there are places for them. They are closed once the other side has taken nothing
/// for so long.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    patience: Duration,
    connections: Connections,
}

impl Listener {
    /// `patience` is how long.
    #[must_use]
    pub fn new(tcp: TcpListener, patience: Duration, connections: Connections) -> Self {
        Self { tcp, patience, connections }
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection<LineStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let (stream, address, place) = loop {
            let (stream, address) = axum::serve::Listener::accept(&mut self.tcp).await;
            match self.connections.take() {
                Some(place) => break (stream, address, place),
                // Reset, which is known at once over there and leaves nothing behind here.
                None => drop(socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))),
            }
        };
        // Where an option is not to be had, it goes without.
        // Answers and events are small and must not wait for more.
        let _ = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_MAX);
        (Connection::new(LineStream::new(stream), self.patience, place), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// A connection that fails with [`io::ErrorKind::TimedOut`] when the other side takes nothing.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    patience: Duration,
    /// There is something that was not taken yet.
    waiting: Option<Pin<Box<Sleep>>>,
    uses: Arc<Uses>,
    place: Place,
}

impl<S> Connection<S> {
    fn new(stream: S, patience: Duration, place: Place) -> Self {
        Self { stream, patience, waiting: None, uses: Arc::default(), place }
    }

    /// What happens on it.
    pub(super) fn uses(&self) -> &Arc<Uses> {
        &self.uses
    }

    /// The place it has.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Passes on what came of a write.
    fn wrote<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.uses.wrote();
            self.waiting = None;
            return result;
        }
        let timer = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.patience)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side takes nothing")))
    }
}

impl Connection<LineStream> {
    pub(super) fn line(&self) -> &Line {
        self.stream.line()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.uses.came();
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::Instant,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);
    const ALMOST: Duration = Duration::from_secs(29);

    fn place() -> Place {
        Connections::new(1).take().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_nothing_is_closed() {
        let (server, _client) = tokio::io::duplex(16);
        let (mut server, start) = (Connection::new(server, PATIENCE, place()), Instant::now());
        server.write_all(&[0; 16]).await.unwrap();
        assert_eq!(server.write(&[0]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_little_is_not() {
        let (server, mut client) = tokio::io::duplex(16);
        let (mut server, start) = (Connection::new(server, PATIENCE, place()), Instant::now());
        let reading = async {
            for _ in 0..100 {
                tokio::time::sleep(ALMOST).await;
                client.read_u8().await.unwrap();
            }
        };
        let (wrote, ()) = tokio::join!(server.write_all(&[0; 116]), reading);
        wrote.unwrap();
        assert!(start.elapsed() > PATIENCE * 90);
    }
}
