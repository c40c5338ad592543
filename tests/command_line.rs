//! The binary: its commands, and what it says of a bad environment.

use std::process::Output;

use besty::db::{self, Db};
use tokio::process::Command;

use crate::support::{TestDb, binary, within};

async fn run(mut command: Command) -> (bool, String, String) {
    let Output { status, stdout, stderr } = within("the command to end", command.output()).await.unwrap();
    (status.success(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn besty(args: &[&str], set: &[(&str, &str)]) -> (tempfile::TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary::command(folder.path());
    command.args(args).envs(set.iter().copied());
    (folder, command)
}

#[tokio::test]
async fn a_bad_value_stops_the_start_and_names_its_variable() {
    for (variable, value) in [
        ("PORT", "eighty"),
        ("HOST", "0.0.0.0"),
        ("DATABASE_URL", "mysql://x"),
        ("BROADCAST_CONCURRENCY", "0"),
        ("RUST_LOG", "besty=loud=very"),
        ("LOG_FORMAT", "xml"),
        ("SSL_CERT_FILE", "missing.pem"),
    ] {
        let (_folder, command) = besty(&["serve"], &[(variable, value), ("WEBHOOK_SECRET", "own")]);
        let (ok, _, said) = run(command).await;
        assert!(!ok && said.contains(variable), "{variable}={value}: {said}");
    }
    let (_folder, command) = besty(&["serve"], &[("HOST", "0.0.0.0"), ("WEBHOOK_SECRET", "own")]);
    let (_, _, said) = run(command).await;
    for way in ["TOKENS_FILE", "besty token create", "OIDC_ISSUER", "HOST=127.0.0.1"] {
        assert!(said.contains(way), "{way}: {said}");
    }
    let (_folder, command) = besty(&[], &[("HOST", "0.0.0.0"), ("ALLOW_ANONYMOUS", "true")]);
    let (ok, _, said) = run(command).await;
    assert!(!ok && said.contains("WEBHOOK_SECRET"), "{said}");
}

#[tokio::test]
async fn a_token_is_printed_once_and_its_hash_is_kept() {
    let (folder, command) =
        besty(&["token", "create", "--role", "sender", "--name", "desk"], &[("TOKENS_FILE", "tokens")]);
    let (ok, printed, said) = run(command).await;
    assert!(ok && said.is_empty(), "{said}");
    let kept = std::fs::read_to_string(folder.path().join("tokens")).unwrap();
    assert!(printed.starts_with("besty_") && !kept.contains(printed.trim()), "{printed} {kept}");
    assert!(kept.starts_with("desk sender sha256:"), "{kept}");
    for (args, problem) in [
        (["--role", "boss", "--name", "x"], "viewer, sender or admin"),
        (["--role", "admin", "--name", "a b"], "--name"),
    ] {
        let args = [&["token", "create"], &args[..]].concat();
        let (_folder, command) = besty(&args, &[("TOKENS_FILE", "tokens")]);
        let (ok, _, said) = run(command).await;
        assert!(!ok && said.contains(problem), "{said}");
    }
    for (file, text) in [("tokens", "desk sender\n"), ("not there", "")] {
        let (folder, command) = besty(&["serve"], &[("TOKENS_FILE", file)]);
        std::fs::write(folder.path().join("tokens"), text).unwrap();
        let (ok, _, said) = run(command).await;
        assert!(!ok && said.contains("TOKENS_FILE"), "{said}");
    }
}

#[tokio::test]
async fn an_env_file_is_read() {
    let (folder, command) = besty(&["serve"], &[]);
    std::fs::write(folder.path().join(".env"), "PORT=eighty\n").unwrap();
    let (ok, _, said) = run(command).await;
    assert!(!ok && said.contains("PORT"), "{said}");
}

#[tokio::test]
async fn schema_prints_the_schema_and_nothing_else() {
    let (_folder, command) = besty(&["schema"], &[]);
    let (ok, printed, _) = run(command).await;
    assert!(ok);
    let committed = include_str!("../schema.graphql");
    assert_eq!(printed, committed, "schema.graphql is stale: run `make schema`");
}

#[tokio::test]
async fn configuration_prints_the_document_and_nothing_else() {
    let (_folder, command) = besty(&["configuration"], &[]);
    let (ok, printed, _) = run(command).await;
    assert!(ok);
    let committed = include_str!("../docs/configuration.md");
    assert_eq!(printed, committed, "docs/configuration.md is stale: run `make docs`");
}

#[tokio::test]
async fn migrate_may_be_repeated() {
    for db in [TestDb::sqlite(), TestDb::postgres().await] {
        for _ in 0..2 {
            let (_folder, command) = besty(&["migrate"], &[("DATABASE_URL", db.url())]);
            let (ok, _, said) = run(command).await;
            assert!(ok, "{said}");
        }
    }
}

#[tokio::test]
async fn a_sqlite_file_is_migrated_as_a_whole_or_not_at_all() {
    let (folder, command) = besty(&["migrate"], &[]);
    let db = Db::open_file(&folder.path().join("besty.db")).await.unwrap();
    // In the way of the newest migration, which indexes a table of this name.
    db::execute(db.pool(), "CREATE VIEW audit AS SELECT 1 AS at, 1 AS id", []).await.unwrap();
    let (ok, _, said) = run(command).await;
    assert!(!ok && said.contains("migrations"), "{said}");
    let left =
        db::query_all(db.pool(), "SELECT name FROM sqlite_schema WHERE name <> 'audit'", []).await.unwrap();
    assert!(left.is_empty(), "{} are left", left.len());
    db::execute(db.pool(), "DROP VIEW audit", []).await.unwrap();
    let mut again = binary::command(folder.path());
    again.arg("migrate");
    let (ok, _, said) = run(again).await;
    assert!(ok, "{said}");
}

#[tokio::test]
async fn processes_may_migrate_at_once() {
    let db = TestDb::postgres().await;
    let runs = (0..4).map(|_| {
        let (folder, command) = besty(&["migrate"], &[("DATABASE_URL", db.url())]);
        async move {
            let result = run(command).await;
            drop(folder);
            result
        }
    });
    for (ok, _, said) in futures::future::join_all(runs).await {
        assert!(ok, "{said}");
    }
}
