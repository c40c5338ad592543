//! Connections that are full: who takes nothing for a while is closed, over every transport, and goes on
//! from its cursor; who takes little is not.

use std::time::Duration;

use besty::feed::{NewChange, Topic};
use chrono::DateTime;
use serde_json::json;

use crate::support::{
    TestApp, TestDb,
    app::Provider,
    events::named,
    follow::{Follower, Transport},
    on_both,
    storm::stream_cursor,
    within,
};

on_both!(
    who_takes_nothing_is_closed,
    who_takes_little_is_not,
    what_was_begun_is_finished,
    a_stream_that_takes_nothing_is_reset_alone,
);

async fn start(db: &TestDb, stalled: Duration) -> (TestApp, Provider) {
    let provider = Provider::quick().await;
    let app = TestApp::start_tuned(db, &provider, &[], |config| config.live.times.stalled = stalled).await;
    app.apply(&named(1)).await;
    (app, provider)
}

/// Many changes at once, of a reservation of this name. Answers the position of the last.
async fn flood(app: &TestApp, count: usize, name: &str) -> i64 {
    let feed = app.running().hub().feed();
    let like = feed.history(Topic::Reservation, "res_00001", 1).await.unwrap().remove(0);
    let change = NewChange {
        topic: Topic::Reservation,
        key: "flood".to_owned(),
        kind: "updated",
        before: Some(like.after.clone()),
        after: like.after.replace("res_00001", name),
        committed_at: DateTime::UNIX_EPOCH,
    };
    let mut tx = feed.begin().await.unwrap();
    tx.append(&vec![change; count]).await.unwrap();
    tx.commit().await.unwrap();
    feed.head().await.unwrap()
}

/// One follower a transport, each with a small buffer of its own.
async fn open(app: &TestApp, from: &str) -> Vec<(Transport, Follower)> {
    let mut followers = Vec::new();
    for transport in Transport::ALL {
        let opened = Follower::open_unread(app.http(), &app.url(""), transport, &json!({}), from).await;
        followers.push((transport, opened.expect("a connection")));
    }
    app.metric_is("besty_sockets", followers.len() as u64).await;
    followers
}

async fn who_takes_nothing_is_closed(db: TestDb) {
    let (app, _provider) = start(&db, Duration::from_millis(300)).await;
    let from = stream_cursor(&app.url("")).await;
    let followers = open(&app, &from).await;
    let last = flood(&app, 5_000, "res_00001").await;
    app.metric_is("besty_sockets", 0).await;
    for (transport, mut follower) in followers {
        // What was on its way is still read.
        let (mut cursor, mut seq) = (from.clone(), last - 5_000);
        while let Ok((next, told)) = within("the end of the connection", follower.next()).await {
            assert_eq!(told.seq, seq + 1, "{transport:?}");
            (cursor, seq) = (next, told.seq);
        }
        assert!(seq < last, "{transport:?} was not full");
        let again = Follower::open(app.http(), &app.url(""), transport, &json!({}), &cursor).await;
        let mut again = again.expect("a connection");
        while seq < last {
            let (_, told) = within("what was missed", again.next()).await.expect("a change");
            assert_eq!(told.seq, seq + 1, "{transport:?}");
            seq = told.seq;
        }
    }
    app.stop().await;
}

/// Far longer than a connection may take nothing.
async fn who_takes_little_is_not(db: TestDb) {
    let (app, _provider) = start(&db, Duration::from_secs(1)).await;
    let from = stream_cursor(&app.url("")).await;
    let followers = open(&app, &from).await;
    let last = flood(&app, 10_000, "res_00001").await;
    let reading = followers.into_iter().map(async |(transport, mut follower)| {
        for seq in last - 10_000 + 1..=last {
            // Some 100 KB a second, for three seconds.
            if seq % 10 == 0 && last - seq > 8_500 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let next = within("a change", follower.next()).await;
            assert_eq!(next.map(|(_, told)| told.seq).ok(), Some(seq), "{transport:?}");
        }
    });
    futures::future::join_all(reading).await;
    app.stop().await;
}

/// Events so long that a connection which is nearly full takes a part of one.
async fn what_was_begun_is_finished(db: TestDb) {
    let (app, _provider) = start(&db, Duration::from_secs(30)).await;
    let from = stream_cursor(&app.url("")).await;
    let followers = open(&app, &from).await;
    let mut due = Vec::new();
    for n in 0..60 {
        let name = format!("{n}").repeat(20_000);
        due.push((flood(&app, 1, &name).await, name));
    }
    let reading = followers.into_iter().map(async |(transport, mut follower)| {
        for (seq, name) in &due {
            let (_, told) = within("a change", follower.next()).await.expect("a change");
            assert!(told.seq == *seq && told.key == *name, "{transport:?}: {}, not {seq}", told.seq);
        }
    });
    futures::future::join_all(reading).await;
    app.stop().await;
}

/// Over HTTP/2, where all of them share one connection.
async fn a_stream_that_takes_nothing_is_reset_alone(db: TestDb) {
    let (app, _provider) = start(&db, Duration::from_millis(300)).await;
    let (base, from) = (app.url(""), stream_cursor(&app.url("")).await);
    let window = reqwest::Client::builder().http2_prior_knowledge().http2_initial_stream_window_size(65_535);
    let http = window.http2_initial_connection_window_size(1 << 20).build().unwrap();
    let open = async |transport, from: &str| {
        let opened = Follower::open(&http, &base, transport, &json!({}), from).await;
        opened.expect("a stream")
    };
    let streams = [Transport::GraphqlSse, Transport::Multipart, Transport::Events];
    let mut idle = Vec::new();
    for transport in streams {
        idle.push((transport, open(transport, &from).await));
    }
    let mut reading = open(Transport::GraphqlSse, &from).await;
    app.metric_is("besty_sockets", 4).await;
    let last = flood(&app, 5_000, "res_00001").await;
    for seq in last - 5_000 + 1..=last {
        let (_, told) = within("a change", reading.next()).await.expect("a change");
        assert_eq!(told.seq, seq);
    }
    app.metric_is("besty_sockets", 1).await;
    for (transport, mut stream) in idle {
        let (mut cursor, mut seq) = (from.clone(), last - 5_000);
        while let Ok((next, told)) = within("the end of the stream", stream.next()).await {
            assert_eq!(told.seq, seq + 1, "{transport:?}");
            (cursor, seq) = (next, told.seq);
        }
        assert!(seq < last, "{transport:?} was not full");
        let mut again = open(transport, &cursor).await;
        while seq < last {
            let (_, told) = within("what was missed", again.next()).await.expect("a change");
            assert_eq!(told.seq, seq + 1, "{transport:?}");
            seq = told.seq;
        }
    }
    // The connection is the same, and so is the stream that was read.
    app.apply(&named(2)).await;
    let (_, told) = within("a change", reading.next()).await.expect("a change");
    assert_eq!(told.key, "res_00002");
    drop(reading);
    app.stop().await;
}
