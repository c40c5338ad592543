//! Reads `multipart/mixed` as Apollo Client does: a part is there when the boundary after it is.

use serde_json::Value;

use super::within;

const BOUNDARY: &str = "\r\n--graphql";

/// An open stream.
#[derive(Debug)]
pub struct Multipart {
    response: reqwest::Response,
    buffer: String,
}

impl Multipart {
    /// Asks for a subscription.
    pub async fn post(http: &reqwest::Client, url: String, body: &Value) -> Self {
        Self::of(http.post(url).json(body)).await
    }

    /// Sends a request that is to be answered by a stream.
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let accept = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json";
        let response = request.header("accept", accept).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let content_type = response.headers()["content-type"].to_str().unwrap();
        assert!(content_type.starts_with("multipart/mixed;boundary=\"graphql\""), "{content_type}");
        let mut parts = Self { response, buffer: "\r\n".to_owned() };
        assert_eq!(parts.until_boundary().await.as_deref(), Some(""));
        parts
    }

    /// The next part, none after the last.
    pub async fn next(&mut self) -> Option<Value> {
        if within("a part", async {
            while self.buffer.len() < 2 {
                self.read().await;
            }
            self.buffer.starts_with("--")
        })
        .await
        {
            return None;
        }
        let part = within("the boundary after a part", self.until_boundary()).await.unwrap();
        let (headers, body) = part.split_once("\r\n\r\n").unwrap();
        assert_eq!(headers.trim().to_ascii_lowercase(), "content-type: application/json");
        Some(serde_json::from_str(body).unwrap())
    }

    /// The next part that says something.
    pub async fn next_but_heartbeats(&mut self) -> Option<Value> {
        loop {
            match self.next().await {
                Some(part) if part == serde_json::json!({}) => {}
                other => return other,
            }
        }
    }

    async fn until_boundary(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.find(BOUNDARY) {
                let rest = self.buffer.split_off(end);
                let part = std::mem::replace(&mut self.buffer, rest[BOUNDARY.len()..].to_owned());
                return Some(part);
            }
            self.read().await;
        }
    }

    async fn read(&mut self) {
        let chunk = self.response.chunk().await.unwrap().expect("the stream ended without its last boundary");
        self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}
