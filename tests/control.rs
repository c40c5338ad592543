//! Pause, resume, cancel, retry, and the stops that the server chooses.

use std::time::Duration;

use besty::sandbox::{Effect, Fault, GuestApiSettings, Kind};
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestDb,
    app::Provider,
    events::{created, named},
    on_both, within,
};

on_both!(
    nothing_leaves_after_the_answer_to_a_pause,
    a_pause_of_what_is_scheduled_keeps_its_time,
    what_a_finished_broadcast_has_left_is_tried_again,
    impossible_commands_change_nothing,
    refused_credentials_suspend_and_cost_no_try,
    what_left_before_a_suspension_does_not_suspend_again,
    a_long_wait_suspends_until_it_is_over,
    a_dead_provider_suspends_and_the_broadcast_comes_back_by_itself,
    what_is_uncertain_is_held_for_a_person,
);

/// Selects what every test looks at.
const SHOWN: &str = "id status completedAt suspension { reason resumesAt } \
    counts { total pending sent failed uncertain cancelled }";

async fn start_with(db: &TestDb, settings: GuestApiSettings, guests: u32) -> (TestApp, Provider) {
    let provider = Provider::start(settings).await;
    provider.api.faults().add(Fault::always(Effect::answer(404)).on(Kind::Guest));
    let app = TestApp::start(db, &provider).await;
    for n in 1..=guests {
        app.apply(&named(n)).await;
    }
    (app, provider)
}

fn quick() -> GuestApiSettings {
    GuestApiSettings { limit: None, latency: Duration::ZERO, ..GuestApiSettings::default() }
}

async fn broadcast(app: &TestApp, more: &Value) -> String {
    let mut input = json!({ "message": "Hello", "filter": {} });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let query = "mutation($input: BroadcastInput!) { broadcast(input: $input) { userErrors { message } broadcast { id } } }";
    let data = app.graphql(query, json!({ "input": input })).await;
    data["broadcast"]["broadcast"]["id"].as_str().unwrap_or_else(|| panic!("{data}")).to_owned()
}

/// Runs a command; answers the broadcast and the code of the user error.
async fn command(app: &TestApp, name: &str, id: &str) -> (Value, Value) {
    let query = format!(
        "mutation($id: ID!) {{ answer: broadcast{name}(input: {{ broadcastId: $id }}) {{ \
         userErrors {{ code message field }} broadcast {{ {SHOWN} }} }} }}"
    );
    let mut data = app.graphql(&query, json!({ "id": id })).await;
    let answer = data["answer"].take();
    assert!(answer["userErrors"].as_array().unwrap().len() < 2);
    (answer["broadcast"].clone(), answer["userErrors"][0]["code"].clone())
}

async fn show(app: &TestApp, id: &str) -> Value {
    let query = format!("query($id: ID!) {{ broadcast(id: $id) {{ {SHOWN} }} }}");
    app.graphql(&query, json!({ "id": id })).await["broadcast"].clone()
}

async fn until(app: &TestApp, id: &str, status: &str) -> Value {
    within(status, async {
        loop {
            let shown = show(app, id).await;
            if shown["status"] == status {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

async fn nothing_leaves_after_the_answer_to_a_pause(db: TestDb) {
    let settings = GuestApiSettings { limit: None, latency: Duration::from_millis(30), ..quick() };
    let (app, provider) = start_with(&db, settings, 120).await;
    let id = broadcast(&app, &json!({})).await;
    let mut delivered = 0;
    for _ in 0..4 {
        within("some messages", provider.api.wait_for(|report| report.accepted >= delivered + 10)).await;
        let (paused, error) = command(&app, "Pause", &id).await;
        delivered = provider.api.report().accepted;
        assert_eq!((&paused["status"], &error), (&json!("PAUSED"), &Value::Null), "{paused}");
        assert_eq!(paused["counts"]["sent"], delivered, "what had left is counted: {paused}");
        assert_eq!(provider.api.report().in_flight, 0);
        // A round of the sender and more, in which nothing may leave.
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(provider.api.report().accepted, delivered, "nothing leaves while it is paused");
        assert_eq!(command(&app, "Pause", &id).await, (paused, Value::Null), "a repeat is harmless");
        let (resumed, error) = command(&app, "Resume", &id).await;
        assert_eq!((&resumed["status"], &error), (&json!("SENDING"), &Value::Null));
        let (again, error) = command(&app, "Resume", &id).await;
        assert_eq!((&again["status"], &error), (&json!("SENDING"), &Value::Null), "a repeat is harmless");
    }
    let done = until(&app, &id, "COMPLETED").await;
    assert_eq!((&done["counts"]["sent"], provider.api.report().accepted), (&json!(120), 120), "each once");
    app.stop().await;
}

async fn a_pause_of_what_is_scheduled_keeps_its_time(db: TestDb) {
    let (app, provider) = start_with(&db, quick(), 1).await;
    let id = broadcast(&app, &json!({ "startsAt": "2096-01-01T00:00:00Z" })).await;
    assert_eq!(command(&app, "Pause", &id).await.0["status"], "PAUSED");
    assert_eq!(command(&app, "Resume", &id).await.0["status"], "QUEUED", "its time has not come");
    let (cancelled, error) = command(&app, "Cancel", &id).await;
    assert_eq!((&cancelled["status"], &error), (&json!("CANCELLED"), &Value::Null));
    app.stop().await;
    assert_eq!(provider.api.report().accepted, 0);
}

async fn what_a_finished_broadcast_has_left_is_tried_again(db: TestDb) {
    let (app, provider) = start_with(&db, quick(), 5).await;
    let faults = provider.api.faults();
    faults.clear();
    faults.add(Fault::next(1, Effect::answer(400)).on(Kind::Message).guest("guest_002"));
    faults.add(Fault::next(2, Effect::answer(422)).on(Kind::Message).guest("guest_004"));
    let id = broadcast(&app, &json!({})).await;
    let counts = |shown: &Value| shown["counts"].clone();
    let done = until(&app, &id, "COMPLETED").await;
    assert_eq!((&counts(&done)["sent"], &counts(&done)["failed"]), (&json!(3), &json!(2)), "{done}");
    let (retried, error) = command(&app, "Retry", &id).await;
    assert_eq!((&retried["status"], &error), (&json!("SENDING"), &Value::Null), "{retried}");
    assert_eq!((&counts(&retried)["pending"], &retried["completedAt"]), (&json!(2), &Value::Null));
    let done = until(&app, &id, "COMPLETED").await;
    assert_eq!((&counts(&done)["sent"], &counts(&done)["failed"]), (&json!(4), &json!(1)), "{done}");
    command(&app, "Retry", &id).await;
    let done = until(&app, &id, "COMPLETED").await;
    assert_eq!((&counts(&done)["sent"], &counts(&done)["failed"]), (&json!(5), &json!(0)), "{done}");
    let (same, error) = command(&app, "Retry", &id).await;
    assert_eq!((&same, &error), (&done, &json!("CONFLICT")), "there is nothing left to try");
    let query =
        "query($id: ID!) { broadcast(id: $id) { messages { nodes { guest { guestId } attempts } } } }";
    let data = app.graphql(query, json!({ "id": id })).await;
    let attempts: Vec<_> = data["broadcast"]["messages"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["attempts"].as_i64().unwrap())
        .collect();
    assert_eq!(attempts, [1, 2, 1, 3, 1], "every try is counted");
    assert_eq!(provider.api.report().accepted, 5, "who had it gets it once");
    app.stop().await;
}

async fn impossible_commands_change_nothing(db: TestDb) {
    let (app, _provider) = start_with(&db, quick(), 1).await;
    let id = broadcast(&app, &json!({})).await;
    let done = until(&app, &id, "COMPLETED").await;
    for name in ["Pause", "Resume", "Cancel", "Retry"] {
        assert_eq!(command(&app, name, &id).await, (done.clone(), json!("CONFLICT")), "{name}");
        assert_eq!(command(&app, name, "nonsense").await, (Value::Null, json!("NOT_FOUND")), "{name}");
    }
    let later = broadcast(&app, &json!({ "startsAt": "2096-01-01T00:00:00Z" })).await;
    let queued = show(&app, &later).await;
    assert_eq!(command(&app, "Retry", &later).await, (queued, json!("CONFLICT")), "it is not finished");
    let cancelled = command(&app, "Cancel", &later).await.0;
    for name in ["Pause", "Resume", "Retry"] {
        assert_eq!(command(&app, name, &later).await, (cancelled.clone(), json!("CONFLICT")), "{name}");
    }
    assert_eq!(command(&app, "Cancel", &later).await, (cancelled, Value::Null), "a repeat is harmless");
    app.stop().await;
}

/// How long from now, in seconds.
fn seconds_from_now(at: &Value) -> i64 {
    let at = chrono::DateTime::parse_from_rfc3339(at.as_str().unwrap()).unwrap();
    (at.to_utc() - besty::clock::Clock::system().now()).num_seconds()
}

async fn refused_credentials_suspend_and_cost_no_try(db: TestDb) {
    let (app, provider) = start_with(&db, quick(), 12).await;
    provider.api.faults().add(Fault::always(Effect::answer(401)).on(Kind::Message));
    let id = broadcast(&app, &json!({})).await;
    let suspended = until(&app, &id, "SUSPENDED").await;
    assert_eq!(suspended["suspension"]["reason"], "UNAUTHORIZED");
    assert!((290..=300).contains(&seconds_from_now(&suspended["suspension"]["resumesAt"])), "{suspended}");
    assert_eq!(suspended["counts"]["pending"], 12, "{suspended}");
    provider.api.faults().clear();
    let (resumed, error) = command(&app, "Resume", &id).await;
    assert_eq!((&resumed["suspension"], &error), (&Value::Null, &Value::Null), "{resumed}");
    until(&app, &id, "COMPLETED").await;
    let query = "query($id: ID!) { broadcast(id: $id) { messages { nodes { attempts } } } }";
    let data = app.graphql(query, json!({ "id": id })).await;
    let messages = data["broadcast"]["messages"]["nodes"].as_array().unwrap().clone();
    assert!(messages.iter().all(|message| message["attempts"] == 1), "no try was spent: {messages:?}");
    app.stop().await;
}

async fn what_left_before_a_suspension_does_not_suspend_again(db: TestDb) {
    let settings = GuestApiSettings { latency: Duration::from_secs(1), ..quick() };
    let (app, provider) = start_with(&db, settings, 12).await;
    provider.api.faults().add(Fault::always(Effect::answer(401)).on(Kind::Message));
    let id = broadcast(&app, &json!({})).await;
    until(&app, &id, "SUSPENDED").await;
    provider.api.faults().clear();
    let (resumed, _) = command(&app, "Resume", &id).await;
    assert_eq!(resumed["status"], "SENDING");
    assert!(provider.api.report().in_flight > 0, "requests that left before are answered after");
    until(&app, &id, "COMPLETED").await;
    app.stop().await;
}

async fn a_long_wait_suspends_until_it_is_over(db: TestDb) {
    let (app, provider) = start_with(&db, quick(), 3).await;
    provider.api.faults().add(Fault::next(1, Effect::answer_later(429, 3_600)).on(Kind::Message));
    let id = broadcast(&app, &json!({})).await;
    let suspended = until(&app, &id, "SUSPENDED").await;
    assert_eq!(suspended["suspension"]["reason"], "RATE_LIMITED");
    assert!(
        (3_580..=3_600).contains(&seconds_from_now(&suspended["suspension"]["resumesAt"])),
        "{suspended}"
    );
    let other = broadcast(&app, &json!({})).await;
    until(&app, &other, "SUSPENDED").await;
    let told = provider.api.report().requests;
    let (paused, error) = command(&app, "Pause", &id).await;
    assert_eq!(
        (&paused["status"], &paused["suspension"], &error),
        (&json!("PAUSED"), &Value::Null, &Value::Null)
    );
    command(&app, "Resume", &id).await;
    until(&app, &id, "SUSPENDED").await;
    assert_eq!(provider.api.report().requests, told, "a resume does not make the wait shorter");
    app.stop().await;
}

async fn a_dead_provider_suspends_and_the_broadcast_comes_back_by_itself(db: TestDb) {
    // A port that nobody listens on.
    let address =
        tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let url = format!("http://{address}");
    let app = TestApp::start_with(&db, &Provider::quick().await, &[("GUEST_API_BASE_URL", &url)]).await;
    app.apply(&named(1)).await;
    let id = broadcast(&app, &json!({})).await;
    let suspended = until(&app, &id, "SUSPENDED").await;
    assert_eq!(suspended["suspension"]["reason"], "UNAVAILABLE");
    assert!((0..=5).contains(&seconds_from_now(&suspended["suspension"]["resumesAt"])), "{suspended}");
    let alive = Provider::listen(&address, quick()).await;
    let done = until(&app, &id, "COMPLETED").await;
    assert_eq!((&done["counts"]["sent"], alive.api.report().accepted), (&json!(1), 1), "{done}");
    assert_eq!(done["suspension"], Value::Null);
    app.stop().await;
}

async fn what_is_uncertain_is_held_for_a_person(db: TestDb) {
    let (app, provider) = start_with(&db, quick(), 1).await;
    provider.api.faults().add(Fault::next(1, Effect::cut()).on(Kind::Message));
    app.apply(&created(2)).await;
    let id = broadcast(&app, &json!({ "onUncertain": "HOLD" })).await;
    let done = until(&app, &id, "COMPLETED").await;
    assert_eq!((&done["counts"]["sent"], &done["counts"]["uncertain"]), (&json!(1), &json!(1)), "{done}");
    assert_eq!(provider.api.report().accepted, 2, "not sent again");
    command(&app, "Retry", &id).await;
    let done = until(&app, &id, "COMPLETED").await;
    assert_eq!((&done["counts"]["sent"], &done["counts"]["uncertain"]), (&json!(2), &json!(0)), "{done}");
    app.stop().await;
}
