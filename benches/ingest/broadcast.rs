//! The load beside a running broadcast: 5,000 guests, against a limit of 50/s with a burst of 10. In turns with
//! the same load while the broadcast is paused.

use std::time::Duration;

use besty::{
    app,
    sandbox::{self, GuestApi},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    load::{GUESTS, Load},
    median,
    server::Server,
    support::{Bar, Row, seconds},
};

/// The least share of the rate that is to be left.
const WANTED: f64 = 0.8;
/// Seconds a measurement, and measurements a side. Long ones: a broadcast that is resumed takes up its pace first.
const SECONDS: u64 = 6;
const ROUNDS: usize = 3;

/// A stand-in Guest API; it ends with the value.
pub(crate) struct Provider {
    api: GuestApi,
    pub(crate) url: String,
    _running: DropGuard,
}

/// With the limit and the latency that it has by default.
pub(crate) async fn guest_api() -> Provider {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (api, cancel) = (GuestApi::default(), CancellationToken::new());
    tokio::spawn(sandbox::serve(listener, api.clone(), cancel.clone()));
    Provider { api, url, _running: cancel.drop_guard() }
}

/// Prints the rate with, the rate without, and their ratio.
pub(crate) async fn measure(server: &Server, load: &Load, provider: &Provider) {
    let broadcast = Broadcast::start(server).await;
    // It is under way, and past the first look at the limit.
    tokio::time::timeout(Duration::from_mins(1), provider.api.wait_delivered(100)).await.unwrap();
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let mut sent = 0;
    for _ in 0..ROUNDS {
        let before = provider.api.report().delivered;
        // Blocks this thread; the Guest API answers on others.
        with.push(load.run(64, seconds(SECONDS)));
        sent += provider.api.report().delivered - before;
        broadcast.mutate("broadcastPause").await;
        without.push(load.run(64, seconds(SECONDS)));
        broadcast.mutate("broadcastResume").await;
    }
    let left = GUESTS - provider.api.report().delivered;
    assert!(left > 0, "the broadcast ended before its measurement did");
    broadcast.mutate("broadcastCancel").await;
    let (with, without) = (median(with), median(without));
    println!(
        "64 connections beside a broadcast: {with}, and {sent} messages in {} s; without {without}; ratio {:.2} (at least {WANTED})",
        seconds(SECONDS) * ROUNDS as u64,
        with.rate / without.rate
    );
    Row {
        promise: "webhooks a second beside a broadcast",
        figure: with.to_string(),
        baseline: format!("without it: {without}"),
        ratio: with.rate / without.rate,
        bar: Bar::AtLeast(WANTED),
    }
    .print();
}

/// A broadcast to everybody.
struct Broadcast {
    http: reqwest::Client,
    url: String,
    id: String,
}

impl Broadcast {
    async fn start(server: &Server) -> Self {
        let (http, url) = (app::http_client().unwrap(), format!("http://{}/graphql", server.address));
        let mutation =
            "mutation {broadcast(input: {message: \"Hello\", filter: {}}) {recipientCount broadcast {id}}}";
        let started = graphql(&http, &url, mutation, Value::Null).await;
        assert_eq!(started["broadcast"]["recipientCount"], GUESTS);
        let id = started["broadcast"]["broadcast"]["id"].as_str().unwrap().to_owned();
        Self { http, url, id }
    }

    /// Pauses it for example; answered once nothing is under way.
    async fn mutate(&self, what: &str) {
        let mutation =
            format!("mutation($id: ID!) {{{what}(input: {{broadcastId: $id}}) {{userErrors {{message}}}}}}");
        let done = graphql(&self.http, &self.url, &mutation, json!({ "id": self.id })).await;
        assert_eq!(done[what]["userErrors"], json!([]));
    }
}

async fn graphql(http: &reqwest::Client, url: &str, query: &str, variables: Value) -> Value {
    let post = http.post(url).json(&json!({ "query": query, "variables": variables }));
    let mut answer: Value = post.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["errors"], Value::Null, "{answer}");
    answer["data"].take()
}
