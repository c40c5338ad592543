//! WebSockets: who may open one, and which protocol is spoken on it.
//!
//! `graphql-transport-ws` is spoken by [`session`], the legacy `graphql-ws` by [`legacy`].

use async_graphql::http::ALL_WEBSOCKET_PROTOCOLS;
use async_graphql_axum::GraphQLProtocol;
use axum::{
    extract::{ConnectInfo, FromRequestParts as _, ws::WebSocketUpgrade},
    http::{HeaderMap, StatusCode, Version, header, request::Parts},
    response::Response,
};

use crate::{
    access::Caller,
    http::{HttpState, answer::Refusal, body::BODY_MAX, guard, line::Line, origin, sockets::Transport},
    telemetry::request_id,
};

mod identity;
mod legacy;
mod message;
mod outlet;
mod pulse;
mod session;

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
    let caller = parts.extensions.get::<Caller>().cloned();
    let peer = guard::peer(&state.access, &parts.extensions, &parts.headers);
    let place = state.sockets.take(transport)?;
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(BODY_MAX)
        .max_frame_size(BODY_MAX)
        .protocols([name]);
    let serve = move |socket| async move {
        if name == CURRENT {
            Session::new(socket, direct, &state, caller, peer).run().await;
        } else {
            legacy::serve(&state, socket, protocol, caller, peer).await;
        }
        drop(place);
    };
    // Called in a task of its own.
    let id = request_id::current();
    Ok(upgrade.on_upgrade(move |socket| request_id::scope_if(id, serve(socket))))
}

/// The first protocol the client offers that we speak, which is the one the handler takes.
fn spoken(headers: &HeaderMap) -> Option<&'static str> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    offered
        .split(',')
        .find_map(|name| ALL_WEBSOCKET_PROTOCOLS.into_iter().find(|known| *known == name.trim()))
}
