//! What the objects of a list are asked for one by one, read for all of them in one statement.
//!
//! Whatever is asked within a millisecond is read together, be it of one request or of several.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use async_graphql::{
    Context, Result,
    dataloader::{DataLoader, Loader},
    runtime::{TokioSpawner, TokioTimer},
};
use sea_orm::DbErr;
use uuid::Uuid;

use super::{Services, errors};
use crate::{
    broadcast::{
        self, Message,
        store::{self, MessageSet},
    },
    feed::{Entry, Topic},
    keyset::{Page, PageRequest},
    reservations::{GuestFields, guests},
};

/// The changes of one reservation, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct History {
    /// The booking source's identifier.
    pub reservation_id: String,
    /// How many.
    pub first: u32,
}

/// What is known of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GuestId(pub String);

/// A page of the messages of a broadcast.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessagePage {
    /// Of which.
    pub set: MessageSet,
    /// Which page.
    pub request: PageRequest,
}

/// How fast a broadcast is being sent.
#[derive(Clone, Debug)]
pub struct SendRate(pub broadcast::Broadcast);

impl SendRate {
    /// One state of one broadcast.
    fn key(&self) -> (Uuid, i64) {
        (self.0.id, self.0.finished_seq)
    }
}

impl PartialEq for SendRate {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for SendRate {}

impl Hash for SendRate {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// It could not be read, which was logged.
#[derive(Clone, Copy, Debug)]
pub struct Unread;

impl From<DbErr> for Unread {
    fn from(error: DbErr) -> Self {
        drop(errors::internal(&error));
        Self
    }
}

/// Reads what is asked for.
#[derive(Debug)]
pub struct Reads(Services);

/// The loaders of a schema.
pub type Loaders = DataLoader<Reads>;

/// Loaders over these services; in the schema's data they need a runtime to have been entered.
#[must_use]
pub fn loaders(services: Services) -> Loaders {
    DataLoader::new(Reads(services), TokioSpawner::current(), TokioTimer::default())
}

/// One answer, read with those that others ask for at the same time; none where there is nothing.
pub async fn load<K>(ctx: &Context<'_>, key: K) -> Result<Option<<Reads as Loader<K>>::Value>>
where
    K: Send + Sync + Hash + Eq + Clone + 'static,
    Reads: Loader<K, Error = Unread>,
{
    let loaded = ctx.data::<Loaders>()?.load_one(key).await;
    loaded.map_err(|Unread| errors::already_logged())
}

impl Loader<History> for Reads {
    type Value = Vec<Arc<Entry>>;
    type Error = Unread;

    async fn load(&self, keys: &[History]) -> Result<HashMap<History, Self::Value>, Unread> {
        let ids: Vec<_> = keys.iter().map(|key| key.reservation_id.as_str()).collect();
        let most = keys.iter().map(|key| key.first).max().unwrap_or_default();
        let mut of: HashMap<String, Vec<Arc<Entry>>> = HashMap::new();
        for entry in self.0.hub.feed().histories(Topic::Reservation, &ids, most).await? {
            of.entry(entry.key.clone()).or_default().push(entry);
        }
        let newest = |key: &History| {
            let entries = of.get(&key.reservation_id)?.iter().take(key.first as usize).cloned().collect();
            Some((key.clone(), entries))
        };
        Ok(keys.iter().filter_map(newest).collect())
    }
}

impl Loader<GuestId> for Reads {
    type Value = Arc<GuestFields>;
    type Error = Unread;

    async fn load(&self, keys: &[GuestId]) -> Result<HashMap<GuestId, Self::Value>, Unread> {
        let ids: Vec<_> = keys.iter().map(|GuestId(id)| id.clone()).collect();
        let found = guests::by_ids(self.0.db.pool(), &ids).await?;
        Ok(found.into_iter().map(|(id, fields)| (GuestId(id), Arc::new(fields))).collect())
    }
}

impl Loader<MessagePage> for Reads {
    type Value = Arc<Page<Message>>;
    type Error = Unread;

    async fn load(&self, keys: &[MessagePage]) -> Result<HashMap<MessagePage, Self::Value>, Unread> {
        let wanted: Vec<_> = keys.iter().map(|key| (&key.set, &key.request)).collect();
        let pages = store::message_pages(&self.0.db, &wanted).await?;
        Ok(keys.iter().cloned().zip(pages.into_iter().map(Arc::new)).collect())
    }
}

impl Loader<SendRate> for Reads {
    type Value = f64;
    type Error = Unread;

    async fn load(&self, keys: &[SendRate]) -> Result<HashMap<SendRate, f64>, Unread> {
        let rows: Vec<_> = keys.iter().map(|SendRate(row)| row.clone()).collect();
        let rates = store::send_rates(self.0.db.pool(), &rows, self.0.clock.now()).await?;
        Ok(keys.iter().cloned().zip(rates).collect())
    }
}
