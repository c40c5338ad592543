//! The sandbox over HTTP: real sockets on port 0, no clock but the tests' own.

mod booking;
mod faults;
mod guest_api;
mod source;

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{GuestApi, GuestApiSettings};

/// A Guest API that is served while this lives.
struct Sandbox {
    api: GuestApi,
    client: Client,
    base: String,
    _stop: DropGuard,
}

impl Sandbox {
    async fn start(settings: GuestApiSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (api, cancel) = (GuestApi::new(settings), CancellationToken::new());
        tokio::spawn(super::serve(listener, api.clone(), cancel.clone()));
        Self { api, client: client(), base, _stop: cancel.drop_guard() }
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    fn message(&self, guest: &str, key: &str) -> RequestBuilder {
        self.call(Method::POST, &format!("/guests/{guest}/messages"))
            .header("Idempotency-Key", key)
            .json(&json!({"message": "Welcome"}))
    }
}

fn client() -> Client {
    // Whichever test comes first installs it; a client can't be built without, even for plain HTTP.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

/// Fast, and without a limit.
fn open() -> GuestApiSettings {
    GuestApiSettings { limit: None, latency: Duration::ZERO, ..GuestApiSettings::default() }
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

async fn body(request: RequestBuilder) -> Value {
    request.send().await.unwrap().json().await.unwrap()
}
