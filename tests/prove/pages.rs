//! The page of reservations with 100,000 of them and 50 changes a second, in a real browser for five minutes:
//! `playground/tests/prove` has the measuring; here it is given the server.

use std::{path::Path, process::Stdio};

use tokio::process::Command;

use crate::support::TestDb;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_reservations_and_fifty_changes_a_second_stay_smooth() {
    let db = TestDb::postgres().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("playground");
    let status = Command::new(folder.join("node_modules/.bin/playwright"))
        .args(["test", "--config", "tests/prove/playwright.config.ts"])
        .current_dir(&folder)
        .env("BESTY", env!("CARGO_BIN_EXE_besty"))
        .env("BESTY_FOLDER", db.folder())
        .env("BESTY_DATABASE_URL", db.url())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .unwrap();
    assert!(status.success(), "see above");
}
