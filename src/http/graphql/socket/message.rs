//! The messages of `graphql-transport-ws`.
//!
//! <https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>

use async_graphql::ServerError;
use axum::extract::ws::{CloseFrame, Utf8Bytes};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_tungstenite::tungstenite::{Error, error::ProtocolError};

use crate::{graphql::document, http::graphql::request::Parameters};

/// Bytes of a message; twice what a document may have.
pub(super) const MESSAGE_MAX: usize = 2 * document::TEXT_MAX;
/// Bytes of a reason, as RFC 6455 has it.
const REASON_MAX: usize = 123;

/// What a client may say.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ClientMessage {
    /// The first message; its payload may bring a token.
    ConnectionInit {
        payload: Option<Map<String, Value>>,
    },
    Ping {
        payload: Option<Map<String, Value>>,
    },
    Pong {
        #[serde(default, rename = "payload")]
        _payload: Option<Map<String, Value>>,
    },
    Subscribe {
        id: String,
        payload: Parameters,
    },
    Complete {
        id: String,
    },
}

/// Why a socket is closed, with the code that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// The server stops; clients come back.
    Restart,
    /// The client takes nothing; it may come back.
    Stalled,
    /// A message longer than [`MESSAGE_MAX`].
    TooLong,
    /// A text that is none.
    NotText,
    /// Not a WebSocket as RFC 6455 has it.
    Broken(String),
    /// Not a message of the protocol.
    Invalid(String),
    /// An operation before the connection was acknowledged.
    Unauthorized,
    /// A token that is not good, or is so no longer.
    Forbidden(String),
    /// No `connection_init` in time.
    InitTimeout,
    /// The id of an operation that goes on.
    Duplicate(String),
    /// A second `connection_init`.
    SecondInit,
}

impl Close {
    /// The frame, its reason cut to what fits.
    pub(super) fn frame(&self) -> CloseFrame {
        let (code, reason) = match self {
            Self::Restart => (1012, "the server restarts".to_owned()),
            Self::Stalled => (1013, "nothing was taken for too long; come back with your cursor".to_owned()),
            Self::TooLong => (1009, format!("a message may have {MESSAGE_MAX} bytes")),
            Self::NotText => (1007, "a text must be UTF-8".to_owned()),
            Self::Broken(problem) => (1002, problem.clone()),
            Self::Invalid(problem) => (4400, problem.clone()),
            Self::Unauthorized => (4401, "Unauthorized".to_owned()),
            Self::Forbidden(problem) => (4403, format!("Forbidden: {problem}")),
            Self::InitTimeout => (4408, "Connection initialisation timeout".to_owned()),
            Self::Duplicate(id) => (4409, format!("Subscriber for {id} already exists")),
            Self::SecondInit => (4429, "Too many initialisation requests".to_owned()),
        };
        let end = reason.floor_char_boundary(REASON_MAX);
        CloseFrame { code, reason: reason[..end].to_owned().into() }
    }
}

/// What to tell a client whose messages can't be read on; none when it has gone.
pub(super) fn fault(error: axum::Error) -> Option<Close> {
    match *error.into_inner().downcast().ok()? {
        Error::Capacity(_) => Some(Close::TooLong),
        Error::Utf8(_) => Some(Close::NotText),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(problem) => Some(Close::Broken(problem.to_string())),
        _ => None,
    }
}

/// Reads a message.
pub(super) fn parse(text: &str) -> Result<ClientMessage, Close> {
    if text.len() > MESSAGE_MAX {
        return Err(Close::TooLong);
    }
    let message = serde_json::from_str(text).map_err(|error| Close::Invalid(error.to_string()))?;
    match &message {
        ClientMessage::Subscribe { id, .. } | ClientMessage::Complete { id } if id.is_empty() => {
            Err(Close::Invalid("id: must not be empty".to_owned()))
        }
        ClientMessage::Subscribe { payload, .. } if !payload.is_complete() => {
            Err(Close::Invalid("payload.query: must be given".to_owned()))
        }
        _ => Ok(message),
    }
}

/// `connection_ack`.
pub(super) const ACK: Utf8Bytes = Utf8Bytes::from_static(r#"{"type":"connection_ack"}"#);

/// The answer to a `ping`, with what it carried.
pub(super) fn pong(payload: Option<Map<String, Value>>) -> Utf8Bytes {
    match payload {
        Some(payload) => json!({ "type": "pong", "payload": payload }).to_string().into(),
        None => Utf8Bytes::from_static(r#"{"type":"pong"}"#),
    }
}

/// The end of an operation.
pub(super) fn complete(id: &str) -> Utf8Bytes {
    json!({ "id": id, "type": "complete" }).to_string().into()
}

/// The end of an operation that could not be run.
pub(super) fn error(id: &str, errors: &[ServerError]) -> Utf8Bytes {
    json!({ "id": id, "type": "error", "payload": errors }).to_string().into()
}

/// What stands before the payload of each `next` of an operation.
pub(super) fn next_prefix(id: &str) -> std::sync::Arc<str> {
    let id = Value::from(id);
    format!(r#"{{"id":{id},"type":"next","payload":"#).into()
}
