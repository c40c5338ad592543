//! `schema.graphql` is what clients build on: tools from npm hold it to that. It passes its rules, Relay's
//! compiler takes documents for it, a client in TypeScript is generated from it, compiled and run, and
//! nothing breaks without being listed. `tests/schema` has the tests themselves.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{process::Command, sync::OnceCell};

use crate::support::{TestDb, on_both};

on_both!(a_generated_client_runs);

/// Where the tests are once they are built, which is done once: the client is generated anew from the
/// schema, and compiled.
async fn built() -> &'static Path {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    let build = || async {
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema");
        let is_installed = project.join("node_modules/.installed").exists();
        assert!(
            is_installed,
            "the tools for the schema are not installed: run `make test`, or `make clients`"
        );
        run(Command::new("npm").args(["run", "build"]).current_dir(&project)).await;
        project.join("node_modules/.built/tests/schema/src")
    };
    BUILT.get_or_init(build).await
}

/// Runs a command that is to succeed; answers what it said.
async fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn passed(said: &str) -> Option<&str> {
    said.lines().find_map(|line| line.strip_prefix("# pass ").or(line.strip_prefix("ℹ pass ")))
}

#[tokio::test]
async fn the_schema_is_held_to_its_contract() {
    let tests = ["rules.test.js", "relay.test.js", "breaking.test.js"];
    let said = run(Command::new("node").arg("--test").args(tests).current_dir(built().await)).await;
    assert_eq!(passed(&said), Some("5"), "{said}");
    // Past what catches the output of tests that pass: whoever reads the run should see it.
    for line in said.lines().filter(|line| line.contains("NOT COMPARED")) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

async fn a_generated_client_runs(db: TestDb) {
    let mut command = Command::new("node");
    command
        .args(["--test", "--test-force-exit", "client.test.js"])
        .current_dir(built().await)
        .env("BESTY", env!("CARGO_BIN_EXE_besty"))
        .env("BESTY_FOLDER", db.folder())
        .env("BESTY_DATABASE_URL", db.url());
    let said = run(&mut command).await;
    assert_eq!(passed(&said), Some("6"), "five promises, and the one that they are part of: {said}");
}
