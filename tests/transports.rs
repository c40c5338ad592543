//! The live feed over each transport: the rules of its protocol, resuming, sharing, slow watchers.

use std::time::Duration;

use besty::feed::{NewChange, Topic};
use chrono::DateTime;
use futures::SinkExt as _;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio_tungstenite::{
    MaybeTlsStream,
    tungstenite::{
        Message,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use crate::support::{
    TestApp, TestDb,
    app::{Provider, answer},
    events::{created, event, named},
    multipart::Multipart,
    on_both,
    socket::{self, Socket, closed},
    sse::Sse,
    within,
};

on_both!(
    sockets_are_closed_as_the_protocol_says,
    a_socket_without_init_is_closed,
    request_errors_are_told_as_errors,
    queries_and_mutations_go_over_a_socket,
    a_stop_sends_clients_away_to_come_back,
    limits_are_told,
    event_streams_resume,
    event_streams_end_as_the_protocol_says,
    multipart_is_delivered_when_sent,
    watchers_of_the_same_share_one_execution,
    a_late_watcher_catches_up_and_joins,
    who_reads_nothing_loses_nothing,
    who_answers_no_ping_is_closed,
    hostile_documents_are_refused_everywhere,
);

const PROTOCOL: &str = "graphql-transport-ws";
const FOLLOW: &str = "subscription($after: String) { reservationChanged(after: $after) { cursor reservation { reservationId } } }";
const SIGNS: &str = "subscription { reservationChanged { transition } }";

async fn start(db: &TestDb) -> (TestApp, Provider) {
    let provider = Provider::quick().await;
    (TestApp::start(db, &provider).await, provider)
}

/// With shorter waits.
async fn start_hasty(db: &TestDb, init: u64, ping: u64, stalled: u64) -> (TestApp, Provider) {
    let provider = Provider::quick().await;
    let app = TestApp::start_tuned(db, &provider, &[], |config| {
        config.live.times.init = Duration::from_millis(init);
        config.live.times.ping = Duration::from_millis(ping);
        config.live.times.stalled = Duration::from_millis(stalled);
    });
    (app.await, provider)
}

/// Many changes at once, like that of the first reservation; answers how many.
async fn flood(app: &TestApp, count: usize) -> usize {
    let feed = app.running().hub().feed();
    let like = feed.history(Topic::Reservation, "res_00001", 1).await.unwrap().remove(0);
    let change = |n: usize| NewChange {
        topic: Topic::Reservation,
        key: "flood".to_owned(),
        kind: "updated",
        before: Some(like.after.clone()),
        after: like.after.replace("res_00001", &format!("res_{n}")),
        committed_at: DateTime::UNIX_EPOCH,
    };
    let changes: Vec<_> = (0..count).map(change).collect();
    let mut tx = feed.begin().await.unwrap();
    tx.append(&changes).await.unwrap();
    tx.commit().await.unwrap();
    count
}

fn reservation(data: &Value) -> &str {
    data["reservation"]["reservationId"].as_str().unwrap()
}

async fn sockets_are_closed_as_the_protocol_says(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let subscribe = json!({ "id": "1", "type": "subscribe", "payload": { "query": FOLLOW } }).to_string();
    let init = json!({ "type": "connection_init" }).to_string();
    let ping = |length| json!({ "type": "ping", "payload": { "x": "x".repeat(length) } }).to_string();
    let (long, endless) = (ping(300_000), ping(2_000_000));
    let frame = |kind, bytes: &'static [u8]| Message::Frame(Frame::message(bytes, OpCode::Data(kind), true));
    let said = |texts: &[&str]| texts.iter().map(|text| Message::text(*text)).collect::<Vec<_>>();
    for (messages, code) in [
        (said(&["what?"]), 4400),
        (said(&[r#"{"type":"start"}"#]), 4400),
        (said(&[&init, r#"{"id":"","type":"complete"}"#]), 4400),
        (said(&[&init, r#"{"id":"1","type":"subscribe","payload":{}}"#]), 4400),
        (vec![Message::binary(init.clone())], 4400),
        (said(&[&subscribe]), 4401),
        (said(&[&init, &subscribe, &subscribe]), 4409),
        (said(&[&init, &init]), 4429),
        (said(&[&init, &long]), 1009),
        (said(&[&init, &endless]), 1009),
        (vec![frame(Data::Text, b"\xff")], 1007),
        (vec![frame(Data::Reserved(3), b"")], 1002),
    ] {
        let mut stream = socket::connect(&app.url(""), PROTOCOL, None).await.unwrap();
        for message in &messages {
            // The server may be through with it before all is sent.
            let _ = stream.send(message.clone()).await;
        }
        let (found, reason) = closed(&mut stream).await;
        let said = format!("{messages:?}");
        assert_eq!(found, code, "{reason} for {}", &said[..said.len().min(300)]);
        assert!(!reason.is_empty(), "{code}");
    }
    let mut socket = Socket::open(&app).await;
    socket.send(&json!({ "type": "ping", "payload": { "n": 7 } })).await;
    assert_eq!(socket.receive().await, json!({ "type": "pong", "payload": { "n": 7 } }));
    socket.send(&json!({ "id": "never", "type": "complete" })).await;
    socket.ping().await;
    app.stop().await;
}

async fn a_socket_without_init_is_closed(db: TestDb) {
    let (app, _provider) = start_hasty(&db, 50, 12_000, 30_000).await;
    let mut stream = socket::connect(&app.url(""), PROTOCOL, None).await.unwrap();
    assert_eq!(closed(&mut stream).await.0, 4408);
    app.stop().await;
}

async fn request_errors_are_told_as_errors(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let mut socket = Socket::open(&app).await;
    for (query, variables, said) in [
        ("subscription {", json!({}), "expected"),
        ("{ nothing }", json!({}), "nothing"),
        ("subscription { nothing }", json!({}), "nothing"),
        ("subscription A { reservationChanged { nothing } }", json!({}), "nothing"),
        (FOLLOW, json!({ "after": "garbage" }), "cursor"),
        (FOLLOW, json!({ "after": 7 }), "String"),
        (
            "subscription($text: String) { reservationChanged(filter: {search: $text}) { cursor } }",
            json!({ "text": "\0" }),
            "filter.search",
        ),
        ("subscription { broadcastProgress(broadcastId: \"x\") { cursor } }", json!({}), "no such broadcast"),
    ] {
        socket.subscribe(query, variables).await;
        let message = socket.receive().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("1")), "{message}");
        let problem = message["payload"][0]["message"].as_str().unwrap();
        assert!(problem.contains(said), "{said}: {problem}");
    }
    app.metric_is("besty_feed_executions", 0).await;
    app.stop().await;
}

async fn queries_and_mutations_go_over_a_socket(db: TestDb) {
    let (app, _provider) = start(&db).await;
    app.apply(&created(1)).await;
    let mut socket = Socket::open(&app).await;
    socket.subscribe("{ reservations { totalCount } }", json!({})).await;
    assert_eq!(socket.value("reservations").await["totalCount"], 1);
    assert_eq!(socket.next().await, None);
    let dry =
        "mutation { broadcast(input: {message: \"Hello\", filter: {}, dryRun: true}) { recipientCount } }";
    socket.subscribe(dry, json!({})).await;
    assert_eq!(socket.value("broadcast").await["recipientCount"], 1);
    assert_eq!(socket.next().await, None);
    app.stop().await;
}

async fn a_stop_sends_clients_away_to_come_back(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let mut socket = Socket::open(&app).await;
    socket.subscribe(FOLLOW, json!({})).await;
    socket.ping().await;
    let mut sse = Sse::post(app.http(), app.url("/graphql"), &json!({ "query": FOLLOW }), None).await;
    let mut parts = Multipart::post(app.http(), app.url("/graphql"), &json!({ "query": FOLLOW })).await;
    let mut legacy = Socket::open_with(&app.url(""), "graphql-ws").await;
    legacy.subscribe(FOLLOW, json!({})).await;
    let stopping = tokio::spawn(app.stop());
    assert_eq!(closed(socket.stream()).await.0, 1012);
    assert_eq!(closed(legacy.stream()).await.0, 1012);
    assert_eq!(within("the end", sse.read()).await, None, "no `complete`: clients come back");
    let last = parts.next().await.unwrap();
    assert_eq!(last["errors"][0]["extensions"]["code"], "SERVER_STOPPING", "{last}");
    assert_eq!(parts.next().await, None);
    within("the stop", stopping).await.unwrap();
}

async fn limits_are_told(db: TestDb) {
    let provider = Provider::quick().await;
    let set = [("MAX_SOCKETS", "2"), ("MAX_SUBSCRIPTIONS_PER_SOCKET", "1")];
    let app = TestApp::start_with(&db, &provider, &set).await;
    let mut socket = Socket::open(&app).await;
    socket.subscribe_as("a", FOLLOW, json!({})).await;
    socket.subscribe_as("b", FOLLOW, json!({})).await;
    let refused = socket.receive().await;
    assert_eq!((&refused["id"], &refused["type"]), (&json!("b"), &json!("error")), "{refused}");
    assert_eq!(refused["payload"][0]["extensions"]["code"], "TOO_MANY_SUBSCRIPTIONS");
    socket.send(&json!({ "id": "a", "type": "complete" })).await;
    socket.subscribe_as("b", FOLLOW, json!({})).await;
    socket.ping().await;
    let sse = Sse::open(app.http(), app.url("/api/events"), None).await;
    assert_eq!(app.metric("besty_sockets").await, 2);
    assert_eq!(socket::connect(&app.url(""), PROTOCOL, None).await.map(drop), Err(503));
    for accept in ["text/event-stream", "multipart/mixed;subscriptionSpec=1.0"] {
        let request = app.http().post(app.url("/graphql")).header("accept", accept);
        let (status, body) = answer(request.json(&json!({ "query": FOLLOW }))).await;
        assert_eq!(status, 503);
        let error = &body["errors"][0];
        assert!(error["message"].as_str().unwrap().starts_with("MAX_SOCKETS"), "{body}");
        assert_eq!(error["extensions"]["code"], "SERVICE_UNAVAILABLE");
    }
    drop(sse);
    app.metric_is("besty_sockets", 1).await;
    app.apply(&created(1)).await;
    assert_eq!(reservation(&socket.value("reservationChanged").await), "res_00001");
    app.stop().await;
}

async fn event_streams_resume(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let url = app.url("/graphql");
    let before = app.graphql("{ reservations { streamCursor } }", json!({})).await;
    let before = before["reservations"]["streamCursor"].as_str().unwrap().to_owned();
    let mut live = Sse::post(app.http(), url.clone(), &json!({ "query": SIGNS }), None).await;
    for n in 1..=3 {
        app.apply(&named(n)).await;
    }
    let mut ids = Vec::new();
    for _ in 0..3 {
        let event = live.next().await;
        assert_eq!(
            (event.kind.as_str(), &event.data),
            ("next", &json!({ "data": { "reservationChanged": { "transition": "ENTERED" } } }))
        );
        ids.push(event.id);
    }
    // By POST and by GET, from `after` and from the header, which goes before it.
    let get = |query: &str, after: &str| {
        let variables = json!({ "after": after }).to_string();
        format!(
            "{url}?{}",
            serde_urlencoded::to_string([("query", query), ("variables", &variables)]).unwrap()
        )
    };
    let body = json!({ "query": FOLLOW, "variables": { "after": ids[1] } });
    let literal = json!({ "query": format!("subscription {{ reservationChanged(after: \"{}\") {{ cursor reservation {{ reservationId }} }} }}", ids[1]) });
    for (mut stream, first) in [
        (Sse::post(app.http(), url.clone(), &body, None).await, 3),
        (Sse::post(app.http(), url.clone(), &body, Some(&ids[0])).await, 2),
        (Sse::post(app.http(), url.clone(), &body, Some(&before)).await, 1),
        (Sse::post(app.http(), url.clone(), &literal, None).await, 3),
        (Sse::post(app.http(), url.clone(), &literal, Some(&ids[0])).await, 2),
        (Sse::get(app.http(), get(FOLLOW, &ids[1]), None).await, 3),
        (Sse::get(app.http(), get(FOLLOW, &ids[1]), Some(&ids[0])).await, 2),
        (Sse::get(app.http(), get(SIGNS, ""), Some(&ids[0])).await, 2),
    ] {
        for id in &ids[first - 1..] {
            let event = stream.next().await;
            assert_eq!((event.kind.as_str(), &event.id), ("next", id));
        }
    }
    let bad = Sse::post(app.http(), url.clone(), &body, Some("garbage")).await.next().await;
    assert_eq!(bad.data["errors"][0]["extensions"]["code"], "CURSOR_INVALID", "{bad:?}");
    app.stop().await;
}

async fn event_streams_end_as_the_protocol_says(db: TestDb) {
    let (app, _provider) = start_hasty(&db, 10_000, 30, 30_000).await;
    let url = app.url("/graphql");
    for (query, is_error) in [
        ("{ reservations { totalCount } }", false),
        ("{ nothing }", true),
        ("subscription {", true),
        ("subscription { nothing }", true),
        ("subscription { broadcastProgress(broadcastId: \"x\") { cursor } }", true),
    ] {
        let mut stream = Sse::post(app.http(), url.clone(), &json!({ "query": query }), None).await;
        let next = stream.next().await;
        assert_eq!((next.kind.as_str(), next.data["errors"].is_array()), ("next", is_error), "{next:?}");
        assert_eq!(stream.next().await.kind, "complete");
        assert_eq!(within("the end", stream.read()).await, None);
    }
    let mutation =
        serde_urlencoded::to_string([("query", "mutation { webhookRegister { userErrors { code } } }")]);
    let get = app.http().get(format!("{url}?{}", mutation.unwrap())).header("accept", "text/event-stream");
    assert_eq!(answer(get).await.0, 405);
    let mut quiet = Sse::post(app.http(), url, &json!({ "query": SIGNS }), None).await;
    let head = app.running().hub().feed().cursor(app.running().hub().head()).to_string();
    let first = quiet.text_until("\n\n:\n\n:\n\n").await;
    assert_eq!(first, format!(":\n\nid: {head}\n\n:\n\n:\n\n"), "where it begins, then signs of life");
    app.stop().await;
}

async fn multipart_is_delivered_when_sent(db: TestDb) {
    let (app, _provider) = start_hasty(&db, 10_000, 50, 30_000).await;
    let url = app.url("/graphql");
    let mut parts = Multipart::post(app.http(), url.clone(), &json!({ "query": FOLLOW })).await;
    assert_eq!(parts.next().await, Some(json!({})), "a sign of life");
    let mut cursors = Vec::new();
    for n in 1..=3 {
        app.apply(&named(n)).await;
        // Nothing more is sent, and still it is whole.
        let part = parts.next_but_heartbeats().await.unwrap();
        let change = &part["payload"]["data"]["reservationChanged"];
        assert_eq!(reservation(change), format!("res_0000{n}"));
        cursors.push(change["cursor"].clone());
    }
    let body = json!({ "query": FOLLOW, "variables": { "after": cursors[0] } });
    let mut resumed = Multipart::post(app.http(), url.clone(), &body).await;
    for cursor in &cursors[1..] {
        let part = resumed.next_but_heartbeats().await.unwrap();
        assert_eq!(part["payload"]["data"]["reservationChanged"]["cursor"], *cursor);
    }
    let bad = json!({ "query": FOLLOW, "variables": { "after": "garbage" } });
    let mut bad = Multipart::post(app.http(), url.clone(), &bad).await;
    let part = bad.next_but_heartbeats().await.unwrap();
    assert_eq!(part["payload"]["errors"][0]["extensions"]["code"], "CURSOR_INVALID", "{part}");
    assert_eq!(bad.next_but_heartbeats().await, None);
    let accept = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json";
    let query = app
        .http()
        .post(url)
        .header("accept", accept)
        .json(&json!({ "query": "{ reservations { totalCount } }" }));
    assert_eq!(answer(query).await.1["data"]["reservations"]["totalCount"], 3, "one answer is JSON");
    app.stop().await;
}

async fn watchers_of_the_same_share_one_execution(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let before = app.graphql("{ reservations { streamCursor } }", json!({})).await;
    let before = &before["reservations"]["streamCursor"];
    let mut sockets = Vec::new();
    for n in 0..10 {
        let mut socket = Socket::open(&app).await;
        // Where each begins is its own affair.
        let variables = if n % 2 == 0 { json!({}) } else { json!({ "after": before }) };
        socket.subscribe_as(&format!("id {n}"), FOLLOW, variables).await;
        socket.ping().await;
        sockets.push(socket);
    }
    let mut sse = Sse::post(app.http(), app.url("/graphql"), &json!({ "query": FOLLOW }), None).await;
    app.metric_is("besty_feed_watchers", 11).await;
    app.metric_is("besty_feed_executions", 1).await;
    let mut other = Socket::open(&app).await;
    other.subscribe(SIGNS, json!({})).await;
    app.metric_is("besty_feed_executions", 2).await;
    app.apply(&created(1)).await;
    for (n, socket) in sockets.iter_mut().enumerate() {
        let message = socket.receive().await;
        assert_eq!(message["id"], format!("id {n}"));
        assert_eq!(reservation(&message["payload"]["data"]["reservationChanged"]), "res_00001");
    }
    assert_eq!(sse.next().await.kind, "next");
    assert_eq!(other.value("reservationChanged").await["transition"], "ENTERED");
    other.send(&json!({ "id": "1", "type": "complete" })).await;
    app.metric_is("besty_feed_executions", 1).await;
    drop(sse);
    let mut last = sockets.pop().unwrap();
    drop(sockets);
    app.metric_is("besty_feed_watchers", 1).await;
    assert_eq!(app.metric("besty_feed_executions").await, 1);
    last.send(&json!({ "id": "id 9", "type": "complete" })).await;
    last.ping().await;
    assert_eq!(
        app.metric("besty_feed_executions").await,
        0,
        "the group ended with its last watcher, at once"
    );
    app.stop().await;
}

async fn a_late_watcher_catches_up_and_joins(db: TestDb) {
    let (app, _provider) = start(&db).await;
    app.apply(&named(1)).await;
    let before = app.graphql("{ reservations { streamCursor } }", json!({})).await;
    let before = &before["reservations"]["streamCursor"];
    let mut early = Socket::open(&app).await;
    early.subscribe(FOLLOW, json!({})).await;
    early.ping().await;
    let count = flood(&app, 1_500).await;
    for n in 0..count {
        assert_eq!(reservation(&early.value("reservationChanged").await), format!("res_{n}"));
    }
    let mut late = Socket::open(&app).await;
    late.subscribe(FOLLOW, json!({ "after": before })).await;
    let mut alone = Socket::open(&app).await;
    let filtered = "subscription($after: String) { reservationChanged(after: $after, filter: {statuses: [CONFIRMED]}) { cursor reservation { reservationId } } }";
    alone.subscribe(filtered, json!({ "after": before })).await;
    for n in 0..count {
        assert_eq!(reservation(&late.value("reservationChanged").await), format!("res_{n}"));
        assert_eq!(reservation(&alone.value("reservationChanged").await), format!("res_{n}"));
    }
    app.metric_is("besty_feed_executions", 2).await;
    app.apply(&event("res_00002", "guest_002", "confirmed", 1)).await;
    for socket in [&mut early, &mut late, &mut alone] {
        assert_eq!(reservation(&socket.value("reservationChanged").await), "res_00002");
    }
    app.stop().await;
}

/// More than all buffers between here and there hold, though nobody waits for who does not read.
async fn who_reads_nothing_loses_nothing(db: TestDb) {
    const WIDE: &str = "subscription { reservationChanged { cursor changedFields committedAt kind reservation { \
        id reservationId propertyId status checkIn checkOut nights guestCount eventAt createdAt updatedAt \
        total { amount currencyCode } guest { guestId firstName lastName email phone } } } }";
    let (app, _provider) = start(&db).await;
    app.apply(&named(1)).await;
    let mut idle = Socket::open(&app).await;
    idle.subscribe(WIDE, json!({})).await;
    let mut quick = Socket::open(&app).await;
    quick.subscribe(WIDE, json!({})).await;
    let sse = json!({ "query": WIDE });
    let mut idle_sse = Sse::post(app.http(), app.url("/graphql"), &sse, None).await;
    idle.ping().await;
    quick.ping().await;
    let mut count = 0;
    for _ in 0..4 {
        let more = flood(&app, 5_000).await;
        for n in 0..more {
            assert_eq!(reservation(&quick.value("reservationChanged").await), format!("res_{n}"));
        }
        count += more;
    }
    for n in 0..count {
        // Whoever answers no ping is closed.
        if n % 1_000 == 0 {
            quick.ping().await;
        }
        let wanted = format!("res_{}", n % 5_000);
        assert_eq!(reservation(&idle.value("reservationChanged").await), wanted);
        assert_eq!(reservation(&idle_sse.next().await.data["data"]["reservationChanged"]), wanted);
    }
    app.apply(&created(2)).await;
    for socket in [&mut idle, &mut quick] {
        assert_eq!(reservation(&socket.value("reservationChanged").await), "res_00002");
    }
    app.metric_is("besty_feed_executions", 1).await;
    app.stop().await;
}

async fn who_answers_no_ping_is_closed(db: TestDb) {
    let (app, _provider) = start_hasty(&db, 10_000, 40, 400).await;
    app.apply(&named(1)).await;
    // Whoever reads answers pings; this one is there for longer than the others may be silent.
    let mut alive = Socket::open(&app).await;
    alive.subscribe(SIGNS, json!({})).await;
    let mut silent = Socket::open(&app).await;
    app.metric_is("besty_sockets", 2).await;
    let reading = tokio::spawn(async move {
        let first = alive.value("reservationChanged").await;
        (alive, first)
    });
    app.metric_is("besty_sockets", 1).await;
    app.apply(&created(2)).await;
    let (alive, first) = within("the event", reading).await.unwrap();
    assert_eq!(first["transition"], "ENTERED");
    // The bytes as they came: reading messages would answer the pings among them.
    let (mut told, MaybeTlsStream::Plain(stream)) = (Vec::new(), silent.stream().get_mut()) else { panic!() };
    within("the end of the socket", stream.read_to_end(&mut told)).await.unwrap();
    let code = |bytes: &[u8]| bytes[0] == 0x88 && bytes[2..] == 1013_u16.to_be_bytes();
    assert!(told.windows(4).any(code), "{told:x?}");
    drop(alive);
    app.stop().await;
}

async fn hostile_documents_are_refused_everywhere(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let twice = |n: usize| format!("fragment f{n} on Query {{ ...f{0} ...f{0} }} ", n + 1);
    let fragments: String = (0..20).map(twice).collect();
    let query = format!("{{ ...f0 }} {fragments} fragment f20 on Query {{ reservations {{ totalCount }} }}");
    let deep = "{a".repeat(5_000);
    for (query, said) in [(&query, "more than 5000 fields"), (&deep, "nested more than 64 deep")] {
        let url = app.url("/graphql");
        let body = json!({ "query": query });
        let is_refused = |errors: &Value| {
            assert!(errors[0]["message"].as_str().unwrap().contains(said), "{errors}");
        };
        is_refused(&app.post("/graphql", &body).await.1["errors"]);
        let text = serde_urlencoded::to_string([("query", query)]).unwrap();
        is_refused(&app.get(&format!("/graphql?{text}")).await.1["errors"]);
        is_refused(&Sse::post(app.http(), url.clone(), &body, None).await.next().await.data["errors"]);
        for protocol in [PROTOCOL, "graphql-ws"] {
            let mut socket = Socket::open_with(&app.url(""), protocol).await;
            socket.subscribe(query, json!({})).await;
            is_refused(&socket.next().await.unwrap()["errors"]);
        }
    }
    app.stop().await;
}
