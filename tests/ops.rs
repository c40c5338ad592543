//! `ops/`: alerts and dashboard, held by promtool, by what `/metrics` says, and by the entries in
//! `docs/operations.md`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::support::{TestApp, TestDb, app::Provider, on_both, within};

on_both!(metrics_are_well_made_and_are_those_that_are_asked_for);

const ALERTS: &str = include_str!("../ops/prometheus/alerts.yml");
const ALERT_TESTS: &str = include_str!("../ops/prometheus/alerts.test.yml");
const DASHBOARD: &str = include_str!("../ops/grafana/besty.json");
const OPERATIONS: &str = include_str!("../docs/operations.md");

/// `PROMTOOL`, or where `make setup-promtool` puts it.
fn promtool() -> Command {
    let given = std::env::var_os("PROMTOOL").map(PathBuf::from);
    let path =
        given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/promtool/promtool"));
    assert!(path.exists(), "no {}: run `make test`, or `make setup-promtool`", path.display());
    let mut command = Command::new(path);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/ops/prometheus"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs it; answers whether all was well, and what it said.
async fn run(args: &[&str], input: &str) -> (bool, String) {
    let mut child = promtool().args(args).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = within("promtool to end", child.wait_with_output()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// The names of ours, and of the process, in an expression or a text of metrics.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character| !is_part(character));
    words.filter(|word| word.starts_with("besty_") || word.starts_with("process_")).collect()
}

/// All expressions of the dashboard.
fn expressions(panels: &Value) -> Vec<&str> {
    let targets = panels.as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().unwrap()).collect()
}

fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.trim().trim_start_matches("- ").strip_prefix(key)).map(str::trim)
}

#[tokio::test]
async fn the_alerts_fire_when_they_are_to() {
    let (ok, said) = run(&["check", "rules", "alerts.yml"], "").await;
    assert!(ok, "{said}");
    let (ok, said) = run(&["test", "rules", "alerts.test.yml"], "").await;
    assert!(ok, "{said}");
    // The file with the token is not there.
    let (ok, said) = run(&["check", "config", "--syntax-only", "prometheus.yml"], "").await;
    assert!(ok, "{said}");
}

/// As rules, which promtool reads, with what Grafana fills in.
#[tokio::test]
async fn the_dashboard_asks_what_prometheus_understands() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let rules: Vec<_> = expressions(&dashboard["panels"])
        .into_iter()
        .map(|expression| expression.replace("$__rate_interval", "1m").replace("$instance", ".*"))
        .enumerate()
        .map(|(n, expression)| serde_json::json!({ "record": format!("panel:{n}"), "expr": expression }))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dashboard.yml");
    let file = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    std::fs::write(&path, file.to_string()).unwrap();
    let (ok, said) = run(&["check", "rules", path.to_str().unwrap()], "").await;
    assert!(ok, "{said}");
}

#[test]
fn each_alert_has_a_test_and_an_entry() {
    // GitHub's anchors: the heading in small letters.
    let headings: BTreeSet<_> = values(OPERATIONS, "### ").map(str::to_lowercase).collect();
    let alerts: Vec<_> = values(ALERTS, "alert:").collect();
    let runbooks: Vec<_> = values(ALERTS, "runbook_url:").collect();
    assert_eq!((alerts.len(), runbooks.len()), (16, 16));
    for (alert, runbook) in alerts.iter().zip(runbooks) {
        let anchor = runbook.strip_prefix("docs/operations.md#").unwrap();
        assert!(headings.contains(anchor), "{alert}: no {anchor} in docs/operations.md");
        assert_eq!(anchor, alert.to_lowercase());
        assert!(values(ALERT_TESTS, "alertname:").any(|tested| tested == *alert), "{alert} is not tested");
    }
}

async fn metrics_are_well_made_and_are_those_that_are_asked_for(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    let text = app.get("/metrics").await.1.as_str().unwrap().to_owned();
    let (ok, said) = run(&["check", "metrics"], &text).await;
    assert!(ok && said.is_empty(), "{said}");

    let there = names(&text);
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let expressions = expressions(&dashboard["panels"]);
    let shown: BTreeSet<_> = expressions.iter().flat_map(|expression| names(expression)).collect();
    let alerted: Vec<_> = values(ALERTS, "expr:").collect();
    assert_eq!((alerted.len(), expressions.len() > 40), (16, true));
    for name in alerted.iter().flat_map(|expression| names(expression)).chain(shown.iter().copied()) {
        assert!(there.contains(name), "{name} is asked for and not told");
    }
    // A part of a histogram stands for all of it.
    let shown_whole: BTreeSet<_> = shown.iter().map(|name| whole(name)).collect();
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(shown_whole.contains(name), "{name} is told and not shown");
    }
    app.stop().await;
}

fn whole(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].into_iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)
}
