//! The soak: webhooks, watchers, queries and a broadcast at once, for `SOAK_SECONDS` (ten minutes), while
//! PostgreSQL is stopped and started, the process that sends is killed, and the Guest API is down. Each answered
//! webhook is in the log and the table; each watcher was told each change once and in order; each guest has the
//! message, once; and the process that lived through it all holds no more memory than after it had warmed up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use besty::{
    db::{self, Db},
    sandbox::{self, GuestApi, GuestApiSettings},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    outage::postgres,
    support::{
        TestDb,
        app::answer,
        binary::Server,
        follow,
        storm::{self, Bases, Going, Ground, Storm},
    },
};

/// Events a second; the ring of recent changes is full when memory is looked at first.
const PER_SECOND: u64 = 100;
/// What the Guest API lets through.
const MESSAGES_PER_SECOND: u64 = 50;
/// How long PostgreSQL is away, each time.
const STOPPED: Duration = Duration::from_secs(5);
/// Between two queries.
const QUERY: Duration = Duration::from_millis(50);
/// What the process that lived through it may have grown by.
const GROWTH_MAX: u64 = 24 << 20;
/// How long the broadcast may still take when all else is over.
const LAST_MESSAGES: Duration = Duration::from_mins(5);

fn length() -> Duration {
    let seconds = std::env::var("SOAK_SECONDS").map_or(600, |seconds| seconds.parse().expect("SOAK_SECONDS"));
    assert!(seconds >= 60, "SOAK_SECONDS: less than a minute shows nothing");
    Duration::from_secs(seconds)
}

/// A Guest API that can be away and comes back as it was.
struct Provider {
    api: GuestApi,
    address: String,
    running: Option<DropGuard>,
}

impl Provider {
    async fn start() -> Self {
        let settings = GuestApiSettings { honours_key: true, ..GuestApiSettings::default() };
        let mut provider =
            Self { api: GuestApi::new(settings), address: "127.0.0.1:0".to_owned(), running: None };
        provider.come_back().await;
        provider
    }

    fn go_away(&mut self) {
        drop(self.running.take());
    }

    async fn come_back(&mut self) {
        let listener = loop {
            // Connections of before may still hold the address for a moment.
            match TcpListener::bind(&self.address).await {
                Ok(listener) => break listener,
                Err(_) => sleep(QUERY).await,
            }
        };
        self.address = listener.local_addr().unwrap().to_string();
        let cancel = CancellationToken::new();
        tokio::spawn(sandbox::serve(listener, self.api.clone(), cancel.clone()));
        self.running = Some(cancel.drop_guard());
    }
}

/// Guests of a property that no event is about, so that the broadcast's recipients are known.
async fn add_guests(db: &TestDb, guests: u64) {
    let pool = db.connect().await;
    let sql = format!(
        "INSERT INTO reservations (reservation_id, property_id, guest_id, status, check_in, check_out, num_guests, \
         total_amount, currency) SELECT 'soak_' || i, 'soak', 'guest_' || (100000 + i), 'confirmed', DATE '2026-04-06', \
         DATE '2026-04-13', 2, 100, 'USD' FROM generate_series(1, {guests}) AS i"
    );
    db::execute(pool.pool(), sql, []).await.unwrap();
    pool.close().await.unwrap();
}

async fn start_broadcast(url: &str, guests: u64) {
    let query = "mutation($input: BroadcastInput!) { broadcast(input: $input) { recipientCount userErrors { message } } }";
    let input = json!({ "message": "Hello", "filter": { "propertyIds": ["soak"] } });
    let request = json!({ "query": query, "variables": { "input": input } });
    let post = besty::app::http_client().unwrap().post(format!("{url}/graphql")).json(&request);
    let (_, told) = answer(post).await;
    assert_eq!(told["data"]["broadcast"]["recipientCount"], guests, "{told}");
}

/// Asks until dropped. What comes must be right, or say that it can't be had now.
async fn ask(processes: Bases, asked: &AtomicUsize, refused: &AtomicUsize) {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(40)).build().unwrap();
    let query = "{ reservations(first: 20) { nodes { reservationId guest { firstName } } } }";
    for n in 0_usize.. {
        let url = processes.lock().unwrap()[n % 2].clone();
        let sent = http.post(format!("{url}/graphql")).json(&json!({ "query": query })).send().await;
        let body: Option<Value> = match sent {
            Ok(response) => response.json().await.ok(),
            Err(_) => None,
        };
        match body {
            Some(body) if body["errors"].is_null() => {
                assert_eq!(
                    body["data"]["reservations"]["nodes"].as_array().map(Vec::len),
                    Some(20),
                    "{body}"
                );
                asked.fetch_add(1, Ordering::Relaxed);
            }
            Some(body) => {
                assert!(follow::is_passing(&body["errors"]), "{body}");
                refused.fetch_add(1, Ordering::Relaxed);
            }
            None => _ = refused.fetch_add(1, Ordering::Relaxed),
        }
        sleep(QUERY).await;
    }
}

/// Which of them sends: the one with the newest epoch.
fn sender(servers: &[Server]) -> usize {
    let said = servers.iter().map(|server| server.said("this process calls the Guest API now"));
    let epochs = said.enumerate().filter_map(|(n, line)| Some((epoch(&line?), n)));
    epochs.max().expect("one of them sends").1
}

fn epoch(line: &str) -> u64 {
    line.rsplit_once("epoch=").unwrap().1.trim().parse().unwrap()
}

/// What goes wrong, one after the other, and then the end of the broadcast. Answers the memory of the process that
/// lived through it, once it had warmed up and at the end.
async fn trouble(ground: &mut Ground<'_>, length: Duration, provider: &mut Provider) -> (u64, u64) {
    let start = Instant::now();
    // How long things last is what is proven here, so these are times and not signals.
    let at = |percent: u32| sleep_until(start + length * percent / 100);
    at(15).await;
    postgres(&["stop", "-m", "immediate"]).await;
    sleep(STOPPED).await;
    postgres(&["start"]).await;
    at(35).await;
    let killed = sender(&ground.servers);
    let warm = ground.servers[1 - killed].resident();
    ground.kill_and_start(killed).await;
    at(50).await;
    provider.go_away();
    at(60).await;
    provider.come_back().await;
    at(75).await;
    postgres(&["stop", "-m", "fast"]).await;
    sleep(STOPPED).await;
    postgres(&["start"]).await;
    ground.until_over().await;
    completed(ground.db).await;
    (warm, ground.servers[1 - killed].resident())
}

async fn completed(db: &TestDb) {
    let pool = db.connect().await;
    let done = async {
        let sql = "SELECT COUNT(*) AS n FROM broadcasts WHERE status = 'completed'";
        while number(&pool, sql).await == 0 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(LAST_MESSAGES, done).await.expect("the broadcast to be completed");
    pool.close().await.unwrap();
}

async fn number(pool: &Db, sql: &str) -> i64 {
    db::query_one(pool.pool(), sql, []).await.unwrap().unwrap().try_get("", "n").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_whatever_happens_at_once() {
    let (length, db) = (length(), TestDb::postgres().await);
    let mut provider = Provider::start().await;
    let guest_api = format!("http://{}", provider.address);
    let storm = Storm {
        processes: 2,
        watchers: 4,
        per_second: PER_SECOND,
        length,
        // Nothing goes in turns here.
        kill_every: length,
        going: Going::Killed,
    };
    let guests = MESSAGES_PER_SECOND * length.as_secs() * 6 / 10;
    let (asked, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (report, (warm, end)) =
        Box::pin(storm::run_beside(&db, storm, &guest_api, async |mut ground: Ground<'_>| {
            add_guests(&db, guests).await;
            let processes = Arc::clone(&ground.processes);
            let first = processes.lock().unwrap()[0].clone();
            start_broadcast(&first, guests).await;
            tokio::select! {
                () = ask(processes, &asked, &refused) => unreachable!("it asks until the end"),
                memory = trouble(&mut ground, length, &mut provider) => memory,
            }
        }))
        .await;

    let (asked, refused) = (asked.into_inner(), refused.into_inner());
    let messages = provider.api.report();
    println!(
        "{length:?}: {report}; {asked} queries answered, {refused} while something was away; {guests} guests, \
         {} delivered, {} sent twice; memory of the survivor {} KiB, then {} KiB",
        messages.delivered,
        messages.repeats,
        warm >> 10,
        end >> 10
    );
    let pool = db.connect().await;
    let rows = number(&pool, "SELECT COUNT(*) AS n FROM reservations WHERE property_id <> 'soak'").await;
    assert_eq!(rows, storm::RESERVATIONS.cast_signed(), "each reservation is in the table");
    pool.close().await.unwrap();
    let guests = usize::try_from(guests).unwrap();
    assert_eq!((messages.distinct_guests, messages.delivered), (guests, guests), "{messages:?}");
    assert!(asked > refused, "{asked} answered, {refused} not");
    assert!(end <= warm + GROWTH_MAX, "the memory is flat: {} KiB, then {} KiB", warm >> 10, end >> 10);
}
