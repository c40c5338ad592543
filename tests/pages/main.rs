//! The web pages in a real browser: Debian's Chromium, driven by Playwright. `playground/tests` has the tests
//! themselves; here they are given the server, on one database after the other.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at what it did not expect")]
#![expect(unreachable_pub, reason = "the modules of one test binary share their helpers")]

use std::{path::Path, process::Stdio};

use tokio::{process::Command, sync::Mutex};

use crate::support::{TestDb, on_both};

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use the rest")]
mod support;

/// Two browsers at once would take each other's time.
static ONE_BROWSER: Mutex<()> = Mutex::const_new(());

on_both!(the_pages_do_in_a_browser_what_they_promise);

async fn the_pages_do_in_a_browser_what_they_promise(db: TestDb) {
    let _alone = ONE_BROWSER.lock().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("playground");
    let playwright = folder.join("node_modules/.bin/playwright");
    let is_built = playwright.exists() && folder.join("dist/dashboard.html").exists();
    assert!(is_built, "the web pages are not built: run `make test`, or `make playground`");
    let output = Command::new(playwright)
        .arg("test")
        .current_dir(&folder)
        .env("BESTY", env!("CARGO_BIN_EXE_besty"))
        .env("BESTY_FOLDER", db.folder())
        .env("BESTY_DATABASE_URL", db.url())
        .env("SCREENSHOTS", folder.join("../target/screenshots"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    print!("{said}");
}
