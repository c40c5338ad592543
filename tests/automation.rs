//! `docs/automation.md`: every call in it is run as it stands there, and the CI job fails when it should.

use std::{path::Path, process::Stdio};

use besty::sandbox::{Effect, Fault, Kind};
use serde_json::Value;
use tokio::process::Command;

use crate::support::{TestApp, TestDb, app::Provider, events::created, on_both, within};

on_both!(the_calls_can_be_copied, the_job_fails_when_a_message_does);

/// The code blocks of a language, as they stand in the document.
fn blocks(language: &str) -> Vec<String> {
    let text = include_str!("../docs/automation.md");
    let fence = format!("```{language}\n");
    let begun = text.split(&fence).skip(1);
    begun.map(|rest| rest.split_once("```").expect("a block has an end").0.to_owned()).collect()
}

/// The script of the only step of the job.
fn job() -> String {
    let [workflow] = blocks("yaml").try_into().expect("one workflow");
    let (_, script) = workflow.split_once("run: |\n").expect("a script");
    let indent = script.len() - script.trim_start_matches(' ').len();
    script.lines().map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect()
}

struct Ran {
    ok: bool,
    out: String,
    err: String,
}

async fn bash(script: &str, folder: &Path, set: &[(&str, &str)]) -> Ran {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(folder).envs(set.iter().copied());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = within("the script to end", command.output()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
}

/// With guests of whom the third always fails.
async fn start(db: &TestDb, guests: u32) -> (TestApp, Provider) {
    let provider = Provider::quick().await;
    provider.api.faults().add(Fault::always(Effect::answer(404)).on(Kind::Guest));
    let app = TestApp::start(db, &provider).await;
    for n in 1..=guests {
        app.apply(&created(n)).await;
    }
    (app, provider)
}

fn fail_for(provider: &Provider, guest: &str) {
    provider.api.faults().unknown(guest);
}

async fn the_calls_can_be_copied(db: TestDb) {
    let (app, provider) = start(&db, 120).await;
    fail_for(&provider, "guest_003");
    let calls = blocks("sh");
    assert!(calls.len() >= 12, "{}", calls.len());
    // One shell for all of them: they build on each other. The marks tell their answers apart.
    let script: Vec<_> = calls.iter().map(|call| format!("printf '\\0'\n{call}\n")).collect();
    let ran = bash(&script.concat(), db.folder(), &[("BESTY_URL", app.url("").as_str())]).await;
    assert!(ran.ok, "{}\n{}", ran.out, ran.err);
    let answer = |call: &str| {
        let at = calls.iter().position(|block| block.contains(call)).unwrap_or_else(|| panic!("no {call}"));
        ran.out.split('\0').nth(at + 1).unwrap().to_owned()
    };
    let json = |call: &str| serde_json::from_str::<Value>(&answer(call)).unwrap();
    assert_eq!(json("first: 3)")["reservations"]["totalCount"], 120);
    assert_eq!(answer("hasNextPage endCursor").lines().count(), 120, "all pages");
    assert_eq!(json("dryRun")["broadcast"]["recipientCount"], 120);
    let steps = answer("text/event-stream");
    let last = steps.lines().last().unwrap();
    assert!(last.contains("\"COMPLETED\"") && last.contains("\"failed\":1"), "{steps}");
    assert_eq!(json("uncertain pending")["broadcast"]["counts"]["sent"], 119);
    let failed = json("lastError } } }")["broadcast"]["messages"]["nodes"].clone();
    assert_eq!((&failed[0]["guest"]["guestId"], &failed[1]), (&"guest_003".into(), &Value::Null), "{failed}");
    assert_eq!(json("broadcastRetry")["broadcastRetry"]["userErrors"], Value::Array(vec![]));
    assert!(json("broadcastCancel")["broadcastCancel"].is_object());
    assert_eq!(
        (&json("/api/broadcast")["sent"], &json("/api/broadcast")["failed"]),
        (&119.into(), &1.into())
    );
    let script = format!("{}{}graphql '{{ nothing }}'; echo 'went on'", calls[0], calls[1]);
    let wrong = bash(&script, db.folder(), &[("BESTY_URL", app.url("").as_str())]).await;
    assert!(
        !wrong.ok && wrong.out.is_empty() && wrong.err.contains("GRAPHQL_VALIDATION_FAILED"),
        "{}",
        wrong.err
    );
    app.stop().await;
}

async fn the_job_fails_when_a_message_does(db: TestDb) {
    let (app, provider) = start(&db, 30).await;
    let (job, url) = (job(), app.url(""));
    let run = |key: &'static str, filter: &'static str| {
        let set = [
            ("BESTY_URL", url.as_str()),
            ("MESSAGE", "Hello, \"guests\""),
            ("FILTER", filter),
            ("KEY", key),
            ("POLL_SECONDS", "0.05"),
        ];
        let (job, folder) = (job.clone(), db.folder());
        async move { bash(&job, folder, &set).await }
    };
    let all = "{\"statuses\": [\"CONFIRMED\", \"MODIFIED\"]}";
    let sound = run("run-1", all).await;
    assert!(sound.ok && sound.out.contains("to 30 guests"), "{}{}", sound.out, sound.err);
    assert_eq!(provider.api.report().delivered, 30);
    assert_eq!(provider.api.delivered()[0].message, "Hello, \"guests\"");
    assert!(run("run-1", all).await.ok, "run again, it finds the same broadcast");
    assert_eq!(provider.api.report().delivered, 30, "and sends nothing");

    let nobody = run("run-2", "{\"statuses\": []}").await;
    assert!(!nobody.ok && nobody.err.contains("NO_RECIPIENTS"), "{}{}", nobody.out, nobody.err);
    let wrong = run("run-3", "{\"status\": \"CONFIRMED\"}").await;
    assert!(!wrong.ok && wrong.err.contains("BAD_USER_INPUT"), "{}{}", wrong.out, wrong.err);
    fail_for(&provider, "guest_003");
    let failed = run("run-4", all).await;
    assert!(!failed.ok && failed.err.contains("guest_003: FAILED"), "{}{}", failed.out, failed.err);
    assert_eq!(provider.api.report().delivered, 59);
    app.stop().await;
}
