//! The sender: permit, claim, send, record. The loop is thin; [`Sender::step`] does one round.
//!
//! It works while this process holds the lease. A message is claimed (SENDING, committed) before a
//! byte of it leaves, and only when a permit says that it may leave at once. A result that can't be
//! written is kept and written later: the message stays SENDING until then.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::TimeDelta;
use rand::{Rng, RngExt as _};
use sea_orm::DbErr;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Broadcast, MessageState, SuspensionReason, UncertainPolicy,
    store::{self, Claimed, Verdict},
};
use crate::{
    clock::Clock,
    db::Db,
    guest_api::{Door, Lane, Outcome, Permit, lease::Held},
};

/// How often the tables are asked when no signal came.
const POLL: Duration = Duration::from_millis(500);
/// The first and the longest pause before a message is tried again, in milliseconds.
const BACKOFF_FIRST_MS: i64 = 1_000;
const BACKOFF_MAX_MS: i64 = 300_000;
/// How long broadcasts rest when the provider refuses our credentials.
const UNAUTHORIZED_REST: TimeDelta = TimeDelta::minutes(5);
/// Characters of a reason that are kept.
const ERROR_MAX: usize = 500;

/// What the sender needs of the outside.
pub struct Sender {
    /// The database.
    pub db: Db,
    /// The way to the provider.
    pub door: Door,
    /// Tells the time.
    pub clock: Clock,
    /// For the jitter of retries.
    pub rng: Box<dyn Rng + Send + Sync>,
    /// Tries a message at most.
    pub max_attempts: i32,
    /// Signalled when a broadcast was started or stopped in this process.
    pub woken: Arc<Notify>,
    /// Signalled when counts changed.
    pub changed: Arc<Notify>,
    /// Whether this process may send.
    pub lease: watch::Receiver<Option<Held>>,
}

/// A claimed message on its way.
#[derive(Debug)]
struct Leaving {
    claimed: Claimed,
    policy: UncertainPolicy,
    epoch: i64,
}

/// A request's end: the outcome, or `None` when it did not leave because the gate had closed.
type Ended = Result<(tokio::task::Id, Option<Outcome<()>>), tokio::task::JoinError>;

/// The work under way.
#[derive(Debug, Default)]
pub struct UnderWay {
    requests: JoinSet<Option<Outcome<()>>>,
    /// What each of them sends.
    leaving: HashMap<tokio::task::Id, Leaving>,
    /// Results that are not written yet.
    unwritten: Vec<Verdict>,
    /// The epoch whose orphans were looked after.
    recovered: Option<i64>,
    /// The provider refused our credentials since the last round.
    unauthorized: bool,
    /// Where the next round begins among the open broadcasts, so that each gets its turn.
    turn: usize,
    /// When the next message may leave, where one waits for that.
    again_at: Option<Instant>,
}

impl Sender {
    /// Sends until cancelled, then waits for what is under way and writes its results.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut work = UnderWay::default();
        while !cancel.is_cancelled() {
            if let Err(error) = self.step(&mut work).await {
                tracing::warn!(%error, "sending is held up; trying again");
                tokio::time::sleep(POLL).await;
                continue;
            }
            let again_at = work.again_at.unwrap_or_else(|| Instant::now() + POLL);
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(ended) = work.requests.join_next_with_id() => self.finish(ended, &mut work),
                () = self.woken.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                () = tokio::time::sleep_until(again_at) => {}
            }
        }
        while let Some(ended) = work.requests.join_next_with_id().await {
            self.finish(ended, &mut work);
        }
        if let Err(error) = self.write(&mut work).await {
            tracing::warn!(%error, "the last results were not written; these messages are looked after at the next start");
        }
    }

    /// One round: write what was answered, look after orphans, start what is due, send what may leave.
    pub async fn step(&mut self, work: &mut UnderWay) -> Result<(), DbErr> {
        while let Some(ended) = work.requests.try_join_next_with_id() {
            self.finish(ended, work);
        }
        self.write(work).await?;
        work.again_at = None;
        let Some(held) = *self.lease.borrow() else {
            return Ok(());
        };
        if work.recovered != Some(held.epoch) {
            let orphans = store::orphans(&self.db, held.epoch).await?;
            if !orphans.is_empty() {
                tracing::info!(messages = orphans.len(), "messages of a former sender are looked after");
            }
            store::record(&self.db, &orphans, self.clock.now()).await?;
            self.changed.notify_one();
            work.recovered = Some(held.epoch);
        }
        if work.unauthorized {
            tracing::error!(
                "the Guest API refuses our credentials; broadcasts are suspended for five minutes"
            );
            let resumes_at = self.clock.now() + UNAUTHORIZED_REST;
            store::suspend_all(&self.db, SuspensionReason::Unauthorized, resumes_at).await?;
            work.unauthorized = false;
            self.changed.notify_one();
        }
        let open = store::open(&self.db, self.clock.now()).await?;
        let left = open.iter().map(|broadcast| usize::try_from(broadcast.counts.pending).unwrap_or(0)).sum();
        self.door.left(left);
        self.dispatch(&open, held.epoch, work).await
    }

    /// Claims and sends as many messages as there are permits, going round the open broadcasts.
    async fn dispatch(&self, open: &[Broadcast], epoch: i64, work: &mut UnderWay) -> Result<(), DbErr> {
        let (mut permits, mut again_at) = (Vec::new(), None);
        if !open.is_empty() {
            again_at = self.take_permits(&mut permits);
        }
        for round in 0..open.len() {
            if permits.is_empty() {
                break;
            }
            let broadcast = &open[(work.turn + round) % open.len()];
            let share = permits.len().div_ceil(open.len() - round);
            let claimed = store::claim(&self.db, broadcast.id, share, epoch, self.clock.now()).await?;
            let rest = permits.split_off(claimed.len().min(permits.len()));
            for (claimed, permit) in claimed.into_iter().zip(std::mem::replace(&mut permits, rest)) {
                self.send(broadcast, claimed, permit, epoch, work);
            }
            again_at = self.take_permits(&mut permits);
        }
        // Who had more permits than messages waits for something else.
        work.again_at = again_at.filter(|_| permits.is_empty());
        work.turn = work.turn.wrapping_add(1);
        Ok(())
    }

    /// Takes what there is; answers when to ask again.
    fn take_permits(&self, permits: &mut Vec<Permit>) -> Option<Instant> {
        loop {
            match self.door.try_enter(Lane::Broadcast) {
                Ok(permit) => permits.push(permit),
                Err(again_at) => return again_at,
            }
        }
    }

    fn send(
        &self,
        broadcast: &Broadcast,
        claimed: Claimed,
        mut permit: Permit,
        epoch: i64,
        work: &mut UnderWay,
    ) {
        let (api, message) = (self.door.api().clone(), broadcast.message.clone());
        let (guest_id, key) =
            (claimed.guest_id.clone(), message_key(claimed.broadcast_id, &claimed.guest_id));
        let request = work.requests.spawn(async move {
            if !permit.turn().await {
                return None;
            }
            let outcome = api.send_message(&guest_id, &message, &key).await;
            permit.answered(&outcome);
            Some(outcome)
        });
        work.leaving.insert(request.id(), Leaving { claimed, policy: broadcast.on_uncertain, epoch });
    }

    fn finish(&mut self, ended: Ended, work: &mut UnderWay) {
        let (id, outcome) = ended.unwrap_or_else(|error| {
            tracing::error!(%error, "a request was cut off");
            (error.id(), Some(Outcome::Ambiguous { reason: "the request was cut off".to_owned() }))
        });
        work.unauthorized |= matches!(outcome, Some(Outcome::Unauthorized { .. }));
        if let Some(leaving) = work.leaving.remove(&id) {
            work.unwritten.push(self.judge(leaving, outcome));
        }
    }

    /// The table of outcomes: what a message becomes, and whether it cost a try.
    fn judge(&mut self, leaving: Leaving, outcome: Option<Outcome<()>>) -> Verdict {
        let Leaving { claimed, policy, epoch } = leaving;
        let attempt = claimed.attempts + 1;
        let (state, tries, error) = match outcome {
            None | Some(Outcome::Limited { .. }) => (MessageState::Pending, 0, None),
            Some(Outcome::Done(())) => (MessageState::Sent, 1, None),
            Some(Outcome::NotFound) => {
                (MessageState::Failed, 1, Some("the Guest API does not know this guest".to_owned()))
            }
            Some(Outcome::Refused { reason }) => (MessageState::Failed, 1, Some(reason)),
            Some(Outcome::Unauthorized { reason }) => (MessageState::Pending, 0, Some(reason)),
            Some(Outcome::Ambiguous { reason }) if policy == UncertainPolicy::Hold => {
                (MessageState::Uncertain, 1, Some(reason))
            }
            Some(Outcome::Retry { reason } | Outcome::Ambiguous { reason })
                if attempt < self.max_attempts =>
            {
                (MessageState::Pending, 1, Some(reason))
            }
            Some(Outcome::Retry { reason } | Outcome::Ambiguous { reason }) => {
                (MessageState::Failed, 1, Some(reason))
            }
        };
        let retried = state == MessageState::Pending && tries > 0;
        Verdict {
            broadcast_id: claimed.broadcast_id,
            guest_id: claimed.guest_id,
            epoch,
            state,
            tries,
            not_before: retried.then(|| self.clock.now() + self.backoff(attempt)),
            error: error.map(|error| error.chars().take(ERROR_MAX).collect()),
        }
    }

    /// Full jitter: anything up to 1 s x 2^n.
    fn backoff(&mut self, attempt: i32) -> TimeDelta {
        let ceiling = BACKOFF_FIRST_MS.saturating_mul(1 << (attempt - 1).clamp(0, 20)).min(BACKOFF_MAX_MS);
        TimeDelta::milliseconds(self.rng.random_range(0..=ceiling))
    }

    async fn write(&self, work: &mut UnderWay) -> Result<(), DbErr> {
        if work.unwritten.is_empty() {
            return Ok(());
        }
        store::record(&self.db, &work.unwritten, self.clock.now()).await?;
        work.unwritten.clear();
        self.changed.notify_one();
        Ok(())
    }
}

/// The key that goes with every try of one message: derived, so that it survives any crash.
fn message_key(broadcast_id: Uuid, guest_id: &str) -> String {
    Uuid::new_v5(&broadcast_id, guest_id.as_bytes()).to_string()
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("max_attempts", &self.max_attempts).finish_non_exhaustive()
    }
}
