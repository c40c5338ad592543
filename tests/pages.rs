//! The web pages in a real browser: Debian's Chromium, driven by Playwright. `playground/tests` has the tests
//! themselves; here they are given the server.

use std::{path::Path, process::Stdio};

use tokio::process::Command;

use crate::support::{TestDb, on_both};

on_both!(the_pages_do_in_a_browser_what_they_promise);

async fn the_pages_do_in_a_browser_what_they_promise(db: TestDb) {
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
}
