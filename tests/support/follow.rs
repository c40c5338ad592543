//! Follows the change log over any of the transports, as a client that expects to be cut off: where the
//! connection is lost, that is an answer and not a fault of the test. What no server of ours may send
//! still stops the test.

use besty::feed::Cursor;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _, http::Request},
};

/// The document; `/api/events` has none.
const FOLLOW: &str = "subscription($filter: ReservationFilter, $after: String) {
    reservationChanged(filter: $filter, after: $after) {
        cursor kind transition reservation { reservationId status }
    }
}";

/// A way to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// WebSocket, `graphql-transport-ws`.
    Ws,
    /// WebSocket, the legacy `graphql-ws`.
    LegacyWs,
    /// GraphQL over `text/event-stream`, distinct connections, resumed by `Last-Event-ID`.
    GraphqlSse,
    /// Apollo's `multipart/mixed`.
    Multipart,
    /// `GET /api/events`.
    Events,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ws, Self::LegacyWs, Self::GraphqlSse, Self::Multipart, Self::Events];
}

impl Transport {
    /// The WebSocket protocol, and its message that starts a subscription.
    fn protocol(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Ws => Some(("graphql-transport-ws", "subscribe")),
            Self::LegacyWs => Some(("graphql-ws", "start")),
            Self::GraphqlSse | Self::Multipart | Self::Events => None,
        }
    }

    /// The request of a transport that is a streamed answer.
    fn request(
        self,
        http: &reqwest::Client,
        base: &str,
        filter: &Value,
        after: &str,
    ) -> reqwest::RequestBuilder {
        let operation = |variables| json!({ "query": FOLLOW, "variables": variables });
        let graphql = http.post(format!("{base}/graphql"));
        match self {
            Self::Events => http.get(format!("{base}/api/events")).header("last-event-id", after),
            Self::Multipart => graphql
                .header(
                    "accept",
                    "multipart/mixed;boundary=\"graphql\";subscriptionSpec=\"1.0\", application/json",
                )
                .json(&operation(json!({ "filter": filter, "after": after }))),
            _ => graphql
                .header("accept", "text/event-stream")
                .header("last-event-id", after)
                .json(&operation(json!({ "filter": filter }))),
        }
    }

    /// How the content type of that answer begins.
    fn answered(self) -> &'static str {
        if self == Self::Multipart { "multipart/mixed" } else { "text/event-stream" }
    }
}

/// One change, as a transport told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its place in the log.
    pub seq: i64,
    /// Which reservation.
    pub key: String,
    /// What it meant for the filter, in the words of the schema; empty where there is no filter.
    pub transition: String,
}

/// The connection is gone, or was refused.
#[derive(Clone, Copy, Debug)]
pub struct Lost;

/// An open connection.
#[derive(Debug)]
pub enum Follower {
    /// Both WebSocket protocols.
    Socket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
    /// Blocks of text with an end of their own.
    Blocks(Blocks),
}

/// A streamed answer, cut into its events or parts.
#[derive(Debug)]
pub struct Blocks {
    transport: Transport,
    body: Body,
    buffer: Vec<u8>,
}

/// Where the bytes of an answer come from.
#[derive(Debug)]
enum Body {
    /// As clients read it.
    Response(Box<reqwest::Response>),
    /// A socket that nobody reads but we: HTTP/1.0, so that the body is sent as it is.
    Socket(TcpStream),
}

impl Body {
    async fn chunk(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Response(response) => response.chunk().await.ok()?.map(Vec::from),
            Self::Socket(stream) => {
                let mut chunk = vec![0; 4_096];
                let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
                chunk.truncate(read);
                Some(chunk)
            }
        }
    }
}

impl Follower {
    /// Follows `filter` on the server at `base`, after a cursor.
    pub async fn open(
        http: &reqwest::Client,
        base: &str,
        transport: Transport,
        filter: &Value,
        after: &str,
    ) -> Result<Self, Lost> {
        if let Some((protocol, start)) = transport.protocol() {
            let (stream, _) =
                tokio_tungstenite::connect_async(upgrade(base, protocol)).await.map_err(|_| Lost)?;
            return subscribed(stream, start, filter, after).await;
        }
        let request = transport.request(http, base, filter, after);
        let response = request.send().await.map_err(|_| Lost)?;
        if response.status().is_server_error() {
            return Err(Lost);
        }
        let (status, found) = (response.status(), response.headers()["content-type"].to_str().unwrap());
        assert!(status == 200 && found.starts_with(transport.answered()), "{transport:?}: {status} {found}");
        Ok(Self::Blocks(Blocks { transport, body: Body::Response(Box::new(response)), buffer: Vec::new() }))
    }

    /// The same over a socket with a small receive buffer, which takes nothing in unless it is read.
    pub async fn open_unread(
        http: &reqwest::Client,
        base: &str,
        transport: Transport,
        filter: &Value,
        after: &str,
    ) -> Result<Self, Lost> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let address = base.strip_prefix("http://").unwrap().parse().unwrap();
        let mut stream = socket.connect(address).await.map_err(|_| Lost)?;
        if let Some((protocol, start)) = transport.protocol() {
            let stream = MaybeTlsStream::Plain(stream);
            let opened = tokio_tungstenite::client_async(upgrade(base, protocol), stream).await;
            return subscribed(opened.map_err(|_| Lost)?.0, start, filter, after).await;
        }
        let request = transport.request(http, base, filter, after).build().unwrap();
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        let headers: String = request
            .headers()
            .iter()
            .map(|(name, value)| [name.as_str(), ": ", value.to_str().unwrap(), "\r\n"].concat())
            .collect();
        let head = format!(
            "{} {} HTTP/1.0\r\nhost: besty\r\n{headers}content-length: {}\r\n\r\n",
            request.method(),
            request.url().path(),
            body.len()
        );
        let sent = stream.write_all(&[head.as_bytes(), body].concat()).await;
        sent.map_err(|_| Lost)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.map_err(|_| Lost)?);
        }
        assert!(answer.windows(5).any(|bytes| bytes == b" 200 "), "{}", String::from_utf8_lossy(&answer));
        Ok(Self::Blocks(Blocks { transport, body: Body::Socket(stream), buffer: Vec::new() }))
    }

    /// The next change and its cursor. Loses nothing when it is dropped while it waits.
    pub async fn next(&mut self) -> Result<(String, Told), Lost> {
        match self {
            Self::Socket(stream) => next_message(stream).await,
            Self::Blocks(blocks) => blocks.next().await,
        }
    }
}

fn upgrade(base: &str, protocol: &str) -> Request<()> {
    let mut request = format!("{base}/graphql").replacen("http", "ws", 1).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
    request
}

async fn subscribed(
    mut stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    start: &str,
    filter: &Value,
    after: &str,
) -> Result<Follower, Lost> {
    let operation = json!({ "query": FOLLOW, "variables": { "filter": filter, "after": after } });
    let messages =
        [json!({ "type": "connection_init" }), json!({ "id": "1", "type": start, "payload": operation })];
    for message in messages {
        stream.send(Message::text(message.to_string())).await.map_err(|_| Lost)?;
    }
    Ok(Follower::Socket(Box::new(stream)))
}

async fn next_message(
    stream: &mut WebSocketStream<MaybeTlsStream<TcpStream>>,
) -> Result<(String, Told), Lost> {
    loop {
        let message = stream.next().await.ok_or(Lost)?.map_err(|_| Lost)?;
        let Message::Text(text) = message else { continue };
        let mut message: Value = serde_json::from_str(&text).unwrap();
        match message["type"].as_str() {
            Some("next" | "data") => return change(message["payload"].take()),
            Some("error") if is_passing(&message["payload"]) => return Err(Lost),
            Some("connection_ack" | "ping" | "ka") => {}
            // The server is going: what the legacy protocol says when its streams end.
            Some("complete") => return Err(Lost),
            _ => panic!("{message}"),
        }
    }
}

impl Blocks {
    async fn next(&mut self) -> Result<(String, Told), Lost> {
        // A part ends with the delimiter that is sent with it, an event with an empty line.
        let end: &[u8] = if self.transport == Transport::Multipart { b"\r\n--graphql" } else { b"\n\n" };
        loop {
            let found = self.buffer.windows(end.len()).position(|bytes| bytes == end);
            if let Some(at) = found {
                let block: Vec<u8> = self.buffer.drain(..at + end.len()).collect();
                let block = std::str::from_utf8(&block[..at]).unwrap();
                match self.transport {
                    Transport::Multipart => {
                        if let Some(told) = part(block) {
                            return told;
                        }
                    }
                    Transport::Events => {
                        if let Some(told) = event(block) {
                            return Ok(told);
                        }
                    }
                    _ => {
                        if let Some(told) = graphql_event(block) {
                            return told;
                        }
                    }
                }
                continue;
            }
            self.buffer.extend(self.body.chunk().await.ok_or(Lost)?);
        }
    }
}

/// None for a heartbeat, for what stands before the first part, and for the farewell of a server that stops.
fn part(block: &str) -> Option<Result<(String, Told), Lost>> {
    let (_, body) = block.split_once("\r\n\r\n")?;
    let mut body: Value = serde_json::from_str(body).unwrap();
    let payload = body["payload"].take();
    (!payload.is_null()).then(|| change(payload))
}

fn field<'a>(block: &'a str, name: &str) -> Option<&'a str> {
    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// None for a comment, and for `complete` when the server is going.
fn graphql_event(block: &str) -> Option<Result<(String, Told), Lost>> {
    if field(block, "event")? != "next" {
        return None;
    }
    let told = change(serde_json::from_str(field(block, "data")?).unwrap());
    if let Ok((cursor, _)) = &told {
        assert_eq!(field(block, "id"), Some(cursor.as_str()), "the id is the cursor");
    }
    Some(told)
}

/// None for a comment and for `ready`.
fn event(block: &str) -> Option<(String, Told)> {
    if field(block, "event")? != "reservation.updated" {
        return None;
    }
    let data: Value = serde_json::from_str(field(block, "data")?).unwrap();
    Some(told(field(block, "id")?, &data["reservationId"], ""))
}

/// Whether the errors of an answer say that it can't be had now.
pub fn is_passing(errors: &Value) -> bool {
    let code = errors[0]["extensions"]["code"].as_str();
    matches!(code, Some("INTERNAL_SERVER_ERROR" | "SERVICE_UNAVAILABLE"))
}

fn change(mut payload: Value) -> Result<(String, Told), Lost> {
    if is_passing(&payload["errors"]) {
        return Err(Lost);
    }
    assert!(payload["errors"].is_null(), "{payload}");
    let change = payload["data"]["reservationChanged"].take();
    let transition = change["transition"].as_str().unwrap();
    Ok(told(change["cursor"].as_str().unwrap(), &change["reservation"]["reservationId"], transition))
}

fn told(cursor: &str, key: &Value, transition: &str) -> (String, Told) {
    let seq = Cursor::parse(cursor).unwrap().seq;
    let told = Told { seq, key: key.as_str().unwrap().to_owned(), transition: transition.to_owned() };
    (cursor.to_owned(), told)
}
