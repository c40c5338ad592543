//! What a GraphQL request says: in a body, in a query string, and in `Accept`.

use async_graphql::{Extensions, Request, Variables};
use axum::http::{HeaderMap, header};
use serde::Deserialize;

use crate::http::answer::Refusal;

/// The parameters of GraphQL over HTTP, as JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parameters {
    query: String,
    operation_name: Option<String>,
    variables: Option<Variables>,
    extensions: Option<Extensions>,
}

impl From<Parameters> for Request {
    fn from(parameters: Parameters) -> Self {
        let mut request = Self::new(parameters.query);
        request.operation_name = parameters.operation_name;
        request.variables = parameters.variables.unwrap_or_default();
        request.extensions = parameters.extensions.unwrap_or_default();
        request
    }
}

/// The same in a query string. async-graphql's own parser does not know `operationName`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryString {
    query: String,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

/// Reads a query string.
pub(super) fn parse_query(query: &str) -> Result<Request, Refusal> {
    let parameters: QueryString = serde_urlencoded::from_str(query)
        .map_err(|error| Refusal::bad_request(format!("query string: {error}")))?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut request = Request::new(parameters.query);
    request.operation_name = given(parameters.operation_name);
    if let Some(text) = given(parameters.variables) {
        let variables = serde_json::from_str(&text);
        request.variables = variables
            .map_err(|error| Refusal::bad_request(format!("variables: not a JSON object: {error}")))?;
    }
    if let Some(text) = given(parameters.extensions) {
        let extensions = serde_json::from_str(&text);
        request.extensions = extensions
            .map_err(|error| Refusal::bad_request(format!("extensions: not a JSON object: {error}")))?;
    }
    Ok(request)
}

/// What a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// One answer in JSON.
    Json,
    /// GraphQL over server-sent events.
    Events,
    /// Apollo's multipart subscriptions.
    Multipart,
}

/// The first media type of `Accept` that is one of ours; JSON when none is.
pub(super) fn accepted(headers: &HeaderMap) -> Accepted {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).find_map(media_type).unwrap_or(Accepted::Json)
}

fn media_type(text: &str) -> Option<Accepted> {
    let text = text.to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next()?;
    let parameters = || parts.clone().filter_map(|part| part.split_once('='));
    if parameters().any(|(name, value)| name == "q" && value.parse() == Ok(0.0)) {
        return None;
    }
    match essence {
        "application/json" | "application/graphql-response+json" => Some(Accepted::Json),
        "text/event-stream" => Some(Accepted::Events),
        // Others, such as `deferSpec`, are for what we do not do.
        "multipart/mixed" => parameters()
            .any(|(name, value)| name == "subscriptionspec" && value.trim_matches('"') == "1.0")
            .then_some(Accepted::Multipart),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_media_type_of_ours_decides() {
        for (accept, wanted) in [
            ("", Accepted::Json),
            ("*/*", Accepted::Json),
            ("text/event-stream", Accepted::Events),
            ("application/json, text/event-stream", Accepted::Json),
            ("text/html, text/event-stream, application/json", Accepted::Events),
            ("text/event-stream;q=0, application/json", Accepted::Json),
            ("multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json", Accepted::Multipart),
            ("multipart/mixed; boundary=\"graphql\"; subscriptionSpec=\"1.0\"", Accepted::Multipart),
            ("multipart/mixed;deferSpec=20220824,application/json", Accepted::Json),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(accepted(&headers), wanted, "{accept}");
        }
    }
}
