//! PostgreSQL stopped for ten seconds under 500 events a second: every answer is 200, all events are
//! in the table within ten seconds of its return, and none is twice in the log.

use std::{collections::BTreeSet, process::Command, time::Duration};

use tokio::time::Instant;

use crate::support::{
    TestApp, TestDb,
    app::{Provider, SECRET},
    events::named,
    within,
};

const PER_SECOND: u64 = 500;
const BEFORE: Duration = Duration::from_secs(2);
const STOPPED: Duration = Duration::from_secs(10);
const AFTER: Duration = Duration::from_secs(2);

/// The run's own server; nothing else of `make prove` runs beside this.
pub async fn postgres(arguments: &'static [&'static str]) {
    let ctl = std::env::var("TEST_POSTGRES_CTL").unwrap();
    let run = move || Command::new(ctl).args(arguments).status().unwrap();
    assert!(tokio::task::spawn_blocking(run).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_postgres_is_stopped() {
    let (db, provider) = (TestDb::postgres().await, Provider::quick().await);
    let app = TestApp::start(&db, &provider).await;
    let hub = app.running().hub().clone();
    let mut watcher = hub.watch(hub.head());

    let (http, url) = (app.http().clone(), app.url("/webhooks"));
    let posting = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(1_000 / PER_SECOND));
        let total = PER_SECOND * (BEFORE + STOPPED + AFTER).as_secs();
        let mut posts = Vec::new();
        for n in 0..u32::try_from(total).unwrap() {
            tick.tick().await;
            let post = http.post(&url).header("x-webhook-secret", SECRET).body(named(n).to_string());
            posts.push(tokio::spawn(async move {
                let start = Instant::now();
                let status = post.send().await.map(|response| response.status().as_u16());
                (status.unwrap_or(0), start.elapsed())
            }));
        }
        futures::future::join_all(posts).await
    });
    // How long it is away is what is proven here, so these are times and not signals.
    tokio::time::sleep(BEFORE).await;
    postgres(&["stop", "-m", "immediate"]).await;
    tokio::time::sleep(STOPPED).await;
    postgres(&["start"]).await;
    let back = Instant::now();

    let answers: Vec<_> = posting.await.unwrap().into_iter().map(Result::unwrap).collect();
    let slowest = answers.iter().map(|(_, took)| *took).max().unwrap();
    assert!(answers.iter().all(|(status, _)| *status == 200), "every answer is 200");
    let mut seen = BTreeSet::new();
    while seen.len() < answers.len() {
        for entry in within("the rest of the events", watcher.next()).await.unwrap() {
            assert!(seen.insert(entry.key.clone()), "{} is twice in the log", entry.key);
        }
    }
    let after = back.elapsed();
    println!(
        "{} events at {PER_SECOND}/s, PostgreSQL stopped for {STOPPED:?}: all in the table {after:.1?} after its \
         return (of which {AFTER:?} were still posted); slowest answer {slowest:.1?}",
        answers.len()
    );
    assert!(after < Duration::from_secs(10) + AFTER, "within ten seconds of its return");
    let rows = app.graphql("{ reservations { totalCount } }", serde_json::json!({})).await;
    assert_eq!(rows["reservations"]["totalCount"], answers.len());
    app.stop().await;
}
