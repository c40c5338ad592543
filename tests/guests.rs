//! Guests: fetched once, kept apart from events, projected onto every reservation of theirs.

use std::time::Duration;

use besty::{
    db,
    sandbox::{Effect, Fault, GuestApiSettings, Kind},
};
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestDb,
    app::Provider,
    events::{created, event},
    on_both,
    sse::Sse,
    within,
};

on_both!(
    a_guest_is_fetched_once_and_the_change_is_seen,
    snake_case_guests_are_read,
    inline_fields_are_taken_up_even_from_a_stale_event,
    what_others_wrote_is_not_lost,
    a_look_up_is_tried_again,
    a_miss_is_remembered,
    look_ups_go_on_after_a_restart,
);

async fn row(app: &TestApp, id: &str) -> Value {
    let (_, list) = app.get(&format!("/api/reservations?search={id}")).await;
    list["data"][0].clone()
}

/// Waits until a change leaves the first name of a reservation as `wanted` says.
async fn until_named(app: &TestApp, stream: &mut Sse, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let row = row(app, id).await;
        if wanted(&row["guest_first_name"]) {
            return row;
        }
        stream.next().await;
    }
}

async fn watch(app: &TestApp) -> Sse {
    Sse::open(app.http(), app.url("/api/events"), None).await
}

async fn a_guest_is_fetched_once_and_the_change_is_seen(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    let mut stream = watch(&app).await;
    app.apply(&event("res_1", "guest_007", "confirmed", 1)).await;
    app.apply(&event("res_2", "guest_007", "confirmed", 2)).await;
    let first = until_named(&app, &mut stream, "res_1", Value::is_string).await;
    let second = until_named(&app, &mut stream, "res_2", Value::is_string).await;
    assert_eq!(first["guest_email"], second["guest_email"]);
    app.apply(&event("res_2", "guest_007", "modified", 3)).await;
    assert!(row(&app, "res_2").await["guest_last_name"].is_string(), "an event without names loses none");
    app.stop().await;
    let app = TestApp::start(&db, &provider).await;
    app.apply(&event("res_3", "guest_007", "confirmed", 4)).await;
    assert!(row(&app, "res_3").await["guest_phone"].is_string(), "known from the first moment");
    app.stop().await;
    let look_ups = provider.api.requests().iter().filter(|seen| seen.kind == Kind::Guest).count();
    assert_eq!(look_ups, 1);
}

async fn snake_case_guests_are_read(db: TestDb) {
    let settings = GuestApiSettings { limit: None, snake_case: true, ..GuestApiSettings::default() };
    let provider = Provider::start(settings).await;
    let app = TestApp::start(&db, &provider).await;
    let mut stream = watch(&app).await;
    app.apply(&created(1)).await;
    until_named(&app, &mut stream, "res_00001", Value::is_string).await;
    app.stop().await;
}

async fn inline_fields_are_taken_up_even_from_a_stale_event(db: TestDb) {
    let provider = Provider::quick().await;
    provider.api.faults().add(Fault::always(Effect::answer(404)).on(Kind::Guest));
    let app = TestApp::start(&db, &provider).await;
    app.apply(&event("res_1", "guest_001", "modified", 20)).await;
    app.apply(&event("res_2", "guest_001", "confirmed", 1)).await;
    let mut stale = event("res_1", "guest_001", "confirmed", 10);
    stale["data"]["guest"] = json!({ "first_name": "Ada", "email": "ada@example.com" });
    assert_eq!(app.webhook(&stale).await.1["result"], "stale");
    for id in ["res_1", "res_2"] {
        assert_eq!(row(&app, id).await["guest_first_name"], "Ada", "{id}");
    }
    let mut older = event("res_1", "guest_001", "confirmed", 5);
    older["data"]["guest_first_name"] = json!("Old");
    older["data"]["guest_last_name"] = json!("Lovelace");
    assert_eq!(app.webhook(&older).await.1["result"], "stale");
    let row = row(&app, "res_2").await;
    assert_eq!((&row["guest_first_name"], &row["guest_last_name"]), (&json!("Ada"), &json!("Lovelace")));
    assert_eq!(row["status"], "confirmed");
    app.stop().await;
}

async fn what_others_wrote_is_not_lost(db: TestDb) {
    let provider = Provider::quick().await;
    provider.api.faults().add(Fault::always(Effect::answer(404)).on(Kind::Guest));
    let app = TestApp::start(&db, &provider).await;
    let insert = "INSERT INTO reservations (reservation_id, property_id, guest_id, status, check_in, check_out, \
                  num_guests, total_amount, currency, guest_first_name) \
                  VALUES ('old', 'p', 'guest_001', 'confirmed', '2026-01-01', '2026-01-02', 1, 10, 'USD', 'Grace')";
    let other = db.connect().await;
    besty::db::execute(other.pool(), insert, []).await.unwrap();
    app.apply(&event("new", "guest_001", "confirmed", 1)).await;
    assert_eq!(row(&app, "new").await["guest_first_name"], "Grace");
    let mut named = event("old", "guest_001", "modified", 2);
    named["data"]["guest"] = json!({ "firstName": "Hopper" });
    app.apply(&named).await;
    assert_eq!(row(&app, "old").await["guest_first_name"], "Hopper");
    assert_eq!(row(&app, "new").await["guest_first_name"], "Hopper");
    other.close().await.unwrap();
    app.stop().await;
}

async fn a_look_up_is_tried_again(db: TestDb) {
    let provider = Provider::quick().await;
    let faults = provider.api.faults();
    faults.add(Fault::next(1, Effect::answer_later(429, 1)).on(Kind::Guest));
    faults.add(Fault::next(1, Effect::answer(500)).on(Kind::Guest));
    let app = TestApp::start(&db, &provider).await;
    let mut stream = watch(&app).await;
    app.apply(&created(1)).await;
    within("the name", until_named(&app, &mut stream, "res_00001", Value::is_string)).await;
    app.stop().await;
}

async fn a_miss_is_remembered(db: TestDb) {
    let provider = Provider::quick().await;
    provider.api.faults().unknown("guest_404");
    let app = TestApp::start(&db, &provider).await;
    app.apply(&event("res_1", "guest_404", "confirmed", 1)).await;
    let pool = db.connect().await;
    within("the miss in the table", async {
        let tried = "SELECT guest_id FROM guests WHERE guest_id = 'guest_404' AND fetch_attempts > 0";
        while db::query_one(pool.pool(), tried, []).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    app.stop().await;
    let app = TestApp::start(&db, &provider).await;
    let mut stream = watch(&app).await;
    app.apply(&event("res_2", "guest_404", "confirmed", 2)).await;
    app.apply(&event("res_3", "guest_007", "confirmed", 3)).await;
    within("another guest's name", until_named(&app, &mut stream, "res_3", Value::is_string)).await;
    app.stop().await;
    let requests = provider.api.requests();
    assert_eq!(requests.iter().filter(|seen| seen.path.ends_with("/guest_404")).count(), 1);
}

async fn look_ups_go_on_after_a_restart(db: TestDb) {
    let provider = Provider::quick().await;
    provider.api.faults().add(Fault::next(1, Effect::answer_later(429, 1)).on(Kind::Guest));
    let app = TestApp::start(&db, &provider).await;
    app.apply(&created(1)).await;
    provider.api.wait_for(|report| report.requests > 0).await;
    app.stop().await;
    let app = TestApp::start(&db, &provider).await;
    let mut stream = watch(&app).await;
    within("the name", until_named(&app, &mut stream, "res_00001", Value::is_string)).await;
    app.stop().await;
}
