//! A PostgreSQL that asks for a password: a wrong one is said, with where it came from, and never shown.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{
    TestDb,
    app::{Provider, SECRET, answer},
    binary::{self, Server},
    events::named,
    proxy::Proxy,
    within,
};

/// As it is, and as it is in a URL.
const RIGHT: (&str, &str) = ("open/sesame", "open%2Fsesame");
const WRONG: (&str, &str) = ("hush-hush/1", "hush-hush%2F1");

/// What is said is said without the password, however it is written.
fn keeps_quiet(said: &str) {
    for password in [RIGHT, WRONG] {
        assert!(!said.contains(password.0) && !said.contains(password.1), "{said}");
    }
}

/// What it says when it does not start.
async fn refused(db: &TestDb, set: &[(&str, &str)]) -> String {
    let mut command = binary::command(db.folder());
    command.env("PORT", "0").envs(set.iter().copied());
    let output = within("the server to end", command.output()).await.unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!output.status.success(), "{said}");
    assert!(!said.contains("listening"), "nothing was taken: {said}");
    keeps_quiet(&said);
    said
}

async fn readiness(http: &reqwest::Client, server: &Server) -> (u16, Value) {
    answer(http.get(format!("{}/readyz", server.url))).await
}

/// Waits until the database has let it in.
async fn ready(http: &reqwest::Client, server: &Server) {
    within("the server to be let in", async {
        while readiness(http, server).await != (200, json!("ready\n")) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_said_and_not_shown() {
    let db = TestDb::postgres_with_password(RIGHT).await;
    let (user, at, name) = db.parts();
    let why = format!("password authentication failed for user \"{user}\"");

    let url = format!("postgres://{user}:{}@{at}/{name}", WRONG.1);
    let said = refused(&db, &[("DATABASE_URL", &url)]).await;
    assert!(said.contains("DATABASE_URL, DB_*: the database can't be used") && said.contains(&why), "{said}");

    let (host, port) = at.split_once(':').unwrap();
    let parts = [("DB_HOST", host), ("DB_PORT", port), ("DB_USER", &user), ("DB_NAME", &name)];
    let said = refused(&db, &[&parts[..], &[("DB_PASSWORD", WRONG.0)]].concat()).await;
    assert!(said.contains("DATABASE_URL, DB_*: the database can't be used") && said.contains(&why), "{said}");

    let none = format!("postgres://{user}@{at}/{name}");
    assert!(refused(&db, &[("DATABASE_URL", &none)]).await.contains("DATABASE_URL"));
    // One that can't be read at all, since the password is not written as a URL wants it.
    let unreadable = format!("postgres://{user}:{}@{at}/{name}", WRONG.0);
    assert!(refused(&db, &[("DATABASE_URL", &unreadable)]).await.contains("DATABASE_URL"));

    let provider = Provider::quick().await;
    let server = Server::start(&db, &provider.url, &[]).await;
    let http = besty::app::http_client().unwrap();
    ready(&http, &server).await;
    keeps_quiet(&server.log());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_webhooks_goes_on_and_says_it() {
    let db = TestDb::postgres_with_password(RIGHT).await;
    let (mut proxy, url) = Proxy::before(&db.url().replace(RIGHT.1, WRONG.1));
    let (user, ..) = db.parts();
    let (provider, http) = (Provider::quick().await, besty::app::http_client().unwrap());
    proxy.cut().await;
    let server = Server::start(&db, &provider.url, &[("DATABASE_URL", &url)]).await;
    let post = http.post(format!("{}/webhooks", server.url)).header("x-webhook-secret", SECRET);
    assert_eq!(answer(post.body(named(1).to_string())).await.1["result"], "queued");

    proxy.restore();
    let why = format!("password authentication failed for user \"{user}\"");
    server.says(&why).await;
    assert!(server.said(&why).unwrap().contains("DATABASE_URL, DB_*: the database can't be used yet"));
    let reason = "the database has not been reached since the start; spool in use, waiting: 1";
    assert_eq!(readiness(&http, &server).await, (503, json!({ "error": reason })));
    keeps_quiet(&server.log());

    db.set_password(WRONG.0).await;
    ready(&http, &server).await;
    keeps_quiet(&server.log());
    server.stop().await;
}
