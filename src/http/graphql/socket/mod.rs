//! WebSockets: who may open one, and which protocol is spoken on it.
//!
//! `graphql-transport-ws` is spoken by [`session`]; the legacy `graphql-ws` by the handler of
//! async-graphql, behind the same bounds on documents.

use std::sync::Arc;

use async_graphql::{Data, Executor, Request, Response as GraphqlResponse, http::ALL_WEBSOCKET_PROTOCOLS};
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::{
    extract::{FromRequestParts as _, WebSocketUpgrade},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use futures::{FutureExt as _, StreamExt as _, future, stream::BoxStream};

use crate::{
    graphql::{Schema, document},
    http::{HttpState, answer::Refusal, body::BODY_MAX, origin},
};

mod message;
mod pulse;
mod session;

use session::Session;

const CURRENT: &str = "graphql-transport-ws";
/// Bytes of a message of a client; twice what a document may have.
const MESSAGE_MAX: usize = 2 * document::TEXT_MAX;
/// Buffers of a socket: events are small, and there are many sockets.
const READ_BUFFER: usize = 1024;
const WRITE_BUFFER: usize = 4 * 1024;

/// Opens a WebSocket.
pub(super) async fn open(state: HttpState, parts: &mut Parts) -> Result<Response, Response> {
    let refuse = |status, message: &str| Refusal::new(status, message).into_response();
    if !origin::is_allowed(&parts.headers, &state.origins) {
        let message = "Origin: pages of this origin may not connect; see CORS_ORIGINS";
        return Err(refuse(StatusCode::FORBIDDEN, message));
    }
    let unspoken = "Sec-WebSocket-Protocol: must be graphql-transport-ws or graphql-ws";
    let name = spoken(&parts.headers).ok_or_else(|| refuse(StatusCode::BAD_REQUEST, unspoken))?;
    let upgrade =
        WebSocketUpgrade::from_request_parts(parts, &()).await.map_err(IntoResponse::into_response)?;
    let protocol =
        GraphQLProtocol::from_request_parts(parts, &()).await.map_err(IntoResponse::into_response)?;
    let place = state.sockets.take().map_err(IntoResponse::into_response)?;
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(BODY_MAX)
        .max_frame_size(BODY_MAX)
        .protocols([name]);
    Ok(upgrade.on_upgrade(move |socket| async move {
        if name == CURRENT {
            Session::new(socket, state.live.clone(), state.sockets.limits(), state.stopping.clone())
                .run()
                .await;
        } else {
            let serve = GraphQLWebSocket::new(socket, Bounded(state.schema.clone()), protocol).serve();
            tokio::select! {
                () = serve => {}
                () = state.stopping.cancelled() => {}
            }
        }
        drop(place);
    }))
}

/// The first protocol the client offers that we speak, which is the one the handler takes.
fn spoken(headers: &HeaderMap) -> Option<&'static str> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    offered
        .split(',')
        .find_map(|name| ALL_WEBSOCKET_PROTOCOLS.into_iter().find(|known| *known == name.trim()))
}

/// The schema, behind the bounds on documents.
#[derive(Clone)]
struct Bounded(Schema);

impl Executor for Bounded {
    async fn execute(&self, mut request: Request) -> GraphqlResponse {
        match document::check(&mut request) {
            Ok(_) => self.0.execute(request).await,
            Err(error) => GraphqlResponse::from_errors(vec![error]),
        }
    }

    fn execute_stream(
        &self,
        mut request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, GraphqlResponse> {
        match document::check(&mut request) {
            Ok(_) => Executor::execute_stream(&self.0, request, session_data),
            Err(error) => future::ready(GraphqlResponse::from_errors(vec![error])).into_stream().boxed(),
        }
    }
}
