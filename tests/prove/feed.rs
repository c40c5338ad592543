//! The live feed under load: watchers cut off at random, processes killed, and watchers that do not read.

use std::time::Duration;

use crate::support::{
    TestDb,
    storm::{self, Going, Storm},
    unread::{self, Unread},
};

/// Three processes on one PostgreSQL; every 15 seconds one of them is killed and started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_watcher_sees_each_change_once_and_in_order() {
    let storm = Storm {
        processes: 3,
        watchers: 6,
        per_second: 200,
        length: Duration::from_mins(1),
        kill_every: Duration::from_secs(15),
        going: Going::Killed,
    };
    let report = storm::run(TestDb::postgres().await, storm).await;
    println!("{storm:?}: {report}");
    assert!(report.kills > 0);
}

/// 6,000 changes for each of 20 watchers, which in memory would be more than 30 MB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_that_read_nothing_for_20_seconds_cost_no_memory_and_lose_nothing() {
    let unread = Unread { watchers: 4, events: 6_000, per_second: Some(300) };
    let report = unread::run(TestDb::postgres().await, unread).await;
    println!("{unread:?}: {report}");
    assert!(report.growth < 12 << 20);
}
