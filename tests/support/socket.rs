//! A GraphQL client over WebSocket: the protocol `graphql-transport-ws`, and its legacy elder.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Error, Message, client::IntoClientRequest as _},
};

use super::{TestApp, within};

/// An acknowledged connection.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    legacy: bool,
}

/// Asks for a WebSocket; answers the HTTP status when it is refused.
pub async fn connect(
    base: &str,
    protocol: &str,
    origin: Option<&str>,
) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, u16> {
    let mut request = format!("{base}/graphql").replacen("http", "ws", 1).into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", protocol.parse().unwrap());
    if let Some(origin) = origin {
        headers.insert("origin", origin.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((stream, response)) => {
            assert_eq!(response.headers()["sec-websocket-protocol"], protocol);
            Ok(stream)
        }
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

impl Socket {
    /// Connects with `graphql-transport-ws`.
    pub async fn open(app: &TestApp) -> Self {
        Self::open_with(&app.url(""), "graphql-transport-ws").await
    }

    /// Connects to `http://address` with the protocol given.
    pub async fn open_with(base: &str, protocol: &str) -> Self {
        let stream = connect(base, protocol, None).await.unwrap();
        let mut socket = Self { stream, legacy: protocol == "graphql-ws" };
        socket.send(&json!({ "type": "connection_init" })).await;
        assert_eq!(socket.receive().await["type"], "connection_ack");
        socket
    }

    /// Starts a subscription under the id `1`.
    pub async fn subscribe(&mut self, query: &str, variables: Value) {
        let kind = if self.legacy { "start" } else { "subscribe" };
        self.send(&json!({ "id": "1", "type": kind, "payload": { "query": query, "variables": variables } }))
            .await;
    }

    /// Waits until the server has taken what was sent so far.
    pub async fn ping(&mut self) {
        self.send(&json!({ "type": "ping" })).await;
        loop {
            let message = within("a pong", self.stream.next()).await.expect("the socket ended").unwrap();
            if message.to_text().is_ok_and(|text| text.contains("\"pong\"")) {
                return;
            }
        }
    }

    async fn send(&mut self, message: &Value) {
        self.stream.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn receive(&mut self) -> Value {
        loop {
            let message = within("a message", self.stream.next()).await.expect("the socket ended").unwrap();
            let Message::Text(text) = message else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            if !matches!(message["type"].as_str(), Some("ping" | "ka")) {
                return message;
            }
        }
    }

    /// The next result of the subscription: its payload, none when it is complete.
    pub async fn next(&mut self) -> Option<Value> {
        let mut message = self.receive().await;
        match message["type"].as_str() {
            Some("next" | "data") => Some(message["payload"].take()),
            Some("error") => Some(json!({ "errors": message["payload"].take() })),
            Some("complete") => None,
            other => panic!("{other:?}: {message}"),
        }
    }

    /// The next value of a subscription's only field.
    pub async fn value(&mut self, field: &str) -> Value {
        let mut payload = self.next().await.expect("the subscription is complete");
        assert!(payload["errors"].is_null(), "{payload}");
        payload["data"][field].take()
    }
}
