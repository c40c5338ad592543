//! Webhooks a second, answered after the commit, beside one-row upserts by pgbench with as many
//! clients, on the same table with the same indexes, in one run. Then the same beside a running
//! broadcast, and what each index costs. `make bench-ingest` brings the PostgreSQL (with fsync) and
//! builds the server as it is shipped.
//!
//! PostgreSQL has the files of its log from before, as one has that was used for a while. What is compared is
//! measured in turns, so that what the machine does meanwhile falls on both.
#![expect(clippy::disallowed_methods, reason = "a bench measures the time that passes")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a bench may stop at what it did not expect")]

mod broadcast;
mod indexes;
mod load;
mod pgbench;
mod server;
#[expect(dead_code, reason = "shared with the other benches, which use the rest")]
#[path = "../support/mod.rs"]
mod support;

use load::{Figures, Load};
use server::Server;
use support::{Bar, Row, seconds};

/// Seconds a measurement, and measurements a side. Short ones, so that a machine which changes its pace does so
/// within few of them.
const SECONDS: u64 = 2;
const ROUNDS: usize = 9;

fn main() {
    // `cargo test` runs benches too, with this flag, to see that they build.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let guest_api = runtime.block_on(broadcast::guest_api());
    let server = Server::start(&guest_api.url);
    let load = Load::new(server.address);
    load.fill();
    server.psql("VACUUM ANALYZE");
    server.have_log_files();
    let (at_64, upserts) = beside_pgbench(&server, &load, 64, 1.25);
    Row {
        promise: "webhooks, 64 connections, p99",
        figure: format!("{:.1} ms", at_64.p99),
        baseline: format!("one-row upserts by pgbench: {upserts:.1} ms"),
        ratio: at_64.p99,
        bar: Bar::AtMost(20.0),
    }
    .print();
    beside_pgbench(&server, &load, 1, 0.4);
    runtime.block_on(broadcast::measure(&server, &load, &guest_api));
    indexes::measure(&server, &load);
}

/// Prints the ratio; answers the figures of the run in the middle, and pgbench's p99 in milliseconds.
fn beside_pgbench(server: &Server, load: &Load, connections: usize, wanted: f64) -> (Figures, f64) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(load.run(connections, seconds(SECONDS)));
        theirs.push(pgbench::run(&server.database, connections, seconds(SECONDS)));
    }
    // Of each pair, and of those the middle one: the two of a pair ran on the same machine.
    let ratio = middle(ours.iter().zip(&theirs).map(|(ours, theirs)| ours.rate / theirs.rate).collect());
    let p99 = middle(theirs.iter().map(|theirs| theirs.p99).collect());
    let (ours, theirs) = (median(ours), middle(theirs.iter().map(|theirs| theirs.rate).collect()));
    println!(
        "{connections:>2} connections: webhooks {ours}; pgbench {theirs:.0}/s (p99 {p99:.1} ms); \
         ratio {ratio:.2} (at least {wanted})"
    );
    Row {
        promise: &format!("webhooks a second, {connections} connections"),
        figure: ours.to_string(),
        baseline: format!("one-row upserts by pgbench: {theirs:.0}/s"),
        ratio,
        bar: Bar::AtLeast(wanted),
    }
    .print();
    (ours, p99)
}

fn median(mut figures: Vec<Figures>) -> Figures {
    figures.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    figures[figures.len() / 2]
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
