//! What goes wrong, as GraphQL says it.
//!
//! What the caller can mend is data: a [`UserError`] in the payload of a mutation. Everything else is
//! a GraphQL error with `extensions.code`. A fault of the server is logged once, here, and tells the
//! client nothing of its inside.

use async_graphql::{Enum, Error, ErrorExtensions as _, SimpleObject};
use sea_orm::DbErr;

use crate::{feed::CursorError, reservations::filter::FilterError};

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

fn with_code(message: impl Into<String>, code: &str) -> Error {
    Error::new(message).extend_with(|_, extensions| extensions.set("code", code))
}

/// An argument that can't be used; the message names it.
pub fn bad_input(message: impl Into<String>) -> Error {
    with_code(message, "BAD_USER_INPUT")
}

/// A filter that can't be used, as the argument `filter`.
#[must_use]
pub fn bad_filter(error: &FilterError) -> Error {
    bad_input(format!("filter.{}: {}", error.field, error.problem))
}

/// Nothing has this ID.
pub fn not_found(message: impl Into<String>) -> Error {
    with_code(message, "NOT_FOUND")
}

/// A cursor of the change stream that can't be resumed from.
#[must_use]
pub fn bad_cursor(error: CursorError) -> Error {
    let code = match error {
        CursorError::Invalid => "CURSOR_INVALID",
        CursorError::Expired => "CURSOR_EXPIRED",
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
    with_code("internal error", "INTERNAL")
}
