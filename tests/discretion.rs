//! What is of people is not in the logs, however much is asked of them: names, addresses, phones, messages,
//! tokens and secrets are planted, sent through everything, and looked for in what the server says.

use besty::{
    access::{Role, tokens},
    sandbox::{Effect, Fault, Kind},
};
use rand::{SeedableRng as _, rngs::StdRng};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::support::{
    TestDb,
    app::{Provider, SECRET, answer},
    binary::Server,
    events::created,
    on_both,
    socket::{self, Socket},
    sse::Sse,
};

on_both!(what_is_of_people_is_not_logged);

/// What must not be found.
const PLANTED: [&str; 9] = [
    "Plantedfirst",
    "Plantedlast",
    "planted-mail",
    "555-0199",
    "plantedmessage",
    "plantedsecret",
    "plantedtoken",
    "plantedsearch",
    "plantedbody",
];

async fn what_is_of_people_is_not_logged(db: TestDb) {
    let file = db.folder().join("tokens");
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let token = tokens::create(&file, "office", Role::Admin, &mut rng).unwrap().expose_secret().to_owned();
    let provider = Provider::quick().await;
    let set = [("RUST_LOG", "trace"), ("TOKENS_FILE", file.to_str().unwrap())];
    let server = Server::start(&db, &provider.url, &set).await;
    let http = reqwest::Client::new();
    let webhook = |secret: &str, body: String| {
        let request =
            http.post(format!("{}/webhooks", server.url)).header("X-Webhook-Secret", secret).body(body);
        answer(request)
    };

    // Webhooks: good, wrong in each way, and from a stranger.
    let guest = json!({
        "firstName": "Plantedfirst", "lastName": "Plantedlast",
        "email": "planted-mail@example.com", "phone": "+1 555-0199",
    });
    for n in 1..=3 {
        let mut event = created(n);
        event["data"]["guest"] = guest.clone();
        assert_eq!(webhook(SECRET, event.to_string()).await.0, 200);
    }
    for (field, value) in [
        ("checkIn", json!("plantedbody")),
        ("status", json!("Plantedlast")),
        ("reservationId", json!("plantedbody".repeat(10))),
        ("totalAmount", json!("planted-mail@example.com")),
    ] {
        let mut event = created(9);
        event["data"]["guest"] = guest.clone();
        event["data"][field] = value;
        assert_eq!(webhook(SECRET, event.to_string()).await.0, 400, "{field}");
    }
    assert_eq!(webhook(SECRET, "plantedbody {".to_owned()).await.0, 400);
    assert_eq!(webhook("plantedsecret", "{}".to_owned()).await.0, 401);

    // Reads, writes and mistakes, over HTTP and sockets.
    let graphql = |token: &str, body: Value| {
        answer(http.post(format!("{}/graphql", server.url)).bearer_auth(token).json(&body))
    };
    let search = r#"{ reservations(filter: {search: "plantedsearch"}) { totalCount } }"#;
    let names = "{ reservations { nodes { guest { firstName lastName email phone } } } rejectedWebhooks { nodes { body reason } } }";
    for query in [search, names, "{ plantedsearch", "{ guest(guestId: \"plantedsearch\") { plantedbody } }"] {
        assert_eq!(graphql(&token, json!({ "query": query })).await.0, 200, "{query}");
    }
    assert_eq!(graphql("besty_plantedtoken", json!({ "query": search })).await.0, 401);
    let listed =
        http.get(format!("{}/api/reservations?search=plantedsearch", server.url)).bearer_auth(&token);
    assert_eq!(answer(listed).await.0, 200);
    let mut socket = Socket::open_as(&server.url, "graphql-transport-ws", Some(&token)).await;
    socket.ask(&json!({ "query": search })).await;
    let mut refused = socket::connect(&server.url, "graphql-transport-ws", None).await.unwrap();
    {
        use futures::SinkExt as _;
        refused.send(socket::init(Some("besty_plantedtoken")).to_string().into()).await.unwrap();
    }
    assert_eq!(socket::closed(&mut refused).await.0, 4403);
    let mut events = Sse::of(http.get(format!("{}/api/events", server.url)).bearer_auth(&token)).await;
    events.text_until("event: ready").await;

    // Messages: that arrive, and to guests that nobody knows.
    let unknown = Fault::always(Effect::answer(404)).on(Kind::Message).guest("guest_002");
    provider.api.faults().add(unknown);
    let broadcast = http.post(format!("{}/api/broadcast", server.url)).bearer_auth(&token);
    let (status, body) = answer(broadcast.json(&json!({ "message": "plantedmessage" }))).await;
    assert_eq!((status, &body["sent"], &body["failed"]), (200, &json!(2), &json!(1)), "{body}");

    server.says("a webhook was rejected").await;
    let log = server.log();
    server.stop().await;
    let found: Vec<_> = log
        .lines()
        .filter(|line| {
            PLANTED.iter().any(|planted| line.contains(planted))
                || line.contains(&token)
                || line.contains(SECRET)
        })
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}
