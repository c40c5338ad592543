//! Clients from npm, as they come: graphql-ws, graphql-sse and Apollo, and the audits of graphql-http.
//! `clients/src` has the tests themselves; here they are given the server.

use std::{path::Path, process::Stdio};

use tokio::process::Command;

use crate::support::{TestDb, on_both};

on_both!(clients_from_npm_work_and_resume);

async fn clients_from_npm_work_and_resume(db: TestDb) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let built = folder.join("node_modules/.built/tests/clients/src");
    assert!(built.exists(), "the tests of clients are not built: run `make test`, or `make clients`");
    let output = Command::new("node")
        // One after the other: SQLite serves one process.
        .args(["--test", "--test-concurrency=1", "--test-force-exit"])
        .current_dir(&built)
        .env("BESTY", env!("CARGO_BIN_EXE_besty"))
        .env("BESTY_FOLDER", db.folder())
        .env("BESTY_DATABASE_URL", db.url())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let passed = said.lines().find_map(|line| line.strip_prefix("# pass ").or(line.strip_prefix("ℹ pass ")));
    // Three clients with four promises each, two of them with one more, 61 audits, each with the one that they are
    // part of; and one alone.
    assert_eq!(passed, Some("80"), "{said}");
}
