//! What is no longer kept: deleted when its time has come, and not before; a cursor from before is told so.

use besty::{
    access::Caller,
    app::retention::{self, Kept},
    audit::{self, Action},
    clock::Clock,
    db,
    feed::Feed,
};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestDb,
    app::{Provider, answer},
    events::named,
    on_both,
    sse::Sse,
};

on_both!(
    old_changes_go_and_a_cursor_from_before_is_told_so,
    rejected_webhooks_and_finished_broadcasts_go,
    old_entries_of_the_audit_log_go,
    it_is_seen_to_soon_after_the_start,
    a_cursor_of_before_a_restore_is_refused,
);

const FOLLOW: &str = "subscription($after: String) { reservationChanged(after: $after) { cursor reservation { reservationId } } }";

/// Nothing is due but what a test asks for.
const LONG: Kept = Kept {
    changes: TimeDelta::days(9_999),
    rejected: TimeDelta::days(9_999),
    broadcasts: TimeDelta::days(9_999),
    audit: TimeDelta::days(9_999),
    soon: Kept::SOON,
};

async fn number(feed: &Feed, sql: &str) -> i64 {
    db::query_one(feed.db().pool(), sql, []).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

async fn cursor(app: &TestApp) -> String {
    let list = app.graphql("{ reservations(first: 1) { streamCursor } }", json!({})).await;
    list["reservations"]["streamCursor"].as_str().unwrap().to_owned()
}

/// The first event after a cursor.
async fn after(app: &TestApp, cursor: &str) -> Value {
    let body = json!({ "query": FOLLOW, "variables": { "after": cursor } });
    Sse::post(app.http(), app.url("/graphql"), &body, None).await.next().await.data
}

async fn old_changes_go_and_a_cursor_from_before_is_told_so(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    let feed = app.running().hub().feed().clone();
    let start = cursor(&app).await;
    let mut then = Clock::system().now();
    for n in 1..=2_500 {
        if n == 2_491 {
            then = Clock::system().now();
        }
        if n > 2_490 { app.apply(&named(n)).await } else { assert_eq!(app.webhook(&named(n)).await.0, 200) }
    }
    let count = || number(&feed, "SELECT COUNT(*) FROM changes");
    assert_eq!(count().await, 2_500);
    let kept = Kept { changes: TimeDelta::hours(1), ..LONG };
    let now = then + TimeDelta::hours(1);

    let floor = retention::pass(&feed, kept, 0, now).await.unwrap();
    assert_eq!(count().await, 2_500, "who was let in before can still read on");
    let expired = after(&app, &start).await;
    assert_eq!(expired["errors"][0]["extensions"]["code"], "CURSOR_EXPIRED", "{expired}");
    let events = app.http().get(app.url("/api/events")).header("last-event-id", &start);
    assert_eq!(answer(events).await.0, 410);

    assert_eq!(retention::pass(&feed, kept, floor, now).await.unwrap(), floor);
    assert_eq!(count().await, 10, "in more than one batch");
    let kept_on = feed.cursor(floor).to_string();
    let next = after(&app, &kept_on).await;
    assert_eq!(next["data"]["reservationChanged"]["reservation"]["reservationId"], "res_02491");

    // All of it may go: positions are not used again, and the list still says where it stands.
    let later = now + TimeDelta::hours(2);
    let floor = retention::pass(&feed, kept, floor, later).await.unwrap();
    retention::pass(&feed, kept, floor, later).await.unwrap();
    assert_eq!(count().await, 0);
    let end = cursor(&app).await;
    app.apply(&named(2_501)).await;
    let next = after(&app, &end).await;
    assert_eq!(next["data"]["reservationChanged"]["reservation"]["reservationId"], "res_02501");
    app.stop().await;
}

async fn rejected_webhooks_and_finished_broadcasts_go(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    let feed = app.running().hub().feed().clone();
    for n in 1..=3 {
        app.apply(&named(n)).await;
    }
    for n in 0..250 {
        assert_eq!(app.webhook_bytes(format!("no JSON {n}").into_bytes()).await.0, 400);
    }
    assert_eq!(app.post("/api/broadcast", &json!({ "message": "Hello" })).await.1["sent"], 3);
    let unfinished = json!({ "query": "mutation { broadcast(input: { message: \"Later\", filter: {}, \
                               startsAt: \"2099-01-01T00:00:00Z\" }) { broadcast { id } userErrors { code } } }" });
    let (_, started) = app.post("/graphql", &unfinished).await;
    assert_eq!(started["data"]["broadcast"]["userErrors"], json!([]), "{started}");
    crate::support::within("the log to be told", async {
        while number(&feed, "SELECT COUNT(*) FROM broadcasts WHERE unreported").await > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let counts = || async {
        let webhooks = number(&feed, "SELECT COUNT(*) FROM rejected_webhooks").await;
        let broadcasts = number(&feed, "SELECT COUNT(*) FROM broadcasts").await;
        (webhooks, broadcasts, number(&feed, "SELECT COUNT(*) FROM broadcast_recipients").await)
    };
    let now = Clock::system().now();
    let days = Kept { rejected: TimeDelta::days(1), broadcasts: TimeDelta::days(2), ..LONG };
    retention::pass(&feed, days, 0, now).await.unwrap();
    assert_eq!(counts().await, (250, 2, 6), "nothing is old enough");
    retention::pass(&feed, days, 0, now + TimeDelta::hours(25)).await.unwrap();
    assert_eq!(counts().await, (0, 2, 6), "webhooks are");
    retention::pass(&feed, days, 0, now + TimeDelta::days(3)).await.unwrap();
    assert_eq!(counts().await, (0, 1, 3), "the finished one is, the other never");
    app.stop().await;
}

async fn old_entries_of_the_audit_log_go(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    let feed = app.running().hub().feed().clone();
    let now = Clock::system().now();
    // More than go at once, from a year and a thousand seconds ago up to half that before now.
    for n in 0..2_500 {
        let at = now - TimeDelta::days(365) + TimeDelta::seconds(n - 1_500);
        audit::write(feed.db().pool(), &Caller::anonymous(None), Action::WebhookRetried, None, at)
            .await
            .unwrap();
    }
    let count = || audit::count(feed.db());
    retention::pass(&feed, LONG, 0, now).await.unwrap();
    assert_eq!(count().await.unwrap(), 2_500);
    let year = Kept { audit: TimeDelta::days(365), ..LONG };
    retention::pass(&feed, year, 0, now).await.unwrap();
    assert_eq!(count().await.unwrap(), 1_000, "in more than one batch");
    retention::pass(&feed, year, 0, now + TimeDelta::seconds(999)).await.unwrap();
    assert_eq!(count().await.unwrap(), 1, "the newest");
    app.stop().await;
}

/// Processes that are replaced before the ten minutes are over, each of which deletes what the one before has
/// raised the floor over.
async fn it_is_seen_to_soon_after_the_start(db: TestDb) {
    let provider = Provider::quick().await;
    let soon = async |changes: TimeDelta| {
        TestApp::start_tuned(&db, &provider, &[], |config| {
            let soon = std::time::Duration::from_millis(100);
            config.kept = Kept { changes, rejected: TimeDelta::zero(), soon, ..LONG };
        })
        .await
    };
    let is = async |app: &TestApp, sql: &str, wanted: i64| {
        let feed = app.running().hub().feed().clone();
        crate::support::within(sql, async {
            while number(&feed, sql).await != wanted {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    };
    let app = TestApp::start(&db, &provider).await;
    for n in 1..=3 {
        app.apply(&named(n)).await;
    }
    assert_eq!(app.webhook_bytes(b"no JSON".to_vec()).await.0, 400);
    app.stop().await;
    let app = soon(TimeDelta::zero()).await;
    is(&app, "SELECT COUNT(*) FROM rejected_webhooks", 0).await;
    is(&app, "SELECT floor FROM feed_state", 3).await;
    assert_eq!(number(app.running().hub().feed(), "SELECT COUNT(*) FROM changes").await, 3, "not at once");
    app.stop().await;
    let app = soon(LONG.changes).await;
    is(&app, "SELECT COUNT(*) FROM changes", 0).await;
    app.stop().await;
}

async fn a_cursor_of_before_a_restore_is_refused(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    app.apply(&named(1)).await;
    let before = cursor(&app).await;
    app.stop().await;
    let mut command = crate::support::binary::command(db.folder());
    command.args(["migrate", "--new-epoch"]).env("DATABASE_URL", db.url());
    assert!(crate::support::within("the command", command.status()).await.unwrap().success());
    let app = TestApp::start(&db, &provider).await;
    let told = after(&app, &before).await;
    assert_eq!(told["errors"][0]["extensions"]["code"], "CURSOR_INVALID", "{told}");
    let now = cursor(&app).await;
    app.apply(&named(2)).await;
    let next = after(&app, &now).await;
    assert_eq!(next["data"]["reservationChanged"]["reservation"]["reservationId"], "res_00002");
    app.stop().await;
}
