//! One answer as HTTP has it: the media type that the client takes, and the status that goes with it.
//!
//! `application/json` is 200 for every request that is one, whatever came of it; what GraphQL says is in
//! the body. `application/graphql-response+json` is 400 for a request that could not be run, whose body
//! then has no `data`. What is not a request at all is 4xx in both.
//! <https://graphql.github.io/graphql-over-http/draft/#sec-Status-Codes>

use async_graphql::{Response as GraphqlResponse, ServerError, Value};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    graphql::{
        errors::{self, Code},
        written,
    },
    http::answer::Refusal,
};

/// How an answer in JSON is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/graphql-response+json`
    Graphql,
    /// `application/json`, also for whoever does not say.
    #[default]
    Json,
}

impl Media {
    /// The answer to a request.
    pub(super) fn answer(self, answer: &GraphqlResponse) -> Response {
        if errors::is_refused(answer) {
            return self.refused(&answer.errors);
        }
        match written::to_json(answer) {
            Ok(body) => self.write(StatusCode::OK, body),
            Err(error) => self.refusal(Refusal::internal(&error)),
        }
    }

    /// The answer to a request that could not be run.
    pub(super) fn refused(self, errors: &[ServerError]) -> Response {
        let retry_after = errors::retry_after(errors);
        let status = match self {
            _ if retry_after.is_some() => StatusCode::TOO_MANY_REQUESTS,
            Self::Json => StatusCode::OK,
            Self::Graphql => status(errors),
        };
        let mut response = self.write(status, json!({ "errors": errors }).to_string());
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// The answer to what is no request, or comes too much.
    pub(super) fn refusal(self, refusal: Refusal) -> Response {
        let (status, message, retry_after) = refusal.into_parts();
        let code = match status {
            StatusCode::UNAUTHORIZED => Code::Unauthenticated,
            StatusCode::FORBIDDEN => Code::Forbidden,
            StatusCode::TOO_MANY_REQUESTS => Code::TooManyRequests,
            StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
            StatusCode::INTERNAL_SERVER_ERROR => Code::Internal,
            _ => Code::BadRequest,
        };
        let body = json!({ "errors": [code.error(message)] }).to_string();
        let mut response = self.write(status, body);
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }

    fn write(self, status: StatusCode, body: impl Into<axum::body::Body>) -> Response {
        let media = match self {
            Self::Graphql => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        };
        // What is answered is of people, and of this moment.
        let headers = [(header::CONTENT_TYPE, media), (header::CACHE_CONTROL, "no-store")];
        (status, headers, body.into()).into_response()
    }
}

/// Ours when it was our fault, else theirs.
fn status(errors: &[ServerError]) -> StatusCode {
    let has = |code: Code| {
        let code = Value::from(code.as_str());
        errors.iter().filter_map(|error| error.extensions.as_ref()).any(|all| all.get("code") == Some(&code))
    };
    if has(Code::Internal) {
        StatusCode::INTERNAL_SERVER_ERROR
    } else if has(Code::TimedOut) {
        StatusCode::SERVICE_UNAVAILABLE
    } else if has(Code::Forbidden) {
        StatusCode::FORBIDDEN
    } else {
        StatusCode::BAD_REQUEST
    }
}
