//! The load: plain HTTP/1.1 over sockets of its own, driven as pgbench drives its: by two threads that
//! poll. A thread a connection would cost more than the requests do, and take it from the server.

use std::{
    fmt,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};

use crate::support::SECRET;

/// Reservations, whose events a run is made of.
const RESERVATIONS: usize = 20_000;
/// Threads, as pgbench has them.
const THREADS: usize = 2;
/// Guests that they belong to.
pub(crate) const GUESTS: usize = 5_000;

/// Events a second and latencies in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) rate: f64,
    p50: f64,
    pub(crate) p99: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}/s (p50 {:.1} ms, p99 {:.1} ms)", self.rate, self.p50, self.p99)
    }
}

/// Events whose timestamps rise from run to run, all of them later than what pgbench writes, so each is
/// applied.
pub(crate) struct Load {
    address: SocketAddr,
    clock: AtomicUsize,
}

impl Load {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, clock: AtomicUsize::new(0) }
    }

    /// Every reservation once, with every field of its guest, so that nobody is looked up.
    pub(crate) fn fill(&self) {
        let guest = ",\"guest\":{\"firstName\":\"Ada\",\"lastName\":\"Lovelace\",\"email\":\"ada@example.com\",\"phone\":\"+1\"}";
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    let (mut stream, mut buffer) = (self.connect(), Vec::new());
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= RESERVATIONS {
                            return;
                        }
                        exchange(&mut stream, &self.request(n, guest), &mut buffer);
                    }
                });
            }
        });
    }

    /// As many events as get through.
    pub(crate) fn run(&self, connections: usize, seconds: u64) -> Figures {
        let stop = AtomicBool::new(false);
        let threads = THREADS.min(connections);
        let start = Instant::now();
        let mut latencies: Vec<Duration> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|thread| (thread, &stop))
                .map(|(thread, stop)| {
                    scope.spawn(move || self.work((thread..connections).step_by(threads), stop))
                })
                .collect();
            std::thread::sleep(Duration::from_secs(seconds));
            stop.store(true, Ordering::Relaxed);
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        let elapsed = start.elapsed().as_secs_f64();
        latencies.sort_unstable();
        let at = |share: usize| latencies[(latencies.len() - 1) * share / 100].as_secs_f64() * 1_000.0;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let rate = latencies.len() as f64 / elapsed;
        Figures { rate, p50: at(50), p99: at(99) }
    }

    /// The requests of some connections until told to stop; answers how long each took.
    fn work(&self, connections: impl Iterator<Item = usize>, stop: &AtomicBool) -> Vec<Duration> {
        let mut connections: Vec<_> = connections.map(|n| Connection::new(self, n)).collect();
        for connection in &mut connections {
            connection.send(self);
        }
        let mut taken = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let mut waits: Vec<_> =
                connections.iter().map(|connection| PollFd::new(&connection.stream, PollFlags::IN)).collect();
            poll(&mut waits, None).unwrap();
            let ready: Vec<_> = waits.iter().map(|wait| !wait.revents().is_empty()).collect();
            for (connection, _) in connections.iter_mut().zip(ready).filter(|(_, is_ready)| *is_ready) {
                if receive(&mut connection.stream, &mut connection.answer) {
                    taken.push(connection.sent.elapsed());
                    connection.send(self);
                }
            }
        }
        taken
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// One request, complete.
    fn request(&self, n: usize, guest: &str) -> Vec<u8> {
        let tick = self.clock.fetch_add(1, Ordering::Relaxed);
        let (seconds, micros) = (tick / 1_000_000, tick % 1_000_000);
        let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let body = format!(
            "{{\"event\":\"reservation.updated\",\"timestamp\":\"2036-03-01T{hours:02}:{minutes:02}:{seconds:02}.{micros:06}Z\",\
             \"webhookId\":\"wh_{tick}\",\"data\":{{\"reservationId\":\"res_{n}\",\"propertyId\":\"property_{}\",\
             \"guestId\":\"guest_{}\",\"status\":\"modified\",\"checkIn\":\"2026-04-06\",\"checkOut\":\"2026-04-13\",\
             \"numGuests\":{},\"totalAmount\":1869.59,\"currency\":\"USD\"{guest}}}}}",
            n % 200,
            n % GUESTS,
            1 + tick % 9
        );
        format!(
            "POST /webhooks HTTP/1.1\r\nhost: besty\r\nx-webhook-secret: {SECRET}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// A connection, and how far its walk over the reservations has come.
struct Connection {
    stream: TcpStream,
    reservation: usize,
    sent: Instant,
    answer: Vec<u8>,
}

impl Connection {
    fn new(load: &Load, n: usize) -> Self {
        Self { stream: load.connect(), reservation: n * 311, sent: Instant::now(), answer: Vec::new() }
    }

    /// Sends the next request of a walk of its own over all reservations, in no order that a cache would like.
    fn send(&mut self, load: &Load) {
        self.reservation = (self.reservation + 7_919) % RESERVATIONS;
        let request = load.request(self.reservation, "");
        self.sent = Instant::now();
        self.stream.write_all(&request).unwrap();
    }
}

/// Sends and waits for the answer.
fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) {
    stream.write_all(request).unwrap();
    while !receive(stream, answer) {}
}

/// Reads what is there; true when the answer is complete, which must be 200, and leaves nothing of it.
fn receive(stream: &mut TcpStream, answer: &mut Vec<u8>) -> bool {
    let mut chunk = [0; 1_024];
    let read = stream.read(&mut chunk).unwrap();
    assert!(read > 0, "the server hung up: {}", String::from_utf8_lossy(answer));
    answer.extend_from_slice(&chunk[..read]);
    // The answers are all alike: their body ends the response.
    if !answer.ends_with(b"\"}") {
        return false;
    }
    let text = String::from_utf8_lossy(answer);
    // Two connections may be at the same reservation, and the later event in first. What is only queued is
    // not in the table yet.
    let written = text.contains("\"applied\"") || text.contains("\"stale\"");
    assert!(text.starts_with("HTTP/1.1 200") && written, "{text}");
    answer.clear();
    true
}
