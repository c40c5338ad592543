//! From the start of the process to `/readyz`, its memory when it does nothing, and the size of the binary.
//! `make bench-start` brings the PostgreSQL and builds the server as it is shipped.
//!
//! Both for the first start, which makes the tables, and for those after it. Memory is that of the server that
//! has most.
#![expect(clippy::disallowed_methods, reason = "a bench measures the time that passes")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a bench may stop at what it did not expect")]

#[expect(dead_code, reason = "shared with the other benches, which use the rest")]
#[path = "support/mod.rs"]
mod support;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use support::{Bar, Ends, Row, new_database, seconds, start_server};

/// New databases of each kind.
const DATABASES: usize = 3;
/// Starts on each.
const STARTS: usize = 5;
/// How long it does nothing before its memory is looked at.
const IDLE: u64 = 10;

fn main() {
    // `cargo test` runs benches too, with this flag, to see that they build.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    measure("SQLite", |_| Some("sqlite://bench.db?mode=rwc".to_owned()));
    if std::env::var_os("TEST_POSTGRES_URL").is_some() {
        measure("PostgreSQL", |n| new_database(&format!("bench_start_{n}")));
    }
    let bytes = std::fs::metadata(env!("CARGO_BIN_EXE_besty")).unwrap().len();
    let kilobytes = u32::try_from(bytes / 1_000).expect("a binary of less than terabytes");
    tell("size of the binary, MB", f64::from(kilobytes) / 1_000.0, 40.0);
}

fn measure(kind: &str, database: impl Fn(usize) -> Option<String>) {
    // A spool is one process's own, so each has a folder.
    let databases: Vec<_> =
        (0..DATABASES).map(|n| (database(n).unwrap(), tempfile::tempdir().unwrap())).collect();
    for (which, starts) in [("first start", 1), ("later starts", STARTS)] {
        let (mut taken, mut running) = (Vec::new(), Vec::new());
        for (url, folder) in &databases {
            let mut server = None;
            for _ in 0..starts {
                drop(server.take());
                let (one, time) = ready(url, folder.path());
                server = Some(one);
                taken.push(time);
            }
            running.extend(server);
        }
        taken.sort();
        tell(&format!("start to ready, {kind}, {which}, s"), taken[taken.len() / 2].as_secs_f64(), 0.3);
        std::thread::sleep(Duration::from_secs(seconds(IDLE)));
        let memory = running.iter().map(Ends::resident).fold(0.0, f64::max) / 1_024.0;
        tell(&format!("idle memory, {kind}, {which}, MB"), memory, 40.0);
    }
}

fn tell(promise: &str, value: f64, most: f64) {
    println!("{promise}: {value:.3} (at most {most})");
    let figure = format!("{value:.3}");
    Row { promise, figure, baseline: String::new(), ratio: value, bar: Bar::AtMost(most) }.print();
}

/// Starts a server; answers it, and how long it took until it said that it is ready.
fn ready(url: &str, folder: &Path) -> (Ends, Duration) {
    let start = Instant::now();
    let (server, address) = start_server(url, "http://127.0.0.1:9", folder, &[]);
    while !is_ready(address) {
        assert!(start.elapsed() < Duration::from_secs(30), "it does not get ready");
        std::thread::sleep(Duration::from_millis(1));
    }
    (server, start.elapsed())
}

fn is_ready(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1) == Some("200")
}
