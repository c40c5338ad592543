//! A page of 50 reservations, 14 fields, with a filter: GraphQL a second beside the same SQL by pgbench and
//! beside PostGraphile 4 on the same table; then what a page and a search take at 100 thousand, 1 million and
//! 10 million rows. `make bench-query` brings the PostgreSQL (with fsync) and PostGraphile, and builds the
//! server as it is shipped.
//!
//! What is compared is measured in turns, so that what the machine does meanwhile falls on all: the sides of the
//! page, and a large table with one of 100 thousand rows, which has a server of its own. `BENCH_ROWS` stops at
//! fewer rows: 10 million need some 6 GB of disk and some minutes.
//!
//! At any size a filter selects the same share of the rows (a status 12 %, a property or a week some 0.5 %, a
//! night 0.7 %), but a guest has three. The times of writing are spread over a year and have nothing to do with
//! where a row lies, which is the worst for the order by them.
#![expect(clippy::disallowed_methods, reason = "a bench measures the time that passes")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a bench may stop at what it did not expect")]

#[expect(dead_code, reason = "shared with the other benches, which use the rest")]
#[path = "support/mod.rs"]
mod support;

use std::{
    fmt,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{Bar, Ends, Row, new_database, psql, seconds, start_server};

/// Connections, seconds a measurement, and measurements a side.
const CONNECTIONS: usize = 16;
const SECONDS: u64 = 5;
const ROUNDS: usize = 3;
/// Rows of each measurement of times, and requests of which the median counts.
const SIZES: [u64; 3] = [100_000, 1_000_000, 10_000_000];
const REQUESTS: usize = 60;
/// Of what takes seconds there are fewer: these, or what this time is enough for.
const FEWEST: usize = 5;
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests before those: PostgreSQL plans a statement anew for the first five times on each connection of a pool.
const WARM_UP: usize = 100;
const WARM_UP_PATIENCE: Duration = Duration::from_secs(2);
const PROPERTIES: u64 = 200;

/// Rows numbered from `:first` to `:last`: check-ins over three years, 1 to 14 nights and one stay in a
/// thousand of up to 300.
const ROWS: &str = "INSERT INTO reservations (reservation_id, property_id, guest_id, status, check_in, check_out, \
num_guests, total_amount, currency, guest_first_name, guest_last_name, guest_email, guest_phone, webhook_id, \
event_timestamp, created_at, updated_at) \
SELECT 'res_' || i, 'property_' || h % 200, 'guest_' || g, \
CASE WHEN h % 100 < 12 THEN 'cancelled' WHEN h % 100 < 42 THEN 'modified' ELSE 'confirmed' END, \
day, day + CASE WHEN h2 % 1000 = 0 THEN 15 + (h % 286)::int ELSE 1 + (h2 % 14)::int END, \
1 + (h % 6)::int, 50 + (h2 % 400000) / 100.0, CASE WHEN h2 % 3 = 0 THEN 'EUR' ELSE 'USD' END, \
(ARRAY['Ada','Grace','Alan','Edsger','Barbara','Donald','Radia','Ken','Margaret','Linus'])[1 + g % 10], \
'Family' || left(md5(g::text), 8), 'guest' || g || '@example.com', '+1555' || lpad(g::text, 7, '0'), \
'wh_' || i, wrote, wrote, wrote \
FROM (SELECT i, abs(hashint8(i))::bigint AS h, abs(hashint8(i + 1000000007))::bigint AS h2, (i / 3)::int AS g, \
TIMESTAMPTZ '2026-01-01 00:00:00Z' + abs(hashint8(i + 13)) % 31536000 * INTERVAL '1 second' AS wrote, \
DATE '2025-06-01' + (abs(hashint8(i + 7)) % 1095)::int AS day FROM generate_series($first::bigint, $last) AS i) AS t";

/// The page, as each side is asked for it.
const OURS: &str = "query($property: String!) { reservations(first: 50, filter: { propertyIds: [$property] }) { nodes { \
reservationId propertyId status checkIn checkOut nights guestCount total { amount currencyCode } \
guest { guestId firstName lastName email } updatedAt } } }";
const THEIRS: &str = "query($property: String!) { allReservations(first: 50, condition: { propertyId: $property }, \
orderBy: [CHECK_IN_ASC, ID_ASC]) { nodes { reservationId propertyId status checkIn checkOut numGuests totalAmount currency \
guestId guestFirstName guestLastName guestEmail updatedAt createdAt } } }";
const SQL: &str = "\\set p random(0, 199)
SELECT reservation_id, property_id, status, check_in, check_out, num_guests, total_amount, currency, guest_id, \
guest_first_name, guest_last_name, guest_email, updated_at, created_at FROM reservations \
WHERE property_id = 'property_' || :p ORDER BY check_in, id LIMIT 50;
";

fn main() {
    // `cargo test` runs benches too, with this flag, to see that they build.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let most = std::env::var("BENCH_ROWS").map_or(u64::MAX, |rows| rows.parse().expect("BENCH_ROWS"));
    let (small, large) = (Side::start("bench_query_small"), Side::start("bench_query"));
    small.fill(1, SIZES[0]);
    side_by_side(&small.database, small.address);
    println!("{} rows", SIZES[0]);
    for (what, taken) in times(&[&small], SIZES[0]) {
        println!("  {what:<32} {}", taken[0]);
    }
    let mut rows = 0;
    for size in SIZES.into_iter().skip(1).filter(|size| *size <= most) {
        large.fill(rows + 1, size);
        rows = size;
        println!("{size} rows, in turns with {}", SIZES[0]);
        for (what, taken) in times(&[&small, &large], size) {
            let ratio = taken[1].p50 / taken[0].p50;
            println!("  {what:<32} {}, {ratio:>5.2} x", taken[1]);
            if !what.starts_with("search") {
                Row {
                    promise: &format!("a page at {size} reservations: {what}"),
                    figure: format!("{:.2} ms", taken[1].p50),
                    baseline: format!("at {}: {:.2} ms", SIZES[0], taken[0].p50),
                    ratio,
                    bar: Bar::AtMost(1.3),
                }
                .print();
            }
        }
    }
}

/// A database of some size, and a server on it.
struct Side {
    database: String,
    address: SocketAddr,
    _server: Ends,
    _folder: tempfile::TempDir,
}

impl Side {
    fn start(name: &str) -> Self {
        let database = new_database(name).expect("run `make bench-query`");
        let folder = tempfile::tempdir().unwrap();
        let (server, address) = start_server(&database, "http://127.0.0.1:9", folder.path(), &[]);
        Self { database, address, _server: server, _folder: folder }
    }

    /// Adds rows.
    fn fill(&self, first: u64, last: u64) {
        fill(&self.database, first, last);
    }
}

/// Adds rows. An index that is made anew is made quicker than one that is added to; that of the searches takes
/// longer than all the rest, and is left out where they are not measured.
fn fill(database: &str, first: u64, last: u64) {
    let start = Instant::now();
    let index = "besty_reservations_search";
    let definition = psql(database, &format!("SELECT indexdef FROM pg_indexes WHERE indexname = '{index}'"));
    psql(database, &format!("DROP INDEX IF EXISTS {index}"));
    psql(database, &ROWS.replace("$first", &first.to_string()).replace("$last", &last.to_string()));
    if last <= SIZES[1] {
        psql(database, &definition);
    }
    psql(database, "VACUUM ANALYZE reservations");
    psql(database, "CHECKPOINT");
    println!("{last} rows, filled in {:.0?}", start.elapsed());
}

/// A page a request, of one property after another.
fn pages(query: &str) -> Vec<Vec<u8>> {
    let body = |n| json!({ "query": query, "variables": { "property": format!("property_{n}") } });
    (0..PROPERTIES).map(|n| request(&body(n))).collect()
}

fn side_by_side(database: &str, address: SocketAddr) {
    let (_postgraphile, theirs_at) = start_postgraphile(database);
    let (ours, theirs) = (pages(OURS), pages(THEIRS));
    let check = |address, pages: &[Vec<u8>], list: &str| {
        let answer = exchange(&mut connect(address), &pages[7], &mut Vec::new());
        assert_eq!(answer["data"][list]["nodes"].as_array().map(Vec::len), Some(50), "{answer}");
    };
    check(address, &ours, "reservations");
    check(theirs_at, &theirs, "allReservations");
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        rates[0].push(load(address, &ours));
        rates[1].push(load(theirs_at, &theirs));
        rates[2].push(pgbench(database));
    }
    let [ours, theirs, sql] = rates.map(median);
    println!(
        "{CONNECTIONS} connections: GraphQL {ours:.0}/s; PostGraphile {theirs:.0}/s, ratio {:.2} (at least 4); \
         pgbench {sql:.0}/s, ratio {:.2} (at least 0.25)",
        ours / theirs,
        ours / sql
    );
    for (name, baseline, bar) in [("PostGraphile 4", theirs, 4.0), ("the same SQL by pgbench", sql, 0.25)] {
        Row {
            promise: "pages of 50 a second, 16 connections",
            figure: format!("{ours:.0}/s"),
            baseline: format!("{name}: {baseline:.0}/s"),
            ratio: ours / baseline,
            bar: Bar::AtLeast(bar),
        }
        .print();
    }
}

/// A page by the order of the API and by that of the dashboard.
const PAGE: &str = "query($filter: ReservationFilter, $after: String, $first: Int, $order: ReservationOrder) { \
reservations(first: $first, after: $after, filter: $filter, orderBy: $order) { nodes { reservationId status checkIn checkOut \
guest { lastName } } pageInfo { endCursor hasNextPage } } }";

/// How long an answer takes, in milliseconds.
struct Taken {
    p50: f64,
    p95: f64,
}

impl fmt::Display for Taken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "p50 {:>6.2} ms, p95 {:>6.2} ms", self.p50, self.p95)
    }
}

/// What a first page, a deep page and searches take on each side, asked in turns; one connection a side.
fn times(sides: &[&Side], rows: u64) -> Vec<(String, Vec<Taken>)> {
    let mut buffer = Vec::new();
    let mut streams: Vec<_> = sides.iter().map(|side| connect(side.address)).collect();
    let requests = streams.iter_mut().map(|stream| pages_and_searches(stream, rows)).collect::<Vec<_>>();
    let mut in_turns = |n: usize, most: usize, fewest: usize, patience: Duration| {
        let mut taken = vec![Vec::with_capacity(most); streams.len()];
        let begun = Instant::now();
        while taken[0].len() < most && (taken[0].len() < fewest || begun.elapsed() < patience) {
            for ((stream, requests), taken) in streams.iter_mut().zip(&requests).zip(&mut taken) {
                let start = Instant::now();
                let answer = exchange(stream, &requests[n].1, &mut buffer);
                assert!(answer["errors"].is_null(), "{answer}");
                taken.push(start.elapsed().as_secs_f64() * 1_000.0);
            }
        }
        taken
    };
    let of_one = |n: usize| {
        in_turns(n, WARM_UP, 1, WARM_UP_PATIENCE);
        let taken = in_turns(n, REQUESTS, FEWEST, PATIENCE);
        let summary = |mut taken: Vec<f64>| {
            taken.sort_by(f64::total_cmp);
            Taken { p50: taken[taken.len() / 2], p95: taken[taken.len() * 95 / 100] }
        };
        (requests[0][n].0.clone(), taken.into_iter().map(summary).collect())
    };
    (0..requests[0].len()).map(of_one).collect()
}

/// What is measured, as requests.
fn pages_and_searches(stream: &mut TcpStream, rows: u64) -> Vec<(String, Vec<u8>)> {
    let page = |filter: &Value, order: &Value, after: &Value, first: u32| {
        let variables = json!({ "filter": filter, "order": order, "after": after, "first": first });
        request(&json!({ "query": PAGE, "variables": variables }))
    };
    let (all, from_start) = (json!({}), Value::Null);
    let mut measured = Vec::new();
    let by_check_in = json!({ "field": "CHECK_IN", "direction": "ASC" });
    let newest_first = json!({ "field": "UPDATED_AT", "direction": "DESC" });
    for (order, by) in [(&by_check_in, "by check-in"), (&newest_first, "newest first")] {
        for (what, filter) in [
            ("all", all.clone()),
            ("status", json!({ "statuses": ["CANCELLED"] })),
            ("property", json!({ "propertyIds": ["property_7"] })),
            ("two properties", json!({ "propertyIds": ["property_7", "property_9"] })),
            ("guest", json!({ "guestIds": ["guest_77"] })),
            ("check-in", json!({ "checkIn": { "from": "2027-02-01", "to": "2027-02-07" } })),
            ("staying on", json!({ "stayingOn": "2027-02-01" })),
        ] {
            measured.push((format!("{what}, {by}"), page(&filter, order, &from_start, 50)));
        }
    }
    let middle = page(&json!({ "checkIn": { "from": "2027-01-01" } }), &by_check_in, &from_start, 1);
    let middle = exchange(stream, &middle, &mut Vec::new());
    let deep = &middle["data"]["reservations"]["pageInfo"]["endCursor"];
    measured.push(("deep page, by check-in".to_owned(), page(&all, &by_check_in, deep, 50)));
    if rows <= SIZES[1] {
        for text in ["familyabc", "guest12345@", "grace", "no such text"] {
            let filter = json!({ "search": text });
            measured.push((format!("search {text}"), page(&filter, &by_check_in, &from_start, 50)));
        }
    }
    measured
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// As its documentation says for production: no watching, no query log. It may hold as many connections to the
/// database as it has clients.
fn start_postgraphile(database: &str) -> (Ends, SocketAddr) {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/postgraphile/node_modules/.bin/postgraphile");
    let address: SocketAddr = "127.0.0.1:15999".parse().unwrap();
    let child = Command::new(program)
        .args(["-c", database, "-s", "public", "-n", "127.0.0.1", "-p", &address.port().to_string()])
        .args(["--disable-query-log", "--disable-graphiql", "--max-pool-size", &CONNECTIONS.to_string()])
        .env("NODE_ENV", "production")
        .stdout(Stdio::null())
        .spawn()
        .expect("PostGraphile is installed by `make bench-query`");
    let child = Ends(child);
    let patience = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(patience.elapsed() < Duration::from_secs(30), "PostGraphile does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    (child, address)
}

/// One request, complete.
fn request(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST /graphql HTTP/1.1\r\nhost: bench\r\naccept: application/json\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends, and waits for the whole answer, which must be 200; answers where its body begins.
fn send(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> usize {
    stream.write_all(request).unwrap();
    buffer.clear();
    let mut chunk = [0; 16 * 1_024];
    loop {
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the server hung up: {}", String::from_utf8_lossy(buffer));
        buffer.extend_from_slice(&chunk[..read]);
        let Some(head) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&buffer[..head]).unwrap().to_ascii_lowercase();
        let length = text.split("content-length: ").nth(1).expect("a length");
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        if buffer.len() >= head + 4 + length {
            assert!(text.starts_with("http/1.1 200"), "{}", String::from_utf8_lossy(buffer));
            return head + 4;
        }
    }
}

fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> Value {
    let body = send(stream, request, buffer);
    serde_json::from_slice(&buffer[body..]).unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Requests a second, from as many connections, each with one under way.
fn load(address: SocketAddr, requests: &[Vec<u8>]) -> f64 {
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let work = |worker: usize| {
        let (mut stream, mut buffer, mut answered) = (connect(address), Vec::new(), 0);
        let mut next = requests.iter().cycle().skip(worker * 11);
        while !stop.load(Ordering::Relaxed) {
            send(&mut stream, next.next().unwrap(), &mut buffer);
            answered += 1;
        }
        answered
    };
    let work = &work;
    let answered: u32 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS).map(|worker| scope.spawn(move || work(worker))).collect();
        std::thread::sleep(Duration::from_secs(seconds(SECONDS)));
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    f64::from(answered) / start.elapsed().as_secs_f64()
}

fn pgbench(database: &str) -> f64 {
    let bin = std::env::var("TEST_POSTGRES_BIN").unwrap();
    let script = std::env::temp_dir().join(format!("besty-bench-{}.sql", std::process::id()));
    std::fs::write(&script, SQL).unwrap();
    let output = Command::new(format!("{bin}/pgbench"))
        .args([
            "-n",
            "-M",
            "prepared",
            "-j",
            "2",
            "-c",
            &CONNECTIONS.to_string(),
            "-T",
            &seconds(SECONDS).to_string(),
        ])
        .args(["-f", script.to_str().unwrap(), database])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}
