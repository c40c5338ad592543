//! The live feed: deliveries per CPU second of the server beside a bare tokio loop that writes the same
//! bytes to as many sockets, the time from webhook to watcher, and memory a watcher. `make bench-feed`
//! brings the PostgreSQL and builds the server as it is shipped.
//!
//! Every watcher is a WebSocket of its own over loopback. All of them are read by one thread of this
//! process, which counts frames and does not parse them, and its delays count as the server's. The
//! bare loop is this binary again, in a process of its own, so that its CPU time can be told. It writes each
//! event as it comes; the server may write several at once, and answers and keeps them besides.
//!
//! Numbers of watchers may be given as arguments: `cargo bench --bench feed -- 100`.
#![expect(clippy::disallowed_methods, reason = "a bench measures the time that passes")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a bench may stop at what it did not expect")]

#[path = "support/mod.rs"]
mod support;

use std::{
    cell::{Cell, RefCell},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    process::{Command, Stdio},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use support::{Bar, Ends, Row, SECRET, new_database, seconds, start_server};

/// Changes before anybody watches: more than the server keeps in memory, so that this is full.
const FILL: usize = 6_000;
const SECONDS: u64 = 15;
/// Deliveries a second that a machine of two cores takes beside the readers; 5,000 watchers get 20
/// events a second.
const DELIVERIES: u64 = 100_000;
/// Different queries, on the second turn.
const QUERIES: usize = 50;

const DOCUMENT: &str = "subscription Follow($filter: ReservationFilter, $after: String) {
  reservationChanged(filter: $filter, after: $after) {
    cursor kind transition
    reservation { reservationId status checkIn checkOut guest { firstName lastName } total { amount currencyCode } }
  }
}";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "bare") {
        return bare_loop(arguments[at + 1].parse().unwrap(), arguments[at + 2].parse().unwrap());
    }
    // `cargo test` runs benches too, with this flag, to see that they build.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let given: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let database = new_database("bench_feed").expect("run `make bench-feed`");
    for watchers in if given.is_empty() { vec![1_000, 5_000] } else { given } {
        let per_second = (DELIVERIES / watchers as u64).clamp(1, 100);
        let mut bare = None;
        for (queries, wanted) in [(1, 0.8), (QUERIES, 0.3)] {
            let measured = server(&database, watchers, queries, per_second);
            let bare = *bare.get_or_insert_with(|| bare_figure(watchers, per_second, &measured.frame));
            report(watchers, queries, per_second, &measured, bare, wanted);
        }
    }
}

fn report(watchers: usize, queries: usize, per_second: u64, measured: &Measured, bare: f64, wanted: f64) {
    let Measured { deliveries, alone, without, p50, p99, kilobytes, after, frame } = measured;
    println!(
        "{watchers} watchers, {queries} different queries, {per_second} events/s, {} bytes a delivery:\n  \
         {deliveries:.0} deliveries per CPU second, bare loop {bare:.0}: ratio {:.2} (at least {wanted}),\n  \
         {:.2} without the {alone:.2} ms that each event takes with nobody watching\n  \
         webhook to watcher p50 {p50:.1} ms, p99 {p99:.1} ms (under 250)\n  \
         {kilobytes:.1} KB a watcher (under 16), {after:.1} KB after the run",
        frame.len(),
        deliveries / bare,
        without / bare
    );
    let who = format!("{watchers} watchers, {queries} different queries");
    let row = |promise: &str, figure, baseline, ratio, bar| {
        Row { promise: &format!("{promise}: {who}"), figure, baseline, ratio, bar }.print();
    };
    let bare_loop = format!("bare loop: {bare:.0}");
    row(
        "deliveries per CPU second",
        format!("{deliveries:.0}"),
        bare_loop,
        deliveries / bare,
        Bar::AtLeast(wanted),
    );
    row("webhook to watcher, p99", format!("{p99:.1} ms"), String::new(), *p99, Bar::AtMost(250.0));
    row("memory a watcher, KB", format!("{kilobytes:.1}"), String::new(), *kilobytes, Bar::AtMost(16.0));
}

/// What one run of the server came to.
#[derive(Debug)]
struct Measured {
    /// Per CPU second.
    deliveries: f64,
    /// CPU time of an event with nobody watching, in milliseconds, and the deliveries without it.
    alone: f64,
    without: f64,
    /// Milliseconds.
    p50: f64,
    p99: f64,
    /// A watcher, once all of them have had their first event, and after the run.
    kilobytes: f64,
    after: f64,
    /// One delivery as it was on the wire.
    frame: Vec<u8>,
}

/// One connection that posts, one request after the other.
struct Poster(std::net::TcpStream);

impl Poster {
    fn new(address: SocketAddr) -> Self {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Posts JSON; answers the body, which must be one JSON object.
    fn post(&mut self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: besty\r\nx-webhook-secret: {SECRET}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).unwrap();
        let (mut answer, mut chunk) = (Vec::new(), [0; 4_096]);
        loop {
            let read = self.0.read(&mut chunk).unwrap();
            assert!(read > 0, "the server hung up: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&chunk[..read]);
            let body = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4);
            if let Some(value) = body.and_then(|at| serde_json::from_slice(&answer[at..]).ok()) {
                return value;
            }
        }
    }

    /// Posts the `n`th change, which must be applied.
    fn apply(&mut self, n: usize) {
        let (hours, minutes, seconds) = (n / 3_600 % 24, n / 60 % 60, n % 60);
        // So many that no two of them are under way at once.
        let reservation = n % FILL;
        let event = json!({
            "event": "reservation.updated",
            "timestamp": format!("2026-03-{:02}T{hours:02}:{minutes:02}:{seconds:02}Z", 1 + n / 86_400),
            "webhookId": format!("wh_{n}"),
            "data": {
                "reservationId": format!("res_{reservation}"), "propertyId": "property_018",
                "guestId": format!("guest_{reservation}"), "status": "modified", "checkIn": "2026-04-06",
                "checkOut": "2026-04-13", "numGuests": 1 + n % 9, "totalAmount": 1869.59, "currency": "USD",
                "guest": { "firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.com", "phone": "+1" },
            },
        });
        assert_eq!(self.post("/webhooks", &event)["result"], "applied");
    }
}

/// Events posted so far, over all runs on the database, so that each has a later time than the one before.
static POSTED: AtomicUsize = AtomicUsize::new(0);

fn apply_next(poster: &mut Poster) {
    poster.apply(POSTED.fetch_add(1, Ordering::Relaxed));
}

/// What the readers count.
#[derive(Debug, Default)]
struct Readers {
    /// When each event was posted, the first one first.
    sent: Arc<Mutex<Vec<Instant>>>,
    /// Deliveries a watcher has had, by watcher.
    had: RefCell<Vec<usize>>,
    delivered: Cell<usize>,
    latencies: RefCell<Vec<Duration>>,
    frame: RefCell<Vec<u8>>,
}

impl Readers {
    fn delivery(&self, watcher: usize, frame: &[u8]) {
        if self.frame.borrow().is_empty() {
            *self.frame.borrow_mut() = frame.to_vec();
        }
        let mut had = self.had.borrow_mut();
        if let Some(sent) = self.sent.lock().unwrap().get(had[watcher]) {
            self.latencies.borrow_mut().push(sent.elapsed());
        }
        had[watcher] += 1;
        self.delivered.set(self.delivered.get() + 1);
    }

    /// Until each watcher has had this many: nothing is left out.
    async fn until(&self, each: usize) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !self.have(each) {
            assert!(Instant::now() < deadline, "after a minute some watchers have not had all {each}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn have(&self, each: usize) -> bool {
        let had = self.had.borrow();
        assert!(had.iter().all(|had| *had <= each), "something came twice");
        had.iter().all(|had| *had == each)
    }
}

fn runtime() -> (tokio::runtime::Runtime, tokio::task::LocalSet) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    (runtime, tokio::task::LocalSet::new())
}

fn server(database: &str, watchers: usize, queries: usize, per_second: u64) -> Measured {
    // One of its own for each run: what an earlier one left in memory would hide what this one takes.
    let folder = tempfile::tempdir().unwrap();
    let (server, address) = start_server(database, "http://127.0.0.1:9", folder.path(), &[]);
    let mut poster = Poster::new(address);
    fill(address);
    let alone = {
        let (cpu, events) = (server.cpu(), usize::try_from(per_second * seconds(SECONDS)).unwrap() / 2);
        post_at_rate(events, per_second, || apply_next(&mut poster));
        (server.cpu() - cpu) / count(events)
    };
    let list = poster.post("/graphql", &json!({ "query": "{reservations(first: 1) {streamCursor}}" }));
    let after = list["data"]["reservations"]["streamCursor"].as_str().unwrap();
    let empty = server.resident();
    let (runtime, tasks) = runtime();
    let readers = Rc::new(Readers::default());
    let run = async {
        readers.had.borrow_mut().resize(watchers, 0);
        for n in 0..watchers {
            let stream = subscribe(address, n % queries, after).await;
            tokio::task::spawn_local(read(stream, n, Rc::clone(&readers)));
        }
        readers.sent.lock().unwrap().push(Instant::now());
        apply_next(&mut poster);
        readers.until(1).await;
        readers.latencies.borrow_mut().clear();
        let kilobytes = (server.resident() - empty) / count(watchers);
        let cpu = server.cpu();
        let events = usize::try_from(per_second * seconds(SECONDS)).unwrap();
        let sent = Arc::clone(&readers.sent);
        let posting = thread::spawn(move || {
            post_at_rate(events, per_second, || {
                sent.lock().unwrap().push(Instant::now());
                apply_next(&mut poster);
            });
        });
        readers.until(1 + events).await;
        posting.join().unwrap();
        let cpu = server.cpu() - cpu;
        let mut latencies = readers.latencies.take();
        latencies.sort_unstable();
        let at = |share: usize| latencies[(latencies.len() - 1) * share / 100].as_secs_f64() * 1_000.0;
        Measured {
            deliveries: count(watchers * events) / cpu,
            alone: alone * 1_000.0,
            without: count(watchers * events) / (cpu - alone * count(events)),
            p50: at(50),
            p99: at(99),
            kilobytes,
            after: (server.resident() - empty) / count(watchers),
            frame: readers.frame.take(),
        }
    };
    runtime.block_on(tasks.run_until(run))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(n: usize) -> f64 {
    n as f64
}

/// From several connections, or it takes long.
fn fill(address: SocketAddr) {
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut poster = Poster::new(address);
                let from = POSTED.fetch_add(FILL / 16, Ordering::Relaxed);
                (from..from + FILL / 16).for_each(|n| poster.apply(n));
            });
        }
    });
}

fn post_at_rate(events: usize, per_second: u64, mut post: impl FnMut()) {
    let start = Instant::now();
    for n in 0..events {
        let due = start + Duration::from_secs_f64(count(n)) / u32::try_from(per_second).unwrap();
        thread::sleep(due.saturating_duration_since(Instant::now()));
        post();
    }
}

/// A text frame of a client with its length in two bytes; masked with zeros, which leave the payload as it is.
fn frame(message: &Value) -> Vec<u8> {
    let text = message.to_string();
    let length = u16::try_from(text.len()).unwrap();
    let mut frame = vec![0x81, 0xfe];
    frame.extend(length.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.bytes());
    frame
}

/// An open subscription: handshake, `connection_init`, `subscribe`.
async fn subscribe(address: SocketAddr, query: usize, after: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a socket; is `ulimit -n` high enough?");
    let request = "GET /graphql HTTP/1.1\r\nhost: besty\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                   sec-websocket-protocol: graphql-transport-ws\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    expect(&mut stream, b"\r\n\r\n").await;
    stream.write_all(&frame(&json!({ "type": "connection_init" }))).await.unwrap();
    expect(&mut stream, b"connection_ack\"}").await;
    // From that day or later on; all of them are before the day that the bookings begin.
    let day = format!("2026-{:02}-{:02}", 1 + query / 28, 1 + query % 28);
    let filter = if query == 0 { Value::Null } else { json!({ "checkIn": { "from": day } }) };
    let variables = json!({ "filter": filter, "after": after });
    let payload = json!({ "query": DOCUMENT, "variables": variables });
    stream.write_all(&frame(&json!({ "id": "1", "type": "subscribe", "payload": payload }))).await.unwrap();
    stream
}

async fn expect(stream: &mut TcpStream, end: &[u8]) {
    let mut seen = Vec::new();
    while !seen.ends_with(end) {
        let byte = stream.read_u8().await.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&seen)));
        seen.push(byte);
    }
}

/// Counts the deliveries of one socket until it ends.
async fn read(mut stream: TcpStream, watcher: usize, readers: Rc<Readers>) {
    // What is left of a frame that has not come whole.
    let (mut rest, mut chunk) = (Vec::new(), [0; 4_096]);
    loop {
        stream.readable().await.unwrap();
        let read = match stream.try_read(&mut chunk) {
            Ok(read) if read > 0 => read,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            // The process at the other end was ended.
            Ok(_) | Err(_) => return,
        };
        rest.extend_from_slice(&chunk[..read]);
        let mut taken = 0;
        while let Some((opcode, length)) = whole_frame(&rest[taken..]) {
            let frame = &rest[taken..taken + length];
            let head = &frame[..length.min(64)];
            match opcode {
                0x1 if find(head, b"\"next\"") => readers.delivery(watcher, frame),
                0x1 if find(head, b"\"ping\"") => {
                    stream.write_all(&self::frame(&json!({ "type": "pong" }))).await.unwrap();
                }
                0x9 => stream.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await.unwrap(),
                _ => panic!("{}", String::from_utf8_lossy(frame)),
            }
            taken += length;
        }
        rest.drain(..taken);
    }
}

fn find(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|bytes| bytes == what)
}

/// The kind and the whole length of the first frame, if all of it is there.
fn whole_frame(bytes: &[u8]) -> Option<(u8, usize)> {
    let (first, second) = (bytes.first()?, usize::from(*bytes.get(1)?));
    let length = match second {
        126 => 4 + usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        127 => panic!("a frame of more than 64 KiB"),
        short => 2 + short,
    };
    (bytes.len() >= length).then_some((first & 0x0f, length))
}

/// Deliveries per CPU second of the bare loop.
fn bare_figure(watchers: usize, per_second: u64, frame: &[u8]) -> f64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["bare", &watchers.to_string(), &per_second.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(frame).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address: SocketAddr = lines.next().unwrap().unwrap().parse().unwrap();
    let bare = Ends(child);
    let (runtime, tasks) = runtime();
    let readers = Rc::new(Readers::default());
    let run = async {
        readers.had.borrow_mut().resize(watchers, 0);
        for n in 0..watchers {
            let stream = TcpStream::connect(address).await.unwrap();
            tokio::task::spawn_local(read(stream, n, Rc::clone(&readers)));
        }
        readers.until(1).await;
        let cpu = bare.cpu();
        let events = usize::try_from(per_second * seconds(SECONDS)).unwrap();
        readers.until(1 + events).await;
        count(watchers * events) / (bare.cpu() - cpu)
    };
    runtime.block_on(tasks.run_until(run))
}

/// In a process of its own: takes `watchers` sockets, then writes what came on standard input to each of
/// them, once at the start and then at the rate given.
fn bare_loop(watchers: usize, per_second: u64) {
    let mut frame = Vec::new();
    std::io::stdin().read_to_end(&mut frame).unwrap();
    let (runtime, _) = runtime();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        let mut sockets = Vec::new();
        while sockets.len() < watchers {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            sockets.push(socket);
        }
        let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(per_second).unwrap());
        for n in 0..=per_second * seconds(SECONDS) {
            if n == 1 {
                // The reader looks at the clock of this process now.
                tokio::time::sleep(Duration::from_secs(1)).await;
                tick.reset();
            }
            tick.tick().await;
            for socket in &mut sockets {
                socket.write_all(&frame).await.unwrap();
            }
        }
        // Until killed: what is measured must still be there.
        std::future::pending::<()>().await;
    });
}
