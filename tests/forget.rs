//! `besty forget-guest`: afterwards nothing in the database knows the person.

use besty::db;
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestDb,
    app::Provider,
    binary::command,
    events::{event, named},
    on_both,
    socket::Socket,
    within,
};

on_both!(nothing_in_the_database_knows_the_person);

/// What only this person's data has in it.
const MARK: &str = "Xanthippe";

fn of_person(reservation: &str, guest: &str, seconds: u32) -> Value {
    let mut event = event(reservation, guest, "confirmed", seconds);
    event["data"]["guest"] = json!({
        "firstName": MARK, "lastName": MARK, "email": format!("{MARK}@example.com"), "phone": MARK,
    });
    event
}

/// How often the mark stands in a table, in any column.
async fn marks(db: &TestDb) -> Vec<(&'static str, i64)> {
    let pool = db.connect().await;
    let mut found = Vec::new();
    for table in
        ["reservations", "guests", "changes", "rejected_webhooks", "broadcasts", "broadcast_recipients"]
    {
        let sql = if db.url().starts_with("sqlite") {
            let columns =
                db::query_all(pool.pool(), format!("SELECT name FROM pragma_table_info('{table}')"), []);
            let columns: Vec<String> =
                columns.await.unwrap().iter().map(|row| row.try_get("", "name").unwrap()).collect();
            let any: Vec<_> =
                columns.iter().map(|name| format!("instr(CAST({name} AS TEXT), '{MARK}') > 0")).collect();
            format!("SELECT COUNT(*) AS n FROM {table} WHERE {}", any.join(" OR "))
        } else {
            // A row as text has its bytes in hexadecimal.
            let bytes = format!("encode(convert_to('{MARK}', 'UTF8'), 'hex')");
            format!(
                "SELECT COUNT(*) AS n FROM {table} AS t WHERE t::text LIKE '%{MARK}%' OR strpos(t::text, {bytes}) > 0"
            )
        };
        let row = db::query_one(pool.pool(), sql, []).await.unwrap().unwrap();
        found.push((table, row.try_get("", "n").unwrap()));
    }
    pool.close().await.unwrap();
    found
}

async fn nothing_in_the_database_knows_the_person(db: TestDb) {
    let provider = Provider::quick().await;
    let app = TestApp::start(&db, &provider).await;
    app.apply(&of_person("res_1", "guest_77", 1)).await;
    app.apply(&of_person("res_2", "guest_77", 2)).await;
    // One that was theirs, and is another's now.
    app.apply(&of_person("res_3", "guest_77", 3)).await;
    let mut moved = named(4);
    moved["data"]["reservationId"] = json!("res_3");
    app.apply(&moved).await;
    let mut bad = of_person("res_4", "guest_77", 5);
    bad["data"]["checkIn"] = json!("soon");
    assert_eq!(app.webhook(&bad).await.0, 400);
    let mut other = event("res_5", "guest_770", "confirmed", 6);
    other["data"]["checkIn"] = json!("soon");
    assert_eq!(app.webhook(&other).await.0, 400);
    let known = marks(&db).await;
    assert!(known[..4].iter().all(|(_, n)| *n > 0), "{known:?}");

    let mut socket = Socket::open(&app).await;
    let follow = "subscription { reservationChanged { kind reservation { reservationId guest { guestId firstName } } } }";
    socket.subscribe(follow, json!({})).await;
    socket.ping().await;
    let mut forget = command(db.folder());
    forget.args(["forget-guest", "guest_77"]).env("DATABASE_URL", db.url());
    let output = within("the command", forget.output()).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said, "Emptied: 2 reservations, 4 changes. Deleted: 1 rejected webhooks.\n");
    let left = marks(&db).await;
    assert!(left.iter().all(|(_, n)| *n == 0), "{left:?}");
    let told = socket.value("reservationChanged").await;
    let guest = json!({ "guestId": "guest_77", "firstName": null });
    assert_eq!((&told["kind"], &told["reservation"]["guest"]), (&json!("GUEST_UPDATED"), &guest), "{told}");

    let rejected = app.graphql("{ rejectedWebhooks(first: 5) { nodes { reason } } }", json!({})).await;
    assert_eq!(rejected["rejectedWebhooks"]["nodes"].as_array().unwrap().len(), 1, "another's stays");
    let rows =
        app.graphql("{ reservations { totalCount nodes { reservationId guest { lastName } } } }", json!({}));
    let rows = rows.await["reservations"].take();
    assert_eq!(rows["totalCount"], 3, "the bookings are still there: {rows}");
    assert!(rows["nodes"].to_string().contains("Lovelace"), "and so are other people: {rows}");
    // The writer takes up what comes after, though it was not told.
    app.apply(&of_person("res_1", "guest_77", 60)).await;
    let again =
        app.graphql("{ reservation(reservationId: \"res_1\") { guest { firstName } } }", json!({})).await;
    assert_eq!(again["reservation"]["guest"]["firstName"], MARK);
    app.stop().await;
}
