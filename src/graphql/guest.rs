//! Guests: from the row that was read anyway, or all guests of a page in one statement.

use std::{collections::HashMap, sync::Arc};

use async_graphql::{Context, ID, Object, Result};
use tokio::sync::OnceCell;

use super::{errors, ids, services};
use crate::reservations::{GuestFields, guests};

/// The person who stays.
#[derive(Clone, Debug)]
pub struct Guest {
    guest_id: String,
    fields: Fields,
}

#[derive(Clone, Debug)]
enum Fields {
    Known(GuestFields),
    InBatch(Arc<GuestBatch>),
}

/// Guests that are read together, once the first field of one of them is asked for.
#[derive(Debug)]
pub struct GuestBatch {
    guest_ids: Vec<String>,
    /// Nothing when they could not be read, which was logged.
    found: OnceCell<Option<HashMap<String, GuestFields>>>,
}

impl GuestBatch {
    /// These guests, not read yet.
    #[must_use]
    pub fn new(guest_ids: Vec<String>) -> Arc<Self> {
        Arc::new(Self { guest_ids, found: OnceCell::new() })
    }

    async fn read(&self, ctx: &Context<'_>) -> Option<HashMap<String, GuestFields>> {
        let found = guests::by_ids(services(ctx).ok()?.db.pool(), &self.guest_ids).await;
        found.inspect_err(|error| drop(errors::internal(error))).ok()
    }
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
        Self { guest_id, fields: Fields::Known(fields) }
    }

    /// One of the guests of a batch.
    #[must_use]
    pub fn in_batch(guest_id: String, batch: Arc<GuestBatch>) -> Self {
        Self { guest_id, fields: Fields::InBatch(batch) }
    }

    /// One field. A failure is an error of that field alone.
    async fn field(&self, ctx: &Context<'_>, pick: fn(&GuestFields) -> Option<&str>) -> Option<Result<&str>> {
        self.fields(ctx).await.map(|fields| fields.and_then(pick)).transpose()
    }

    /// The fields, none for a guest we know nothing of.
    async fn fields(&self, ctx: &Context<'_>) -> Result<Option<&GuestFields>> {
        match &self.fields {
            Fields::Known(fields) => Ok(Some(fields)),
            Fields::InBatch(batch) => {
                let found = batch.found.get_or_init(|| batch.read(ctx)).await;
                Ok(found.as_ref().ok_or_else(errors::already_logged)?.get(&self.guest_id))
            }
        }
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
