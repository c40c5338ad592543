//! Any object by its global ID. Of several, all of one type are read in one statement.

use std::collections::HashMap;

use async_graphql::{Context, ID, Interface, Result};
use sea_orm::DbErr;
use uuid::Uuid;

use super::{
    Services, audit::AuditEntry, broadcast::Broadcast, errors, guest::Guest, ids::Named,
    message::BroadcastMessage, reservation::Reservation, services, webhook::RejectedWebhook,
};
use crate::{
    audit, broadcast,
    reservations::{self, GuestFields, guests, rejected},
};

/// IDs that `nodes` takes.
const MAX: usize = 100;

/// An object with a globally unique ID. Refetch any of them with `Query.node`.
#[derive(Debug, Interface)]
#[graphql(field(
    name = "id",
    ty = "async_graphql::ID",
    desc = "Opaque global ID of the object. Stable for the life of the object; do not parse it."
))]
pub enum Node {
    /// A reservation.
    Reservation(Box<Reservation>),
    /// A guest.
    Guest(Guest),
    /// A broadcast.
    Broadcast(Box<Broadcast>),
    /// A message of a broadcast.
    BroadcastMessage(BroadcastMessage),
    /// A webhook that could not be applied.
    RejectedWebhook(Box<RejectedWebhook>),
    /// An entry of the audit log.
    AuditEntry(AuditEntry),
}

/// The object with this ID.
pub async fn find(ctx: &Context<'_>, id: &str) -> Result<Option<Node>> {
    Ok(read(services(ctx)?, vec![Named::parse(id)]).await?.pop().flatten())
}

/// The objects with these IDs, in the order asked; none where there is none.
pub async fn find_all(ctx: &Context<'_>, ids: &[ID]) -> Result<Vec<Option<Node>>> {
    if ids.len() > MAX {
        return Err(errors::bad_input(format!("`ids` takes {MAX} IDs at most")));
    }
    read(services(ctx)?, ids.iter().map(|id| Named::parse(id)).collect()).await
}

async fn read(services: &Services, wanted: Vec<Option<Named>>) -> Result<Vec<Option<Node>>> {
    let mut ids = Ids::default();
    wanted.iter().flatten().for_each(|named| ids.add(named));
    let found = ids.read(services).await.map_err(|error| errors::internal(&error))?;
    Ok(wanted.into_iter().map(|named| found.node(named?)).collect())
}

/// What is asked for, by type.
#[derive(Default)]
struct Ids {
    reservations: Vec<String>,
    guests: Vec<String>,
    broadcasts: Vec<Uuid>,
    messages: Vec<(Uuid, String)>,
    rejected: Vec<Uuid>,
    audit: Vec<Uuid>,
}

impl Ids {
    fn add(&mut self, named: &Named) {
        match named {
            Named::Reservation(id) => self.reservations.push(id.clone()),
            Named::Guest(id) => self.guests.push(id.clone()),
            Named::Broadcast(id) => self.broadcasts.push(*id),
            Named::Message(id, guest) => self.messages.push((*id, guest.clone())),
            Named::Rejected(id) => self.rejected.push(*id),
            Named::Audit(id) => self.audit.push(*id),
        }
    }

    /// A statement for each type that is asked for.
    async fn read(&self, services: &Services) -> Result<Found, DbErr> {
        let (db, mut found) = (&services.db, Found::default());
        if !self.reservations.is_empty() {
            let ids: Vec<_> = self.reservations.iter().map(String::as_str).collect();
            let rows = reservations::store::by_ids(db.pool(), &ids).await?;
            found.reservations.extend(rows.into_iter().map(|row| (row.reservation_id.clone(), row)));
        }
        if !self.guests.is_empty() {
            found.guests = guests::by_ids(db.pool(), &self.guests).await?;
        }
        if !self.broadcasts.is_empty() {
            let rows = broadcast::store::by_ids(db.pool(), &self.broadcasts).await?;
            found.broadcasts.extend(rows.into_iter().map(|row| (row.id, row)));
        }
        if !self.messages.is_empty() {
            let rows = broadcast::store::messages_by_ids(db.pool(), &self.messages).await?;
            found
                .messages
                .extend(rows.into_iter().map(|row| ((row.broadcast_id, row.guest_id.clone()), row)));
        }
        if !self.rejected.is_empty() {
            let rows = rejected::by_ids(db, &self.rejected).await?;
            found.rejected.extend(rows.into_iter().map(|row| (row.id, row)));
        }
        if !self.audit.is_empty() {
            let rows = audit::by_ids(db, &self.audit).await?;
            found.audit.extend(rows.into_iter().map(|row| (row.id, row)));
        }
        Ok(found)
    }
}

/// What there is of it.
#[derive(Default)]
struct Found {
    reservations: HashMap<String, reservations::Reservation>,
    guests: HashMap<String, GuestFields>,
    broadcasts: HashMap<Uuid, broadcast::Broadcast>,
    messages: HashMap<(Uuid, String), broadcast::Message>,
    rejected: HashMap<Uuid, rejected::RejectedWebhook>,
    audit: HashMap<Uuid, audit::Entry>,
}

impl Found {
    fn node(&self, named: Named) -> Option<Node> {
        Some(match named {
            Named::Reservation(id) => {
                Node::Reservation(Box::new(Reservation(self.reservations.get(&id)?.clone())))
            }
            Named::Guest(id) => {
                let fields = self.guests.get(&id)?.clone();
                Node::Guest(Guest::known(id, fields))
            }
            Named::Broadcast(id) => Node::Broadcast(Box::new(self.broadcasts.get(&id)?.clone().into())),
            Named::Message(id, guest) => {
                Node::BroadcastMessage(self.messages.get(&(id, guest))?.clone().into())
            }
            Named::Rejected(id) => Node::RejectedWebhook(Box::new(self.rejected.get(&id)?.clone().into())),
            Named::Audit(id) => Node::AuditEntry(self.audit.get(&id)?.clone().into()),
        })
    }
}
