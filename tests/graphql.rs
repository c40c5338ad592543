//! GraphQL: what is listed, what is followed, what is sent, and what is refused.

use std::collections::BTreeSet;

use besty::{
    reservations::change::ReservationChange,
    sandbox::{Effect, Fault, GuestApiSettings, Kind, Limit},
};
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestDb,
    app::{Provider, answer},
    events::{created, event, named},
    on_both,
    socket::{self, Socket},
};

on_both!(
    one_reservation_whole,
    pages_go_both_ways_in_every_order,
    paging_arguments_that_can_not_be,
    a_list_and_its_stream_leave_no_gap,
    transitions_tell_a_filtered_list_what_to_do,
    cursors_that_can_not_be_resumed,
    a_broadcast_is_followed_to_its_end,
    a_dry_run_and_an_expectation_send_nothing,
    a_broadcast_is_cancelled,
    a_scheduled_broadcast_waits,
    history_is_newest_first,
    get_never_writes,
    sockets_check_the_origin,
    the_legacy_protocol_is_spoken,
);

async fn start(db: &TestDb) -> (TestApp, Provider) {
    let provider = Provider::quick().await;
    // No look-ups: a test says itself what changes.
    provider.api.faults().add(Fault::always(Effect::answer(404)).on(Kind::Guest));
    (TestApp::start(db, &provider).await, provider)
}

async fn one_reservation_whole(db: TestDb) {
    let (app, _provider) = start(&db).await;
    app.apply(&named(1)).await;
    let query = "query($id: String!) { reservation(reservationId: $id) { id reservationId propertyId status checkIn checkOut \
                 nights guestCount total { amount currencyCode } guest { id guestId firstName lastName email phone } eventAt \
                 createdAt updatedAt } }";
    let data = app.graphql(query, json!({ "id": "res_00001" })).await;
    let mut one = data["reservation"].clone();
    for field in ["id", "createdAt", "updatedAt"] {
        assert!(one[field].take().is_string(), "{field}");
    }
    assert!(one["guest"]["id"].take().is_string());
    assert_eq!(
        one,
        json!({
            "id": null, "reservationId": "res_00001", "propertyId": "property_018", "status": "CONFIRMED",
            "checkIn": "2026-04-06", "checkOut": "2026-04-13", "nights": 7, "guestCount": 5,
            "total": { "amount": "1869.59", "currencyCode": "USD" },
            "guest": { "id": null, "guestId": "guest_001", "firstName": "Ada", "lastName": "Lovelace",
                       "email": "ada@example.com", "phone": "+1" },
            "eventAt": one["eventAt"], "createdAt": null, "updatedAt": null,
        })
    );
    assert!(one["eventAt"].as_str().unwrap().starts_with("2026-03-01T22:00:01.25"), "{one}");
    let none = app.graphql(query, json!({ "id": "res_9" })).await;
    assert_eq!(none["reservation"], Value::Null);
    app.stop().await;
}

const PAGE: &str = "query($first: Int, $last: Int, $after: String, $before: String, $order: ReservationOrder, \
    $filter: ReservationFilter) { reservations(first: $first, last: $last, after: $after, before: $before, orderBy: $order, \
    filter: $filter) { edges { cursor node { reservationId } } nodes { reservationId } totalCount streamCursor \
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";

fn ids(connection: &Value) -> Vec<String> {
    let edges = connection["edges"].as_array().unwrap();
    edges.iter().map(|edge| edge["node"]["reservationId"].as_str().unwrap().to_owned()).collect()
}

async fn pages_go_both_ways_in_every_order(db: TestDb) {
    let (app, _provider) = start(&db).await;
    for n in 0..7 {
        let mut one = created(n);
        // Some values are equal, so that the tie is broken.
        one["data"]["checkIn"] = json!(format!("2026-05-0{}", 1 + n / 2));
        one["data"]["checkOut"] = json!(format!("2026-06-0{}", 9 - n / 3));
        one["data"]["totalAmount"] = json!(format!("{}.1{}", 100 - n / 2, n % 2));
        app.apply(&one).await;
    }
    for field in ["CHECK_IN", "CHECK_OUT", "CREATED_AT", "UPDATED_AT", "TOTAL_AMOUNT"] {
        for direction in ["ASC", "DESC"] {
            let order = json!({ "field": field, "direction": direction });
            let whole = app.graphql(PAGE, json!({ "order": order })).await["reservations"].clone();
            let all = ids(&whole);
            assert_eq!((all.len(), &whole["totalCount"]), (7, &json!(7)));
            for (forward, size) in [(true, 2), (true, 3), (false, 2), (false, 3)] {
                let (mut walked, mut cursor): (Vec<String>, Value) = (Vec::new(), Value::Null);
                loop {
                    let variables = if forward {
                        json!({ "first": size, "after": cursor, "order": order })
                    } else {
                        json!({ "last": size, "before": cursor, "order": order })
                    };
                    let page = app.graphql(PAGE, variables).await["reservations"].clone();
                    let info = &page["pageInfo"];
                    let (more, back, end) = if forward {
                        ("hasNextPage", "hasPreviousPage", "endCursor")
                    } else {
                        ("hasPreviousPage", "hasNextPage", "startCursor")
                    };
                    assert_eq!(info[back], json!(!cursor.is_null()), "{field} {direction} {forward}");
                    let page_ids = ids(&page);
                    walked = if forward { [walked, page_ids].concat() } else { [page_ids, walked].concat() };
                    cursor = info[end].clone();
                    if info[more] == json!(false) {
                        break;
                    }
                }
                assert_eq!(walked, all, "{field} {direction}, forward {forward}, by {size}");
            }
        }
    }
    app.stop().await;
}

async fn paging_arguments_that_can_not_be(db: TestDb) {
    let (app, _provider) = start(&db).await;
    for n in 1..=2 {
        app.apply(&created(n)).await;
    }
    let order = |field: &str, direction: &str| json!({ "field": field, "direction": direction });
    let page = app.graphql(PAGE, json!({ "first": 1, "order": order("UPDATED_AT", "ASC") })).await;
    let cursor = &page["reservations"]["pageInfo"]["endCursor"];
    let (bad, cursors) = ("BAD_USER_INPUT", "CURSOR_INVALID");
    for (variables, named, code) in [
        (json!({ "first": 1, "last": 1 }), "first", bad),
        (json!({ "first": 101 }), "first", bad),
        (json!({ "last": -1 }), "last", bad),
        (json!({ "filter": { "search": "a\u{0}" } }), "search", bad),
        (json!({ "after": "x" }), "after", cursors),
        (json!({ "after": cursor }), "after", cursors),
        (json!({ "before": cursor, "order": order("CREATED_AT", "ASC") }), "before", cursors),
        (json!({ "before": cursor, "order": order("UPDATED_AT", "DESC") }), "before", cursors),
    ] {
        let (_, body) = app.post("/graphql", &json!({ "query": PAGE, "variables": variables })).await;
        let error = &body["errors"][0];
        assert_eq!(error["extensions"]["code"], code, "{body}");
        assert!(error["message"].as_str().unwrap().contains(named), "{body}");
    }
    let next = app.graphql(PAGE, json!({ "after": cursor, "order": order("UPDATED_AT", "ASC") })).await;
    assert_eq!(ids(&next["reservations"]), ["res_00002"]);
    app.stop().await;
}

const FOLLOW: &str = "subscription($filter: ReservationFilter, $after: String) { reservationChanged(filter: $filter, \
    after: $after) { cursor kind transition changedFields committedAt reservation { reservationId status } } }";

async fn a_list_and_its_stream_leave_no_gap(db: TestDb) {
    let (app, _provider) = start(&db).await;
    app.apply(&created(1)).await;
    let page = app.graphql(PAGE, json!({})).await["reservations"].clone();
    app.apply(&created(2)).await;
    let mut socket = Socket::open(&app).await;
    socket.subscribe(FOLLOW, json!({ "after": page["streamCursor"] })).await;
    let missed = socket.value("reservationChanged").await;
    assert_eq!(missed["reservation"]["reservationId"], "res_00002", "what was listed is not sent again");
    assert_eq!((&missed["kind"], &missed["transition"]), (&json!("CREATED"), &json!("ENTERED")));
    app.apply(&event("res_00002", "guest_002", "cancelled", 30)).await;
    let live = socket.value("reservationChanged").await;
    assert_eq!((&live["kind"], &live["transition"]), (&json!("CANCELLED"), &json!("STAYED")));
    let changed: BTreeSet<_> =
        live["changedFields"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(changed, BTreeSet::from(["eventAt", "status", "updatedAt"]));
    drop(socket);
    let mut again = Socket::open(&app).await;
    again.subscribe(FOLLOW, json!({ "after": missed["cursor"] })).await;
    assert_eq!(again.value("reservationChanged").await, live, "resumed after the event, the same comes");
    app.stop().await;
}

async fn transitions_tell_a_filtered_list_what_to_do(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let mut socket = Socket::open(&app).await;
    let start = app.graphql(PAGE, json!({})).await["reservations"]["streamCursor"].clone();
    let filter = json!({ "statuses": ["MODIFIED"], "propertyIds": ["property_018", "property_1"] });
    socket.subscribe(FOLLOW, json!({ "filter": filter, "after": start })).await;
    let status = |status: &str, at: u32| event("res_1", "guest_001", status, at);
    for event in [
        status("confirmed", 1),
        status("modified", 2),
        status("modified", 3),
        status("cancelled", 4),
        status("confirmed", 5),
        status("modified", 6),
    ] {
        app.apply(&event).await;
    }
    for wanted in ["ENTERED", "STAYED", "LEFT", "ENTERED"] {
        assert_eq!(socket.value("reservationChanged").await["transition"], wanted);
    }
    app.stop().await;
}

async fn cursors_that_can_not_be_resumed(db: TestDb) {
    let (app, _provider) = start(&db).await;
    app.apply(&created(1)).await;
    let feed = app.running().hub().feed();
    let old = feed.cursor(0).to_string();
    besty::db::execute(app.running().db().pool(), "UPDATE feed_state SET floor = 1", []).await.unwrap();
    let foreign = besty::feed::Cursor { epoch: 1, seq: 1 }.to_string();
    let early = feed.cursor(1_000).to_string();
    for (after, code) in [
        ("garbage", "CURSOR_INVALID"),
        (foreign.as_str(), "CURSOR_INVALID"),
        (early.as_str(), "CURSOR_INVALID"),
        (old.as_str(), "CURSOR_EXPIRED"),
    ] {
        let mut socket = Socket::open(&app).await;
        socket.subscribe(FOLLOW, json!({ "after": after })).await;
        let answer = socket.next().await.unwrap();
        assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{after}: {answer}");
        socket.ping().await;
    }
    app.stop().await;
}

const START: &str = "mutation($input: BroadcastInput!) { broadcast(input: $input) { recipientCount isReplay \
    userErrors { code message field } broadcast { id status message counts { total pending sent failed uncertain cancelled } \
    startsAt } } }";
const PROGRESS: &str = "subscription($id: ID!, $after: String) { broadcastProgress(broadcastId: $id, after: $after) { cursor \
    finishedMessages { guest { guestId } status } broadcast { status sendRate estimatedCompletionAt completedAt \
    counts { total pending sent failed uncertain cancelled } } } }";

async fn broadcast(app: &TestApp, input: Value) -> Value {
    app.graphql(START, json!({ "input": input })).await["broadcast"].clone()
}

fn adds_up(counts: &Value) -> bool {
    let of = |name: &str| counts[name].as_i64().unwrap();
    of("total") == of("pending") + of("sent") + of("failed") + of("uncertain") + of("cancelled")
}

async fn a_broadcast_is_followed_to_its_end(db: TestDb) {
    let limit = Some(Limit { per_second: 100.0, burst: 20 });
    let provider = Provider::start(GuestApiSettings { limit, ..GuestApiSettings::default() }).await;
    let app = TestApp::start(&db, &provider).await;
    for n in 1..=60 {
        app.apply(&named(n)).await;
    }
    provider.api.faults().unknown("guest_007");
    let payload = broadcast(
        &app,
        json!({ "message": "Hello", "filter": {}, "expectedRecipients": 60, "idempotencyKey": "k" }),
    )
    .await;
    assert_eq!((&payload["recipientCount"], &payload["userErrors"]), (&json!(60), &json!([])), "{payload}");
    let id = payload["broadcast"]["id"].clone();
    let mut socket = Socket::open(&app).await;
    socket.subscribe(PROGRESS, json!({ "id": id })).await;
    let (mut steps, mut finished) = (Vec::new(), BTreeSet::new());
    while let Some(payload) = socket.next().await {
        let step = payload["data"]["broadcastProgress"].clone();
        assert!(adds_up(&step["broadcast"]["counts"]), "{payload}");
        for message in step["finishedMessages"].as_array().unwrap() {
            assert!(finished.insert(message["guest"]["guestId"].to_string()), "each once");
        }
        steps.push(step);
    }
    assert!(steps.len() > 2, "it counts up: {steps:#?}");
    let pending = |step: &Value| step["broadcast"]["counts"]["pending"].as_i64().unwrap();
    assert!(steps.windows(2).all(|pair| pending(&pair[0]) >= pending(&pair[1])), "{steps:#?}");
    let last = steps.last().unwrap();
    assert_eq!(last["broadcast"]["status"], "COMPLETED");
    assert!(last["broadcast"]["completedAt"].is_string());
    let counts =
        json!({ "total": 60, "pending": 0, "sent": 59, "failed": 1, "uncertain": 0, "cancelled": 0 });
    assert_eq!(last["broadcast"]["counts"], counts);

    let mut late = Socket::open(&app).await;
    late.subscribe(PROGRESS, json!({ "id": id })).await;
    assert_eq!(late.value("broadcastProgress").await["broadcast"]["counts"], counts, "one event");
    assert_eq!(late.next().await, None, "and completion");

    let query = "query($id: ID!) { broadcast(id: $id) { counts { failed } messages(statuses: [FAILED]) { nodes { guest { guestId } \
                 status attempts lastError nextAttemptAt } pageInfo { hasNextPage } } } broadcasts(first: 5) { totalCount nodes { id } } }";
    let data = app.graphql(query, json!({ "id": id })).await;
    let failed = &data["broadcast"]["messages"]["nodes"];
    assert_eq!(
        (&failed[0]["guest"]["guestId"], &failed[0]["attempts"]),
        (&json!("guest_007"), &json!(1)),
        "{data}"
    );
    assert!(failed[0]["lastError"].is_string() && failed[1].is_null());
    assert_eq!((&data["broadcasts"]["totalCount"], &data["broadcasts"]["nodes"][0]["id"]), (&json!(1), &id));

    let again = broadcast(
        &app,
        json!({ "message": "Hello", "filter": {}, "expectedRecipients": 60, "idempotencyKey": "k" }),
    )
    .await;
    assert_eq!((&again["isReplay"], &again["broadcast"]["id"]), (&json!(true), &id));
    let other = broadcast(&app, json!({ "message": "Other", "filter": {}, "idempotencyKey": "k" })).await;
    assert_eq!(other["userErrors"][0]["code"], "IDEMPOTENCY_KEY_REUSED", "{other}");
    assert_eq!(provider.api.report().delivered, 59);
    app.stop().await;
}

async fn a_dry_run_and_an_expectation_send_nothing(db: TestDb) {
    let (app, provider) = start(&db).await;
    app.apply(&created(1)).await;
    app.apply(&event("res_again", "guest_001", "confirmed", 5)).await;
    let dry = broadcast(&app, json!({ "message": "Hello", "filter": {}, "dryRun": true })).await;
    assert_eq!(
        (&dry["recipientCount"], &dry["broadcast"], &dry["userErrors"]),
        (&json!(1), &Value::Null, &json!([]))
    );
    for (input, code, field) in [
        (
            json!({ "message": "Hello", "filter": {}, "expectedRecipients": 2 }),
            "RECIPIENTS_CHANGED",
            "expectedRecipients",
        ),
        (json!({ "message": " ", "filter": {} }), "INVALID", "message"),
        (json!({ "message": "x".repeat(2_001), "filter": {} }), "INVALID", "message"),
        (json!({ "message": "Hello", "filter": { "statuses": ["CANCELLED"] } }), "NO_RECIPIENTS", "filter"),
        (json!({ "message": "Hello", "filter": { "statuses": [] } }), "NO_RECIPIENTS", "filter"),
        (json!({ "message": "Hello", "filter": {}, "idempotencyKey": "" }), "INVALID", "idempotencyKey"),
    ] {
        let payload = broadcast(&app, input.clone()).await;
        let error = &payload["userErrors"][0];
        assert_eq!((&payload["broadcast"], &error["code"]), (&Value::Null, &json!(code)), "{input}");
        assert!(error["field"].is_null() || error["field"][1] == field, "{error}");
    }
    assert_eq!(app.graphql("{broadcasts{totalCount}}", json!({})).await["broadcasts"]["totalCount"], 0);
    app.stop().await;
    assert_eq!(provider.api.report().delivered, 0);
}

const CANCEL: &str = "mutation($id: ID!) { broadcastCancel(input: { broadcastId: $id }) { userErrors { code field } \
    broadcast { status completedAt counts { total pending sent failed uncertain cancelled } } } }";

async fn a_broadcast_is_cancelled(db: TestDb) {
    let provider = Provider::quick().await;
    let faults = provider.api.faults();
    faults.add(Fault::always(Effect::answer(404)).on(Kind::Guest));
    let app = TestApp::start_with(&db, &provider, &[("BROADCAST_CONCURRENCY", "2")]).await;
    for n in 1..=20 {
        app.apply(&created(n)).await;
    }
    faults.add(Fault::always(Effect::hang(std::time::Duration::from_millis(300))).on(Kind::Message));
    let id = broadcast(&app, json!({ "message": "Hello", "filter": {} })).await["broadcast"]["id"].clone();
    crate::support::within("a message", provider.api.wait_delivered(1)).await;
    let mut payload = app.graphql(CANCEL, json!({ "id": id })).await["broadcastCancel"].clone();
    let at_the_answer = provider.api.report().delivered;
    let told = payload["broadcast"].take();
    assert_eq!((&told["status"], &payload["userErrors"]), (&json!("CANCELLED"), &json!([])), "{told}");
    assert!(adds_up(&told["counts"]) && told["counts"]["pending"] == 0, "{told}");
    assert_eq!(told["counts"]["sent"], at_the_answer, "what had left is counted");
    let again = app.graphql(CANCEL, json!({ "id": id })).await["broadcastCancel"].clone();
    assert_eq!((&again["broadcast"], &again["userErrors"]), (&told, &json!([])), "a repeat is harmless");
    let unknown = app.graphql(CANCEL, json!({ "id": "nonsense" })).await["broadcastCancel"].clone();
    assert_eq!(unknown["userErrors"][0]["code"], "NOT_FOUND");

    let mut socket = Socket::open(&app).await;
    socket.subscribe(PROGRESS, json!({ "id": id })).await;
    assert_eq!(socket.value("broadcastProgress").await["broadcast"]["status"], "CANCELLED");
    assert_eq!(socket.next().await, None);
    app.stop().await;
    assert_eq!(provider.api.report().delivered, at_the_answer, "no message leaves after the answer");
}

async fn a_scheduled_broadcast_waits(db: TestDb) {
    let (app, provider) = start(&db).await;
    app.apply(&created(1)).await;
    let soon = (chrono::DateTime::from_timestamp(4_000_000_000, 0).unwrap()).to_rfc3339();
    let payload = broadcast(&app, json!({ "message": "Later", "filter": {}, "startsAt": soon })).await;
    let other = broadcast(&app, json!({ "message": "Now", "filter": {} })).await;
    crate::support::within("the other", provider.api.wait_delivered(1)).await;
    assert!(other["broadcast"]["id"].is_string());
    let query = "query($id: ID!) { broadcast(id: $id) { status counts { pending } } }";
    let told = app.graphql(query, json!({ "id": payload["broadcast"]["id"] })).await["broadcast"].clone();
    assert_eq!((&told["status"], &told["counts"]["pending"]), (&json!("QUEUED"), &json!(1)));
    assert_eq!(provider.api.delivered()[0].message, "Now");
    app.stop().await;
}

async fn history_is_newest_first(db: TestDb) {
    let (app, _provider) = start(&db).await;
    for (status, at) in [("confirmed", 1), ("modified", 2), ("cancelled", 3)] {
        app.apply(&event("res_1", "guest_001", status, at)).await;
    }
    app.apply(&created(9)).await;
    let query = "{ reservation(reservationId: \"res_1\") { all: history { kind transition reservation { status } } two: history(first: 2) { kind } } }";
    let data = app.graphql(query, json!({})).await["reservation"].clone();
    let kinds: Vec<_> = data["all"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["kind"].clone(), change["transition"].clone()))
        .collect();
    let wanted = [("CANCELLED", "STAYED"), ("UPDATED", "STAYED"), ("CREATED", "ENTERED")];
    assert_eq!(kinds, wanted.map(|(kind, transition)| (json!(kind), json!(transition))));
    assert_eq!(data["two"].as_array().unwrap().len(), 2);
    let newest =
        app.running().hub().feed().history(besty::feed::Topic::Reservation, "res_1", 1).await.unwrap();
    assert!(ReservationChange::of(&newest[0]).is_some());
    app.stop().await;
}

async fn get_never_writes(db: TestDb) {
    let (app, provider) = start(&db).await;
    app.apply(&created(1)).await;
    let get = |query: &str, name: &str| {
        let query = serde_urlencoded::to_string([("query", query), ("operationName", name)]).unwrap();
        answer(app.http().get(format!("{}?{query}", app.url("/graphql"))))
    };
    let (status, body) = get("{reservations{totalCount}}", "").await;
    assert_eq!((status, &body["data"]["reservations"]["totalCount"]), (200, &json!(1)), "{body}");
    let send = "broadcast(input:{message:\"Hello\",filter:{}}){recipientCount}";
    let both = format!("query A{{reservations{{totalCount}}}} mutation B{{{send}}}");
    for (query, name) in [
        (format!("mutation{{{send}}}"), ""),
        (both.clone(), "B"),
        ("subscription{reservationChanged{cursor}}".to_owned(), ""),
    ] {
        let (status, body) = get(&query, name).await;
        assert_eq!(
            (status, &body["errors"][0]["extensions"]["code"]),
            (405, &json!("BAD_REQUEST")),
            "{query}"
        );
    }
    assert_eq!(get(&both, "A").await.0, 200);
    let simple = app.http().post(app.url("/graphql")).header("content-type", "text/plain");
    let body = json!({ "query": format!("mutation{{{send}}}") }).to_string();
    assert_eq!(answer(simple.body(body)).await.0, 415, "what any page may send is refused");
    app.stop().await;
    assert_eq!(provider.api.report().delivered, 0);
}

async fn sockets_check_the_origin(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start_with(&db, &provider, &[("CORS_ORIGINS", "https://app.example.com")]).await;
    let own = app.url("");
    for (origin, wanted) in [
        (None, Ok(())),
        (Some(own.as_str()), Ok(())),
        (Some("https://app.example.com"), Ok(())),
        (Some("https://evil.example.com"), Err(403)),
        (Some("null"), Err(403)),
    ] {
        let result = socket::connect(&own, "graphql-transport-ws", origin).await.map(drop);
        assert_eq!(result, wanted, "{origin:?}");
    }
    assert_eq!(socket::connect(&own, "chat", None).await.map(drop), Err(400));
    let preflight = |origin: &'static str| {
        app.http()
            .request(reqwest::Method::OPTIONS, app.url("/graphql"))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type")
            .send()
    };
    let allowed = preflight("https://app.example.com").await.unwrap();
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://app.example.com");
    let refused = preflight("https://evil.example.com").await.unwrap();
    assert!(!refused.headers().contains_key("access-control-allow-origin"));
    app.stop().await;
}

async fn the_legacy_protocol_is_spoken(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let mut socket = Socket::open_with(&app.url(""), "graphql-ws").await;
    let after = app.graphql(PAGE, json!({})).await["reservations"]["streamCursor"].clone();
    socket.subscribe(FOLLOW, json!({ "after": after })).await;
    app.apply(&created(1)).await;
    assert_eq!(socket.value("reservationChanged").await["reservation"]["reservationId"], "res_00001");
    app.stop().await;
}
