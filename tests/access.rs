//! Who may do what: every route and every operation, for every role, over every transport; tokens that are
//! not good; and what becomes of what goes on when a token is taken back.

use std::path::PathBuf;

use async_graphql::parser::{
    parse_schema,
    types::{TypeKind, TypeSystemDefinition},
};
use besty::access::{
    Role,
    table::{Need, ROUTES},
    tokens,
};
use rand::{SeedableRng as _, rngs::StdRng};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestDb,
    app::{Provider, SECRET, answer},
    events::{created, named},
    multipart::Multipart,
    on_both,
    socket::{self, Socket},
    sse::Sse,
    within,
};

on_both!(
    every_route_asks_what_the_table_says,
    every_operation_asks_what_the_table_says,
    what_a_fragment_hides_is_found,
    a_socket_says_who_it_is,
    what_goes_on_ends_when_its_token_is_removed,
);

use Role::{Admin, Sender, Viewer};

/// Every route: how it is called, and the least role that may; none: whoever likes.
const CALLS: &[(&str, &str, Option<Role>)] = &[
    ("GET", "/", None),
    ("GET", "/broadcasts", None),
    ("GET", "/broadcasts/{id}", None),
    ("GET", "/operations", None),
    ("GET", "/playground", None),
    ("GET", "/playground/", None),
    ("GET", "/playground/{*path}", None),
    ("GET", "/api/health", None),
    ("GET", "/healthz", None),
    ("GET", "/readyz", None),
    ("POST", "/webhooks", None),
    ("GET", "/graphql", Some(Viewer)),
    ("POST", "/graphql", Some(Viewer)),
    ("GET", "/metrics", Some(Viewer)),
    ("GET", "/api/reservations", Some(Viewer)),
    ("GET", "/api/events", Some(Viewer)),
    ("POST", "/api/broadcast", Some(Sender)),
    ("POST", "/api/webhooks/register", Some(Admin)),
];

/// Every operation, and the least role that may.
const OPERATIONS: &[(&str, &str, &str, Role)] = &[
    ("query", "node", "(id: \"x\")", Viewer),
    ("query", "nodes", "(ids: [\"x\"])", Viewer),
    ("query", "reservation", "(reservationId: \"x\")", Viewer),
    ("query", "reservations", "", Viewer),
    ("query", "reservationStats", "", Viewer),
    ("query", "guest", "(guestId: \"x\")", Viewer),
    ("query", "broadcast", "(id: \"x\")", Viewer),
    ("query", "broadcasts", "", Viewer),
    ("query", "webhookRegistration", "", Admin),
    ("query", "rejectedWebhooks", "", Admin),
    ("query", "auditLog", "", Admin),
    ("mutation", "broadcast", "(input: {message: \"x\", filter: {}, dryRun: true})", Sender),
    ("mutation", "broadcastPause", "(input: {broadcastId: \"x\"})", Sender),
    ("mutation", "broadcastResume", "(input: {broadcastId: \"x\"})", Sender),
    ("mutation", "broadcastRetry", "(input: {broadcastId: \"x\"})", Sender),
    ("mutation", "broadcastCancel", "(input: {broadcastId: \"x\"})", Sender),
    ("mutation", "webhookRegister", "", Admin),
    ("mutation", "webhookUnregister", "", Admin),
    ("mutation", "webhookRetry", "(input: {rejectedWebhookId: \"x\"})", Admin),
    ("subscription", "reservationChanged", "", Viewer),
    ("subscription", "broadcastProgress", "(broadcastId: \"x\")", Viewer),
];

/// The app, and a token for each role.
struct Guarded {
    app: TestApp,
    _provider: Provider,
    file: PathBuf,
    tokens: Vec<(Role, String)>,
}

impl Guarded {
    async fn start(db: &TestDb) -> Self {
        let file = db.folder().join("tokens");
        let mut rng = StdRng::from_rng(&mut rand::rng());
        let mut token = |role: Role| {
            let token = tokens::create(&file, &format!("the-{role}"), role, &mut rng).unwrap();
            (role, token.expose_secret().to_owned())
        };
        let tokens = Role::ALL.into_iter().map(&mut token).collect();
        let provider = Provider::quick().await;
        let set = [("TOKENS_FILE", file.to_str().unwrap())];
        let app = TestApp::start_with(db, &provider, &set).await;
        Self { app, _provider: provider, file, tokens }
    }

    fn token(&self, role: Role) -> &str {
        &self.tokens.iter().find(|(other, _)| *other == role).unwrap().1
    }

    /// Nobody, and each role.
    fn callers(&self) -> impl Iterator<Item = (Option<Role>, Option<&str>)> {
        let known = self.tokens.iter().map(|(role, token)| (Some(*role), Some(token.as_str())));
        std::iter::once((None, None)).chain(known)
    }

    fn request(&self, method: &str, path: &str, token: Option<&str>) -> reqwest::RequestBuilder {
        let request = self.app.http().request(method.parse::<Method>().unwrap(), self.app.url(path));
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Takes a token back.
    fn remove(&self, role: Role) {
        let text = std::fs::read_to_string(&self.file).unwrap();
        let name = format!("the-{role} ");
        let kept: Vec<_> = text.lines().filter(|line| !line.starts_with(&name)).collect();
        std::fs::write(&self.file, kept.join("\n")).unwrap();
    }
}

fn document(kind: &str, field: &str, arguments: &str) -> String {
    format!("{kind} {{ {field}{arguments} {{ __typename }} }}")
}

fn code(body: &Value) -> Option<&str> {
    body["errors"][0]["extensions"]["code"].as_str()
}

async fn every_route_asks_what_the_table_says(db: TestDb) {
    let mut known: Vec<_> =
        CALLS.iter().map(|(method, path, _)| ((*path).to_owned(), (*method).to_owned())).collect();
    let mut routes: Vec<_> = ROUTES
        .iter()
        .flat_map(|(path, methods, _)| methods.iter().map(|method| ((*path).to_owned(), method.to_string())))
        .collect();
    known.sort();
    routes.sort();
    assert_eq!(routes, known, "a route is in no table here");

    let guarded = Guarded::start(&db).await;
    for &(method, path, least) in CALLS {
        let need = ROUTES.iter().find(|(known, _, _)| *known == path).unwrap().2;
        let concrete = path.replace("{id}", "1").replace("{*path}", "nothing");
        for (role, token) in guarded.callers() {
            let mut request = guarded.request(method, &concrete, token);
            if need == Need::Secret {
                request = request.header("X-Webhook-Secret", SECRET);
            }
            let response = within(path, request.send()).await.unwrap();
            let status = response.status().as_u16();
            let wanted = match (role, least) {
                (_, None) => None,
                (None, Some(_)) => Some(401),
                (Some(role), Some(least)) => (role < least).then_some(403),
            };
            let refused = matches!(status, 401 | 403).then_some(status);
            assert_eq!(refused, wanted, "{method} {path} as {role:?}: {status}");
            let challenge = response.headers().get("www-authenticate");
            assert_eq!(challenge.is_some(), wanted.is_some(), "{method} {path} as {role:?}");
        }
        // Another method is no way around.
        let other = guarded.request("DELETE", &concrete, Some(guarded.token(Admin)));
        assert_eq!(other.send().await.unwrap().status(), 405, "DELETE {path}");
    }
    let webhook = guarded.request("POST", "/webhooks", Some(guarded.token(Admin))).json(&created(1));
    assert_eq!(answer(webhook).await.0, 401, "a token is no secret of the booking source");
    guarded.app.stop().await;
}

/// The fields of the roots, as the schema has them.
fn fields() -> Vec<(String, String)> {
    let definitions = parse_schema(include_str!("../schema.graphql")).unwrap().definitions;
    let mut found = Vec::new();
    for definition in definitions {
        let TypeSystemDefinition::Type(ty) = definition else { continue };
        let root = match ty.node.name.node.as_str() {
            "Query" => "query",
            "Mutation" => "mutation",
            "Subscription" => "subscription",
            _ => continue,
        };
        let TypeKind::Object(object) = ty.node.kind else { panic!("{root}") };
        found.extend(
            object.fields.into_iter().map(|field| (root.to_owned(), field.node.name.node.to_string())),
        );
    }
    found
}

async fn every_operation_asks_what_the_table_says(db: TestDb) {
    let mut known: Vec<_> =
        OPERATIONS.iter().map(|(kind, field, _, _)| ((*kind).to_owned(), (*field).to_owned())).collect();
    let mut fields = fields();
    known.sort();
    fields.sort();
    assert_eq!(fields, known, "an operation is in no table here");

    let guarded = Guarded::start(&db).await;
    for (role, token) in guarded.callers() {
        let mut sockets = Vec::new();
        for protocol in ["graphql-transport-ws", "graphql-ws"] {
            let Some(token) = token else {
                let mut stream = socket::connect(&guarded.app.url(""), protocol, None).await.unwrap();
                let mut init = async |message: Value| {
                    use futures::SinkExt as _;
                    stream.send(message.to_string().into()).await.unwrap();
                };
                init(socket::init(None)).await;
                if protocol == "graphql-transport-ws" {
                    assert_eq!(socket::closed(&mut stream).await.0, 4403);
                }
                continue;
            };
            sockets.push(Socket::open_as(&guarded.app.url(""), protocol, Some(token)).await);
        }
        for &(kind, field, arguments, least) in OPERATIONS {
            let wanted = match role {
                None => Some("UNAUTHENTICATED"),
                Some(role) => (role < least).then_some("FORBIDDEN"),
            };
            let request = json!({ "query": document(kind, field, arguments) });
            let refused = |body: &Value| {
                code(body).filter(|code| ["UNAUTHENTICATED", "FORBIDDEN"].contains(code)).map(str::to_owned)
            };
            let by = |way: &str| format!("{kind} {field} as {role:?} by {way}");
            if kind == "subscription" {
                let post = || guarded.request("POST", "/graphql", token).json(&request);
                if token.is_none() {
                    let (status, body) = answer(post().header("accept", "text/event-stream")).await;
                    assert_eq!((status, code(&body)), (401, wanted), "{}", by("SSE"));
                    continue;
                }
                let text = Sse::of(post()).await.text_until(":\n\n").await;
                assert!(!text.contains("FORBIDDEN"), "{}", by("SSE"));
            } else {
                let post = guarded.request("POST", "/graphql", token).json(&request);
                let (status, body) = answer(post).await;
                assert_eq!(refused(&body).as_deref(), wanted, "{}: {body}", by("POST"));
                assert_eq!(status, if token.is_none() { 401 } else { 200 }, "{}", by("POST"));
                let post = guarded.request("POST", "/graphql", token).json(&request);
                let media = "application/graphql-response+json";
                let (status, _) = answer(post.header("accept", media)).await;
                let expected = match wanted {
                    Some("UNAUTHENTICATED") => 401,
                    Some(_) => 403,
                    None => 200,
                };
                assert_eq!(status, expected, "{}", by(media));
            }
            if kind == "query" {
                let path =
                    serde_urlencoded::to_string([("query", request["query"].as_str().unwrap())]).unwrap();
                let (_, body) = answer(guarded.request("GET", &format!("/graphql?{path}"), token)).await;
                assert_eq!(refused(&body).as_deref(), wanted, "{}", by("GET"));
            }
            for socket in &mut sockets {
                if field == "reservationChanged" {
                    continue;
                }
                let body = socket.ask(&request).await;
                let body = if body.is_array() { json!({ "errors": body }) } else { body };
                assert_eq!(refused(&body).as_deref(), wanted, "{}: {body}", by("WebSocket"));
            }
        }
    }
    // What goes on without an end.
    let mut socket =
        Socket::open_as(&guarded.app.url(""), "graphql-transport-ws", Some(guarded.token(Viewer))).await;
    socket
        .subscribe("subscription { reservationChanged { reservation { reservationId } } }", json!({}))
        .await;
    socket.ping().await;
    guarded.app.apply(&created(1)).await;
    assert_eq!(socket.value("reservationChanged").await["reservation"]["reservationId"], "res_00001");
    guarded.app.stop().await;
}

async fn what_a_fragment_hides_is_found(db: TestDb) {
    let guarded = Guarded::start(&db).await;
    let (status, _) = guarded.app.webhook_bytes(b"{\"planted\": 1}".to_vec()).await;
    assert_eq!(status, 400);
    let admin = guarded.request("POST", "/graphql", Some(guarded.token(Admin)));
    let list = json!({ "query": "{ rejectedWebhooks { nodes { id } } }" });
    let (_, body) = answer(admin.json(&list)).await;
    let id = body["data"]["rejectedWebhooks"]["nodes"][0]["id"].as_str().unwrap().to_owned();
    for query in [
        "{ ... { rejectedWebhooks { totalCount } } }".to_owned(),
        "{ ... on Query { rejectedWebhooks { totalCount } } }".to_owned(),
        "{ a: rejectedWebhooks { totalCount } }".to_owned(),
        "query A { ...F } fragment F on Query { ...G } fragment G on Query { rejectedWebhooks { totalCount } }".to_owned(),
        "query ($no: Boolean = false) { rejectedWebhooks @include(if: $no) { totalCount } }".to_owned(),
        format!("{{ node(id: \"{id}\") {{ ... on RejectedWebhook {{ body }} }} }}"),
        format!("{{ nodes(ids: [\"{id}\"]) {{ ...F }} }} fragment F on RejectedWebhook {{ body }}"),
        format!("{{ node(id: \"{id}\") {{ ... on Node {{ ...F }} }} }} fragment F on Node {{ ... on RejectedWebhook {{ body }} }}"),
    ] {
        for (role, wanted) in [(Viewer, Some("FORBIDDEN")), (Admin, None)] {
            let request = guarded.request("POST", "/graphql", Some(guarded.token(role)));
            let (_, body) = answer(request.json(&json!({ "query": query }))).await;
            assert_eq!(code(&body), wanted, "{query}: {body}");
            assert!(role == Admin || !body.to_string().contains("planted"), "{query}");
        }
    }
    let by_node = "{ node(id: \"x\") { ... on AuditEntry { actor } } }";
    let request = guarded.request("POST", "/graphql", Some(guarded.token(Sender)));
    assert_eq!(code(&answer(request.json(&json!({ "query": by_node }))).await.1), Some("FORBIDDEN"));
    // What is not run is not asked for; and a slip is a slip.
    for (query, operation, wanted) in [
        ("query A { __typename } query B { rejectedWebhooks { totalCount } }", json!("A"), None),
        ("{ reservatons { totalCount } }", Value::Null, Some("GRAPHQL_VALIDATION_FAILED")),
        ("mutation { broadcasts }", Value::Null, Some("GRAPHQL_VALIDATION_FAILED")),
    ] {
        let request = guarded.request("POST", "/graphql", Some(guarded.token(Viewer)));
        let body = json!({ "query": query, "operationName": operation });
        assert_eq!(code(&answer(request.json(&body)).await.1), wanted, "{query}");
    }
    guarded.app.stop().await;
}

async fn a_socket_says_who_it_is(db: TestDb) {
    let guarded = Guarded::start(&db).await;
    let (base, viewer) = (guarded.app.url(""), guarded.token(Viewer));
    let asks = json!({ "query": "{ rejectedWebhooks { totalCount } }" });
    for bad in [
        json!({ "Authorization": "Bearer x" }),
        json!({ "Authorization": viewer }),
        json!({ "Authorization": 1 }),
        json!({}),
    ] {
        use futures::SinkExt as _;
        let mut stream = socket::connect(&base, "graphql-transport-ws", None).await.unwrap();
        let init = json!({ "type": "connection_init", "payload": bad });
        stream.send(init.to_string().into()).await.unwrap();
        let (code, reason) = socket::closed(&mut stream).await;
        assert!(code == 4403 && reason.starts_with("Forbidden"), "{bad}: {code} {reason}");
    }
    for early in [json!({ "id": "1", "type": "subscribe", "payload": asks })] {
        use futures::SinkExt as _;
        let mut stream = socket::connect(&base, "graphql-transport-ws", None).await.unwrap();
        stream.send(early.to_string().into()).await.unwrap();
        assert_eq!(socket::closed(&mut stream).await.0, 4401);
    }
    // In the upgrade's header, as programs can; a token in the payload goes before it.
    for protocol in ["graphql-transport-ws", "graphql-ws"] {
        for (token, later, wanted) in [
            (Viewer, None, Some("FORBIDDEN")),
            (Admin, None, None),
            (Viewer, Some(Admin), None),
            (Admin, Some(Viewer), Some("FORBIDDEN")),
        ] {
            let later = later.map(|role| guarded.token(role));
            let mut socket = Socket::upgraded_as(&base, protocol, guarded.token(token), later).await;
            assert_eq!(code(&socket.ask(&asks).await), wanted, "{protocol} {token}");
        }
    }
    let request = guarded.request("GET", "/graphql", Some("x")).header("upgrade", "websocket");
    assert_eq!(request.send().await.unwrap().status(), 401);
    guarded.app.stop().await;
}

async fn what_goes_on_ends_when_its_token_is_removed(db: TestDb) {
    let guarded = Guarded::start(&db).await;
    let (base, viewer) = (guarded.app.url(""), guarded.token(Viewer).to_owned());
    let request = json!({ "query": "subscription { reservationChanged { reservation { reservationId } } }" });
    let post = || guarded.request("POST", "/graphql", Some(&viewer)).json(&request);
    let mut sockets = Vec::new();
    for protocol in ["graphql-transport-ws", "graphql-ws"] {
        let mut socket = Socket::open_as(&base, protocol, Some(&viewer)).await;
        socket.subscribe(request["query"].as_str().unwrap(), json!({})).await;
        sockets.push(socket);
    }
    // One of another token, in the same group.
    let mut stays = Socket::open_as(&base, "graphql-transport-ws", Some(guarded.token(Sender))).await;
    stays.subscribe(request["query"].as_str().unwrap(), json!({})).await;
    stays.ping().await;
    let (mut events, mut parts) = (Sse::of(post()).await, Multipart::of(post()).await);
    let mut rest = Sse::of(guarded.request("GET", "/api/events", Some(&viewer))).await;
    rest.text_until("event: ready").await;
    guarded.app.apply(&named(1)).await;
    assert!(parts.next_but_heartbeats().await.is_some() && events.next().await.kind == "next");

    guarded.remove(Viewer);
    for socket in &mut sockets {
        assert_eq!(
            socket::closed(socket.stream()).await,
            (4403, "Forbidden: the token is good no longer".to_owned())
        );
    }
    within("the end of the events", events.end()).await;
    within("the end of the REST events", rest.end()).await;
    let last = parts.next_but_heartbeats().await.unwrap();
    assert_eq!(last["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{last}");
    assert_eq!(answer(post()).await.0, 401);
    guarded.app.apply(&named(2)).await;
    for id in ["res_00001", "res_00002"] {
        let value = stays.value("reservationChanged").await;
        assert_eq!(value["reservation"]["reservationId"], id, "who has a token still misses nothing");
    }
    guarded.app.stop().await;
}
