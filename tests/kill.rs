//! SIGKILL in mid-broadcast: after the next start every guest has the message.

use std::{collections::BTreeSet, time::Duration};

use besty::sandbox::{GuestApiSettings, Limit};
use serde_json::{Value, json};

use crate::support::{
    TestDb,
    app::{Provider, SECRET, answer},
    binary::Server,
    events::created,
    on_both, within,
};

on_both!(every_guest_has_the_message_after_a_kill);

const GUESTS: u32 = 120;

async fn every_guest_has_the_message_after_a_kill(db: TestDb) {
    let settings = GuestApiSettings {
        limit: Some(Limit { per_second: 200.0, burst: 50 }),
        latency: Duration::from_millis(30),
        honours_key: true,
        ..GuestApiSettings::default()
    };
    let provider = Provider::start(settings).await;
    let http = besty::app::http_client().unwrap();
    let server = Server::start(&db, &provider.url, &[]).await;
    for n in 1..=GUESTS {
        let post = http.post(format!("{}/webhooks", server.url)).header("x-webhook-secret", SECRET);
        assert_eq!(post.body(created(n).to_string()).send().await.unwrap().status(), 200);
    }
    let start = http.post(format!("{}/api/broadcast", server.url)).header("prefer", "respond-async");
    let (status, body) = answer(start.json(&json!({ "message": "Hello" }))).await;
    assert_eq!(status, 202);
    within("a third of the messages", provider.api.wait_for(|report| report.delivered >= 40)).await;
    server.kill().await;
    let at_the_kill = provider.api.report().delivered;
    assert!(at_the_kill < GUESTS as usize, "killed in the middle");

    let server = Server::start(&db, &provider.url, &[]).await;
    within("everybody", provider.api.wait_for(|report| report.delivered >= GUESTS as usize)).await;
    let query = format!("{{broadcast(id:{}){{status counts{{total sent pending failed}}}}}}", body["id"]);
    let told = within("the completion", async {
        loop {
            let request = http.post(format!("{}/graphql", server.url)).json(&json!({ "query": query }));
            let (_, told) = answer(request).await;
            if told["data"]["broadcast"]["status"] == "COMPLETED" {
                break told["data"]["broadcast"]["counts"].clone();
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(told, json!({ "total": GUESTS, "sent": GUESTS, "pending": 0, "failed": 0 }));
    let delivered = provider.api.delivered();
    let guests: BTreeSet<_> = delivered.iter().map(|one| one.guest_id.as_str()).collect();
    assert_eq!(guests.len(), GUESTS as usize, "nobody is skipped");
    assert_eq!(
        delivered.len(),
        GUESTS as usize,
        "and with a provider that honours the key nobody gets it twice"
    );
    assert_ne!(told, Value::Null);
    server.kill().await;
}
