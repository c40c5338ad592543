//! Reads by GraphQL beside the lists: any object by its ID, guests, figures.

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestDb,
    app::Provider,
    events::{created, event, named},
    on_both,
};

on_both!(
    any_object_is_found_by_its_id,
    a_guest_whom_others_wrote_is_there,
    figures_are_of_what_the_filter_selects,
    a_page_is_the_same_however_it_is_resolved,
);

/// The app, with a Guest API that knows nobody, so that only the tests say what there is.
async fn start(db: &TestDb) -> (TestApp, Provider) {
    use besty::sandbox::{Effect, Fault, Kind};
    let provider = Provider::quick().await;
    provider.api.faults().add(Fault::always(Effect::answer(404)).on(Kind::Guest));
    (TestApp::start(db, &provider).await, provider)
}

/// A row as another program would write it.
async fn written_by_others(app: &TestApp, columns: &str, values: &str) {
    let sql = format!(
        "INSERT INTO reservations (reservation_id, property_id, status, check_in, check_out, num_guests, {columns}) \
         VALUES ({values})"
    );
    besty::db::execute(app.running().db().pool(), sql, []).await.unwrap();
}

async fn any_object_is_found_by_its_id(db: TestDb) {
    let (app, _provider) = start(&db).await;
    app.apply(&named(1)).await;
    app.apply(&created(2)).await;
    assert_eq!(app.webhook(&json!({ "event": "reservation.created" })).await.0, 400);
    let start = "mutation { broadcast(input: { message: \"Hello\", filter: {} }) { broadcast { messages { nodes { id } } } } }";
    app.graphql(start, json!({})).await;
    let ids = "{ reservations { nodes { id guest { id } } } broadcasts { nodes { id messages { nodes { id } } } } \
               rejectedWebhooks { nodes { id } } }";
    let all = app.graphql(ids, json!({})).await;
    let broadcast = &all["broadcasts"]["nodes"][0];
    let wanted = [
        ("Broadcast", broadcast["id"].clone()),
        ("Guest", all["reservations"]["nodes"][1]["guest"]["id"].clone()),
        ("Reservation", all["reservations"]["nodes"][0]["id"].clone()),
        ("BroadcastMessage", broadcast["messages"]["nodes"][1]["id"].clone()),
        ("RejectedWebhook", all["rejectedWebhooks"]["nodes"][0]["id"].clone()),
        ("Reservation", all["reservations"]["nodes"][1]["id"].clone()),
        ("Reservation", all["reservations"]["nodes"][0]["id"].clone()),
    ];
    let query = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on Reservation { reservationId } \
                 ... on Guest { guestId email } ... on BroadcastMessage { guest { guestId } } } }";
    let mut ids: Vec<_> = wanted.iter().map(|(_, id)| id.clone()).collect();
    ids.insert(3, json!("nothing"));
    ids.push(json!(besty::graphql::ids::reservation("res_9")));
    ids.push(json!(besty::graphql::ids::guest("guest_9\0")));
    let mut nodes = app.graphql(query, json!({ "ids": ids })).await["nodes"].as_array().unwrap().clone();
    assert_eq!((&nodes[3], &nodes[8], &nodes[9]), (&Value::Null, &Value::Null, &Value::Null));
    nodes.truncate(8);
    nodes.remove(3);
    for ((typename, id), node) in wanted.iter().zip(&nodes) {
        assert_eq!((&node["__typename"], &node["id"]), (&json!(typename), id));
        let one = "query($id: ID!) { node(id: $id) { __typename id } }";
        let one = app.graphql(one, json!({ "id": id })).await["node"].clone();
        assert_eq!(one, json!({ "__typename": typename, "id": id }));
    }
    assert_eq!(nodes[1]["guestId"], "guest_002");
    assert_eq!(
        (&nodes[2]["reservationId"], &nodes[6]["reservationId"]),
        (&json!("res_00001"), &json!("res_00001"))
    );
    assert_eq!(nodes[3]["guest"]["guestId"], "guest_002");
    let many = json!({ "query": query, "variables": { "ids": vec!["x"; 101] } });
    let (_, refused) = app.post("/graphql", &many).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{refused}");
    assert!(refused["errors"][0]["message"].as_str().unwrap().contains("ids"), "{refused}");
    app.stop().await;
}

async fn a_guest_whom_others_wrote_is_there(db: TestDb) {
    let (app, _provider) = start(&db).await;
    app.apply(&named(1)).await;
    let columns = "total_amount, currency, guest_id, guest_first_name, guest_email";
    let stay = "'confirmed', '2026-04-06', '2026-04-13', 2, 100, 'USD'";
    written_by_others(&app, columns, &format!("'a', 'p', {stay}, 'guest_x', 'Ada', NULL")).await;
    written_by_others(&app, columns, &format!("'b', 'p', {stay}, 'guest_x', NULL, 'ada@example.com'")).await;
    let query = "query($id: String!) { guest(guestId: $id) { id guestId firstName lastName email phone } }";
    let guest = async |id: &str| app.graphql(query, json!({ "id": id })).await["guest"].clone();
    let mut known = guest("guest_001").await;
    assert!(known["id"].take().is_string());
    let wanted = json!({ "id": null, "guestId": "guest_001", "firstName": "Ada", "lastName": "Lovelace",
                         "email": "ada@example.com", "phone": "+1" });
    assert_eq!(known, wanted);
    let other = guest("guest_x").await;
    assert_eq!((&other["firstName"], &other["lastName"]), (&json!("Ada"), &Value::Null));
    assert_eq!((&other["email"], &other["phone"]), (&json!("ada@example.com"), &Value::Null));
    assert_eq!((guest("guest_y").await, guest("guest\0").await), (Value::Null, Value::Null));
    app.stop().await;
}

async fn figures_are_of_what_the_filter_selects(db: TestDb) {
    let (app, _provider) = start(&db).await;
    let query = "query($filter: ReservationFilter) { reservationStats(filter: $filter) { count guestCount \
                 byStatus { status count } totals { count total { amount currencyCode } } } }";
    let figures = async |filter: Value| {
        app.graphql(query, json!({ "filter": filter })).await["reservationStats"].clone()
    };
    let by_status = |counts: [i32; 3]| {
        let names = ["CONFIRMED", "MODIFIED", "CANCELLED"];
        names
            .iter()
            .zip(counts)
            .map(|(name, count)| json!({ "status": name, "count": count }))
            .collect::<Vec<_>>()
    };
    let none = json!({ "count": 0, "guestCount": 0, "byStatus": by_status([0, 0, 0]), "totals": [] });
    assert_eq!(figures(Value::Null).await, none);
    for (n, status, amount, currency) in [
        (1, "confirmed", "0.10", "USD"),
        (2, "confirmed", "0.20", "USD"),
        (3, "cancelled", "99999999.99", "EUR"),
        (4, "modified", "0.01", "EUR"),
    ] {
        let mut one = event(&format!("res_{n}"), &format!("guest_{}", n % 3), status, n);
        one["data"]["totalAmount"] = json!(amount);
        one["data"]["currency"] = json!(currency);
        app.apply(&one).await;
    }
    let total = |amount: &str, currency: &str, count: i32| json!({ "count": count, "total": { "amount": amount, "currencyCode": currency } });
    let all = json!({ "count": 4, "guestCount": 3, "byStatus": by_status([2, 1, 1]),
                      "totals": [total("100000000.00", "EUR", 2), total("0.30", "USD", 2)] });
    assert_eq!(figures(Value::Null).await, all);
    let some = json!({ "count": 2, "guestCount": 2, "byStatus": by_status([2, 0, 0]), "totals": [total("0.30", "USD", 2)] });
    assert_eq!(figures(json!({ "currencyCode": "USD", "search": "GUEST_" })).await, some);
    let again = app.graphql("{ reservationStats { count } }", json!({})).await;
    assert_eq!(again["reservationStats"], json!({ "count": 4 }));
    app.stop().await;
}

/// Plain pages are read off by a plan; the history is not in it, and the whole page then goes the usual way.
async fn a_page_is_the_same_however_it_is_resolved(db: TestDb) {
    let (app, _provider) = start(&db).await;
    app.apply(&named(1)).await;
    app.apply(&created(2)).await;
    app.apply(&event("res_00002", "guest_002", "cancelled", 30)).await;
    let stay = "'confirmed', '2026-04-06', '2026-04-13', 2, 100, 'USD', NULL, NULL";
    let columns = "total_amount, currency, created_at, updated_at, guest_id";
    written_by_others(&app, columns, &format!("'a', 'p', {stay}, 'guest_x'")).await;
    let node = "__typename id reservationId again: reservationId reservationId propertyId status checkIn checkOut nights \
                guestCount total { __typename amount currencyCode } ...Whose ... on Node { id } eventAt createdAt updatedAt";
    let query = |more: &str| {
        format!(
            "query($skip: Boolean!) {{ reservations {{ edges {{ cursor node {{ {node} {more} }} __typename }} nodes {{ {node} \
             propertyId @skip(if: $skip) {more} }} }} }} fragment Whose on Reservation {{ guest {{ __typename id guestId firstName \
             lastName email phone }} }}"
        )
    };
    for skip in [true, false] {
        let planned = app.graphql(&query(""), json!({ "skip": skip })).await;
        // What a fragment brings may have to be merged, so it is not written as text at once.
        let spread = query("").replacen("{ edges", "{ ... on ReservationConnection { edges", 1);
        let spread = spread.replacen(" } fragment", " } } fragment", 1);
        assert_eq!(app.graphql(&spread, json!({ "skip": skip })).await, planned);
        let mut usual = app.graphql(&query("history(first: 0) { kind }"), json!({ "skip": skip })).await;
        let list = &mut usual["reservations"];
        for node in list["nodes"].as_array_mut().unwrap() {
            assert!(node.as_object_mut().unwrap().remove("history").is_some());
        }
        for edge in list["edges"].as_array_mut().unwrap() {
            assert!(edge["node"].as_object_mut().unwrap().remove("history").is_some());
        }
        assert_eq!(planned["reservations"]["nodes"].as_array().unwrap().len(), 3);
        assert_eq!(planned, usual);
    }
    let merged = "{ reservations { nodes { guest { email } guest { phone } } } }";
    let merged = app.graphql(merged, json!({})).await["reservations"]["nodes"][0]["guest"].clone();
    assert_eq!(merged, json!({ "email": "ada@example.com", "phone": "+1" }));
    let nothing =
        "{ reservations { nodes { propertyId @skip(if: true) } nodes { status @skip(if: true) } } }";
    let nothing = app.graphql(nothing, json!({})).await["reservations"]["nodes"].clone();
    assert_eq!(nothing, json!([{}, {}, {}]));
    let one = "{ reservations { nodes { total { amount @skip(if: true) } } } }";
    let one = app.graphql(one, json!({})).await["reservations"]["nodes"][0].clone();
    assert_eq!(one, json!({ "total": {} }));
    let twice =
        "{ reservations { nodes { propertyId } nodes { status } } reservations { nodes { status nights } } }";
    let twice = app.graphql(twice, json!({})).await["reservations"]["nodes"][0].clone();
    assert_eq!(twice.as_object().unwrap().len(), 3, "{twice}");
    app.stop().await;
}

/// The names that a search finds, in the order of check-in.
async fn found(app: &TestApp, search: &str) -> Vec<String> {
    let query =
        "query($search: String!) { reservations(filter: { search: $search }) { nodes { reservationId } } }";
    let data = app.graphql(query, json!({ "search": search })).await;
    let nodes = data["reservations"]["nodes"].as_array().unwrap();
    nodes.iter().map(|node| node["reservationId"].as_str().unwrap().to_owned()).collect()
}

/// Whether the database would look a text up in the index for searches.
async fn is_indexed(app: &TestApp) -> bool {
    use besty::{
        db::{self, Bind},
        reservations::ReservationFilter,
    };
    let db = app.running().db();
    let tx = db.begin_write().await.unwrap();
    db::execute(tx.conn(), "SET LOCAL enable_seqscan = off", []).await.unwrap();
    db::execute(tx.conn(), "SET LOCAL enable_indexscan = off", []).await.unwrap();
    let mut bind = Bind::new(db.backend());
    let filter = ReservationFilter { search: Some("lovelace".to_owned()), ..ReservationFilter::default() };
    let sql = format!("EXPLAIN SELECT * FROM reservations WHERE {}", filter.to_sql(&mut bind));
    let plan = db::query_all(tx.conn(), sql, bind.into_values()).await.unwrap();
    plan.iter()
        .any(|row| row.try_get::<String>("", "QUERY PLAN").unwrap().contains("besty_reservations_search"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_the_same_with_an_index_and_without() {
    let with = TestDb::postgres().await;
    let without = TestDb::postgres_without_extensions().await;
    for (db, indexed) in [(with, true), (without, false)] {
        let (app, _provider) = start(&db).await;
        app.apply(&named(1)).await;
        let mut other = named(2);
        other["data"]["guest"]["lastName"] = json!("Line\nBreak_50%");
        app.apply(&other).await;
        assert_eq!(is_indexed(&app).await, indexed);
        for (search, wanted) in [
            ("LOVELACE", vec!["res_00001"]),
            ("ADA@", vec!["res_00001", "res_00002"]),
            ("res_0000", vec!["res_00001", "res_00002"]),
            ("2", vec!["res_00002"]),
            ("ne\nBr", vec!["res_00002"]),
            ("k_50%", vec!["res_00002"]),
            ("Ada\nL", vec![]),
            ("k_5%", vec![]),
        ] {
            assert_eq!(found(&app, search).await, wanted, "{search}, indexed {indexed}");
        }
        app.stop().await;
    }
}
