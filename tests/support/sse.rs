//! Reads a `text/event-stream`.

use serde_json::Value;

use super::within;

/// An open stream.
#[derive(Debug)]
pub struct Sse {
    response: reqwest::Response,
    buffer: String,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct SseEvent {
    /// `event:`
    pub kind: String,
    /// `id:`
    pub id: String,
    /// `data:`, as JSON.
    pub data: Value,
}

impl Sse {
    /// Opens a stream, after an event if given.
    pub async fn open(http: &reqwest::Client, url: String, last_event_id: Option<&str>) -> Self {
        Self::start(http.get(url), last_event_id).await
    }

    /// Asks for a GraphQL operation in the URL.
    pub async fn get(http: &reqwest::Client, url: String, last_event_id: Option<&str>) -> Self {
        Self::start(http.get(url).header("accept", "text/event-stream"), last_event_id).await
    }

    /// Asks for a GraphQL operation.
    pub async fn post(
        http: &reqwest::Client,
        url: String,
        body: &Value,
        last_event_id: Option<&str>,
    ) -> Self {
        let request = http.post(url).header("accept", "text/event-stream").json(body);
        Self::start(request, last_event_id).await
    }

    /// Sends a request that is to be answered by a stream.
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        Self::start(request.header("accept", "text/event-stream"), None).await
    }

    async fn start(mut request: reqwest::RequestBuilder, last_event_id: Option<&str>) -> Self {
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: String::new() }
    }

    /// What is sent, up to and with this.
    pub async fn text_until(&mut self, end: &str) -> String {
        within(&format!("{end:?}"), async {
            while !self.buffer.contains(end) {
                let chunk = self.response.chunk().await.unwrap().expect("the stream ended");
                self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        })
        .await;
        std::mem::take(&mut self.buffer)
    }

    /// All that is still sent, to an end in order.
    pub async fn rest(mut self) -> String {
        within("the end of the stream", async {
            while let Some(chunk) = self.response.chunk().await.expect("an end in order") {
                self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        })
        .await;
        self.buffer
    }

    /// The next event; comments are passed over.
    pub async fn next(&mut self) -> SseEvent {
        within("an event of the stream", self.read()).await.expect("the stream ended")
    }

    /// Reads to the end.
    pub async fn end(&mut self) {
        while self.read().await.is_some() {}
    }

    /// The next event, none at the end of the stream.
    pub async fn read(&mut self) -> Option<SseEvent> {
        loop {
            while let Some(end) = self.buffer.find("\n\n") {
                let block: String = self.buffer.drain(..end + 2).collect();
                if let Some(event) = parse(&block) {
                    return Some(event);
                }
            }
            let chunk = self.response.chunk().await.ok()??;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

fn parse(block: &str) -> Option<SseEvent> {
    let field = |name: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|text| text.trim_start().to_owned())
    };
    let data = field("data")?;
    Some(SseEvent {
        kind: field("event").unwrap_or_default(),
        id: field("id").unwrap_or_default(),
        data: serde_json::from_str(&data).unwrap_or(Value::String(data)),
    })
}
