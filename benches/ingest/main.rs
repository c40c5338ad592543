//! Webhooks a second, answered after the commit, beside one-row upserts by pgbench with as many
//! clients, on the same table with the same indexes, in one run. Then the same beside a running
//! broadcast, and what each index costs. `make bench-ingest` brings the PostgreSQL (with fsync) and
//! builds the server as it is shipped.
//!
//! What is compared is measured in turns, so that what the machine does meanwhile falls on both.
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

/// Seconds a measurement, and measurements a side.
const SECONDS: u64 = 6;
const ROUNDS: usize = 3;

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
    for (connections, wanted) in [(64, 1.25), (1, 0.4)] {
        beside_pgbench(&server, &load, connections, wanted);
    }
    runtime.block_on(broadcast::measure(&server, &load, &guest_api));
    indexes::measure(&server, &load);
}

fn beside_pgbench(server: &Server, load: &Load, connections: usize, wanted: f64) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(load.run(connections, seconds(SECONDS)));
        theirs.push(pgbench::rate(&server.database, connections, seconds(SECONDS)));
    }
    let (ours, theirs) = (median(ours), middle(theirs));
    println!(
        "{connections:>2} connections: webhooks {ours}; pgbench {theirs:.0}/s; ratio {:.2} (at least {wanted})",
        ours.rate / theirs
    );
    Row {
        promise: &format!("webhooks a second, {connections} connections"),
        figure: ours.to_string(),
        baseline: format!("one-row upserts by pgbench: {theirs:.0}/s"),
        ratio: ours.rate / theirs,
        bar: Bar::AtLeast(wanted),
    }
    .print();
}

fn median(mut figures: Vec<Figures>) -> Figures {
    figures.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    figures[figures.len() / 2]
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
