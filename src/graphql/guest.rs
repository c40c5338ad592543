//! Guests: from the row that was read anyway, or all guests of a list in one statement.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result};
use tokio::sync::OnceCell;

use super::{
    errors, ids,
    loaders::{self, GuestId},
    services,
};
use crate::reservations::{GuestFields, guests};

/// The person who stays.
#[derive(Clone, Debug)]
pub struct Guest {
    guest_id: String,
    /// Read once a field needs them. Nothing when they could not be read, which was logged.
    fields: OnceCell<Option<Arc<GuestFields>>>,
}

impl Guest {
    /// The one with this identifier in the booking source.
    pub async fn find(ctx: &Context<'_>, guest_id: String) -> Result<Option<Self>> {
        // PostgreSQL takes no NUL, so no identifier has one.
        if guest_id.contains('\0') {
            return Ok(None);
        }
        let found = guests::by_ids(services(ctx)?.db.pool(), std::slice::from_ref(&guest_id)).await;
        let fields = found.map_err(|error| errors::internal(&error))?.remove(&guest_id);
        Ok(fields.map(|fields| Self::known(guest_id, fields)))
    }

    /// A guest of whom the fields are known.
    #[must_use]
    pub fn known(guest_id: String, fields: GuestFields) -> Self {
        Self { guest_id, fields: OnceCell::new_with(Some(Some(Arc::new(fields)))) }
    }

    /// A guest who is read when a field needs it, with the others that are then.
    #[must_use]
    pub fn unread(guest_id: String) -> Self {
        Self { guest_id, fields: OnceCell::new() }
    }

    /// One field. A failure is an error of that field alone.
    async fn field(&self, ctx: &Context<'_>, pick: fn(&GuestFields) -> Option<&str>) -> Option<Result<&str>> {
        self.fields(ctx).await.map(pick).transpose()
    }

    /// The fields, none of them known for a guest we know nothing of.
    async fn fields(&self, ctx: &Context<'_>) -> Result<&GuestFields> {
        let read = async || {
            let found = loaders::load(ctx, GuestId(self.guest_id.clone())).await.ok()?;
            Some(found.unwrap_or_default())
        };
        self.fields.get_or_init(read).await.as_deref().ok_or_else(errors::already_logged)
    }
}

/// The person who stays.
#[Object]
impl Guest {
    /// Opaque global ID of the guest.
    pub(super) async fn id(&self) -> ID {
        ids::guest(&self.guest_id).into()
    }

    /// Identifier of the guest in the booking source (`guestId` in the webhook).
    async fn guest_id(&self) -> &str {
        &self.guest_id
    }

    /// Given name. Null until the Guest API has answered.
    async fn first_name(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        self.field(ctx, |fields| fields.first_name.as_deref()).await
    }

    /// Family name. Null until the Guest API has answered.
    async fn last_name(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        self.field(ctx, |fields| fields.last_name.as_deref()).await
    }

    /// Email address. Null until the Guest API has answered or when the guest has none.
    async fn email(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        self.field(ctx, |fields| fields.email.as_deref()).await
    }

    /// Phone number as the booking source gives it. Null until known.
    async fn phone(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        self.field(ctx, |fields| fields.phone.as_deref()).await
    }
}
