//! A GraphQL client over WebSocket: the protocol `graphql-transport-ws`, and its legacy elder.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Error, Message, client::IntoClientRequest as _, handshake::client::Request},
};

use super::{TestApp, within};

/// A connection.
pub type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How the server closes it: code and reason.
pub async fn closed(stream: &mut Stream) -> (u16, String) {
    within("the end of the socket", async {
        loop {
            match stream.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.as_str().to_owned());
                }
                Some(Ok(_)) => {}
                other => panic!("no code: {other:?}"),
            }
        }
    })
    .await
}

/// An acknowledged connection.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    legacy: bool,
}

fn request(base: &str, protocol: &str) -> Request {
    let mut request = format!("{base}/graphql").replacen("http", "ws", 1).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
    request
}

/// Asks for a WebSocket; answers the HTTP status when it is refused.
pub async fn connect(base: &str, protocol: &str, origin: Option<&str>) -> Result<Stream, u16> {
    let mut request = request(base, protocol);
    let headers = request.headers_mut();
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

/// `connection_init`, with a token.
pub fn init(token: Option<&str>) -> Value {
    let payload = token.map(|token| json!({ "Authorization": format!("Bearer {token}") }));
    json!({ "type": "connection_init", "payload": payload.unwrap_or_else(|| json!({})) })
}

impl Socket {
    /// Connects with `graphql-transport-ws`.
    pub async fn open(app: &TestApp) -> Self {
        Self::open_with(&app.url(""), "graphql-transport-ws").await
    }

    /// Connects to `http://address` with the protocol given.
    pub async fn open_with(base: &str, protocol: &str) -> Self {
        Self::open_as(base, protocol, None).await
    }

    /// The same, with a token.
    pub async fn open_as(base: &str, protocol: &str, token: Option<&str>) -> Self {
        let stream = connect(base, protocol, None).await.unwrap();
        let mut socket = Self { stream, legacy: protocol == "graphql-ws" };
        socket.send(&init(token)).await;
        assert_eq!(socket.receive().await["type"], "connection_ack");
        socket
    }

    /// Asks for the socket with a token in its header, and perhaps brings another in `connection_init`.
    pub async fn upgraded_as(base: &str, protocol: &str, token: &str, later: Option<&str>) -> Self {
        let mut request = request(base, protocol);
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let (stream, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let mut socket = Self { stream, legacy: protocol == "graphql-ws" };
        socket.send(&init(later)).await;
        assert_eq!(socket.receive().await["type"], "connection_ack");
        socket
    }

    /// Starts an operation under the id `1`.
    pub async fn subscribe(&mut self, query: &str, variables: Value) {
        self.subscribe_as("1", query, variables).await;
    }

    /// Starts an operation.
    pub async fn subscribe_as(&mut self, id: &str, query: &str, variables: Value) {
        let kind = if self.legacy { "start" } else { "subscribe" };
        self.send(&json!({ "id": id, "type": kind, "payload": { "query": query, "variables": variables } }))
            .await;
    }

    /// Sends a request as an operation of its own, and answers its first result.
    pub async fn ask(&mut self, request: &Value) -> Value {
        let id = uuid::Uuid::new_v4().to_string();
        let kind = if self.legacy { "start" } else { "subscribe" };
        self.send(&json!({ "id": id, "type": kind, "payload": request })).await;
        loop {
            let mut message = self.receive().await;
            // What is left of those before is passed over.
            match message["type"].as_str() {
                _ if message["id"] != json!(id) => {}
                Some("error") if message["payload"].is_array() => {
                    return json!({ "errors": message["payload"].take() });
                }
                _ => return message["payload"].take(),
            }
        }
    }

    /// The connection itself.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
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

    /// Sends a message.
    pub async fn send(&mut self, message: &Value) {
        self.stream.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message that is no sign of life.
    pub async fn receive(&mut self) -> Value {
        within("a message", self.read()).await
    }

    async fn read(&mut self) -> Value {
        loop {
            let message = self.stream.next().await.expect("the socket ended").unwrap();
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
