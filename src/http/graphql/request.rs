//! What a GraphQL request says: in a body, in a query string, and in `Accept`.

use async_graphql::{Extensions, Request, Variables};
use axum::http::{HeaderMap, header};
use serde::{Deserialize, de::DeserializeOwned};

use super::answer::Media;
use crate::http::answer::Refusal;

/// The parameters of GraphQL over HTTP, as JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parameters {
    /// May be left out when its hash is among the extensions.
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<Variables>,
    extensions: Option<Extensions>,
}

impl Parameters {
    /// Whether they say what to run.
    pub(super) fn is_complete(&self) -> bool {
        let has_hash = || self.extensions.as_ref().is_some_and(|all| all.contains_key("persistedQuery"));
        self.query.as_ref().is_some_and(|query| !query.is_empty()) || has_hash()
    }
}

impl From<Parameters> for Request {
    fn from(parameters: Parameters) -> Self {
        let mut request = Self::new(parameters.query.unwrap_or_default());
        request.operation_name = parameters.operation_name;
        request.variables = parameters.variables.unwrap_or_default();
        request.extensions = parameters.extensions.unwrap_or_default();
        request
    }
}

/// Reads a body.
pub(super) fn parse_body(body: &[u8]) -> Result<Request, Refusal> {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err(Refusal::bad_request("body: must be one request; batches are not taken"));
    }
    let parameters: Parameters =
        serde_json::from_slice(body).map_err(|error| Refusal::bad_request(format!("body: {error}")))?;
    complete(parameters)
}

/// The same in a query string.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryString {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

/// Reads a query string.
pub(super) fn parse_query(query: &str) -> Result<Request, Refusal> {
    let parameters: QueryString = serde_urlencoded::from_str(query)
        .map_err(|error| Refusal::bad_request(format!("query string: {error}")))?;
    complete(Parameters {
        query: parameters.query,
        operation_name: parameters.operation_name.filter(|name| !name.is_empty()),
        variables: object("variables", parameters.variables)?,
        extensions: object("extensions", parameters.extensions)?,
    })
}

/// What was written down as JSON, if anything was.
fn object<T: DeserializeOwned>(name: &str, text: Option<String>) -> Result<Option<T>, Refusal> {
    let refuse = |error| Refusal::bad_request(format!("{name}: not a JSON object: {error}"));
    match text.filter(|text| !text.is_empty()) {
        Some(text) => serde_json::from_str(&text).map_err(refuse),
        None => Ok(None),
    }
}

fn complete(parameters: Parameters) -> Result<Request, Refusal> {
    if parameters.is_complete() {
        Ok(parameters.into())
    } else {
        Err(Refusal::bad_request("query: must be given"))
    }
}

/// What a client takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Accepted {
    /// How a stream is to be framed, when the client would rather have one than JSON.
    pub(super) protocol: Option<Protocol>,
    /// How JSON is to be called.
    pub(super) media: Media,
}

/// The ways to frame a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// GraphQL over server-sent events.
    Events,
    /// Apollo's multipart subscriptions.
    Multipart,
}

/// A media type of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ours {
    Stream(Protocol),
    Json(Media),
}

/// The media types of ours that the client likes best; of those it likes alike, the first. What else it
/// takes is left aside, and `application/json` is for whoever says nothing.
pub(super) fn accepted(headers: &HeaderMap) -> Accepted {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut liked: Vec<(f32, Ours)> =
        values.flat_map(|value| value.split(',')).filter_map(media_type).collect();
    liked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let protocol = match liked.first() {
        Some((_, Ours::Stream(protocol))) => Some(*protocol),
        Some((_, Ours::Json(_))) | None => None,
    };
    let media = liked.iter().find_map(|(_, ours)| match ours {
        Ours::Json(media) => Some(*media),
        Ours::Stream(_) => None,
    });
    Accepted { protocol, media: media.unwrap_or_default() }
}

/// What an entry of `Accept` means to us, and how much it is liked.
fn media_type(text: &str) -> Option<(f32, Ours)> {
    let text = text.to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next()?;
    let parameters = || parts.clone().filter_map(|part| part.split_once('='));
    let ours = match essence {
        "application/graphql-response+json" => Ours::Json(Media::Graphql),
        "application/json" | "application/*" | "*/*" => Ours::Json(Media::Json),
        "text/event-stream" => Ours::Stream(Protocol::Events),
        // Others, such as `deferSpec`, are for what we do not do.
        "multipart/mixed" => {
            let is_ours =
                |(name, value): (&str, &str)| name == "subscriptionspec" && value.trim_matches('"') == "1.0";
            parameters().any(is_ours).then_some(Ours::Stream(Protocol::Multipart))?
        }
        _ => return None,
    };
    let weight = parameters().find(|(name, _)| *name == "q").map_or(Some(1.0), |(_, q)| q.parse().ok());
    weight.filter(|weight| *weight > 0.0).map(|weight| (weight, ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_of_ours_that_is_liked_best_decides() {
        let json = Accepted::default();
        let graphql = Accepted { media: Media::Graphql, ..json };
        let stream = |protocol, accepted: Accepted| Accepted { protocol: Some(protocol), ..accepted };
        let (events, parts) = (Protocol::Events, Protocol::Multipart);
        for (accept, wanted) in [
            ("", json),
            ("*/*", json),
            ("text/html, application/xhtml+xml", json),
            ("application/graphql-response+json", graphql),
            ("Application/GraphQL-Response+JSON; charset=utf-8", graphql),
            ("application/graphql-response+json, application/json;q=0.9", graphql),
            ("application/json;q=0.9, application/graphql-response+json", graphql),
            ("application/json, application/graphql-response+json", json),
            ("application/graphql-response+json;q=0, */*", json),
            ("text/event-stream", stream(events, json)),
            ("application/json, text/event-stream", json),
            ("application/graphql-response+json;q=0.1, text/event-stream", stream(events, graphql)),
            ("text/html, text/event-stream, application/json", stream(events, json)),
            ("text/event-stream;q=0, application/json", json),
            ("text/event-stream;q=x, application/json", json),
            (
                "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9",
                stream(parts, graphql),
            ),
            ("multipart/mixed; boundary=\"graphql\"; subscriptionSpec=\"1.0\"", stream(parts, json)),
            ("multipart/mixed;deferSpec=20220824,application/json", json),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(accepted(&headers), wanted, "{accept}");
        }
    }
}
