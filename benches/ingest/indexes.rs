//! What an index costs: the rate with it and without, in turns. Those that are shipped beside the primary keys
//! and the unique reservation id are dropped, and made again; candidates are made, and dropped again.

use crate::{load::Load, middle, server::Server, support::seconds};

/// Seconds a measurement, and pairs of them an index. Short: what is looked for is not a percent.
const SECONDS: u64 = 3;
const PAIRS: usize = 3;

/// The lists sort by these, and filters ask for them.
const CANDIDATES: [(&str, &str); 5] = [
    ("property", "CREATE INDEX property ON reservations (property_id)"),
    ("status", "CREATE INDEX status ON reservations (status)"),
    ("check_in", "CREATE INDEX check_in ON reservations (check_in, id)"),
    ("updated_at", "CREATE INDEX updated_at ON reservations (updated_at, id)"),
    ("topic_key_seq", "CREATE INDEX topic_key_seq ON changes (topic, key, seq)"),
];

/// The indexes of ours: no constraint stands on them.
const SHIPPED: &str = "SELECT indexname || '|' || indexdef FROM pg_indexes \
    WHERE tablename IN ('reservations', 'changes', 'guests') \
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname) ORDER BY tablename, indexname";

/// Prints a line for each index.
pub(crate) fn measure(server: &Server, load: &Load) {
    println!("64 connections, by index: without it, with it, and what the rate gains without");
    for line in server.psql(SHIPPED).lines() {
        let (name, definition) = line.split_once('|').unwrap();
        cost(server, load, "shipped", (name, definition));
    }
    for (name, definition) in CANDIDATES {
        cost(server, load, "candidate", (name, definition));
        server.psql(&format!("DROP INDEX {name}"));
    }
}

/// Leaves the index where it is.
fn cost(server: &Server, load: &Load, which: &str, (name, definition): (&str, &str)) {
    // The log grows with each run; each index finds it empty.
    server.psql("TRUNCATE changes");
    let (mut without, mut with, mut gain) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        server.psql(&format!("DROP INDEX IF EXISTS {name}"));
        let bare = rate(server, load);
        server.psql(definition);
        let indexed = rate(server, load);
        without.push(bare);
        with.push(indexed);
        gain.push((bare / indexed - 1.0) * 100.0);
    }
    let (without, with, gain) = (middle(without), middle(with), middle(gain));
    println!("{which} {definition}: {without:.0}/s, {with:.0}/s, {gain:+.0} %");
}

fn rate(server: &Server, load: &Load) -> f64 {
    server.psql("VACUUM reservations, guests");
    load.run(64, seconds(SECONDS)).rate
}
