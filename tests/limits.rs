//! How much one client may ask for; and what every answer says to browsers.

use std::path::PathBuf;

use besty::{
    access::{Role, tokens},
    clock::Clock,
};
use rand::{SeedableRng as _, rngs::StdRng};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestDb,
    app::{Provider, SECRET, answer},
    events::named,
    socket::Socket,
};

const DONE: &str =
    r#"mutation { broadcast(input: {message: "m", filter: {}, dryRun: true}) { recipientCount } }"#;

/// The app with these limits, and two tokens.
async fn start(requests: &str, mutations: &str) -> (TestApp, Provider, [String; 2], TestDb) {
    start_with(&[("MAX_REQUESTS_PER_SECOND", requests), ("MAX_MUTATIONS_PER_MINUTE", mutations)]).await
}

/// The app with these variables, and two tokens.
async fn start_with(set: &[(&'static str, &str)]) -> (TestApp, Provider, [String; 2], TestDb) {
    let db = TestDb::sqlite();
    let file: PathBuf = db.folder().join("tokens");
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let tokens = ["one", "two"]
        .map(|name| tokens::create(&file, name, Role::Admin, &mut rng).unwrap().expose_secret().to_owned());
    let provider = Provider::quick().await;
    let set = [&[("TOKENS_FILE", file.to_str().unwrap())], set].concat();
    (TestApp::start_with(&db, &provider, &set).await, provider, tokens, db)
}

fn post(app: &TestApp, token: &str, query: &str) -> reqwest::RequestBuilder {
    app.http().post(app.url("/graphql")).bearer_auth(token).json(&json!({ "query": query }))
}

async fn assert_limited(request: reqwest::RequestBuilder, at_most: u16) -> Value {
    let response = request.send().await.unwrap();
    let header =
        response.headers().get("retry-after").map(|value| value.to_str().unwrap().parse::<u16>().unwrap());
    assert_eq!(response.status(), 429);
    assert!(header.is_some_and(|seconds| (1..=at_most).contains(&seconds)), "{header:?}");
    response.json().await.unwrap()
}

#[tokio::test]
async fn mutations_are_counted_for_each_token_over_every_transport() {
    let (app, _provider, [one, two], _db) = start("1000", "5").await;
    app.apply(&named(1)).await;
    let mut sockets = Vec::new();
    for protocol in ["graphql-transport-ws", "graphql-ws"] {
        sockets.push(Socket::open_as(&app.url(""), protocol, Some(&one)).await);
    }
    for socket in &mut sockets {
        assert_eq!(socket.ask(&json!({ "query": DONE })).await["data"]["broadcast"]["recipientCount"], 1);
    }
    let rest = || app.http().post(app.url("/api/broadcast")).bearer_auth(&one).json(&json!({}));
    assert_eq!(answer(rest()).await.0, 400, "counted, and wrong");
    for _ in 0..2 {
        assert_eq!(answer(post(&app, &one, DONE)).await.0, 200);
    }
    let body = assert_limited(post(&app, &one, DONE), 12).await;
    let extensions = &body["errors"][0]["extensions"];
    assert!(extensions["code"] == "TOO_MANY_REQUESTS" && extensions["retryAfter"].is_u64(), "{body}");
    let media = "application/graphql-response+json";
    assert_limited(post(&app, &one, DONE).header("accept", media), 12).await;
    assert_eq!(assert_limited(rest(), 12).await["error"].as_str().map(|text| &text[..8]), Some("too many"));
    for socket in &mut sockets {
        let body = socket.ask(&json!({ "query": DONE })).await;
        assert_eq!(body["errors"][0]["extensions"]["code"], "TOO_MANY_REQUESTS", "{body}");
        let body = socket.ask(&json!({ "query": "{ __typename }" })).await;
        assert_eq!(body["data"]["__typename"], "Query", "reads are counted by themselves");
    }
    assert_eq!(answer(post(&app, &two, DONE)).await.0, 200, "another token");
    app.stop().await;
}

#[tokio::test]
async fn requests_are_counted_and_webhooks_are_not() {
    let (app, _provider, [one, two], _db) = start("1", "60").await;
    for request in [
        |app: &TestApp, token: &str| app.http().get(app.url("/api/reservations")).bearer_auth(token),
        |app: &TestApp, token: &str| post(app, token, "{ __typename }"),
    ] {
        // All at once: one a second may, and two at first.
        let answers = futures::future::join_all((0..30).map(|_| request(&app, &one).send())).await;
        let limited: Vec<_> =
            answers.into_iter().map(Result::unwrap).filter(|answer| answer.status() == 429).collect();
        assert!(limited.len() >= 10, "{} of 30", limited.len());
        assert!(limited.iter().all(|answer| answer.headers()["retry-after"] == "1"));
    }
    let mut socket = Socket::open_as(&app.url(""), "graphql-transport-ws", Some(&two)).await;
    let mut refused = 0;
    for _ in 0..10 {
        refused += usize::from(socket.ask(&json!({ "query": "{ __typename }" })).await["errors"].is_array());
    }
    assert!(refused >= 5, "{refused} of 10 at once");
    for n in 1..=100 {
        assert_eq!(app.webhook(&named(n)).await.0, 200);
    }
    app.stop().await;
}

#[tokio::test]
async fn bad_tokens_are_counted_and_a_good_one_is_never_shut_out() {
    let (app, _provider, [one, _], _db) = start("1000", "60").await;
    let list = |token: &str| app.http().get(app.url("/api/reservations")).bearer_auth(token);
    for _ in 0..20 {
        assert_eq!(answer(list("besty_guessed")).await.0, 401);
    }
    assert_limited(list("besty_guessed"), 3).await;
    assert_eq!(answer(app.http().get(app.url("/api/reservations"))).await.0, 401, "no token is no guess");
    assert_eq!(answer(list(&one)).await.0, 200);
    app.stop().await;
}

#[tokio::test]
async fn wrong_secrets_are_counted_and_a_right_one_is_never_shut_out() {
    let (app, _provider, [one, _], _db) = start("1000", "60").await;
    let post = |name: &'static str, value: &str| {
        let request = app.http().post(app.url("/webhooks")).header(name, value.to_owned());
        request.body(named(1).to_string())
    };
    for n in 0..20 {
        let (status, body) = answer(post("x-webhook-secret", &format!("guess {n}"))).await;
        assert!(status == 401 && body["error"].is_string(), "{status} {body}");
    }
    let body = assert_limited(post("x-webhook-secret", "guess"), 3).await;
    assert!(body["error"].as_str().is_some_and(|text| text.starts_with("too many requests")), "{body}");
    assert_limited(post("webhook-signature", "v1,x"), 3).await;
    for n in 1..=50 {
        assert_eq!(app.webhook(&named(n)).await.0, 200);
    }
    let (id, at) = ("wh_1", Clock::system().now().timestamp());
    let body = named(51).to_string();
    let key = standardwebhooks::Webhook::from_bytes(SECRET.as_bytes().to_vec()).unwrap();
    let signed = post("webhook-id", id)
        .header("webhook-timestamp", at)
        .header("webhook-signature", key.sign(id, at, body.as_bytes()).unwrap());
    assert_eq!(answer(signed.body(body)).await.0, 200, "a signature, too");
    assert_eq!(app.running().registration().deliveries().failures_in_a_row(), 0);
    let list = |token: &str| app.http().get(app.url("/api/reservations")).bearer_auth(token);
    assert_eq!(answer(list(&one)).await.0, 200);
    assert_eq!(answer(list("besty_guessed")).await.0, 401, "tokens are counted by themselves");
    app.stop().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_caller_is_who_it_says() {
    for (trusted, is_believed) in [("192.0.2.0/24, 127.0.0.1", true), ("192.0.2.0/24", false), ("", false)] {
        let (app, _provider, [one, _], _db) = start_with(&[("TRUSTED_PROXIES", trusted)]).await;
        let list = |token: &str, from: &str| {
            let request = app.http().get(app.url("/api/reservations")).bearer_auth(token);
            request.header("x-forwarded-for", format!("198.51.100.9, {from}, 192.0.2.3"))
        };
        for _ in 0..20 {
            assert_eq!(answer(list("besty_guessed", "203.0.113.1")).await.0, 401);
        }
        assert_limited(list("besty_guessed", "203.0.113.1"), 3).await;
        let other = if is_believed { 401 } else { 429 };
        assert_eq!(answer(list("besty_guessed", "203.0.113.2")).await.0, other, "{trusted}: another caller");
        // The same goes for the secret of webhooks.
        let secret = |from: &str| {
            let request = app.http().post(app.url("/webhooks")).header("x-webhook-secret", "guess");
            answer(request.header("x-forwarded-for", from.to_owned()))
        };
        for n in 0..21 {
            assert_eq!(secret("203.0.113.1").await.0, if n < 20 { 401 } else { 429 });
        }
        assert_eq!(secret("203.0.113.2").await.0, other);
        assert_eq!(answer(list(&one, "203.0.113.1")).await.0, 200);
        app.stop().await;
    }
}

/// Where nobody has a token, an address is the client; who is on this machine is none, but not behind a proxy.
#[tokio::test]
async fn each_address_behind_a_trusted_proxy_is_a_client() {
    let (db, provider) = (TestDb::sqlite(), Provider::quick().await);
    let set = [("MAX_REQUESTS_PER_SECOND", "1"), ("TRUSTED_PROXIES", "127.0.0.1")];
    let app = TestApp::start_with(&db, &provider, &set).await;
    let statuses = async |from: &str| {
        let list = || app.http().get(app.url("/api/reservations")).header("x-forwarded-for", from).send();
        let answers = futures::future::join_all((0..30).map(|_| list())).await;
        answers.into_iter().filter(|answer| answer.as_ref().unwrap().status() == 200).count()
    };
    for from in ["203.0.113.1", "203.0.113.2"] {
        assert!((2..20).contains(&statuses(from).await), "{from}");
    }
    app.stop().await;
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    let (app, _provider, [one, _], _db) = start("1000", "60").await;
    for (path, status) in [
        ("/", 200),
        ("/playground", 200),
        ("/healthz", 200),
        ("/api/reservations", 401),
        ("/nothing", 404),
        ("/graphql?query=%7B__typename%7D", 200),
    ] {
        let mut request = app.http().get(app.url(path));
        if path.starts_with("/graphql") {
            request = request.bearer_auth(&one);
        }
        let response = request.header("origin", "https://elsewhere.example").send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let said = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(said("x-content-type-options").as_deref(), Some("nosniff"), "{path}");
        assert_eq!(said("x-frame-options").as_deref(), Some("DENY"), "{path}");
        assert_eq!(said("referrer-policy").as_deref(), Some("no-referrer"), "{path}");
        assert!(
            said("content-security-policy").is_some_and(|it| it.contains("frame-ancestors 'none'")),
            "{path}"
        );
        assert_eq!(said("access-control-allow-origin"), None, "{path}");
    }
    app.stop().await;
}
