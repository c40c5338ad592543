//! Events kept in a local SQLite file while the database is away or too slow.
//!
//! [`Spool::append`] answers once the event is on disk: one task writes what waits in one commit, so a
//! sync is shared by all who wait for it. [`super::drain`] applies what is kept and deletes it after the
//! commit. So an event may be applied twice, which the order makes a duplicate, and is never lost. A file that is
//! damaged is set aside, so that events are kept again at once. Webhooks that are rejected meanwhile are kept
//! beside them, in the same way.

mod aside;
mod file;
mod rejected;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{AbortHandle, JoinError, JoinHandle},
};
use tokio_util::sync::CancellationToken;

pub use self::file::Usage;
pub(super) use self::file::Waiting;
pub use self::rejected::Rejection;
use self::{
    file::{SpoolFile, size},
    rejected::Room,
};
use super::ReservationEvent;

/// Events a commit.
const BATCH: usize = 512;
/// Events that may wait for one.
const QUEUE: usize = 1_024;
/// Rejected webhooks in the file at most.
const REJECTED_ROWS: u64 = 10_000;
/// Their bytes at most, as a part of what the events may take; that is beside it.
const REJECTED_PART: u64 = 4;

/// Why an event is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SpoolError {
    /// It holds as much as it may.
    #[error("the spool is full")]
    Full,
    /// The file can't be used.
    #[error("the spool can't be written")]
    Broken,
}

/// The way into the file; cheap to clone.
#[derive(Clone, Debug)]
pub struct Spool {
    file: Arc<SpoolFile>,
    max_bytes: u64,
    queue: mpsc::Sender<Keep>,
    refused: Arc<AtomicU64>,
}

/// The task that writes the file.
#[derive(Debug)]
pub struct SpoolWriter {
    file: Arc<SpoolFile>,
    task: JoinHandle<()>,
    cancel: CancellationToken,
}

type Answer = oneshot::Sender<Result<(), SpoolError>>;

#[derive(Debug)]
struct Keep {
    what: Entry,
    answer: Answer,
}

/// What is kept.
#[derive(Debug)]
enum Entry {
    Event(String),
    Rejected(Rejection),
}

impl Spool {
    /// Opens the file, making it if need be, counts what an earlier run left, and starts to write. A file
    /// that can't be used is no reason not to start: it is said, and tried again when it is needed.
    pub async fn start(path: PathBuf, max_bytes: u64) -> (Self, SpoolWriter) {
        let file = Arc::new(SpoolFile::open(path).await);
        let (queue, receiver) = mpsc::channel(QUEUE);
        let spool = Self { file: Arc::clone(&file), max_bytes, queue, refused: Arc::default() };
        let cancel = CancellationToken::new();
        let task = tokio::spawn(run(Arc::clone(&file), max_bytes, receiver, cancel.clone()));
        (spool, SpoolWriter { file, task, cancel })
    }

    /// Keeps an event, which must have been stamped; answers when it is on disk.
    pub async fn append(&self, event: &ReservationEvent) -> Result<(), SpoolError> {
        match serde_json::to_string(event) {
            Ok(event) => self.keep(Entry::Event(event)).await,
            Err(_) => Err(self.refuse(SpoolError::Broken)),
        }
    }

    /// Keeps a webhook that was rejected; answers when it is on disk.
    pub async fn append_rejected(&self, webhook: &Rejection) -> Result<(), SpoolError> {
        self.keep(Entry::Rejected(webhook.clone())).await
    }

    async fn keep(&self, what: Entry) -> Result<(), SpoolError> {
        let (answer, result) = oneshot::channel();
        let kept = match self.queue.send(Keep { what, answer }).await {
            Ok(()) => result.await.unwrap_or(Err(SpoolError::Broken)),
            Err(_) => Err(SpoolError::Broken),
        };
        kept.map_err(|error| self.refuse(error))
    }

    fn refuse(&self, error: SpoolError) -> SpoolError {
        self.refused.fetch_add(1, Ordering::Relaxed);
        error
    }

    /// How full the file is; changes wake.
    #[must_use]
    pub fn usage(&self) -> watch::Receiver<Usage> {
        self.file.usage().subscribe()
    }

    /// Bytes it may hold.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Events and rejected webhooks that were not kept.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Damaged files that this process set aside.
    #[must_use]
    pub fn set_aside(&self) -> u64 {
        self.file.set_aside()
    }

    /// Whether an event would be kept now, as far as is known.
    #[must_use]
    pub fn can_take(&self) -> bool {
        let usage = *self.file.usage().borrow();
        !usage.is_broken && usage.bytes < self.max_bytes
    }

    /// What is in it, for whoever empties it.
    pub(super) fn file(&self) -> &SpoolFile {
        &self.file
    }
}

impl SpoolWriter {
    /// The task.
    #[must_use]
    pub fn task(&self) -> AbortHandle {
        self.task.abort_handle()
    }

    /// Writes what waits, takes nothing more, and closes the file.
    pub async fn stop(self) -> Result<(), JoinError> {
        self.cancel.cancel();
        let ended = self.task.await;
        self.file.close().await;
        ended
    }
}

/// Writes what is appended until cancelled; what waits by then is still written.
async fn run(
    file: Arc<SpoolFile>,
    max_bytes: u64,
    mut queue: mpsc::Receiver<Keep>,
    cancel: CancellationToken,
) {
    loop {
        let mut waiting = Vec::new();
        let taken = tokio::select! {
            biased;
            taken = queue.recv_many(&mut waiting, BATCH) => taken,
            () = cancel.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
        };
        if taken == 0 {
            return;
        }
        keep(&file, max_bytes, waiting).await;
    }
}

async fn keep(file: &SpoolFile, max_bytes: u64, waiting: Vec<Keep>) {
    let (mut events, mut rejected) = (Vec::new(), Vec::new());
    for Keep { what, answer } in waiting {
        match what {
            Entry::Event(event) => events.push((event, answer)),
            Entry::Rejected(webhook) => rejected.push((webhook, answer)),
        }
    }
    if !events.is_empty() {
        keep_events(file, max_bytes, events).await;
    }
    if !rejected.is_empty() {
        keep_rejected(file, max_bytes, rejected).await;
    }
}

/// One commit; what does not fit is refused.
async fn keep_events(file: &SpoolFile, max_bytes: u64, waiting: Vec<(String, Answer)>) {
    let mut bytes = file.usage().borrow().bytes;
    let (kept, refused): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(event, _)| {
        let fits = bytes + size(event) <= max_bytes;
        bytes += if fits { size(event) } else { 0 };
        fits
    });
    tell(refused, Err(SpoolError::Full));
    if !kept.is_empty() {
        let events: Vec<_> = kept.iter().map(|(event, _)| event.as_str()).collect();
        let written = file.insert(&events).await;
        tell(kept, written);
    }
}

/// One commit; what would not fit by itself is refused.
async fn keep_rejected(file: &SpoolFile, max_bytes: u64, waiting: Vec<(Rejection, Answer)>) {
    let room = Room { rows: REJECTED_ROWS, bytes: max_bytes / REJECTED_PART };
    let (kept, refused): (Vec<_>, Vec<_>) =
        waiting.into_iter().partition(|(webhook, _)| webhook.body.len() as u64 <= room.bytes);
    tell(refused, Err(SpoolError::Full));
    if !kept.is_empty() {
        let webhooks: Vec<_> = kept.iter().map(|(webhook, _)| webhook).collect();
        let written = file.insert_rejected(&webhooks, room).await;
        tell(kept, written);
    }
}

fn tell<T>(kept: Vec<(T, Answer)>, result: Result<(), SpoolError>) {
    for (_, answer) in kept {
        // Whoever no longer waits has hung up; it is kept all the same.
        let _ = answer.send(result);
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use serde_json::json;

    use super::*;
    use crate::reservations::event::{self, Parsed};

    fn event(n: usize) -> ReservationEvent {
        let body = json!({
            "event": "reservation.updated", "timestamp": "2026-03-01T22:33:06.252001Z", "webhookId": "wh \u{1f600}",
            "data": {
                "reservationId": format!("res_{n}"), "propertyId": "p", "guestId": "g", "status": "cancelled",
                "checkIn": "0001-01-01", "checkOut": "9999-12-31", "numGuests": i32::MAX,
                "totalAmount": "-99999999.90", "currency": "USD", "guest": { "firstName": "A\"\\\n" },
            },
        });
        match event::parse(body.to_string().as_bytes()) {
            Ok(Parsed::Event(event)) => *event,
            other => panic!("{other:?}"),
        }
    }

    fn read(waiting: &[Waiting]) -> Vec<ReservationEvent> {
        waiting.iter().map(|waiting| serde_json::from_str(&waiting.event).unwrap()).collect()
    }

    #[tokio::test]
    async fn events_come_back_as_they_were_and_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd %41?#name.db");
        let (spool, writer) = Spool::start(path.clone(), 1 << 20).await;
        let events: Vec<_> = (0..10).map(event).collect();
        for event in &events {
            assert_eq!(spool.append(event).await, Ok(()));
        }
        let more: Vec<_> = (10..1_000).map(event).collect();
        let kept = join_all(more.iter().map(|event| spool.append(event))).await;
        assert!(kept.iter().all(Result::is_ok), "at once, too");
        writer.stop().await.unwrap();
        assert_eq!(spool.append(&event(0)).await, Err(SpoolError::Broken), "it has ended");
        assert!(path.exists(), "a path is not a URL");

        let (spool, writer) = Spool::start(path, 1 << 20).await;
        assert_eq!(spool.usage().borrow().waiting, 1_000);
        let waiting = spool.file().waiting_after(0, 2_000).await.unwrap();
        assert!(read(&waiting[..10]) == events);
        assert_eq!(read(&waiting)[0].total_amount.to_string(), "-99999999.90");
        spool.file().forget(&waiting.iter().collect::<Vec<_>>()).await.unwrap();
        assert_eq!(*spool.usage().borrow(), Usage::default());
        writer.stop().await.unwrap();
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_until_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let one = serde_json::to_string(&event(1)).unwrap().len() as u64;
        let (spool, writer) = Spool::start(folder.path().join("spool.db"), 2 * one).await;
        assert_eq!(spool.append(&event(1)).await, Ok(()));
        assert!(spool.can_take());
        assert_eq!(spool.append(&event(2)).await, Ok(()));
        assert_eq!(spool.append(&event(3)).await, Err(SpoolError::Full));
        assert!(!spool.can_take());
        let waiting = spool.file().waiting_after(0, 10).await.unwrap();
        spool.file().forget(&[&waiting[0]]).await.unwrap();
        assert_eq!(spool.append(&event(3)).await, Ok(()));
        writer.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_could_not_be_opened_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later").join("spool.db");
        let (spool, writer) = Spool::start(path.clone(), 1 << 20).await;
        assert!(!spool.can_take());
        assert_eq!(spool.append(&event(1)).await, Err(SpoolError::Broken));
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        assert_eq!(spool.append(&event(1)).await, Ok(()));
        assert!(spool.can_take());
        writer.stop().await.unwrap();
    }

    /// Everything but the header and the schema, so that only reading the rows finds it out.
    fn damage(path: &std::path::Path) -> Vec<u8> {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[8_192..].fill(0xff);
        std::fs::write(path, &bytes).unwrap();
        bytes
    }

    #[tokio::test]
    async fn a_damaged_file_is_set_aside_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.db");
        std::fs::write(
            &path,
            "this is no database, and long enough for one to be looked for in it".repeat(99),
        )
        .unwrap();
        for n in 1..=2 {
            let before = std::fs::read(&path).unwrap();
            let (spool, writer) = Spool::start(path.clone(), 1 << 20).await;
            assert_eq!((spool.set_aside(), spool.can_take()), (1, true));
            assert_eq!(*spool.usage().borrow(), Usage::default());
            let kept = folder.path().join(format!("spool.db.damaged-{n}"));
            assert!(std::fs::read(kept).unwrap() == before, "byte for byte");
            for n in 0..100 {
                assert_eq!(spool.append(&event(n)).await, Ok(()));
            }
            writer.stop().await.unwrap();
            damage(&path);
        }
    }

    #[tokio::test]
    async fn what_was_read_of_a_damaged_file_is_not_taken_for_what_is_in_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.db");
        let (spool, writer) = Spool::start(path.clone(), 1 << 20).await;
        for n in 0..100 {
            assert_eq!(spool.append(&event(n)).await, Ok(()));
        }
        let read_before = spool.file().waiting_after(0, 100).await.unwrap();
        spool.file().close().await;
        damage(&path);
        assert_eq!(spool.append(&event(100)).await, Ok(()), "nobody notices");
        assert_eq!((spool.set_aside(), spool.usage().borrow().waiting), (1, 1));
        // Applied meanwhile, and no longer there.
        spool.file().forget(&read_before.iter().collect::<Vec<_>>()).await.unwrap();
        let waiting = spool.file().waiting_after(read_before[99].id, 10).await.unwrap();
        assert!(read(&waiting) == [event(100)]);
        writer.stop().await.unwrap();
    }
}
