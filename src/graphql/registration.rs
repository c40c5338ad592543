//! The webhook registration: how it stands, and the two mutations that change it.

use async_graphql::{Context, Object, Result, SimpleObject};

use super::{
    caller,
    errors::{self, UserError, UserErrorCode as Code},
    scalars::DateTime,
    services,
};
use crate::guest_api::registration::{AskError, Gap, Status};

/// A time in which events may have been missed because the webhook URL was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SimpleObject)]
pub struct WebhookGap {
    /// The last event before it, or the last time the URL was seen registered.
    pub from: DateTime,
    /// When the URL was registered again, null while it is not.
    pub to: Option<DateTime>,
}

/// The registration of this server's webhook URL with the Guest API.
#[derive(Clone, Debug)]
pub struct WebhookRegistration(Status);

/// Answer of `webhookRegister` and `webhookUnregister`.
#[derive(Debug, SimpleObject)]
pub struct WebhookRegistrationPayload {
    /// The registration after the call, null when no public URL is configured.
    pub registration: Option<WebhookRegistration>,
    /// Why nothing was done. Empty on success.
    pub user_errors: Vec<UserError>,
}

/// The registration of this server's webhook URL with the Guest API.
#[Object]
impl WebhookRegistration {
    /// The URL that events are sent to.
    async fn url(&self) -> &str {
        &self.0.url
    }

    /// Whether the Guest API had it on its list at `checkedAt`.
    async fn is_registered(&self) -> bool {
        self.0.is_registered
    }

    /// When the list was last read, null before the first answer.
    async fn checked_at(&self) -> Option<DateTime> {
        self.0.checked_at.map(DateTime)
    }

    /// When the last event came in, null when none has.
    async fn last_event_at(&self) -> Option<DateTime> {
        self.0.last_event_at.map(DateTime)
    }

    /// The latest twenty times in which events may have been missed, newest first.
    async fn gaps(&self, ctx: &Context<'_>) -> Result<Vec<WebhookGap>> {
        let gaps = services(ctx)?.registration.gaps().await.map_err(|error| errors::internal(&error))?;
        Ok(gaps.into_iter().map(Into::into).collect())
    }
}

impl From<Gap> for WebhookGap {
    fn from(gap: Gap) -> Self {
        Self { from: DateTime(gap.from), to: gap.to.map(DateTime) }
    }
}

impl WebhookRegistration {
    /// How it stands; `None` when no public URL is configured.
    pub(super) async fn find(ctx: &Context<'_>) -> Result<Option<Self>> {
        let status = services(ctx)?.registration.status().await;
        Ok(status.map_err(|error| errors::internal(&error))?.map(Self))
    }
}

/// Asks for the URL to be registered, or to be taken off the list.
pub(super) async fn ask(ctx: &Context<'_>, wanted: bool) -> Result<WebhookRegistrationPayload> {
    let user_error = match services(ctx)?.registration.ask(wanted, caller(ctx)?).await {
        // What was to be taken off and was not there is off.
        Ok(answer) if (200..300).contains(&answer.status) || (!wanted && answer.status == 404) => None,
        Ok(answer) => {
            let message = format!("the Guest API answered {}", answer.status);
            Some(UserError::new(Code::UpstreamFailed, message))
        }
        Err(error) => Some(refusal(&error)?),
    };
    let registration = WebhookRegistration::find(ctx).await?;
    Ok(WebhookRegistrationPayload { registration, user_errors: user_error.into_iter().collect() })
}

/// Why it was not done, to the caller; a fault of the database is none of theirs.
fn refusal(error: &AskError) -> Result<UserError> {
    let code = match error {
        AskError::NotConfigured => Code::Invalid,
        AskError::Overtaken => Code::Conflict,
        AskError::NotYet | AskError::Failed(_) => Code::UpstreamFailed,
        AskError::Database(error) => return Err(errors::internal(error)),
    };
    Ok(UserError::new(code, error.to_string()))
}
