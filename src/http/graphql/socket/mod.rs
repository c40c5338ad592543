//! WebSockets: who may open one, and which protocol is spoken on it.
//!
//! `graphql-transport-ws` is spoken by [`session`]; the legacy `graphql-ws` by the handler of
//! async-graphql, behind the same bounds on documents. That one takes values where we share bytes, so
//! each of its subscriptions is executed by itself.

use std::sync::Arc;

use async_graphql::{Data, Executor, Request, Response as GraphqlResponse, http::ALL_WEBSOCKET_PROTOCOLS};
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::{
    extract::{
        ConnectInfo, FromRequestParts as _,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, StatusCode, Version, header, request::Parts},
    response::Response,
};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _, future, stream::BoxStream};

use crate::{
    graphql::{document::Operation, errors, once::once},
    http::{
        HttpState,
        answer::Refusal,
        body::BODY_MAX,
        line::Line,
        origin,
        sockets::{FAREWELL, Transport},
    },
    telemetry::request_id,
};

mod message;
mod outlet;
mod pulse;
mod session;

use message::Close;
use session::Session;

const CURRENT: &str = "graphql-transport-ws";
/// Buffers of a socket: events are small, and there are many sockets.
const READ_BUFFER: usize = 1024;
const WRITE_BUFFER: usize = 4 * 1024;

/// Opens a WebSocket.
pub(super) async fn open(state: HttpState, parts: &mut Parts) -> Result<Response, Refusal> {
    if !origin::is_allowed(&parts.headers, &state.origins) {
        let message = "Origin: pages of this origin may not connect; see CORS_ORIGINS";
        return Err(Refusal::new(StatusCode::FORBIDDEN, message));
    }
    let unspoken = "Sec-WebSocket-Protocol: must be graphql-transport-ws or graphql-ws";
    let name = spoken(&parts.headers).ok_or_else(|| Refusal::bad_request(unspoken))?;
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &())
        .await
        .map_err(|error| Refusal::new(error.status(), error.body_text()))?;
    let protocol = GraphQLProtocol::from_request_parts(parts, &())
        .await
        .map_err(|status| Refusal::new(status, unspoken))?;
    // Over HTTP/2 the socket is a part of a connection, which has others.
    let direct = parts.extensions.get::<ConnectInfo<Line>>().filter(|_| parts.version < Version::HTTP_2);
    let direct = direct.map(|ConnectInfo(line)| line.clone());
    let transport = if name == CURRENT { Transport::WebSocket } else { Transport::LegacyWebSocket };
    let place = state.sockets.take(transport)?;
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(BODY_MAX)
        .max_frame_size(BODY_MAX)
        .protocols([name]);
    let serve = move |socket| async move {
        if name == CURRENT {
            let (live, stopping) = (state.live.clone(), state.stopping.clone());
            Session::new(socket, direct, live, state.sockets.limits(), stopping).run().await;
        } else {
            serve_legacy(&state, socket, protocol).await;
        }
        drop(place);
    };
    // Called in a task of its own.
    let id = request_id::current();
    Ok(upgrade.on_upgrade(move |socket| request_id::scope_if(id, serve(socket))))
}

/// Until the client leaves, or the server stops.
async fn serve_legacy(state: &HttpState, socket: WebSocket, protocol: GraphQLProtocol) {
    let (mut sink, mut stream) = socket.split();
    let executor = Bounded(state.clone());
    let serve = GraphQLWebSocket::new_with_pair(&mut sink, &mut stream, executor, protocol).serve();
    tokio::select! {
        () = serve => {}
        () = state.stopping.cancelled() => {
            let farewell = async {
                if sink.send(Message::Close(Some(Close::Restart.frame()))).await.is_ok() {
                    while let Some(Ok(_)) = stream.next().await {}
                }
            };
            let _ = tokio::time::timeout(FAREWELL, farewell).await;
        }
    }
}

/// The first protocol the client offers that we speak, which is the one the handler takes.
fn spoken(headers: &HeaderMap) -> Option<&'static str> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    offered
        .split(',')
        .find_map(|name| ALL_WEBSOCKET_PROTOCOLS.into_iter().find(|known| *known == name.trim()))
}

/// The schema, behind what every request comes through.
#[derive(Clone)]
struct Bounded(HttpState);

impl Executor for Bounded {
    async fn execute(&self, mut request: Request) -> GraphqlResponse {
        match self.0.live.admission().admit(&mut request) {
            Ok(operation) => once(&self.0.schema, request, &operation).await,
            Err(error) => GraphqlResponse::from_errors(vec![error]),
        }
    }

    fn execute_stream(
        &self,
        mut request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, GraphqlResponse> {
        match self.0.live.admission().admit(&mut request) {
            Ok(Operation::Subscription(_)) => {
                let responses = Executor::execute_stream(&self.0.schema, request, session_data);
                let finish = |mut response| {
                    errors::finish(&mut response);
                    response
                };
                responses.map(finish).boxed()
            }
            Ok(operation) => {
                let schema = self.0.schema.clone();
                async move { once(&schema, request, &operation).await }.into_stream().boxed()
            }
            Err(error) => future::ready(GraphqlResponse::from_errors(vec![error])).into_stream().boxed(),
        }
    }
}
