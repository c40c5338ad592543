//! GraphQL over HTTP and WebSocket: framing only.
//!
//! POST takes JSON and nothing else, so that no page of another origin can send a mutation without
//! asking (CORS); GET runs queries, never a mutation; a WebSocket is opened for pages that may.

use async_graphql::{
    Response as GraphqlResponse, ServerError,
    http::ALL_WEBSOCKET_PROTOCOLS,
    parser::types::{DocumentOperations, OperationType},
};
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::{
    Json,
    body::Body,
    extract::{FromRequestParts, RawQuery, State, WebSocketUpgrade},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use serde::Deserialize;

use super::{HttpState, answer::Refusal, body, origin};
use crate::graphql::IdempotencyKey;

/// `POST /graphql`.
pub(super) async fn post(
    State(state): State<HttpState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let body = body::read_json(&headers, body).await?;
    let mut request: async_graphql::Request =
        serde_json::from_slice(&body).map_err(|error| Refusal::bad_request(format!("body: {error}")))?;
    if let Some(key) = headers.get("idempotency-key") {
        let key = key.to_str().map_err(|_| Refusal::bad_request("Idempotency-Key: must be visible ASCII"))?;
        request = request.data(IdempotencyKey(key.to_owned()));
    }
    Ok(Json(state.schema.execute(request).await).into_response())
}

/// `GET /graphql`: a WebSocket when one is asked for, else a query.
pub(super) async fn get(
    State(state): State<HttpState>,
    RawQuery(query): RawQuery,
    mut parts: Parts,
) -> Response {
    if parts.headers.contains_key(header::UPGRADE) {
        return socket(state, &mut parts).await.unwrap_or_else(|refusal| refusal);
    }
    match read_query(query.as_deref().unwrap_or_default()) {
        Ok(request) => Json(state.schema.execute(request).await).into_response(),
        Err(refusal) => *refusal,
    }
}

async fn socket(state: HttpState, parts: &mut Parts) -> Result<Response, Response> {
    let refuse = |status, message: &str| Refusal::new(status, message).into_response();
    if !origin::is_allowed(&parts.headers, &state.origins) {
        let message = "Origin: pages of this origin may not connect; see CORS_ORIGINS";
        return Err(refuse(StatusCode::FORBIDDEN, message));
    }
    let unspoken = "Sec-WebSocket-Protocol: must be graphql-transport-ws or graphql-ws";
    let name = spoken(&parts.headers).ok_or_else(|| refuse(StatusCode::BAD_REQUEST, unspoken))?;
    let protocol =
        GraphQLProtocol::from_request_parts(parts, &()).await.map_err(IntoResponse::into_response)?;
    let upgrade =
        WebSocketUpgrade::from_request_parts(parts, &()).await.map_err(IntoResponse::into_response)?;
    Ok(upgrade.protocols([name]).on_upgrade(move |socket| async move {
        let serve = GraphQLWebSocket::new(socket, state.schema.clone(), protocol).serve();
        tokio::select! {
            () = serve => {}
            () = state.stopping.cancelled() => {}
        }
    }))
}

/// The first protocol the client offers that we speak, which is the one the handler takes.
fn spoken(headers: &HeaderMap) -> Option<&'static str> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    offered
        .split(',')
        .find_map(|name| ALL_WEBSOCKET_PROTOCOLS.into_iter().find(|known| *known == name.trim()))
}

/// The parameters of GraphQL over HTTP. async-graphql's own parser does not know `operationName`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    query: String,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
}

fn parse_query(query: &str) -> Result<async_graphql::Request, Refusal> {
    let parameters: Parameters = serde_urlencoded::from_str(query)
        .map_err(|error| Refusal::bad_request(format!("query string: {error}")))?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut request = async_graphql::Request::new(parameters.query);
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

/// The request in a query string; refused when it would run anything but a query.
fn read_query(query: &str) -> Result<async_graphql::Request, Box<Response>> {
    let mut request = parse_query(query).map_err(|refusal| Box::new(refusal.into_response()))?;
    let wanted = request.operation_name.clone();
    let document = match request.parsed_query() {
        Ok(document) => document,
        Err(error) => {
            return Err(Box::new(Json(GraphqlResponse::from_errors(vec![error])).into_response()));
        }
    };
    let operation = match (&document.operations, wanted.as_deref()) {
        (DocumentOperations::Single(operation), _) => Some(operation),
        (DocumentOperations::Multiple(all), Some(name)) => all.get(name),
        (DocumentOperations::Multiple(_), None) => None,
    };
    match operation.map(|operation| operation.node.ty) {
        // Executing says what is wrong with a document that has no such operation.
        Some(OperationType::Query) | None => Ok(request),
        Some(OperationType::Mutation | OperationType::Subscription) => {
            let error = ServerError::new(
                "GET runs queries only; send this by POST, or a subscription by WebSocket",
                None,
            );
            let allow = [(header::ALLOW, "POST")];
            let answer = Json(GraphqlResponse::from_errors(vec![error]));
            Err(Box::new((StatusCode::METHOD_NOT_ALLOWED, allow, answer).into_response()))
        }
    }
}
