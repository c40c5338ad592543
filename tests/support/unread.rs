//! Watchers that read nothing while changes come in: the server's memory stays as it is, and they get
//! everything once they read again.

use std::{fmt, sync::Arc, time::Duration};

use besty::feed::{Cursor, Feed};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use super::{
    TestDb,
    app::{Provider, SECRET},
    binary::Server,
    follow::{Follower, Transport},
    storm::{nth, stream_cursor},
    within,
};

/// Changes before anybody watches, so that what the server keeps of them in memory is full.
const FILL: u64 = 4_500;
/// Posts on their way at once.
const AT_ONCE: usize = 32;

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub struct Unread {
    /// Watchers of each transport.
    pub watchers: usize,
    /// Changes while they do not read.
    pub events: u64,
    /// How many a second; as fast as they are taken, where there is none.
    pub per_second: Option<u32>,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// How much more memory the server had at most while they did not read, in bytes.
    pub growth: u64,
    /// How long they did not read.
    pub unread: Duration,
    /// How long it took them then to get everything.
    pub reading: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { growth, unread, reading } = self;
        let growth = growth / 1_024;
        write!(f, "nothing read for {unread:.1?}: the server grew by {growth} KiB; all read in {reading:.1?}")
    }
}

/// Posts the events from `from` on, each of which must be applied.
async fn post(base: &str, from: u64, count: u64, per_second: Option<u32>) {
    let (http, at_once) = (besty::app::http_client().unwrap(), Arc::new(Semaphore::new(AT_ONCE)));
    let (start, mut posts) = (Instant::now(), JoinSet::new());
    for n in from..from + count {
        if let Some(rate) = per_second {
            let due = Duration::from_secs(1) / rate * u32::try_from(n - from).unwrap();
            tokio::time::sleep_until(start + due).await;
        }
        let permit = Arc::clone(&at_once).acquire_owned().await.unwrap();
        let post = http.post(format!("{base}/webhooks")).header("x-webhook-secret", SECRET);
        let post = post.body(nth(n).to_string());
        posts.spawn(async move {
            let response = post.send().await.unwrap();
            drop(permit);
            response.text().await.unwrap()
        });
    }
    let answers = posts.join_all().await;
    assert!(answers.iter().all(|answer| answer == "{\"ok\":true,\"result\":\"applied\"}"));
}

/// Tries it, and stops the test where a watcher does not get everything.
pub async fn run(db: TestDb, unread: Unread) -> Report {
    let provider = Provider::quick().await;
    let server = Server::start(&db, &provider.url, &[]).await;
    post(&server.url, 0, FILL, None).await;
    let (http, from) = (besty::app::http_client().unwrap(), stream_cursor(&server.url).await);
    let mut followers = Vec::new();
    for transport in Transport::ALL.into_iter().flat_map(|one| std::iter::repeat_n(one, unread.watchers)) {
        let opened = Follower::open_unread(&http, &server.url, transport, &json!({}), &from).await;
        followers.push((transport, opened.expect("a connection")));
    }

    // One change goes to everybody, so that all of them are being served when the memory is measured.
    post(&server.url, FILL, 1, None).await;
    for (transport, follower) in &mut followers {
        let first = within("the first change", follower.next()).await;
        assert!(first.is_ok(), "{transport:?}: lost");
    }
    let (start, before) = (Instant::now(), server.resident());
    let mut most = before;
    {
        let mut posting = std::pin::pin!(post(&server.url, FILL + 1, unread.events, unread.per_second));
        while tokio::time::timeout(Duration::from_millis(200), &mut posting).await.is_err() {
            most = most.max(server.resident());
        }
    }
    let (most, unread) = (most.max(server.resident()), start.elapsed());

    let start = Instant::now();
    let due = changes_after(&db, &from).await;
    let mut reading = JoinSet::new();
    for (transport, mut follower) in followers {
        let due = Arc::clone(&due);
        reading.spawn(async move {
            for seq in &due[1..] {
                let next = within("what was not read", follower.next()).await;
                assert_eq!(next.map(|(_, told)| told.seq).ok(), Some(*seq), "{transport:?}");
            }
        });
    }
    while let Some(read) = reading.join_next().await {
        read.unwrap();
    }
    Report { growth: most - before, unread, reading: start.elapsed() }
}

async fn changes_after(db: &TestDb, from: &str) -> Arc<Vec<i64>> {
    let pool = db.connect().await;
    let feed = Feed::open(pool.clone(), 0).await.unwrap();
    let log = feed.read_after(Cursor::parse(from).unwrap().seq, 1_000_000).await.unwrap();
    pool.close().await.unwrap();
    Arc::new(log.iter().map(|entry| entry.seq).collect())
}
