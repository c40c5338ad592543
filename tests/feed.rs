//! The log and the hub: commit order, each change once, resumed without a gap.

use std::{collections::BTreeSet, sync::Arc};

use besty::{
    db::Db,
    feed::{Cursor, CursorError, Feed, Hub, NewChange, Topic, Watcher},
};
use chrono::DateTime;
use migration::MigratorTrait as _;
use sea_orm::DbBackend;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::{TestApp, TestDb, app::Provider, events, on_both, within};

on_both!(
    many_writers_one_order,
    two_readers_see_the_same,
    a_reader_behind_the_ring_reads_the_log,
    cursors_know_their_log,
    unwatched_the_head_is_known_from_what_was_committed,
);

async fn open(db: &TestDb) -> (Db, Feed) {
    let pool = db.connect().await;
    migration::Migrator::up(pool.pool(), None).await.unwrap();
    let feed = Feed::open(pool.clone(), 42).await.unwrap();
    (pool, feed)
}

fn change(writer: usize, n: usize) -> NewChange {
    NewChange {
        topic: Topic::Reservation,
        key: format!("{writer}-{n}"),
        kind: "updated",
        before: None,
        after: "{}".to_owned(),
        committed_at: DateTime::UNIX_EPOCH,
    }
}

async fn append(feed: &Feed, changes: &[NewChange]) {
    let mut tx = feed.begin().await.unwrap();
    tx.append(changes).await.unwrap();
    // A writer that dawdles between drawing its numbers and its commit.
    tokio::task::yield_now().await;
    tx.commit().await.unwrap();
}

async fn take(watcher: &mut Watcher, wanted: usize) -> Vec<(i64, String)> {
    let mut seen = Vec::new();
    while seen.len() < wanted {
        let entries = within("changes", watcher.next()).await.unwrap();
        seen.extend(entries.iter().map(|entry| (entry.seq, entry.key.clone())));
    }
    seen
}

/// Without the feed lock a number may commit after a greater one: a reader that has passed it never
/// sees it.
async fn many_writers_one_order(db: TestDb) {
    const WRITERS: usize = 4;
    const EACH: usize = 60;
    let (pool, feed) = open(&db).await;
    let hub = Hub::open(feed.clone()).await.unwrap();
    let cancel = CancellationToken::new();
    let reading = tokio::spawn(hub.clone().run(cancel.clone()));
    let mut watcher = hub.watch(hub.head());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let feed = feed.clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    append(&feed, &[change(writer, n), change(writer, n + EACH)]).await;
                }
            })
        })
        .collect();
    let seen = take(&mut watcher, WRITERS * EACH * 2).await;
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order of their numbers");
    let keys: BTreeSet<_> = seen.iter().map(|(_, key)| key).collect();
    assert_eq!(keys.len(), WRITERS * EACH * 2, "each once");
    cancel.cancel();
    reading.await.unwrap();
    pool.close().await.unwrap();
}

async fn two_readers_see_the_same(db: TestDb) {
    let (pool, feed) = open(&db).await;
    append(&feed, &[change(0, 0)]).await;
    let early = Hub::open(feed.clone()).await.unwrap();
    append(&feed, &[change(0, 1), change(0, 2)]).await;
    let late = Hub::open(feed.clone()).await.unwrap();
    let cancel = CancellationToken::new();
    let tasks =
        [tokio::spawn(early.clone().run(cancel.clone())), tokio::spawn(late.clone().run(cancel.clone()))];
    append(&feed, &[change(0, 3)]).await;
    let (mut a, mut b) = (early.watch(0), late.watch(0));
    assert_eq!(take(&mut a, 4).await, take(&mut b, 4).await);
    cancel.cancel();
    for task in tasks {
        task.await.unwrap();
    }
    pool.close().await.unwrap();
}

async fn a_reader_behind_the_ring_reads_the_log(db: TestDb) {
    const MANY: usize = 5_000;
    let (pool, feed) = open(&db).await;
    let hub = Hub::open(feed.clone()).await.unwrap();
    let cancel = CancellationToken::new();
    let reading = tokio::spawn(hub.clone().run(cancel.clone()));
    let mut slow = hub.watch(hub.head());
    let changes: Vec<_> = (0..MANY).map(|n| change(0, n)).collect();
    append(&feed, &changes).await;
    let mut quick = hub.watch(hub.head());
    append(&feed, &[change(1, 0)]).await;
    take(&mut quick, 1).await;
    let seen = take(&mut slow, MANY + 1).await;
    let keys: Vec<_> = seen.iter().map(|(_, key)| key.clone()).collect();
    let wanted: Vec<_> = changes.iter().map(|change| change.key.clone()).chain(["1-0".to_owned()]).collect();
    assert_eq!(keys, wanted);
    cancel.cancel();
    reading.await.unwrap();
    pool.close().await.unwrap();
}

async fn cursors_know_their_log(db: TestDb) {
    let (pool, feed) = open(&db).await;
    append(&feed, &[change(0, 0), change(0, 1)]).await;
    let head = feed.head().await.unwrap();
    let resume = |cursor: Cursor| {
        let feed = Arc::new(feed.clone());
        async move { feed.resume(cursor).await.unwrap() }
    };
    assert_eq!(resume(feed.cursor(head)).await, Ok(head));
    assert_eq!(resume(feed.cursor(0)).await, Ok(0));
    assert_eq!(resume(feed.cursor(head + 1)).await, Err(CursorError::Invalid), "nobody was given that one");
    assert_eq!(resume(Cursor { epoch: 7, seq: head }).await, Err(CursorError::Invalid), "another log");
    assert_eq!(Feed::open(pool.clone(), 99).await.unwrap().cursor(1), feed.cursor(1), "a log keeps its name");
    besty::db::execute(pool.pool(), "UPDATE feed_state SET floor = 1", []).await.unwrap();
    assert_eq!(resume(feed.cursor(0)).await, Err(CursorError::Expired));
    pool.close().await.unwrap();
}

/// A call that writes a batch answers how far the log goes; what it answers has to be what is in the log.
async fn unwatched_the_head_is_known_from_what_was_committed(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    let hub = app.running().hub();
    let mut committed = hub.feed().committed();
    for n in 1..=20 {
        let unread = committed.borrow_and_update().unread;
        let mut event = events::named(n % 3);
        event["timestamp"] = json!(format!("2026-03-01T22:00:{n:02}Z"));
        app.apply(&event).await;
        let (head, committed) = (hub.feed().head().await.unwrap(), *committed.borrow());
        assert_eq!(head, i64::from(n), "nothing else is written");
        let wanted = match app.running().db().backend() {
            DbBackend::Sqlite => (0, unread + 1),
            // Nothing that has to be read.
            _ => (head, unread),
        };
        assert_eq!((committed.seq, committed.unread), wanted);
        let moved = async {
            while hub.head() != head {
                tokio::task::yield_now().await;
            }
        };
        within("the head", moved).await;
    }
    app.stop().await;
}
