//! Two processes of one database that write at the same moment: what a write was decided upon is checked when
//! it is made, so that nothing is undone that the other wrote in between.
//!
//! PostgreSQL only: a SQLite file has one process, and nothing is decided before it may write.

use std::sync::Arc;

use besty::{
    feed::Feed,
    reservations::{
        ReservationEvent, ReservationFilter,
        batch::{self, Applied},
        event::{self, Parsed},
        recent::Recent,
        store,
    },
};
use chrono::DateTime;
use migration::MigratorTrait as _;
use serde_json::{Value, json};

use crate::support::{TestDb, events::event, fold, within};

/// The webhook id of the event whose write is held back. Only the write has it, not the read before.
const HELD: &str = "wh_held";

/// What a process needs to write.
struct Process {
    feed: Feed,
    recent: Recent,
}

impl Process {
    async fn start(db: &TestDb) -> Self {
        let pool = db.connect().await;
        migration::Migrator::up(pool.pool(), None).await.unwrap();
        Self { feed: Feed::open(pool, 1).await.unwrap(), recent: Recent::default() }
    }

    async fn apply(&self, event: &Value) -> Applied {
        let events = [Arc::new(parsed(event))];
        let applying = batch::apply(&self.feed, &self.recent, &events, DateTime::UNIX_EPOCH);
        within("an event to be applied", Box::pin(applying)).await.unwrap()[0]
    }
}

fn parsed(event: &Value) -> ReservationEvent {
    match event::parse(event.to_string().as_bytes()) {
        Ok(Parsed::Event(event)) => *event,
        other => panic!("{other:?}"),
    }
}

/// An event about a reservation of the one guest, and what it says of them.
fn says(reservation: &str, seconds: u32, guest: Value) -> Value {
    let mut event = event(reservation, "guest_1", "modified", seconds);
    event["data"]["guest"] = guest;
    event
}

/// One process applies `before`, and decides upon `held`; before it can write, the other applies `meanwhile`, and
/// in the end `after`. It all ends as if each had been applied by itself.
async fn end_as_one_by_one(before: &[Value], mut held: Value, meanwhile: Value, after: &[Value]) {
    let (db, proxy) = TestDb::postgres_behind_proxy().await;
    let (one, other) = (Process::start(&db).await, Process::start(&db).await);
    for event in before {
        assert_eq!(one.apply(event).await, Applied::Applied);
    }
    held["webhookId"] = json!(HELD);
    proxy.hold_request(HELD);
    let in_between = async {
        within("the write", proxy.held()).await;
        assert_eq!(other.apply(&meanwhile).await, Applied::Applied);
        proxy.let_go();
    };
    tokio::join!(one.apply(&held), in_between);
    for event in after {
        other.apply(event).await;
    }
    let events: Vec<_> = [before, &[held, meanwhile], after].concat().iter().map(parsed).collect();
    let pool = db.connect().await;
    let rows = store::latest(&pool, &ReservationFilter::default(), 100, 0).await.unwrap();
    fold::check_rows(&rows, &events);
    fold::check_log(&pool, &rows).await;
    for pool in [&pool, one.feed.db(), other.feed.db()] {
        pool.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_known_of_a_guest_does_not_become_older() {
    end_as_one_by_one(
        &[says("res_1", 10, json!({ "firstName": "Ada" }))],
        says("res_2", 30, json!({ "firstName": "Ada" })),
        says("res_1", 40, json!({ "firstName": "Ada" })),
        // Known before that to be wrong.
        &[says("res_3", 35, json!({ "firstName": "Bob" }))],
    )
    .await;
}

#[tokio::test]
async fn what_was_learned_of_a_guest_is_not_undone() {
    end_as_one_by_one(
        &[says("res_1", 10, json!({ "firstName": "Ada", "email": "old@example.com" }))],
        says("res_2", 30, json!({ "firstName": "Ada" })),
        says("res_1", 40, json!({ "email": "new@example.com" })),
        &[],
    )
    .await;
}

#[tokio::test]
async fn a_new_row_has_its_guest_as_they_are_in_the_log_and_in_the_table() {
    end_as_one_by_one(
        &[says("res_1", 10, json!({ "email": "old@example.com" }))],
        says("res_2", 30, json!({})),
        says("res_1", 40, json!({ "email": "new@example.com" })),
        &[],
    )
    .await;
}

#[tokio::test]
async fn a_guest_who_is_met_twice_at_once_is_one() {
    end_as_one_by_one(
        &[],
        says("res_1", 10, json!({ "firstName": "Ada", "email": "old@example.com" })),
        says("res_2", 20, json!({ "firstName": "Bob" })),
        &[],
    )
    .await;
}

#[tokio::test]
async fn a_row_does_not_become_older() {
    end_as_one_by_one(
        &[says("res_1", 10, json!({}))],
        says("res_1", 30, json!({})),
        says("res_1", 40, json!({})),
        &[],
    )
    .await;
}

#[tokio::test]
async fn a_row_that_is_new_to_both_is_the_newer_one() {
    let (older, newer) = (says("res_1", 10, json!({})), says("res_1", 20, json!({})));
    end_as_one_by_one(&[], older.clone(), newer.clone(), &[]).await;
    end_as_one_by_one(&[], newer, older, &[]).await;
}
