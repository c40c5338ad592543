//! A rolling restart: three replicas behind a balancer, replaced one after the other under load. No webhook is
//! answered anything but 200, and whoever watches misses nothing.

use std::time::Duration;

use crate::support::{
    TestDb,
    storm::{self, Going, Storm},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_webhook_fails_and_no_watcher_misses_anything() {
    let storm = Storm {
        processes: 3,
        watchers: 3,
        per_second: 300,
        length: Duration::from_secs(18),
        kill_every: Duration::from_millis(500),
        going: Going::Replaced,
    };
    let report = storm::run(TestDb::postgres().await, storm).await;
    println!("{report}");
    assert!(report.kills >= 3, "each was replaced: {report}");
    assert!(report.refused.is_empty(), "{report}: {:?}", report.refused);
}
