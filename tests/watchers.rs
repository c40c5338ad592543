//! Watchers over every transport, cut off at random while processes are killed. `prove/feed.rs` does
//! the same for a minute.

use std::time::Duration;

use crate::support::{
    TestDb, on_both,
    storm::{self, Going, Storm},
    unread::{self, Unread},
};

on_both!(whoever_does_not_read_costs_no_memory_and_loses_nothing);

const STORM: Storm = Storm {
    processes: 1,
    watchers: 4,
    per_second: 100,
    length: Duration::from_secs(6),
    kill_every: Duration::from_millis(2_500),
    going: Going::Killed,
};

/// The one process is away for a moment, and so are all who watch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sees_each_change_once_and_in_order_on_sqlite() {
    let report = storm::run(TestDb::sqlite(), STORM).await;
    assert!(report.kills > 0, "{report}");
}

/// Whoever is cut off goes on at another process, with the cursor of the one before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sees_each_change_once_and_in_order_on_three_processes() {
    let report = storm::run(TestDb::postgres().await, Storm { processes: 3, ..STORM }).await;
    assert!(report.kills > 0, "{report}");
}

async fn whoever_does_not_read_costs_no_memory_and_loses_nothing(db: TestDb) {
    // More than the server keeps in memory, so that they have to be read from the log again.
    let report = unread::run(db, Unread { watchers: 4, events: 5_000, per_second: None }).await;
    assert!(report.growth < 16 << 20, "{report}");
}
