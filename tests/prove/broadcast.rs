//! Fifty SIGKILLs at random moments, two processes on a database, and broadcasts to thousands: every guest has
//! the message; sent twice are at most those that were SENDING at a kill, and with a provider that honours the
//! key nobody gets it twice; each broadcast completes once, and its counts are those of the rows.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use besty::{
    db::{self, Db},
    sandbox::GuestApiSettings,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use crate::support::{
    TestDb,
    app::{Provider, answer},
    binary::Server,
};

/// Pairs of processes, side by side: most of the time they wait for a lease to run out.
const PAIRS: u64 = 5;
const KILLS: usize = 10;
const GUESTS: usize = 3_000;
/// From one kill to the next: before, at and after the moment when the other process takes over.
const BETWEEN_MS: std::ops::Range<u64> = 6_500..11_000;
const END: Duration = Duration::from_mins(3);

/// What one pair went through.
#[derive(Debug)]
#[expect(dead_code, reason = "the figures are printed")]
struct Figures {
    honours_key: bool,
    was_sending: usize,
    sent_twice: usize,
    delivered: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_at_random_moments() {
    let seed = u64::from(rand::rng().random::<u32>());
    println!("seed {seed}");
    let pairs: Vec<_> = (0..PAIRS).map(|n| tokio::spawn(pair(n % 2 == 0, seed + n))).collect();
    for pair in pairs {
        println!("{:?}", pair.await.unwrap());
    }
}

async fn pair(honours_key: bool, seed: u64) -> Figures {
    let mut rng = StdRng::seed_from_u64(seed);
    let db = TestDb::postgres().await;
    let latency = Duration::from_millis(50);
    let settings = GuestApiSettings { limit: None, latency, honours_key, ..GuestApiSettings::default() };
    let provider = Provider::start(settings).await;
    let mut servers = VecDeque::from([
        Server::start(&db, &provider.url, &[]).await,
        Server::start(&db, &provider.url, &[]).await,
    ]);
    let pool = db.connect().await;
    let sql = format!(
        "INSERT INTO reservations (reservation_id, property_id, guest_id, status, check_in, check_out, num_guests, \
         total_amount, currency) SELECT 'res_' || i, 'p', 'guest_' || i, 'confirmed', DATE '2026-04-06', \
         DATE '2026-04-13', 2, 100, 'USD' FROM generate_series(1, {GUESTS}) AS i"
    );
    db::execute(pool.pool(), sql, []).await.unwrap();
    let http = besty::app::http_client().unwrap();
    let start = http.post(format!("{}/api/broadcast", servers[0].url)).header("prefer", "respond-async");
    assert_eq!(answer(start.json(&json!({ "message": "Hello" }))).await.0, 202);

    let mut was_sending = BTreeSet::new();
    for n in 0..KILLS {
        let wait = if n == 0 { rng.random_range(0..1_500) } else { rng.random_range(BETWEEN_MS) };
        tokio::time::sleep(Duration::from_millis(wait)).await;
        // The older one: it holds the lease, or is about to.
        servers.pop_front().unwrap().kill().await;
        was_sending.extend(sending(&pool).await);
        servers.push_back(Server::start(&db, &provider.url, &[]).await);
    }
    completed(&pool).await;
    let guests = i64::try_from(GUESTS).unwrap();
    assert_eq!(states(&pool).await, BTreeMap::from([("sent".to_owned(), guests)]), "nobody is skipped");
    assert_eq!(number(&pool, "SELECT CAST(sent AS BIGINT) AS n FROM broadcasts").await, guests);
    assert_eq!(number(&pool, "SELECT COUNT(*) AS n FROM changes WHERE kind = 'completed'").await, 1, "once");
    let report = provider.api.report();
    assert_eq!(report.distinct_guests, GUESTS, "{report:?}");
    assert!(report.repeats <= was_sending.len(), "{report:?}, {} were SENDING", was_sending.len());
    let twice = if honours_key { 0 } else { report.repeats };
    assert_eq!(report.delivered, GUESTS + twice, "{report:?}");
    let (was_sending, sent_twice, delivered) = (was_sending.len(), report.repeats, report.delivered);
    for server in servers {
        server.kill().await;
    }
    pool.close().await.unwrap();
    Figures { honours_key, was_sending, sent_twice, delivered }
}

/// The messages that are SENDING: guest, epoch and tries.
async fn sending(pool: &Db) -> Vec<(String, i64, i32)> {
    let sql = "SELECT guest_id, epoch, attempts FROM broadcast_recipients WHERE state = 'sending'";
    let rows = db::query_all(pool.pool(), sql, []).await.unwrap();
    rows.iter()
        .map(|row| {
            let value = (row.try_get("", "guest_id"), row.try_get("", "epoch"), row.try_get("", "attempts"));
            (value.0.unwrap(), value.1.unwrap(), value.2.unwrap())
        })
        .collect()
}

async fn states(pool: &Db) -> BTreeMap<String, i64> {
    let sql = "SELECT state, COUNT(*) AS n FROM broadcast_recipients GROUP BY state";
    let rows = db::query_all(pool.pool(), sql, []).await.unwrap();
    rows.iter().map(|row| (row.try_get("", "state").unwrap(), row.try_get("", "n").unwrap())).collect()
}

async fn number(pool: &Db, sql: &str) -> i64 {
    db::query_one(pool.pool(), sql, []).await.unwrap().unwrap().try_get("", "n").unwrap()
}

/// Waits until the broadcast is completed and the change log was told.
async fn completed(pool: &Db) {
    let done = async {
        let told = "SELECT COUNT(*) AS n FROM broadcasts WHERE status = 'completed' AND NOT unreported";
        while number(pool, told).await == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let in_time = tokio::time::timeout(END, done).await.is_ok();
    assert!(in_time, "not completed: {:?}", states(pool).await);
}
