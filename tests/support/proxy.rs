//! A way to PostgreSQL that a test can cut. The server behind it is shared by all tests, so none of
//! them may stop it; seen through a cut proxy it is stopped: connections break, new ones are refused.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A proxy; cut when dropped.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    to: String,
    /// Bound and never listening: keeps the port ours while nobody listens.
    _reserved: TcpSocket,
    open: Option<(DropGuard, tokio::task::JoinHandle<()>)>,
}

impl Proxy {
    /// Open, to the database of this URL; answers the URL through the proxy.
    pub fn before(url: &str) -> (Self, String) {
        let rest = url.strip_prefix("postgres://").unwrap();
        let (user, host_and_name) = rest.split_once('@').unwrap();
        let (host, name) = host_and_name.split_once('/').unwrap();
        let reserved = socket();
        reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = reserved.local_addr().unwrap();
        let mut proxy = Self { addr, to: host.to_owned(), _reserved: reserved, open: None };
        proxy.restore();
        (proxy, format!("postgres://{user}@{addr}/{name}"))
    }

    /// Breaks what is connected and refuses what wants to.
    pub async fn cut(&mut self) {
        let (guard, task) = self.open.take().unwrap();
        drop(guard);
        task.await.unwrap();
    }

    /// Lets through again.
    pub fn restore(&mut self) {
        let socket = socket();
        socket.bind(self.addr).unwrap();
        let listener = socket.listen(64).unwrap();
        let cancel = CancellationToken::new();
        let (cancelled, to) = (cancel.clone(), self.to.clone());
        let task = tokio::spawn(async move {
            let _: Option<()> = cancelled.run_until_cancelled_owned(forward(listener, to)).await;
        });
        self.open = Some((cancel.drop_guard(), task));
    }
}

fn socket() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket
}

/// Until dropped, and every connection with it.
async fn forward(listener: TcpListener, to: String) {
    let mut connections = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let to = to.clone();
        connections.spawn(async move {
            let mut far = TcpStream::connect(to).await.unwrap();
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            // Either side may break it, which the other then sees.
            let _ = copy_bidirectional(&mut near, &mut far).await;
        });
    }
}
