//! Who is at the other side of a WebSocket: nobody yet, being looked up, or a caller for as long as the
//! token is good.

use std::{
    net::IpAddr,
    task::{Context, Poll},
};

use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Map, Value};

use super::message::Close;
use crate::{
    access::{Access, Caller, Denied},
    http::guard,
};

/// Where a session stands.
pub(super) enum Identity {
    /// Before `connection_init`; the caller of the upgrade, if that had a token.
    Waiting {
        /// Who asked for the socket.
        upgraded: Option<Caller>,
        /// Where from.
        peer: Option<IpAddr>,
    },
    /// The token is looked up.
    Checking(BoxFuture<'static, Result<Caller, Denied>>),
    /// Acknowledged.
    Known { caller: Caller, ended: BoxFuture<'static, ()> },
}

/// What has changed.
pub(super) enum Change {
    /// The caller is known from now on, which is to be acknowledged.
    Acknowledge,
    /// Turned away, or the token is good no longer.
    Close(Close),
}

impl Identity {
    /// The caller, once acknowledged.
    pub(super) fn caller(&self) -> Option<&Caller> {
        match self {
            Self::Known { caller, .. } => Some(caller),
            Self::Waiting { .. } | Self::Checking(_) => None,
        }
    }

    /// Takes up `connection_init`, which comes once.
    pub(super) fn init(
        &mut self,
        access: &Access,
        payload: Option<&Map<String, Value>>,
    ) -> Result<(), Close> {
        let Self::Waiting { upgraded, peer } = self else { return Err(Close::SecondInit) };
        let (token, upgraded, peer, access) = (token(payload), upgraded.take(), *peer, access.clone());
        *self = Self::Checking(
            async move {
                match (token, upgraded) {
                    (None, Some(caller)) => Ok(caller),
                    (token, _) => access.check(token.as_deref(), peer).await,
                }
            }
            .boxed(),
        );
        Ok(())
    }

    /// What changes; wakes the task when something does.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Change> {
        let change = match self {
            Self::Waiting { .. } => return Poll::Pending,
            Self::Checking(checking) => match std::task::ready!(checking.poll_unpin(cx)) {
                Ok(caller) => {
                    let ended = caller.ended().boxed();
                    *self = Self::Known { caller, ended };
                    Change::Acknowledge
                }
                Err(denied) => Change::Close(Close::Forbidden(denied.to_string())),
            },
            Self::Known { ended, .. } => {
                std::task::ready!(ended.poll_unpin(cx));
                Change::Close(Close::Forbidden("the token is good no longer".to_owned()))
            }
        };
        Poll::Ready(change)
    }
}

/// The token in the payload of `connection_init`: `{"Authorization": "Bearer ..."}`, in any case, as it is in a
/// header.
pub(super) fn token(payload: Option<&Map<String, Value>>) -> Option<String> {
    let (_, value) = payload?.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?;
    guard::parse_bearer(value.as_str()?).map(str::to_owned)
}
