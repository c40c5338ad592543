//! The app under test, with the stand-in Guest API behind it.

use std::collections::HashMap;

use besty::{
    app::{self, Outside, Running},
    clock::Clock,
    config::Config,
    sandbox::{self, GuestApi, GuestApiSettings},
};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{TestDb, within};

/// The secret of every test.
pub const SECRET: &str = "test-secret";

/// A Guest API on a port of its own; it ends with the value.
#[derive(Debug)]
pub struct Provider {
    /// What it was told and what it is to do.
    pub api: GuestApi,
    /// Where it listens.
    pub url: String,
    _running: DropGuard,
}

impl Provider {
    /// Without a limit and without latency.
    pub async fn quick() -> Self {
        let settings = GuestApiSettings {
            limit: None,
            latency: std::time::Duration::ZERO,
            ..GuestApiSettings::default()
        };
        Self::start(settings).await
    }

    /// As `settings` say.
    pub async fn start(settings: GuestApiSettings) -> Self {
        Self::listen("127.0.0.1:0", settings).await
    }

    /// The same, at an address.
    pub async fn listen(address: &str, settings: GuestApiSettings) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (api, cancel) = (GuestApi::new(settings), CancellationToken::new());
        tokio::spawn(sandbox::serve(listener, api.clone(), cancel.clone()));
        Self { api, url, _running: cancel.drop_guard() }
    }
}

/// The app.
#[derive(Debug)]
pub struct TestApp {
    running: Running,
    http: reqwest::Client,
}

impl TestApp {
    /// The app on this database, with a provider behind it.
    pub async fn start(db: &TestDb, provider: &Provider) -> Self {
        Self::start_with(db, provider, &[]).await
    }

    /// The same, with more variables set.
    pub async fn start_with(db: &TestDb, provider: &Provider, set: &[(&'static str, &str)]) -> Self {
        Self::start_tuned(db, provider, set, |_| {}).await
    }

    /// The same, with what no variable sets.
    pub async fn start_tuned(
        db: &TestDb,
        provider: &Provider,
        set: &[(&'static str, &str)],
        tune: impl FnOnce(&mut Config),
    ) -> Self {
        let spool = db.folder().join(format!("spool-{}.db", uuid::Uuid::new_v4()));
        let mut env = HashMap::from([
            ("DATABASE_URL", db.url().to_owned()),
            ("WEBHOOK_SECRET", SECRET.to_owned()),
            ("GUEST_API_BASE_URL", provider.url.clone()),
            ("SPOOL_PATH", spool.to_str().unwrap().to_owned()),
            ("DB_POOL_MAX", "8".to_owned()),
        ]);
        env.extend(set.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let mut config = Config::from_lookup(|name| env.get(name).cloned()).unwrap();
        tune(&mut config);
        let http = app::http_client().unwrap();
        let outside = Outside {
            clock: Clock::system(),
            rng: Box::new(StdRng::from_rng(&mut rand::rng())),
            http: http.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let running = app::start(&config, listener, outside).await.unwrap();
        Self { running, http }
    }

    /// The parts that run.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// A client for it.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.addr())
    }

    /// Posts a webhook; answers the status and the body.
    pub async fn webhook(&self, event: &Value) -> (u16, Value) {
        self.webhook_bytes(event.to_string().into_bytes()).await
    }

    /// Posts a webhook of any bytes.
    pub async fn webhook_bytes(&self, body: Vec<u8>) -> (u16, Value) {
        let request = self.http.post(self.url("/webhooks")).header("X-Webhook-Secret", SECRET).body(body);
        answer(request).await
    }

    /// Posts a webhook that is to be applied.
    pub async fn apply(&self, event: &Value) {
        let (status, body) = self.webhook(event).await;
        assert_eq!((status, body["result"].as_str()), (200, Some("applied")), "{body}");
        // A watcher begins at what the hub has read: from here on, that is this event or a later one.
        let hub = self.running.hub();
        let head = hub.feed().head().await.unwrap();
        within("the hub to read the event", async {
            while hub.head() < head {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    /// What `/metrics` says of this one, a whole number: the sum over its labels.
    pub async fn metric(&self, name: &str) -> u64 {
        format!("{}", self.figure(name).await).parse().unwrap()
    }

    /// What `/metrics` says of this one: the sum over its labels.
    pub async fn figure(&self, name: &str) -> f64 {
        let text = self.http.get(self.url("/metrics")).send().await.unwrap().text().await.unwrap();
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            (labels.is_empty() || labels.starts_with('{')).then(|| value.parse::<f64>().unwrap())
        });
        let values: Vec<_> = values.collect();
        assert!(!values.is_empty(), "no {name} in {text}");
        values.iter().sum()
    }

    /// Waits until `/metrics` says this.
    pub async fn metric_is(&self, name: &str, wanted: u64) {
        within(&format!("{name} {wanted}"), async {
            while self.metric(name).await != wanted {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// `GET`s a path that answers JSON.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(self.url(path))).await
    }

    /// `POST`s JSON to a path.
    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.http.post(self.url(path)).json(body)).await
    }

    /// Runs a GraphQL operation that is to succeed; answers its data.
    pub async fn graphql(&self, query: &str, variables: Value) -> Value {
        let request = serde_json::json!({ "query": query, "variables": variables });
        let (status, mut body) = self.post("/graphql", &request).await;
        assert_eq!((status, &body["errors"]), (200, &Value::Null), "{body}");
        body["data"].take()
    }

    /// Stops it as a signal would.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// Sends a request; answers its status and JSON.
pub async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    // Nothing a test asks for takes this long; without it a fault would hang the run.
    let request = request.timeout(std::time::Duration::from_mins(1));
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
