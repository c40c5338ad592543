//! What the benches share: a server as a process, its database, and one line a figure for the table that
//! `make bench` writes.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

/// What webhooks carry.
pub(crate) const SECRET: &str = "bench-secret";

/// A process; it ends with the value.
pub(crate) struct Ends(pub(crate) Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ends {
    /// User and system time so far, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        // The name in brackets may hold anything; utime and stime are the 12th and 13th after it.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        // USER_HZ, which Linux keeps at 100.
        ticks / 100.0
    }

    /// Resident memory in KB.
    pub(crate) fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// A server in a folder, with more variables set; answers where it listens. What it says after that goes on to
/// standard error, unless it is only information.
pub(crate) fn start_server(
    database: &str,
    guest_api: &str,
    folder: &Path,
    set: &[(&str, &str)],
) -> (Ends, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_besty"))
        .env_clear()
        .envs([("PORT", "0"), ("DATABASE_URL", database), ("WEBHOOK_SECRET", SECRET)])
        .env("GUEST_API_BASE_URL", guest_api)
        .envs(set.iter().copied())
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
    std::thread::spawn(move || {
        let told = lines.map_while(Result::ok).filter(|line| !line.contains(" INFO "));
        told.for_each(|line| eprintln!("{line}"));
    });
    (Ends(child), address.parse().unwrap())
}

/// A new database of the run's PostgreSQL; none without one.
pub(crate) fn new_database(name: &str) -> Option<String> {
    let server = std::env::var("TEST_POSTGRES_URL").ok()?;
    psql(&server, &format!("CREATE DATABASE {name}"));
    Some(format!("{}/{name}", server.rsplit_once('/').unwrap().0))
}

/// Runs a statement; answers what it prints.
pub(crate) fn psql(url: &str, sql: &str) -> String {
    let output = Command::new("psql").args([url, "-AtqX", "-c", sql]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// How long a measurement takes: `BENCH_SECONDS`, which shows that a bench works and little more, or as given.
pub(crate) fn seconds(usual: u64) -> u64 {
    std::env::var("BENCH_SECONDS").map_or(usual, |seconds| seconds.parse().expect("BENCH_SECONDS"))
}

/// A row of the table.
pub(crate) struct Row<'a> {
    /// What is promised.
    pub(crate) promise: &'a str,
    /// What was measured, with its unit.
    pub(crate) figure: String,
    /// Beside what, with its figure; empty where a bar stands alone.
    pub(crate) baseline: String,
    /// One over the other, or what else the bar is about.
    pub(crate) ratio: f64,
    /// What it has to be.
    pub(crate) bar: Bar,
}

/// What a row is held to.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    /// This, or more.
    AtLeast(f64),
    /// This, or less.
    AtMost(f64),
}

impl Row<'_> {
    /// Whether it is what it has to be.
    pub(crate) fn is_met(&self) -> bool {
        match self.bar {
            Bar::AtLeast(bar) => self.ratio >= bar,
            Bar::AtMost(bar) => self.ratio <= bar,
        }
    }

    /// Prints the line that the table is made of.
    pub(crate) fn print(&self) {
        let bar = match self.bar {
            Bar::AtLeast(bar) => format!("at least {bar}"),
            Bar::AtMost(bar) => format!("at most {bar}"),
        };
        let (ratio, met) = (format!("{:.3}", self.ratio), self.is_met());
        let row = serde_json::json!({
            "promise": self.promise, "figure": self.figure, "baseline": self.baseline, "ratio": ratio, "bar": bar,
            "met": met,
        });
        println!("ROW {row}");
    }
}
