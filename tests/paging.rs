//! Paging while others write: whatever is there from the first page to the last is met once.

use std::collections::HashMap;

use besty::{
    db::{self, Bind, Db},
    keyset::PageRequest,
    reservations::{
        ReservationFilter,
        store::{self, OrderField},
    },
    sandbox::{Effect, Fault, Kind},
};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::{
    TestApp, TestDb,
    app::Provider,
    events::{created, event},
    on_both,
};

on_both!(
    every_order_is_walked_while_rows_come_and_go,
    the_other_lists_are_walked_while_they_grow,
    pages_are_read_from_the_index_of_their_order,
);

/// Reservations that nobody touches while they are listed.
const STILL: u32 = 60;

async fn start(db: &TestDb) -> (TestApp, Provider) {
    let provider = Provider::quick().await;
    // No look-ups: only the tests write.
    provider.api.faults().add(Fault::always(Effect::answer(404)).on(Kind::Guest));
    (TestApp::start(db, &provider).await, provider)
}

/// A reservation that shares each of its values with others, so that ties are broken all the time.
fn with_ties(reservation: &str, n: u32, at: u32) -> Value {
    let mut one = event(reservation, "guest_1", "modified", at);
    one["data"]["checkIn"] = json!(format!("2026-05-{:02}", 1 + n % 4));
    one["data"]["checkOut"] = json!(format!("2026-05-{:02}", 9 + n % 5));
    one["data"]["totalAmount"] = json!(format!("{}.{}", 10 + n % 3, n % 2));
    one
}

/// Times are of the write, so ties of them have to be made.
async fn tie_times(app: &TestApp) {
    let (create, update) = if app.running().db().backend() == sea_orm::DbBackend::Sqlite {
        (
            "'2026-01-0' || (1 + id % 3) || 'T00:00:00.000000Z'",
            "'2026-02-0' || (1 + id % 4) || 'T00:00:00.123456Z'",
        )
    } else {
        (
            "TIMESTAMPTZ '2026-01-01' + id % 3 * INTERVAL '1 day'",
            "TIMESTAMPTZ '2026-02-01 00:00:00.123456Z' + id % 4 * INTERVAL '1 day'",
        )
    };
    let sql = format!(
        "UPDATE reservations SET created_at = CASE WHEN id % 5 = 0 THEN NULL ELSE {create} END, \
         updated_at = CASE WHEN id % 7 = 0 THEN NULL ELSE {update} END"
    );
    db::execute(app.running().db().pool(), sql, []).await.unwrap();
}

/// Reads a list page by page, from either end, and not before `others` have written something since its first page;
/// answers how often each key was met.
async fn walk(
    app: &TestApp,
    others: &mut watch::Receiver<u32>,
    list: &str,
    fields: &str,
    size: u32,
    order: &Value,
    forward: bool,
) -> HashMap<String, u32> {
    let arguments = if list == "reservations" { ", orderBy: $order" } else { "" };
    let declared = if list == "reservations" { ", $order: ReservationOrder" } else { "" };
    let query = format!(
        "query($first: Int, $last: Int, $after: String, $before: String{declared}) {{ {list}(first: $first, last: $last, \
         after: $after, before: $before{arguments}) {{ nodes {{ {fields} }} \
         pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"
    );
    let (mut met, mut cursor) = (HashMap::new(), Value::Null);
    loop {
        let variables = if forward {
            json!({ "first": size, "after": cursor, "order": order })
        } else {
            json!({ "last": size, "before": cursor, "order": order })
        };
        let page = app.graphql(&query, variables).await[list].clone();
        for node in page["nodes"].as_array().unwrap() {
            *met.entry(node[fields].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let (more, end) =
            if forward { ("hasNextPage", "endCursor") } else { ("hasPreviousPage", "startCursor") };
        cursor = page["pageInfo"][end].clone();
        if page["pageInfo"][more] == json!(false) {
            return met;
        }
        if met.len() <= size as usize {
            others.mark_unchanged();
            others.changed().await.unwrap();
        }
    }
}

/// Writes until told to stop: rows that are new, and rows that move from one place of each order to
/// another.
async fn write(app: &TestApp, stop: &CancellationToken, written: watch::Sender<u32>) {
    let mut n = 0;
    while !stop.is_cancelled() {
        n += 1;
        let (status, body) = app.webhook(&with_ties(&format!("moving_{}", n % 20), n * 7, n % 3_000)).await;
        assert_eq!(status, 200, "{body}");
        app.apply(&with_ties(&format!("new_{n}"), n, 0)).await;
        written.send_replace(n);
    }
}

async fn every_order_is_walked_while_rows_come_and_go(db: TestDb) {
    let (app, _provider) = start(&db).await;
    for n in 0..STILL {
        app.apply(&with_ties(&format!("still_{n}"), n, 0)).await;
    }
    tie_times(&app).await;
    let (stop, (written, mut others)) = (CancellationToken::new(), watch::channel(0));
    let walks = async {
        let _stop = stop.clone().drop_guard();
        for field in ["CHECK_IN", "CHECK_OUT", "CREATED_AT", "UPDATED_AT", "TOTAL_AMOUNT"] {
            for (direction, forward) in [("ASC", true), ("ASC", false), ("DESC", true), ("DESC", false)] {
                let order = json!({ "field": field, "direction": direction });
                let met = walk(&app, &mut others, "reservations", "reservationId", 9, &order, forward).await;
                for n in 0..STILL {
                    let times = met.get(&format!("still_{n}"));
                    assert_eq!(times, Some(&1), "still_{n}: {order}, forward {forward}");
                }
            }
        }
    };
    tokio::join!(walks, write(&app, &stop, written));
    app.stop().await;
}

async fn the_other_lists_are_walked_while_they_grow(db: TestDb) {
    let (app, _provider) = start(&db).await;
    for n in 0..40 {
        app.apply(&created(n)).await;
    }
    let broadcast = async || {
        let start = "mutation { broadcast(input: { message: \"Hello\", filter: {} }) { broadcast { id messages { nodes { id } } } } }";
        app.graphql(start, json!({})).await["broadcast"]["broadcast"]["id"].as_str().unwrap().to_owned()
    };
    let reject = async || {
        assert_eq!(app.webhook(&json!({ "event": "reservation.created" })).await.0, 400);
    };
    let mut broadcasts = Vec::new();
    for _ in 0..10 {
        broadcasts.push(broadcast().await);
        reject().await;
    }
    let (stop, (grown, mut others)) = (CancellationToken::new(), watch::channel(0));
    let rejected = walk(&app, &mut others, "rejectedWebhooks", "id", 50, &Value::Null, true).await;
    assert_eq!(rejected.len(), 10);
    let walks = async {
        let _stop = stop.clone().drop_guard();
        for forward in [true, false] {
            let met = walk(&app, &mut others, "broadcasts", "id", 3, &Value::Null, forward).await;
            assert!(broadcasts.iter().all(|id| met[id] == 1), "{met:?}");
            let met = walk(&app, &mut others, "rejectedWebhooks", "id", 3, &Value::Null, forward).await;
            assert!(rejected.keys().all(|id| met[id] == 1), "{met:?}");
        }
    };
    let grow = async {
        while !stop.is_cancelled() {
            broadcast().await;
            reject().await;
            grown.send_modify(|times| *times += 1);
        }
    };
    tokio::join!(walks, grow);

    // Each message is in one of two states at a time, and moves from one to the other meanwhile.
    let query = "query($id: ID!, $first: Int, $last: Int, $after: String, $before: String) { broadcast(id: $id) { \
                 messages(first: $first, last: $last, after: $after, before: $before) { nodes { id status } \
                 pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }";
    let id = broadcast().await;
    for (count, cursor, more, end) in
        [("first", "after", "hasNextPage", "endCursor"), ("last", "before", "hasPreviousPage", "startCursor")]
    {
        let (mut met, mut at) = (HashMap::new(), Value::Null);
        loop {
            let data = app.graphql(query, json!({ "id": id, count: 7, cursor: at })).await;
            let page = &data["broadcast"]["messages"];
            for node in page["nodes"].as_array().unwrap() {
                *met.entry(node["id"].to_string()).or_insert(0) += 1;
            }
            at = page["pageInfo"][end].clone();
            if page["pageInfo"][more] == json!(false) {
                break;
            }
        }
        assert!(met.len() == 40 && met.values().all(|times| *times == 1), "{met:?}");
    }
    app.stop().await;
}

/// How the database would run a statement, in its own words.
async fn explained(db: &Db, sql: &str, bind: Bind) -> String {
    let (explain, column) =
        if bind.is_sqlite() { ("EXPLAIN QUERY PLAN", "detail") } else { ("EXPLAIN", "QUERY PLAN") };
    let lines = db::query_all(db.pool(), format!("{explain} {sql}"), bind.into_values()).await.unwrap();
    let lines: Vec<String> = lines.iter().map(|line| line.try_get("", column).unwrap()).collect();
    lines.join("\n")
}

/// How it would read a page.
async fn plan(db: &Db, order: OrderField, descending: bool, request: &PageRequest) -> String {
    let mut bind = Bind::new(db.backend());
    let keyset = store::keyset(order, descending, bind.is_sqlite());
    let page = keyset.page_sql("SELECT * FROM reservations", "TRUE", request, &mut bind);
    explained(db, &page, bind).await
}

/// On PostgreSQL.
async fn who_stays_is_looked_up_by_length_of_stay(db: &Db) {
    let spread = "UPDATE reservations SET check_in = DATE '2026-01-01' + id % 300, \
                  check_out = DATE '2026-01-02' + id % 300 + id % 13";
    db::execute(db.pool(), spread, []).await.unwrap();
    db::execute(db.pool(), "ANALYZE", []).await.unwrap();
    let mut bind = Bind::new(db.backend());
    let staying_on = chrono::NaiveDate::from_ymd_opt(2026, 5, 1);
    let pieces = ReservationFilter { staying_on, ..ReservationFilter::default() }.pieces(&mut bind).unwrap();
    let request = PageRequest { limit: 50, ..PageRequest::default() };
    let keyset = store::keyset(OrderField::CheckIn, false, false);
    let one =
        keyset.page_sql("SELECT check_in, id FROM reservations", &pieces.condition, &request, &mut bind);
    let sql = format!("SELECT one.* FROM {} CROSS JOIN LATERAL ({one}) AS one", pieces.source);
    let plan = explained(db, &sql, bind).await;
    assert!(plan.contains("besty_reservations_stays") && plan.contains("Index Cond"), "{plan}");
}

async fn pages_are_read_from_the_index_of_their_order(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let pool = app.running().db();
    let date = if pool.backend() == sea_orm::DbBackend::Sqlite {
        "date('2026-01-01', '+' || (i % 300) || ' days')"
    } else {
        "DATE '2026-01-01' + i % 300"
    };
    let rows = format!(
        "INSERT INTO reservations (reservation_id, property_id, guest_id, status, check_in, check_out, num_guests, \
         total_amount, currency) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) \
         SELECT 'res_' || i, 'p_' || i % 50, 'g', 'confirmed', {date}, '2027-01-01', 2, 100, 'USD' FROM n"
    );
    db::execute(pool.pool(), rows, []).await.unwrap();
    tie_times(&app).await;
    db::execute(pool.pool(), "ANALYZE", []).await.unwrap();
    are_read_from(&app, OrderField::CheckIn, "CHECK_IN", "besty_reservations_check_in").await;
    // PostgreSQL sorts by the last write: an index on it would cost every update more than it is worth.
    if pool.backend() == sea_orm::DbBackend::Sqlite {
        are_read_from(&app, OrderField::UpdatedAt, "UPDATED_AT", "besty_reservations_updated_at").await;
    }
    if pool.backend() == sea_orm::DbBackend::Postgres {
        who_stays_is_looked_up_by_length_of_stay(pool).await;
    }
    app.stop().await;
}

/// In both directions, from either end and from the middle.
async fn are_read_from(app: &TestApp, order: OrderField, name: &str, index: &str) {
    let middle =
        format!("{{ reservations(first: 1, orderBy: {{ field: {name} }}) {{ edges {{ cursor }} }} }}");
    let cursor = app.graphql(&middle, json!({})).await["reservations"]["edges"][0]["cursor"].clone();
    let is_sqlite = app.running().db().backend() == sea_orm::DbBackend::Sqlite;
    let keyset = store::keyset(order, false, is_sqlite);
    let key = besty::keyset::Key::parse(cursor.as_str().unwrap(), &keyset).unwrap();
    for descending in [false, true] {
        for backward in [false, true] {
            for (after, before) in [(None, None), (Some(key.clone()), None), (None, Some(key.clone()))] {
                let bounded = after.is_some() || before.is_some();
                let request = PageRequest { limit: 50, backward, after, before };
                let plan = plan(app.running().db(), order, descending, &request).await;
                assert!(plan.contains(index), "{plan}");
                assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{plan}");
                // What lies before the page is passed by, not read and thrown away.
                let is_searched = plan.contains("Index Cond") || plan.contains("SEARCH");
                assert_eq!(is_searched, bounded, "{plan}");
            }
        }
    }
}
