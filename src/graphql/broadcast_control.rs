//! `broadcastPause`, `broadcastResume`, `broadcastRetry`, `broadcastCancel`.

use async_graphql::{Context, ID, InputObject, Result, SimpleObject};

use super::{
    broadcast::Broadcast,
    caller,
    errors::{self, UserError, UserErrorCode as Code},
    ids, services,
};
use crate::broadcast::control::{self, Answer, Command, Refusal};

/// Input of `broadcastCancel`.
#[derive(Clone, Debug, InputObject)]
pub struct BroadcastCancelInput {
    /// The broadcast to stop.
    pub broadcast_id: ID,
}

/// Answer of `broadcastCancel`.
#[derive(Debug, SimpleObject)]
pub struct BroadcastCancelPayload {
    /// The broadcast after the call, null when it does not exist.
    pub broadcast: Option<Broadcast>,
    /// Why nothing was stopped. Empty on success.
    pub user_errors: Vec<UserError>,
}

/// Input of `broadcastPause`.
#[derive(Clone, Debug, InputObject)]
pub struct BroadcastPauseInput {
    /// The broadcast.
    pub broadcast_id: ID,
}

/// Answer of `broadcastPause`.
#[derive(Debug, SimpleObject)]
pub struct BroadcastPausePayload {
    /// The broadcast after the call, null when it does not exist.
    pub broadcast: Option<Broadcast>,
    /// Why nothing was done. Empty on success.
    pub user_errors: Vec<UserError>,
}

/// Input of `broadcastResume`.
#[derive(Clone, Debug, InputObject)]
pub struct BroadcastResumeInput {
    /// The broadcast.
    pub broadcast_id: ID,
}

/// Answer of `broadcastResume`.
#[derive(Debug, SimpleObject)]
pub struct BroadcastResumePayload {
    /// The broadcast after the call, null when it does not exist.
    pub broadcast: Option<Broadcast>,
    /// Why nothing was done. Empty on success.
    pub user_errors: Vec<UserError>,
}

/// Input of `broadcastRetry`.
#[derive(Clone, Debug, InputObject)]
pub struct BroadcastRetryInput {
    /// The broadcast.
    pub broadcast_id: ID,
}

/// Answer of `broadcastRetry`.
#[derive(Debug, SimpleObject)]
pub struct BroadcastRetryPayload {
    /// The broadcast after the call, null when it does not exist.
    pub broadcast: Option<Broadcast>,
    /// Why nothing was done. Empty on success.
    pub user_errors: Vec<UserError>,
}

/// The four payloads are one answer under four names.
macro_rules! payloads {
    ($($payload:ident),+) => {
        $(impl From<Answer> for $payload {
            fn from(answer: Answer) -> Self {
                let user_errors = answer.refusal.map(user_error).into_iter().collect();
                Self { broadcast: answer.broadcast.map(Broadcast::from), user_errors }
            }
        })+
    };
}
payloads!(BroadcastCancelPayload, BroadcastPausePayload, BroadcastResumePayload, BroadcastRetryPayload);

/// Does what is asked of the broadcast with this global ID.
pub(super) async fn run<Payload: From<Answer>>(
    ctx: &Context<'_>,
    id: &str,
    command: Command,
) -> Result<Payload> {
    let services = services(ctx)?;
    let answer = match ids::parse_broadcast(id) {
        None => Ok(Answer { broadcast: None, refusal: Some(Refusal::Unknown) }),
        Some(id) => {
            let changed = || services.broadcasts_changed();
            control::control(&services.db, id, command, caller(ctx)?, services.clock.now(), changed).await
        }
    };
    answer.map(Payload::from).map_err(|error| errors::internal(&error))
}

fn user_error(refusal: Refusal) -> UserError {
    let message = refusal.to_string();
    match refusal {
        Refusal::Unknown => UserError::at(Code::NotFound, &["broadcastId"], message),
        Refusal::Completed | Refusal::Cancelled | Refusal::Unfinished | Refusal::NothingFailed => {
            UserError::new(Code::Conflict, message)
        }
    }
}
