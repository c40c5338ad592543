//! A broadcast against an unpublished limit. `make bench-broadcast` brings the PostgreSQL and builds the server
//! as it is shipped.
//!
//! First the pacer alone against simulated servers, beside the figures of the reference model. Then the server
//! itself, on SQLite and on PostgreSQL, against the stand-in Guest API over HTTP: 1,000 guests at 50/s with a
//! burst of 10, with nothing remembered and once more.
#![expect(clippy::disallowed_methods, reason = "a bench measures the time that passes")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a bench may stop at what it did not expect")]

#[expect(dead_code, unused_imports, reason = "the bench looks at the table alone")]
#[path = "../src/guest_api/pacer/mod.rs"]
mod pacer;

#[expect(dead_code, reason = "shared with the other benches, which use the rest")]
#[path = "support/mod.rs"]
mod support;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use besty::{
    app,
    sandbox::{self, GuestApi, GuestApiSettings, Report},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use pacer::simulation::{Figures, ROWS, measure};
use support::{Bar, Row, SECRET, new_database, seconds, start_server};

/// Seconds that the limit allows at the least: 1,000 guests at 50/s.
const IDEAL: u64 = 20;
/// Messages a second that are let through.
const LIMIT: u64 = 50;
const SEEDS: [u64; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
/// `BROADCAST_CONCURRENCY`, as it is by default.
const IN_FLIGHT: usize = 10;

fn main() {
    // `cargo test` runs benches too, with this flag, to see that they build.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    table();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}?mode=rwc", folder.path().join("bench.db").display());
    let mut met = runtime.block_on(over_http("SQLite", &sqlite, folder.path()));
    if let Some(postgres) = new_database("bench_broadcast") {
        met &= runtime.block_on(over_http("PostgreSQL", &postgres, folder.path()));
    }
    assert!(met, "a bar was missed");
}

fn table() {
    println!("Simulated: % of the limit used, % answered 429; ours | reference. Ten seeds.");
    println!("{:34} {:^29}   {:^29}", "", "nothing remembered", "the true rate remembered");
    for row in &ROWS {
        let cold = measure(row, &SEEDS, false).map_or_else(String::new, |ours| beside(ours, row.reference));
        let warm = measure(row, &SEEDS, true).zip(row.reference_warm);
        let warm = warm.map_or_else(String::new, |(ours, reference)| beside(ours, reference));
        println!("{:34} {cold}   {warm}", row.name);
    }
}

fn beside(ours: Figures, reference: Figures) -> String {
    format!(
        "{:5.1} {:4.2} % | {:5.1} {:4.2} %",
        ours.utilisation, ours.refused, reference.utilisation, reference.refused
    )
}

/// Two broadcasts, one after the other. Answers whether the bars were met.
async fn over_http(name: &str, database: &str, folder: &Path) -> bool {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (api, cancel) = (GuestApi::new(GuestApiSettings::default()), CancellationToken::new());
    tokio::spawn(sandbox::serve(listener, api.clone(), cancel.clone()));
    let in_flight = IN_FLIGHT.to_string();
    let (_server, address) = start_server(database, &url, folder, &[("BROADCAST_CONCURRENCY", &in_flight)]);
    let guests = usize::try_from(seconds(IDEAL) * LIMIT).unwrap();
    let http = app::http_client().unwrap();
    for n in 1..=guests {
        let post = http
            .post(format!("http://{address}/webhooks"))
            .header("X-Webhook-Secret", SECRET)
            .json(&event(n));
        assert_eq!(post.send().await.unwrap().status(), 200);
    }
    let mut met = true;
    for (what, time, refused) in [("nothing remembered", 1.35, 0.03), ("the next one", 1.08, 0.01)] {
        let (before, start) = (api.report(), Instant::now());
        let post = http.post(format!("http://{address}/api/broadcast")).json(&json!({ "message": "Hello" }));
        let (answer, taken) =
            tokio::join!(post.send(), all_delivered(&api, before.delivered + guests, start));
        assert_eq!(answer.unwrap().status(), 200);
        met &= judge(&format!("{name}, {what}"), (time, refused), taken, (before, api.report()));
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    cancel.cancel();
    met
}

async fn all_delivered(api: &GuestApi, count: usize, start: Instant) -> Duration {
    api.wait_delivered(count).await;
    start.elapsed()
}

fn judge(what: &str, wanted: (f64, f64), taken: Duration, (before, after): (Report, Report)) -> bool {
    let ideal = Duration::from_secs(seconds(IDEAL)).as_secs_f64();
    let time = taken.as_secs_f64() / ideal;
    let count = |part: usize| f64::from(u32::try_from(part).unwrap());
    let refused = count(after.limited - before.limited) / count(after.requests - before.requests);
    println!(
        "{what}: {time:.3} x the ideal time (at most {}), {:.2} % answered 429 (at most {} %), {} in flight at most, \
         {} sent while told to wait",
        wanted.0,
        refused * 100.0,
        wanted.1 * 100.0,
        after.max_in_flight,
        after.violations
    );
    for (promise, figure, baseline, ratio, bar) in [
        (
            "broadcast",
            format!("{:.1} s", taken.as_secs_f64()),
            format!("the limit itself, {ideal} s"),
            time,
            wanted.0,
        ),
        ("broadcast, answered 429", format!("{:.2} %", refused * 100.0), String::new(), refused, wanted.1),
    ] {
        let promise = &format!("{promise}: {what}");
        Row { promise, figure, baseline, ratio, bar: Bar::AtMost(bar) }.print();
    }
    time <= wanted.0 && refused <= wanted.1 && after.max_in_flight <= IN_FLIGHT && after.violations == 0
}

/// A booking of a guest with every field, so that nobody is looked up.
fn event(n: usize) -> Value {
    json!({
        "event": "reservation.created",
        "timestamp": "2026-03-01T00:00:00Z",
        "webhookId": format!("wh_{n}"),
        "data": {
            "reservationId": format!("res_{n}"),
            "propertyId": "property_001",
            "guestId": format!("guest_{n:03}"),
            "status": "confirmed",
            "checkIn": "2026-04-06",
            "checkOut": "2026-04-13",
            "numGuests": 2,
            "totalAmount": 1869.59,
            "currency": "USD",
            "guest": { "firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.com", "phone": "+1" }
        }
    })
}
