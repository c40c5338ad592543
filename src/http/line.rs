//! The TCP stream below whatever is spoken on a connection, and the way around that: who knows that
//! nothing else is under way may write there at once.

use std::{
    io::{self, IoSlice},
    net::{IpAddr, Shutdown},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// A TCP stream that may also be written to by its [`Line`].
#[derive(Debug)]
pub struct LineStream {
    read: OwnedReadHalf,
    line: Line,
}

/// The writing side of a TCP stream; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Line(Arc<OwnedWriteHalf>);

impl LineStream {
    pub(super) fn new(stream: TcpStream) -> Self {
        let (read, write) = stream.into_split();
        Self { read, line: Line(Arc::new(write)) }
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }
}

impl Line {
    /// The address of the other side, while it is there.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.0.peer_addr().ok().map(|address| address.ip())
    }

    /// Writes what is taken at once. Takes nothing of it where [`io::ErrorKind::WouldBlock`] is answered.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    /// Writes what is taken, as soon as something is.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_with(cx, || self.0.try_write(bytes))
    }

    fn poll_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!((*self.0).as_ref().poll_write_ready(cx))?;
            match write() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl AsyncRead for LineStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buffer)
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.line.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.line.poll_with(cx, || self.line.0.try_write_vectored(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream: &TcpStream = (*self.line.0).as_ref();
        Poll::Ready(socket2::SockRef::from(stream).shutdown(Shutdown::Write))
    }
}
