//! A way to PostgreSQL that a test can cut. The server behind it is shared by all tests, so none of
//! them may stop it; seen through a cut proxy it is stopped: connections break, new ones are refused.
//!
//! It can also hold back one request, the answer to one, the answer to one commit, or everything from a moment
//! on, and counts statements.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What is held back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Hold {
    #[default]
    Nothing,
    /// The answer to the commit of the first transaction that has a statement with this text.
    Commit(&'static str),
    /// The answer to the first request with this text in it.
    Answer(&'static str),
    /// The first request with this text in it.
    Request(&'static str),
    /// It came to that; nothing comes back on its connection.
    Held,
    /// All that is said on any connection.
    Everything,
}

/// A proxy; cut when dropped.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    to: String,
    hold: watch::Sender<Hold>,
    statements: Arc<AtomicU64>,
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
        let hold = watch::Sender::default();
        let statements = Arc::default();
        let mut proxy = Self { addr, to: host.to_owned(), hold, statements, _reserved: reserved, open: None };
        proxy.restore();
        (proxy, format!("postgres://{user}@{addr}/{name}"))
    }

    /// How many statements were executed through it.
    pub fn statements(&self) -> u64 {
        self.statements.load(SeqCst)
    }

    /// Breaks what is connected and refuses what wants to.
    pub async fn cut(&mut self) {
        let (guard, task) = self.open.take().unwrap();
        drop(guard);
        task.await.unwrap();
    }

    /// Passes on the commit of the first transaction that has a statement with this text, and holds back the
    /// answer. The statement has to be new to its connection: one that is known has no text.
    pub fn hold_commit_of(&self, text: &'static str) {
        self.hold.send_replace(Hold::Commit(text));
    }

    /// Passes on the first request that has this text in it, among its values for example, and holds back the answer.
    pub fn hold_answer_to(&self, text: &'static str) {
        self.hold.send_replace(Hold::Answer(text));
    }

    /// Holds back the first request that has this text in it.
    pub fn hold_request(&self, text: &'static str) {
        self.hold.send_replace(Hold::Request(text));
    }

    /// Waits until something is held back, or only its answer.
    pub async fn held(&self) {
        self.hold.subscribe().wait_for(|hold| *hold == Hold::Held).await.unwrap();
    }

    /// Passes on the request that is held back.
    pub fn let_go(&self) {
        self.hold.send_replace(Hold::Nothing);
    }

    /// Holds everything back from now on. Connections stay.
    pub fn hold_everything(&self) {
        self.hold.send_replace(Hold::Everything);
    }

    /// Lets through again.
    pub fn restore(&mut self) {
        self.hold.send_replace(Hold::Nothing);
        let socket = socket();
        socket.bind(self.addr).unwrap();
        let listener = socket.listen(64).unwrap();
        let cancel = CancellationToken::new();
        let (cancelled, to, hold) = (cancel.clone(), self.to.clone(), self.hold.clone());
        let statements = Arc::clone(&self.statements);
        let task = tokio::spawn(async move {
            let forwarding = forward(listener, to, hold, statements);
            let _: Option<()> = cancelled.run_until_cancelled_owned(forwarding).await;
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
async fn forward(listener: TcpListener, to: String, hold: watch::Sender<Hold>, statements: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await.unwrap();
        let (to, hold, statements) = (to.clone(), hold.clone(), Arc::clone(&statements));
        connections.spawn(async move {
            let far = TcpStream::connect(to).await.unwrap();
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            connect(near, far, &hold, &statements).await;
        });
    }
}

/// Until either side breaks it, which the other then sees.
async fn connect(near: TcpStream, far: TcpStream, hold: &watch::Sender<Hold>, statements: &AtomicU64) {
    let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.into_split(), far.into_split());
    let (is_watched, is_held) = (AtomicBool::new(false), AtomicBool::new(false));
    let there = async {
        let (mut buffer, mut messages) = (vec![0; 64 * 1024], Messages::default());
        while let Ok(read @ 1..) = from_near.read(&mut buffer).await {
            let said = &buffer[..read];
            statements.fetch_add(messages.executions(said), SeqCst);
            let now = hold.borrow().clone();
            match now {
                Hold::Everything => std::future::pending().await,
                Hold::Commit(text) if holds(said, text) => is_watched.store(true, SeqCst),
                Hold::Commit(_) if is_watched.load(SeqCst) && holds(said, "COMMIT") => {
                    is_held.store(true, SeqCst);
                    hold.send_replace(Hold::Held);
                }
                Hold::Answer(text) if holds(said, text) => {
                    is_held.store(true, SeqCst);
                    hold.send_replace(Hold::Held);
                }
                Hold::Request(text) if holds(said, text) => {
                    hold.send_replace(Hold::Held);
                    // An error says that there is no proxy any more.
                    let _ = hold.subscribe().wait_for(|hold| *hold == Hold::Nothing).await;
                }
                Hold::Nothing | Hold::Held | Hold::Commit(_) | Hold::Answer(_) | Hold::Request(_) => {}
            }
            if to_far.write_all(said).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_far.read(&mut buffer).await {
            if is_held.load(SeqCst) || *hold.borrow() == Hold::Everything {
                std::future::pending::<()>().await;
            }
            if to_near.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

/// Tells a client's messages apart: a kind, a length, the rest. The first have no kind: a wish for TLS,
/// which is refused, and what the session is to be.
#[derive(Default)]
struct Messages {
    rest: Vec<u8>,
    is_begun: bool,
}

impl Messages {
    /// How many of the messages that end in `said` execute a statement.
    fn executions(&mut self, said: &[u8]) -> u64 {
        self.rest.extend_from_slice(said);
        let mut executions = 0;
        loop {
            let at = usize::from(self.is_begun);
            let Some(length) = self.rest.get(at..at + 4) else { return executions };
            let end = at + u32::from_be_bytes(length.try_into().unwrap()) as usize;
            if self.rest.len() < end {
                return executions;
            }
            executions += u64::from(self.is_begun && self.rest[0] == b'E');
            let version_3 = [0, 3, 0, 0];
            self.is_begun |= self.rest[at + 4..end].starts_with(&version_3);
            self.rest.drain(..end);
        }
    }
}

fn holds(said: &[u8], text: &str) -> bool {
    said.windows(text.len()).any(|window| window == text.as_bytes())
}
