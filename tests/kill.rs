//! SIGKILL and SIGSTOP at every step of a message: afterwards every guest has it, at most those that were
//! SENDING were sent twice, with a provider that honours the key nobody got it twice, and the counts are those
//! of the rows.
//!
//! The steps are found from outside: the Guest API holds its answers, a proxy holds the database's.

use std::{collections::BTreeMap, time::Duration};

use besty::{
    db,
    sandbox::{Effect, Fault, GuestApiSettings, Kind},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    TestDb,
    app::{Provider, SECRET, answer},
    binary::Server,
    events::named,
    on_both, within,
};

on_both!(killed_when_the_broadcast_is_stored, killed_while_messages_are_on_their_way, killed_in_the_middle,);

/// Part of the statement that marks messages SENDING.
const CLAIM: &str = "SET state = 'sending'";

/// A provider that honours the key and so tells both: what was sent twice, and whether a guest got it twice.
async fn provider() -> Provider {
    let settings = GuestApiSettings {
        limit: None,
        latency: Duration::from_millis(10),
        honours_key: true,
        ..GuestApiSettings::default()
    };
    Provider::start(settings).await
}

/// Starts a broadcast to so many guests; answers its global ID as JSON.
async fn broadcast(server: &Server, guests: u32) -> Value {
    let http = besty::app::http_client().unwrap();
    for n in 1..=guests {
        let post = http.post(format!("{}/webhooks", server.url)).header("x-webhook-secret", SECRET);
        assert_eq!(post.body(named(n).to_string()).send().await.unwrap().status(), 200);
    }
    let start = http.post(format!("{}/api/broadcast", server.url)).header("prefer", "respond-async");
    let (status, body) = answer(start.json(&json!({ "message": "Hello" }))).await;
    assert_eq!(status, 202, "{body}");
    body["id"].clone()
}

/// Waits for the end and answers the counts.
async fn counts(server: &Server, id: &Value) -> Value {
    let http = besty::app::http_client().unwrap();
    let query =
        format!("{{broadcast(id:{id}){{status counts{{total sent pending failed uncertain cancelled}}}}}}");
    within("the completion", async {
        loop {
            let request = http.post(format!("{}/graphql", server.url)).json(&json!({ "query": query }));
            let (_, told) = answer(request).await;
            if told["data"]["broadcast"]["status"] == "COMPLETED" {
                break told["data"]["broadcast"]["counts"].clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

/// How many messages are in each state, by the rows.
async fn rows(db: &TestDb) -> BTreeMap<String, i64> {
    let pool = db.connect().await;
    let sql = "SELECT state, COUNT(*) AS n FROM broadcast_recipients GROUP BY state";
    let rows = db::query_all(pool.pool(), sql, []).await.unwrap();
    let rows = rows.iter().map(|row| (row.try_get("", "state").unwrap(), row.try_get("", "n").unwrap()));
    let rows = rows.collect();
    pool.close().await.unwrap();
    rows
}

async fn sending(db: &TestDb) -> usize {
    rows(db).await.get("sending").map_or(0, |n| usize::try_from(*n).unwrap())
}

/// What is promised, after `twice` messages were SENDING at the kill.
async fn everybody_has_it(
    db: &TestDb,
    provider: &Provider,
    server: &Server,
    id: &Value,
    guests: u32,
    twice: usize,
) {
    let told = counts(server, id).await;
    let wanted =
        json!({ "total": guests, "sent": guests, "pending": 0, "failed": 0, "uncertain": 0, "cancelled": 0 });
    assert_eq!(told, wanted);
    assert_eq!(
        rows(db).await,
        BTreeMap::from([("sent".to_owned(), i64::from(guests))]),
        "and so say the rows"
    );
    let report = provider.api.report();
    assert_eq!(report.distinct_guests, guests as usize, "nobody is skipped: {report:?}");
    assert_eq!(report.delivered, guests as usize, "nobody gets it twice: {report:?}");
    assert!(report.repeats <= twice, "sent twice at most what was SENDING ({twice}): {report:?}");
}

async fn killed_when_the_broadcast_is_stored(db: TestDb) {
    let provider = provider().await;
    let server = Server::start(&db, &provider.url, &[]).await;
    let id = broadcast(&server, 20).await;
    server.kill().await;
    let twice = sending(&db).await;
    let server = Server::start(&db, &provider.url, &[]).await;
    everybody_has_it(&db, &provider, &server, &id, 20, twice).await;
    server.kill().await;
}

async fn killed_while_messages_are_on_their_way(db: TestDb) {
    let provider = provider().await;
    provider.api.faults().add(Fault::next(5, Effect::hang(Duration::from_mins(1))).on(Kind::Message));
    let server = Server::start(&db, &provider.url, &[]).await;
    let id = broadcast(&server, 20).await;
    within("requests", provider.api.wait_for(|report| report.accepted >= 5)).await;
    server.kill().await;
    let twice = sending(&db).await;
    assert!(twice >= 5, "what is on its way is SENDING");
    let server = Server::start(&db, &provider.url, &[]).await;
    everybody_has_it(&db, &provider, &server, &id, 20, twice).await;
    assert!(provider.api.report().repeats >= 5, "nobody knew that they had it");
    server.kill().await;
}

async fn killed_in_the_middle(db: TestDb) {
    let provider = provider().await;
    let server = Server::start(&db, &provider.url, &[]).await;
    let id = broadcast(&server, 120).await;
    within("a third of the messages", provider.api.wait_for(|report| report.delivered >= 40)).await;
    server.kill().await;
    assert!(provider.api.report().delivered < 120, "killed in the middle");
    let twice = sending(&db).await;
    let server = Server::start(&db, &provider.url, &[]).await;
    everybody_has_it(&db, &provider, &server, &id, 120, twice).await;
    server.kill().await;
}

/// The claim is committed, its answer never came, and nothing has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_claim_and_the_request() {
    let (db, proxy) = TestDb::postgres_behind_proxy().await;
    let provider = provider().await;
    let server = Server::start(&db, &provider.url, &[]).await;
    proxy.hold_commit_of(CLAIM);
    let id = broadcast(&server, 20).await;
    within("the commit of a claim", proxy.held()).await;
    within("its messages", async {
        while sending(&db).await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    server.kill().await;
    assert_eq!(provider.api.report().accepted, 0, "nothing has left");
    let twice = sending(&db).await;
    let server = Server::start(&db, &provider.url, &[]).await;
    everybody_has_it(&db, &provider, &server, &id, 20, twice).await;
    assert_eq!(provider.api.report().repeats, 0);
    server.kill().await;
}

/// The guests have the message, and the database was not told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_answer_and_its_record() {
    let (db, proxy) = TestDb::postgres_behind_proxy().await;
    let direct = db.connect().await;
    let provider = provider().await;
    provider.api.faults().add(Fault::next(5, Effect::hang(Duration::from_millis(500))).on(Kind::Message));
    let server = Server::start(&db, &provider.url, &[]).await;
    let id = broadcast(&server, 20).await;
    within("requests", provider.api.wait_for(|report| report.accepted >= 5)).await;
    proxy.hold_everything();
    within("the answers", provider.api.wait_for(|report| report.in_flight == 0)).await;
    server.kill().await;
    let mut proxy = proxy;
    proxy.cut().await;
    proxy.restore();
    let twice = sending(&db).await;
    assert!(twice >= 5, "answered and not recorded");
    let server = Server::start(&db, &provider.url, &[]).await;
    everybody_has_it(&db, &provider, &server, &id, 20, twice).await;
    server.kill().await;
    direct.close().await.unwrap();
}

/// The claim is committed and its connection breaks before the answer: the process goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_answer_was_lost_is_taken_back() {
    let (db, mut proxy) = TestDb::postgres_behind_proxy().await;
    let provider = provider().await;
    let server = Server::start(&db, &provider.url, &[]).await;
    proxy.hold_commit_of(CLAIM);
    let id = broadcast(&server, 20).await;
    within("the commit of a claim", proxy.held()).await;
    proxy.cut().await;
    proxy.restore();
    let started = Instant::now();
    everybody_has_it(&db, &provider, &server, &id, 20, 0).await;
    assert!(started.elapsed() < Duration::from_secs(8), "no lease ran out for it: {:?}", started.elapsed());
    let pool = db.connect().await;
    let tries = "SELECT COUNT(*) AS n FROM broadcast_recipients WHERE attempts <> 1";
    let row = db::query_one(pool.pool(), tries, []).await.unwrap().unwrap();
    assert_eq!(row.try_get::<i64>("", "n").unwrap(), 0, "what had not left cost no try");
    pool.close().await.unwrap();
    server.kill().await;
}

/// Frozen past its lease with messages on their way, then thawed: another one has sent them since, and what
/// the first one has to say about them changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_holder_that_wakes_up_changes_nothing() {
    const GUESTS: u32 = 4;
    let (db, provider) = (TestDb::postgres().await, provider().await);
    let faults = provider.api.faults();
    // The first holder never gets an answer, and says so while the second one waits for its own.
    faults.add(Fault::next(4, Effect::hang(Duration::from_mins(1))).on(Kind::Message));
    faults.add(Fault::next(4, Effect::hang(Duration::from_secs(12))).on(Kind::Message));
    let set = [("BROADCAST_CONCURRENCY", "5")];
    let first = Server::start(&db, &provider.url, &set).await;
    let second = Server::start(&db, &provider.url, &set).await;
    let id = broadcast(&first, GUESTS).await;
    within("requests", provider.api.wait_for(|report| report.accepted >= 4)).await;
    first.signal("STOP").await;
    let frozen = Instant::now();
    within("the other one's requests", provider.api.wait_for(|report| report.accepted >= 8)).await;
    assert!(frozen.elapsed() < Duration::from_secs(12), "taken over after {:?}", frozen.elapsed());
    first.signal("CONT").await;
    everybody_has_it(&db, &provider, &second, &id, GUESTS, 4).await;
    assert_eq!(provider.api.report().accepted, 8, "each twice and none three times");
    let pool = db.connect().await;
    let rows =
        db::query_all(pool.pool(), "SELECT attempts, epoch FROM broadcast_recipients", []).await.unwrap();
    for row in rows {
        let row: (i32, i64) = (row.try_get("", "attempts").unwrap(), row.try_get("", "epoch").unwrap());
        assert_eq!(row, (2, 2), "what nobody knew and what the second one was told");
    }
    pool.close().await.unwrap();
    first.kill().await;
    second.kill().await;
}
