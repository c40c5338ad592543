//! Generated queries and mutations, 2,000 and more: no answer is 5xx, each is what the schema says, and what
//! does not fit the schema is refused. schemathesis makes them; `fuzz/hooks.py` checks the answers.

use std::{path::Path, process::Stdio};

use serde_json::Value;
use tokio::process::Command;

use crate::support::{
    TestApp, TestDb,
    app::Provider,
    events::{created, named},
};

/// Documents for each field of the two roots.
const EACH: u64 = 150;
const WANTED: u64 = 2_000;
const RESERVATIONS: u32 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_queries_are_answered_as_the_schema_says_on_sqlite() {
    run(TestDb::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_queries_are_answered_as_the_schema_says_on_postgres() {
    run(TestDb::postgres().await).await;
}

async fn run(db: TestDb) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/schemathesis/bin/schemathesis");
    assert!(program.exists(), "schemathesis is not installed: run `make prove`, or `make schemathesis`");
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    for n in 0..RESERVATIONS {
        app.apply(&if n % 2 == 0 { named(n) } else { created(n) }).await;
    }
    let counts = db.folder().join("counts.json");
    let output = Command::new(program)
        .arg("run")
        .arg(root.join("schema.graphql"))
        .args(["--url", &app.url("/graphql"), "--phases", "fuzzing", "--max-examples", &EACH.to_string()])
        .args(["--checks", "not_a_server_error,response_schema_conformance,negative_data_rejection"])
        .args(["--checks", "answers_as_the_schema_says", "--suppress-health-check", "all"])
        .args(["--generation-database", "none", "--warnings", "off", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", root.join("tests/prove/fuzz/hooks.py"))
        .env("BESTY_SCHEMA", root.join("schema.graphql"))
        .env("BESTY_COUNTS", &counts)
        .current_dir(db.folder())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let counts: Value = serde_json::from_slice(&std::fs::read(counts).unwrap()).unwrap();
    println!("generated documents: {counts}");
    let count = |name: &str| counts[name].as_u64().unwrap();
    assert!(count("asked") >= WANTED && count("answered") >= WANTED / 4, "{counts}");
    app.stop().await;
}
