//! What goes wrong, as GraphQL says it.
//!
//! What the caller can mend is data: a [`UserError`] in the payload of a mutation. Everything else is
//! a GraphQL error with `extensions.code`. A fault of the server is logged once, here, and tells the
//! client nothing of its inside.

use async_graphql::{
    Enum, Error, ErrorExtensionValues, ErrorExtensions as _, Pos, Response, ServerError, SimpleObject, Value,
};
use sea_orm::DbErr;

use crate::{access::Denied, feed::CursorError, reservations::filter::FilterError};

/// Why a mutation was refused. The caller can fix these; server faults come as GraphQL errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum UserErrorCode {
    /// A value is missing, too long, or malformed.
    Invalid,
    /// The object does not exist.
    NotFound,
    /// The filter selects no guest, so there is nobody to send to.
    NoRecipients,
    /// The number of guests that match is not `expectedRecipients`.
    RecipientsChanged,
    /// The idempotency key was used before with other input.
    IdempotencyKeyReused,
    /// The object is in a state that does not allow this, for example a completed broadcast that is to be paused.
    Conflict,
    /// The Guest API did not answer or refused.
    UpstreamFailed,
}

/// A reason the caller can act on.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject)]
pub struct UserError {
    /// Machine-readable reason.
    pub code: UserErrorCode,
    /// Sentence for a person, in English.
    pub message: String,
    /// Path of the input field at fault, for example `["input", "message"]`. Null when no single field is.
    pub field: Option<Vec<String>>,
}

impl UserError {
    /// An error that no single field is at fault for.
    pub fn new(code: UserErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }

    /// An error of one field of the argument `input`.
    pub fn at(code: UserErrorCode, field: &[&str], message: impl Into<String>) -> Self {
        let path = std::iter::once("input").chain(field.iter().copied()).map(str::to_owned).collect();
        Self { field: Some(path), ..Self::new(code, message) }
    }
}

/// What `extensions.code` says, the same over every transport. The names are Apollo's where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Not a request of GraphQL over HTTP.
    BadRequest,
    /// The document is no GraphQL.
    ParseFailed,
    /// The document does not fit the schema.
    ValidationFailed,
    /// There is no such operation in the document.
    OperationUnresolved,
    /// The text has too many bytes, tokens or brackets to be parsed.
    ParsingLimit,
    /// Too many fields.
    TooManyFields,
    /// Nested too deep.
    TooDeep,
    /// Too many aliases.
    TooManyAliases,
    /// Answering it could cost too much.
    TooExpensive,
    /// The hash stands for no document that is known here; the client sends it in full.
    PersistedQueryNotFound,
    /// A variable or an argument can't be used.
    BadUserInput,
    /// There is no token, or one that is not good.
    Unauthenticated,
    /// The token does not allow it.
    Forbidden,
    /// Too much at once.
    TooManyRequests,
    /// Nothing has this ID.
    NotFound,
    /// Not a cursor of the stream.
    CursorInvalid,
    /// A cursor that is older than the log.
    CursorExpired,
    /// One more operation on this WebSocket.
    TooManySubscriptions,
    /// Not now: all places are taken, or the database has not been reached yet.
    Unavailable,
    /// It took too long.
    TimedOut,
    /// A fault of the server.
    Internal,
}

impl Code {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::ParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::OperationUnresolved => "OPERATION_RESOLUTION_FAILURE",
            Self::ParsingLimit => "PARSING_LIMIT_EXCEEDED",
            Self::TooManyFields => "MAX_HEIGHT_LIMIT",
            Self::TooDeep => "MAX_DEPTH_LIMIT",
            Self::TooManyAliases => "MAX_ALIASES_LIMIT",
            Self::TooExpensive => "COST_ESTIMATED_TOO_EXPENSIVE",
            Self::PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::TooManyRequests => "TOO_MANY_REQUESTS",
            Self::NotFound => "NOT_FOUND",
            Self::CursorInvalid => "CURSOR_INVALID",
            Self::CursorExpired => "CURSOR_EXPIRED",
            Self::TooManySubscriptions => "TOO_MANY_SUBSCRIPTIONS",
            Self::Unavailable => "SERVICE_UNAVAILABLE",
            Self::TimedOut => "REQUEST_TIMEOUT",
            Self::Internal => "INTERNAL_SERVER_ERROR",
        }
    }

    /// Why a caller is turned away, as an error of the whole request.
    #[must_use]
    pub fn denied(denied: Denied) -> ServerError {
        let code = match denied {
            Denied::Missing | Denied::Invalid(_) => Self::Unauthenticated,
            Denied::Forbidden { .. } | Denied::NoRole => Self::Forbidden,
            Denied::Limited { .. } => Self::TooManyRequests,
            Denied::Unavailable => Self::Unavailable,
        };
        let mut error = code.error(denied.to_string());
        if let (Denied::Limited { seconds }, Some(extensions)) = (denied, &mut error.extensions) {
            extensions.set(RETRY_AFTER, seconds);
        }
        error
    }

    /// An error of the whole request.
    pub fn error(self, message: impl Into<String>) -> ServerError {
        self.on(ServerError::new(message, None))
    }

    /// The same, with the place in the document.
    pub fn error_at(self, message: impl Into<String>, pos: Pos) -> ServerError {
        self.on(ServerError::new(message, Some(pos)))
    }

    /// Puts the code on an error.
    #[must_use]
    pub fn on(self, mut error: ServerError) -> ServerError {
        error.extensions.get_or_insert_with(ErrorExtensionValues::default).set("code", self.as_str());
        error
    }
}

/// Gives each error of a response that has no code the one it should have. What a library said of a fault
/// of ours is logged, and not told.
pub fn finish(response: &mut Response) {
    for error in &mut response.errors {
        let has_code = error.extensions.as_ref().is_some_and(|extensions| extensions.get("code").is_some());
        if has_code {
            continue;
        }
        let code = match (&error.source, error.path.is_empty()) {
            (Some(_), _) => {
                tracing::error!(%error, path = ?error.path, "a field failed");
                INTERNAL.clone_into(&mut error.message);
                Code::Internal
            }
            // Before anything runs, what is left is what validation says.
            (None, true) => Code::ValidationFailed,
            (None, false) => Code::BadUserInput,
        };
        *error = code.on(error.clone());
    }
}

/// Whether nothing was run: then the answer has no `data`. What failed later is at some path.
#[must_use]
pub fn is_refused(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

/// After how many seconds the client may come back, if an error says so.
#[must_use]
pub fn retry_after(errors: &[ServerError]) -> Option<u16> {
    errors.iter().find_map(|error| match error.extensions.as_ref()?.get(RETRY_AFTER)? {
        Value::Number(seconds) => seconds.as_u64()?.try_into().ok(),
        _ => None,
    })
}

/// Where an error says it.
const RETRY_AFTER: &str = "retryAfter";
/// What clients are told of our faults.
const INTERNAL: &str = "internal error";

fn with_code(message: impl Into<String>, code: Code) -> Error {
    Error::new(message).extend_with(|_, extensions| extensions.set("code", code.as_str()))
}

/// An argument that can't be used; the message names it.
pub fn bad_input(message: impl Into<String>) -> Error {
    with_code(message, Code::BadUserInput)
}

/// A cursor that names no place in the list it was given to; the message names the argument.
pub fn bad_position(message: impl Into<String>) -> Error {
    with_code(message, Code::CursorInvalid)
}

/// A filter that can't be used, as the argument `filter`.
#[must_use]
pub fn bad_filter(error: &FilterError) -> Error {
    bad_input(format!("filter.{}: {}", error.field, error.problem))
}

/// Nothing has this ID.
pub fn not_found(message: impl Into<String>) -> Error {
    with_code(message, Code::NotFound)
}

/// A cursor of the change stream that can't be resumed from.
#[must_use]
pub fn bad_cursor(error: CursorError) -> Error {
    let code = match error {
        CursorError::Invalid => Code::CursorInvalid,
        CursorError::Expired => Code::CursorExpired,
    };
    with_code(error.to_string(), code)
}

/// A fault of the database; logs it.
#[must_use]
pub fn internal(error: &DbErr) -> Error {
    tracing::error!(%error, "the database did not answer a GraphQL request");
    already_logged()
}

/// A fault that was logged where it was found.
#[must_use]
pub fn already_logged() -> Error {
    with_code(INTERNAL, Code::Internal)
}
