//! Webhooks a second, answered after the commit, beside one-row upserts by pgbench with as many
//! clients, on the same table with the same indexes, in one run. `make bench-ingest` brings the
//! PostgreSQL (with fsync) and builds the server as it is shipped.
//!
//! Each side is measured in turns, so that what the machine does meanwhile falls on both. The load
//! generator speaks plain HTTP/1.1 over sockets of its own and costs little beside the server.
#![expect(clippy::disallowed_methods, reason = "a bench measures the time that passes")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a bench may stop at what it did not expect")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

const SECRET: &str = "bench-secret";
const RESERVATIONS: usize = 20_000;
const GUESTS: usize = 5_000;
/// Seconds a measurement, and measurements a side.
const SECONDS: u64 = 6;
const ROUNDS: usize = 3;

/// The row that pgbench writes: all columns, as ingest does, without a change log.
const UPSERT: &str = "\\set r random(0, 19999)
\\set n random(1, 9)
INSERT INTO reservations (reservation_id, property_id, guest_id, status, check_in, check_out, num_guests, \
total_amount, currency, guest_first_name, guest_last_name, guest_email, guest_phone, webhook_id, event_timestamp, \
created_at, updated_at) VALUES ('res_' || :r, 'property_' || :r % 200, 'guest_' || :r % 5000, 'modified', \
date '2026-04-06', date '2026-04-13', :n, 1869.59, 'USD', 'Ada', 'Lovelace', 'ada@example.com', '+1', \
'wh_' || :r || '_' || :n, now(), now(), now()) ON CONFLICT (reservation_id) DO UPDATE SET \
property_id = excluded.property_id, guest_id = excluded.guest_id, status = excluded.status, \
check_in = excluded.check_in, check_out = excluded.check_out, num_guests = excluded.num_guests, \
total_amount = excluded.total_amount, currency = excluded.currency, guest_first_name = excluded.guest_first_name, \
guest_last_name = excluded.guest_last_name, guest_email = excluded.guest_email, guest_phone = excluded.guest_phone, \
webhook_id = excluded.webhook_id, event_timestamp = excluded.event_timestamp, updated_at = excluded.updated_at;
";

/// Events a second and latencies in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Figures {
    rate: f64,
    p50: f64,
    p99: f64,
}

fn main() {
    // `cargo test` runs benches too, with this flag, to see that they build.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let postgres = std::env::var("TEST_POSTGRES_URL").expect("run `make bench-ingest`");
    psql(&postgres, "CREATE DATABASE bench");
    let database = format!("{}/bench", postgres.rsplit_once('/').unwrap().0);
    let (_server, address) = start_server(&database);
    let clock = AtomicUsize::new(0);
    fill(address, &clock);
    psql(&database, "VACUUM ANALYZE");
    println!(
        "indexes: {}",
        psql(
            &database,
            "SELECT string_agg(indexname, ', ') FROM pg_indexes WHERE tablename = 'reservations'"
        )
    );
    for (connections, wanted) in [(64, 1.25), (1, 0.4)] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(webhooks(address, connections, &clock));
            theirs.push(pgbench(&database, connections));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!(
            "{connections:>2} connections: webhooks {:.0}/s (p50 {:.1} ms, p99 {:.1} ms); pgbench {:.0}/s; ratio {:.2} (at least {wanted})",
            ours.rate,
            ours.p50,
            ours.p99,
            theirs.rate,
            ours.rate / theirs.rate
        );
    }
}

fn median(mut figures: Vec<Figures>) -> Figures {
    figures.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    figures[figures.len() / 2]
}

/// A process that ends with the value.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_server(database: &str) -> (Ends, SocketAddr) {
    let folder = std::env::temp_dir();
    let spool = folder.join(format!("besty-bench-spool-{}.db", std::process::id()));
    let mut child = Command::new(env!("CARGO_BIN_EXE_besty"))
        .env_clear()
        .envs([("PORT", "0"), ("DATABASE_URL", database), ("WEBHOOK_SECRET", SECRET)])
        // Nobody is looked up: every guest is complete after the filling.
        .env("GUEST_API_BASE_URL", "http://127.0.0.1:9")
        .env("SPOOL_PATH", spool)
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("listening address=")?.1.trim().to_owned()))
        .expect("the server ended");
    std::thread::spawn(move || lines.for_each(drop));
    (Ends(child), address.parse().unwrap())
}

fn psql(url: &str, sql: &str) -> String {
    let output = Command::new("psql").args([url, "-AtqX", "-c", sql]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// One request, complete. Events of one reservation have rising timestamps, all of them later than what
/// pgbench writes, so each is applied.
fn request(n: usize, clock: &AtomicUsize, guest: &str) -> Vec<u8> {
    let tick = clock.fetch_add(1, Ordering::Relaxed);
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

/// Sends and waits for the whole answer, which must be 200.
fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) {
    stream.write_all(request).unwrap();
    buffer.clear();
    let mut chunk = [0; 1_024];
    // The answers are all alike: their body ends the response.
    while !buffer.ends_with(b"\"}") {
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the server hung up: {}", String::from_utf8_lossy(buffer));
        buffer.extend_from_slice(&chunk[..read]);
    }
    let text = String::from_utf8_lossy(buffer);
    // Two connections may be at the same reservation, and the later event in first.
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("\"ok\":true"), "{text}");
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Every reservation once, with every field of its guest.
fn fill(address: SocketAddr, clock: &AtomicUsize) {
    let guest = ",\"guest\":{\"firstName\":\"Ada\",\"lastName\":\"Lovelace\",\"email\":\"ada@example.com\",\"phone\":\"+1\"}";
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let (mut stream, mut buffer) = (connect(address), Vec::new());
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= RESERVATIONS {
                        return;
                    }
                    exchange(&mut stream, &request(n, clock, guest), &mut buffer);
                }
            });
        }
    });
}

fn webhooks(address: SocketAddr, connections: usize, clock: &AtomicUsize) -> Figures {
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let mut latencies: Vec<Duration> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|worker| {
                scope.spawn({
                    let stop = &stop;
                    move || work(address, worker, clock, stop)
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs(SECONDS));
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

/// One connection's requests until told to stop; answers how long each took.
fn work(address: SocketAddr, worker: usize, clock: &AtomicUsize, stop: &AtomicBool) -> Vec<Duration> {
    let (mut stream, mut buffer, mut taken) = (connect(address), Vec::new(), Vec::new());
    // A walk of its own over all reservations, in no order that a cache would like.
    let mut n = worker * 311;
    while !stop.load(Ordering::Relaxed) {
        n = (n + 7_919) % RESERVATIONS;
        let request = request(n, clock, "");
        let start = Instant::now();
        exchange(&mut stream, &request, &mut buffer);
        taken.push(start.elapsed());
    }
    taken
}

fn pgbench(database: &str, clients: usize) -> Figures {
    let bin = std::env::var("TEST_POSTGRES_BIN").unwrap();
    let script = std::env::temp_dir().join(format!("besty-bench-{}.sql", std::process::id()));
    std::fs::write(&script, UPSERT).unwrap();
    let output = Command::new(format!("{bin}/pgbench"))
        .args(["-n", "-M", "prepared", "-j", "2", "-c", &clients.to_string(), "-T", &SECONDS.to_string()])
        .args(["-f", script.to_str().unwrap(), database])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    let rate = rate.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    Figures { rate, p50: 0.0, p99: 0.0 }
}
