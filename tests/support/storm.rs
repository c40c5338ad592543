//! Watchers that are cut off at random while events come in and server processes are killed: each must
//! see every change that touches its filter exactly once and in order, as the log has them.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use besty::{
    feed::{Cursor, Entry, Feed, Topic},
    reservations::{
        ReservationFilter, Status,
        change::{ReservationChange, Transition},
    },
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    TestDb,
    app::{Provider, SECRET, answer},
    balancer::Balancer,
    binary::Server,
    events::event,
    follow::{Follower, Told, Transport},
};

/// Reservations that the events are about, so that those of one are seconds apart.
pub const RESERVATIONS: u64 = 800;
const PROPERTIES: u64 = 5;
/// The longest that a watcher is let be.
const LONGEST: Duration = Duration::from_secs(3);
/// How long the watchers may take to come to the end once the last event is in.
const CATCH_UP: Duration = Duration::from_secs(30);
/// How long whoever posts keeps a connection that it does not use. What is kept for longer than a server that goes
/// says so with every answer may be closed at the moment it is used again; a busy machine takes its time in between.
const KEPT_IDLE: Duration = Duration::from_millis(500);
/// Between two tries of a server that is away.
const RETRY: Duration = Duration::from_millis(20);

/// What is let loose.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// Server processes on the one database.
    pub processes: usize,
    /// Watchers of each transport.
    pub watchers: usize,
    /// Events a second.
    pub per_second: u64,
    /// For how long.
    pub length: Duration,
    /// One process goes and another comes after each of these.
    pub kill_every: Duration,
    /// How it goes.
    pub going: Going,
}

/// How a process goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// By SIGKILL. Clients look for another one by themselves.
    Killed,
    /// By SIGTERM, behind a balancer: clients know nothing of processes.
    Replaced,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Changes in the log.
    pub changes: usize,
    /// What all watchers were told.
    pub told: usize,
    /// Connections that a watcher opened.
    pub connections: usize,
    /// Processes that were killed, or replaced.
    pub kills: usize,
    /// Posts that were not answered 200 at their first try, by what stood in the way.
    pub refused: Vec<String>,
    /// From the last event to the last watcher's end.
    pub caught_up: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { changes, told, connections, kills, refused, caught_up } = self;
        write!(
            f,
            "{changes} changes, told {told} times over {connections} connections, {kills} processes gone; \
             {} posts tried again; all at the end {caught_up:.1?} after the last event",
            refused.len()
        )
    }
}

/// Where the processes listen; the place of one that is down still has its last address.
pub type Bases = Arc<Mutex<Vec<String>>>;

/// One who watches.
#[derive(Debug)]
struct Watcher {
    transport: Transport,
    filter: (Value, ReservationFilter),
    told: Arc<Mutex<Vec<Told>>>,
}

impl Watcher {
    fn new(n: usize, transport: Transport) -> Self {
        let property = format!("property_{}", n % 5);
        let by_property = || ReservationFilter {
            property_ids: Some(vec![property.clone()]),
            ..ReservationFilter::default()
        };
        let cancelled = Some(vec![Status::Cancelled]);
        let filter = match n % 4 {
            _ if transport == Transport::Events => (json!({}), ReservationFilter::default()),
            0 => (json!({}), ReservationFilter::default()),
            1 => (json!({ "propertyIds": [property] }), by_property()),
            2 => (
                json!({ "statuses": ["CANCELLED"] }),
                ReservationFilter { statuses: cancelled, ..ReservationFilter::default() },
            ),
            _ => (
                json!({ "propertyIds": [property], "statuses": ["CANCELLED"] }),
                ReservationFilter { statuses: cancelled, ..by_property() },
            ),
        };
        Self { transport, filter, told: Arc::default() }
    }

    /// What it is to be told of these.
    fn due(&self, log: &[Arc<Entry>]) -> Vec<Told> {
        let touching = |entry: &Arc<Entry>| {
            let transition = match ReservationChange::of(entry)?.transition(&self.filter.1)? {
                _ if self.transport == Transport::Events => "",
                Transition::Entered => "ENTERED",
                Transition::Stayed => "STAYED",
                Transition::Left => "LEFT",
            };
            Some(Told { seq: entry.seq, key: entry.key.clone(), transition: transition.to_owned() })
        };
        log.iter().filter_map(touching).collect()
    }

    /// Watches until it was told of the change that ends it; answers how often it connected.
    async fn watch(
        &self,
        bases: Bases,
        from: String,
        mut end: watch::Receiver<Option<i64>>,
        mut rng: StdRng,
    ) -> usize {
        let (http, mut after, mut connections) = (besty::app::http_client().unwrap(), from, 0);
        loop {
            let base = any(&bases, &mut rng);
            connections += 1;
            // Often at once, so that connections are cut while they are being opened, too.
            let cut = Instant::now() + LONGEST.mul_f64(rng.random_range(0.0_f64..1.0).powi(2));
            let open = Follower::open(&http, &base, self.transport, &self.filter.0, &after);
            let Ok(Ok(mut follower)) = tokio::time::timeout_at(cut, open).await else {
                sleep(RETRY).await;
                continue;
            };
            loop {
                if end.borrow_and_update().is_some_and(|end| self.last() >= end) {
                    return connections;
                }
                tokio::select! {
                    biased;
                    () = sleep_until(cut) => break,
                    _ = end.changed() => {}
                    next = follower.next() => match next {
                        Ok((cursor, told)) => {
                            self.told.lock().unwrap().push(told);
                            after = cursor;
                        }
                        Err(_) => break,
                    }
                }
            }
        }
    }

    /// The newest change it was told of.
    fn last(&self) -> i64 {
        self.told.lock().unwrap().last().map_or(0, |told| told.seq)
    }
}

fn any(bases: &Bases, rng: &mut StdRng) -> String {
    let bases = bases.lock().unwrap();
    bases[rng.random_range(0..bases.len())].clone()
}

/// The `n`th event: each reservation in turn, moved between properties and statuses.
pub fn nth(n: u64) -> Value {
    let (reservation, round) = (n % RESERVATIONS, n / RESERVATIONS);
    let status = ["confirmed", "modified", "cancelled"][usize::try_from((reservation + round) % 3).unwrap()];
    let mut event = event(
        &format!("res_{reservation}"),
        &format!("guest_{reservation}"),
        status,
        u32::try_from(round).unwrap(),
    );
    event["data"]["propertyId"] = json!(format!("property_{}", (reservation + round / 2) % PROPERTIES));
    // Complete from the start, so that nobody is looked up.
    event["data"]["guest"] =
        json!({ "firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.com", "phone": "+1" });
    event
}

/// Posts an event to any process until one of them says 200; answers what came of it, and what stood in the way at
/// first.
async fn post(
    http: reqwest::Client,
    bases: Bases,
    event: Value,
    mut rng: StdRng,
) -> (String, Option<String>) {
    let mut refused = None;
    loop {
        let url = format!("{}/webhooks", any(&bases, &mut rng));
        let sent = http.post(url).header("x-webhook-secret", SECRET).body(event.to_string()).send().await;
        let problem = match sent {
            Ok(response) if response.status() == 200 => match response.json::<Value>().await {
                Ok(body) => return (body["result"].as_str().unwrap().to_owned(), refused),
                Err(error) => format!("{error:?}"),
            },
            Ok(response) => response.status().to_string(),
            Err(error) => format!("{error:?}"),
        };
        refused.get_or_insert(problem);
        sleep(RETRY).await;
    }
}

/// Posts all events at their rate; answers their results, and what stood in the way of those that took more than one
/// try.
async fn post_all(storm: Storm, bases: Bases) -> (Vec<String>, Vec<String>) {
    let http = reqwest::Client::builder().pool_idle_timeout(KEPT_IDLE).build().unwrap();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(storm.per_second).unwrap());
    let mut posts = JoinSet::new();
    for n in 0..storm.per_second * storm.length.as_secs() {
        tick.tick().await;
        posts.spawn(post(http.clone(), Arc::clone(&bases), nth(n), StdRng::seed_from_u64(n)));
    }
    let (results, refused): (Vec<_>, Vec<_>) = posts.join_all().await.into_iter().unzip();
    (results, refused.into_iter().flatten().collect())
}

/// What it is let loose on, for whoever brings trouble.
#[derive(Debug)]
pub struct Ground<'a> {
    /// The database.
    pub db: &'a TestDb,
    /// The processes.
    pub servers: Vec<Server>,
    /// Where each of them listens.
    pub processes: Bases,
    storm: Storm,
    guest_api: &'a str,
    balancer: Option<&'a Balancer>,
    over: watch::Receiver<bool>,
}

impl Ground<'_> {
    /// Waits until all events are posted and every watcher is at its end.
    pub async fn until_over(&mut self) {
        // An error says that it can't come any more.
        let _ = self.over.wait_for(|over| *over).await;
    }

    /// Kills a process, and starts another in its place.
    pub async fn kill_and_start(&mut self, n: usize) {
        self.servers.remove(n).kill().await;
        self.start(n).await;
    }

    /// Has a process go in order, and starts another in its place.
    async fn replace(&mut self, n: usize) {
        self.servers.remove(n).stop().await;
        self.start(n).await;
    }

    async fn start(&mut self, n: usize) {
        let server = start(self.storm, self.db, self.guest_api, n).await;
        self.processes.lock().unwrap()[n].clone_from(&server.url);
        if let Some(balancer) = self.balancer {
            balancer.replace(n, &server.url);
            super::within("the new process to be ready", async {
                while balancer.ready() < self.storm.processes {
                    sleep(RETRY).await;
                }
            })
            .await;
        }
        self.servers.insert(n, server);
    }
}

/// Has one process after the other go and starts another, until it is over; answers how many.
async fn take_turns(mut ground: Ground<'_>) -> usize {
    for n in 0.. {
        tokio::select! {
            () = sleep(ground.storm.kill_every) => {}
            () = ground.until_over() => return n,
        }
        let n = n % ground.servers.len();
        match ground.storm.going {
            Going::Killed => ground.kill_and_start(n).await,
            Going::Replaced => ground.replace(n).await,
        }
    }
    unreachable!("the loop ends by its return");
}

async fn start(storm: Storm, db: &TestDb, guest_api: &str, n: usize) -> Server {
    let spool = db.folder().join(format!("spool-{n}.db"));
    let delay = if storm.going == Going::Replaced { "3" } else { "0" };
    let set =
        [("SPOOL_PATH", spool.to_str().unwrap()), ("DB_POOL_MAX", "8"), ("SHUTDOWN_DELAY_SECONDS", delay)];
    Server::start(db, guest_api, &set).await
}

/// The position that a list is read at.
pub async fn stream_cursor(base: &str) -> String {
    let query = json!({ "query": "{reservations(first: 1) {streamCursor}}" });
    let request = besty::app::http_client().unwrap().post(format!("{base}/graphql")).json(&query);
    let (_, body) = answer(request).await;
    body["data"]["reservations"]["streamCursor"].as_str().unwrap().to_owned()
}

/// Lets it loose, and stops the test where a watcher was told something else than the log has.
pub async fn run(db: TestDb, storm: Storm) -> Report {
    let provider = Provider::quick().await;
    let (report, kills) = run_beside(&db, storm, &provider.url, take_turns).await;
    Report { kills, ..report }
}

/// The same, with `trouble` of one's own beside it; its result too.
pub async fn run_beside<T>(
    db: &TestDb,
    storm: Storm,
    guest_api: &str,
    trouble: impl AsyncFnOnce(Ground<'_>) -> T,
) -> (Report, T) {
    let mut servers = Vec::new();
    for n in 0..storm.processes {
        servers.push(start(storm, db, guest_api, n).await);
    }
    let urls: Vec<_> = servers.iter().map(|server| server.url.clone()).collect();
    let from = stream_cursor(&urls[0]).await;
    let balancer = match storm.going {
        Going::Killed => None,
        Going::Replaced => Some(Balancer::before(urls.clone()).await),
    };
    let processes: Bases = Arc::new(Mutex::new(urls));
    // What clients know of.
    let bases = match &balancer {
        None => Arc::clone(&processes),
        Some(balancer) => Arc::new(Mutex::new(vec![balancer.url.clone()])),
    };
    let watchers: Vec<_> = Transport::ALL
        .into_iter()
        .flat_map(|transport| (0..storm.watchers).map(move |n| Arc::new(Watcher::new(n, transport))))
        .collect();
    let (mut ends, mut watching) = (Vec::new(), JoinSet::new());
    for (n, watcher) in watchers.iter().enumerate() {
        let (end, ended) = watch::channel(None);
        let (watcher, bases, from) = (Arc::clone(watcher), Arc::clone(&bases), from.clone());
        let rng = StdRng::seed_from_u64(n as u64);
        watching.spawn(async move { watcher.watch(bases, from, ended, rng).await });
        ends.push(end);
    }

    let (stop, over) = watch::channel(false);
    let posting = async {
        let (results, refused) = post_all(storm, Arc::clone(&bases)).await;
        nothing_queued(&processes).await;
        let log = whole_log(db, &from, &results).await;
        let posted = Instant::now();
        for (watcher, end) in watchers.iter().zip(&ends) {
            end.send_replace(Some(watcher.due(&log).last().map_or(0, |told| told.seq)));
        }
        let done = tokio::time::timeout(CATCH_UP, watching.join_all()).await;
        check(&watchers, &log);
        stop.send_replace(true);
        let connections = done.expect("every watcher is at its end").iter().sum();
        let told = watchers.iter().map(|watcher| watcher.told.lock().unwrap().len()).sum();
        Report { changes: log.len(), told, connections, kills: 0, refused, caught_up: posted.elapsed() }
    };
    let ground = Ground {
        db,
        servers,
        processes: Arc::clone(&processes),
        storm,
        guest_api,
        balancer: balancer.as_ref(),
        over,
    };
    tokio::join!(posting, trouble(ground))
}

/// Waits until no process has anything in its spool that it is still to write, whether it was killed meanwhile
/// or not.
async fn nothing_queued(processes: &Bases) {
    let http = besty::app::http_client().unwrap();
    super::within("what was queued", async {
        loop {
            let urls = processes.lock().unwrap().clone();
            let asked = urls.iter().map(|url| {
                let request = http.get(format!("{url}/readyz"));
                async { request.send().await.ok()?.text().await.ok() }
            });
            let answers = futures::future::join_all(asked).await;
            if answers.iter().all(|answer| answer.as_deref() == Some("ready\n")) {
                return;
            }
            sleep(RETRY).await;
        }
    })
    .await;
}

/// Everything after `from`, when all that was accepted is in it.
async fn whole_log(db: &TestDb, from: &str, results: &[String]) -> Vec<Arc<Entry>> {
    let pool = db.connect().await;
    let feed = Feed::open(pool.clone(), 0).await.unwrap();
    let mut log = feed.read_after(Cursor::parse(from).unwrap().seq, 1_000_000).await.unwrap();
    log.retain(|entry| entry.topic == Topic::Reservation);
    let count = |what: &str| results.iter().filter(|result| *result == what).count();
    // What was queued may have turned out to be stale when it was written.
    let most = results.len();
    let least = most - count("stale") - count("queued");
    assert!(
        (least..=most).contains(&log.len()),
        "each event is in the log once: {least} <= {} <= {most}",
        log.len()
    );
    pool.close().await.unwrap();
    log
}

/// Each was told exactly what is due, in order.
fn check(watchers: &[Arc<Watcher>], log: &[Arc<Entry>]) {
    for watcher in watchers {
        let (told, due) = (watcher.told.lock().unwrap(), watcher.due(log));
        let differs = told.iter().zip(&due).position(|(told, due)| told != due);
        let at = differs.unwrap_or(told.len().min(due.len()));
        assert!(
            *told == due,
            "{:?} {}: told {} of {}; at {at} it was told {:?} where {:?} was due",
            watcher.transport,
            watcher.filter.0,
            told.len(),
            due.len(),
            told.get(at),
            due.get(at),
        );
    }
}
