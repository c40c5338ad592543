//! The sender: permit, claim, send, record. The loop is thin; [`Sender::step`] does one round.
//!
//! It works while this process holds the lease. A message is claimed (SENDING, committed) before a
//! byte of it leaves, and only when a permit says that it may leave at once. A result that can't be
//! written is kept and written later: the message stays SENDING until then. So does one whose claim got no
//! answer from the database, until the next round finds it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;
use rand::Rng;
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
    health::Health,
    outcome::{self, Circumstances},
    schedule::Schedule,
    store::{self, Claimed, Verdict},
};
use crate::{
    clock::Clock,
    db::Db,
    guest_api::{Door, Lane, Outcome, Permit, lease::Held},
    telemetry::{metrics::Messages, traces},
};

/// How often the tables are asked when no signal came.
const POLL: Duration = Duration::from_millis(500);
/// How long the answers to what has left may take when the sender stops.
const LAST_ANSWERS: Duration = Duration::from_secs(4);
/// The longest wait that is ridden out silently; for a longer one broadcasts are suspended.
const SILENT_WAIT: Duration = Duration::from_mins(15);

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
    /// Counts what becomes of messages.
    pub messages: Messages,
}

/// A claimed message on its way.
#[derive(Debug)]
struct Leaving {
    claimed: Claimed,
    policy: UncertainPolicy,
    epoch: i64,
    /// Cancelled once its broadcast sends no more.
    stop: CancellationToken,
}

/// A request's end: the outcome, or `None` when it did not leave.
type Ended = Result<(tokio::task::Id, Option<Outcome<()>>), tokio::task::JoinError>;

/// The work under way.
#[derive(Debug, Default)]
pub struct UnderWay {
    requests: JoinSet<Option<Outcome<()>>>,
    /// What each of them sends.
    leaving: HashMap<tokio::task::Id, Leaving>,
    /// Keeps messages of a broadcast that is no longer SENDING from leaving.
    stops: HashMap<Uuid, CancellationToken>,
    /// Results that are not written yet.
    unwritten: Vec<Verdict>,
    /// The epoch whose orphans were looked after.
    recovered: Option<i64>,
    /// A claim failed, and may have been committed all the same.
    in_doubt: bool,
    schedule: Schedule,
    health: Health,
    /// When to ask for a permit again, if messages are left.
    next_at: Option<Instant>,
}

impl Sender {
    /// Sends until cancelled, then waits a while for what is under way and writes its results.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut work = UnderWay::default();
        while !cancel.is_cancelled() {
            if let Err(error) = self.step(&mut work).await {
                tracing::warn!(%error, "sending is held up; trying again");
                tokio::time::sleep(POLL).await;
                continue;
            }
            let floor = Instant::now() + POLL;
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(ended) = work.requests.join_next_with_id() => self.finish(ended, &mut work),
                () = self.woken.notified() => {}
                () = tokio::time::sleep_until(work.next_at.map_or(floor, |at| at.min(floor))) => {}
            }
        }
        self.wind_up(&mut work).await;
        if let Err(error) = self.write(&mut work).await {
            tracing::warn!(%error, "the last results were not written; these messages are looked after at the next start");
        }
    }

    /// What has not left stays. What has gets its answer, or is cut off, which is no answer.
    async fn wind_up(&mut self, work: &mut UnderWay) {
        work.stops.values().for_each(CancellationToken::cancel);
        let last = tokio::time::sleep(LAST_ANSWERS);
        tokio::pin!(last);
        loop {
            tokio::select! {
                ended = work.requests.join_next_with_id() => match ended {
                    Some(ended) => self.finish(ended, work),
                    None => return,
                },
                () = &mut last, if !last.is_elapsed() => work.requests.abort_all(),
            }
        }
    }

    /// One round: write what was answered, look after orphans, start what is due, send what may leave.
    pub async fn step(&mut self, work: &mut UnderWay) -> Result<(), DbErr> {
        work.next_at = None;
        while let Some(ended) = work.requests.try_join_next_with_id() {
            self.finish(ended, work);
        }
        self.write(work).await?;
        let Some(Held { epoch, .. }) = *self.lease.borrow() else {
            return Ok(());
        };
        if work.recovered != Some(epoch) {
            self.recover(epoch).await?;
            work.recovered = Some(epoch);
        }
        if work.in_doubt {
            self.take_back(epoch, work).await?;
            work.in_doubt = false;
        }
        if let Some((reason, rest)) = work.health.rest() {
            let suspended = self.suspend(epoch, reason, rest).await?;
            work.health.rested(suspended);
        }
        let open = store::open(&self.db, epoch, self.clock.now()).await?;
        work.stops.retain(|id, stop| {
            let is_open = open.iter().any(|broadcast| broadcast.id == *id);
            if !is_open {
                stop.cancel();
            }
            is_open
        });
        let left = open.iter().map(|broadcast| usize::try_from(broadcast.counts.pending).unwrap_or(0)).sum();
        self.door.left(left);
        self.dispatch(&open, epoch, work).await
    }

    /// Looks after the messages that a former sender left SENDING.
    async fn recover(&self, epoch: i64) -> Result<(), DbErr> {
        let orphans = store::orphans(&self.db, epoch).await?;
        if !orphans.is_empty() {
            tracing::info!(messages = orphans.len(), "messages of a former sender are looked after");
            store::record(&self.db, &orphans, self.clock.now()).await?;
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Sets free what was claimed without our knowing it: none of it has left.
    async fn take_back(&self, epoch: i64, work: &UnderWay) -> Result<(), DbErr> {
        let known: HashSet<_> = work
            .leaving
            .values()
            .map(|Leaving { claimed, .. }| (claimed.broadcast_id, claimed.guest_id.as_str()))
            .collect();
        let claimed = store::claimed(&self.db, epoch).await?;
        let lost = claimed.iter().filter(|(id, guest)| !known.contains(&(*id, guest.as_str())));
        let verdicts: Vec<_> = lost
            .map(|(broadcast_id, guest_id)| Verdict {
                broadcast_id: *broadcast_id,
                guest_id: guest_id.clone(),
                epoch,
                state: MessageState::Pending,
                may_have_arrived: false,
                tries: 0,
                not_before: None,
                error: None,
            })
            .collect();
        store::record(&self.db, &verdicts, self.clock.now()).await
    }

    /// Suspends what is SENDING. Answers whether anything was.
    async fn suspend(&self, epoch: i64, reason: SuspensionReason, rest: TimeDelta) -> Result<bool, DbErr> {
        let resumes_at = self.clock.now() + rest;
        let suspended = store::suspend_all(&self.db, epoch, reason, resumes_at).await?;
        if suspended > 0 {
            tracing::error!(broadcasts = suspended, reason = reason.as_str(), %resumes_at, "broadcasts are suspended");
            self.changed.notify_one();
        }
        Ok(suspended > 0)
    }

    /// Claims and sends as many messages as there are permits, by turns.
    async fn dispatch(&self, open: &[Broadcast], epoch: i64, work: &mut UnderWay) -> Result<(), DbErr> {
        let mut waiting: Vec<_> = open.iter().map(|broadcast| broadcast.id).collect();
        work.schedule.open(waiting.iter().copied());
        while !waiting.is_empty() {
            let mut permits = self.permits(work);
            if permits.is_empty() {
                break;
            }
            let wanted = work.schedule.allot(&waiting, permits.len());
            let claimed = store::claim(&self.db, &wanted, epoch, self.clock.now()).await;
            let claimed = claimed.inspect_err(|_| work.in_doubt = true)?;
            for (id, turns) in wanted {
                let used = claimed.iter().filter(|claimed| claimed.broadcast_id == id).count();
                if used < turns {
                    work.schedule.unused(id);
                    waiting.retain(|other| *other != id);
                }
            }
            for (claimed, permit) in by_turns(claimed).into_iter().zip(permits.drain(..)) {
                self.send(open, claimed, permit, epoch, work);
            }
        }
        match self.door.opens_at() {
            Some(opens_at) if opens_at > Instant::now() + SILENT_WAIT && !waiting.is_empty() => {
                let rest = TimeDelta::from_std(opens_at - Instant::now()).unwrap_or(TimeDelta::MAX);
                self.suspend(epoch, SuspensionReason::Limited, rest).await.map(drop)
            }
            _ if waiting.is_empty() => {
                work.next_at = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The permits that are to be had now, the earliest first. A provider that counts as dead is asked by one
    /// request at a time.
    fn permits(&self, work: &mut UnderWay) -> Vec<Permit> {
        let most =
            if work.health.is_dead() { 1_usize.saturating_sub(work.leaving.len()) } else { usize::MAX };
        let mut permits = Vec::new();
        while permits.len() < most {
            match self.door.try_enter(Lane::Broadcast) {
                Ok(permit) => permits.push(permit),
                Err(next_at) => {
                    work.next_at = next_at;
                    break;
                }
            }
        }
        permits
    }

    fn send(
        &self,
        open: &[Broadcast],
        claimed: Claimed,
        mut permit: Permit,
        epoch: i64,
        work: &mut UnderWay,
    ) {
        // What was claimed is of one of them.
        let Some(broadcast) = open.iter().find(|broadcast| broadcast.id == claimed.broadcast_id) else {
            return;
        };
        let (api, message) = (self.door.api().clone(), broadcast.message.clone());
        let (guest_id, key) =
            (claimed.guest_id.clone(), message_key(claimed.broadcast_id, &claimed.guest_id));
        let (stop, broadcast_id) = (work.stops.entry(broadcast.id).or_default().clone(), broadcast.id);
        let stopped = stop.clone();
        let request = work.requests.spawn(async move {
            let may_leave = stop.run_until_cancelled(permit.turn()).await;
            if may_leave != Some(true) || stop.is_cancelled() {
                return None;
            }
            let sending = async {
                let outcome = api.send_message(&guest_id, &message, &key).await;
                traces::outcome(outcome.name());
                outcome
            };
            let outcome = traces::within(traces::message(broadcast_id), sending).await;
            permit.answered(&outcome);
            Some(outcome)
        });
        work.leaving
            .insert(request.id(), Leaving { claimed, policy: broadcast.on_uncertain, epoch, stop: stopped });
    }

    fn finish(&mut self, ended: Ended, work: &mut UnderWay) {
        let (id, outcome) = ended.unwrap_or_else(|error| {
            tracing::error!(%error, "a request was cut off");
            (error.id(), Some(Outcome::Ambiguous { reason: "the request was cut off".to_owned() }))
        });
        let Some(leaving) = work.leaving.remove(&id) else { return };
        // Credentials that were refused before a rest began are not refused again by what left before it.
        let is_old = leaving.stop.is_cancelled() && matches!(outcome, Some(Outcome::Unauthorized { .. }));
        if let Some(outcome) = &outcome
            && !is_old
        {
            work.health.heard((leaving.claimed.broadcast_id, &leaving.claimed.guest_id), outcome);
        }
        work.unwritten.push(self.judge(leaving, outcome, work.health.is_dead()));
    }

    fn judge(&mut self, leaving: Leaving, outcome: Option<Outcome<()>>, is_dead: bool) -> Verdict {
        let Leaving { claimed, policy, epoch, .. } = leaving;
        let attempt = claimed.attempts + 1;
        let case = Circumstances { policy, is_last_try: attempt >= self.max_attempts, is_dead };
        let judgement = outcome::judge(outcome, case);
        self.messages.tried(judgement.name());
        let pause = judgement.pauses.then(|| outcome::backoff(attempt, &mut *self.rng));
        Verdict {
            broadcast_id: claimed.broadcast_id,
            guest_id: claimed.guest_id,
            epoch,
            state: judgement.state,
            may_have_arrived: judgement.may_have_arrived,
            tries: judgement.tries,
            not_before: pause.map(|pause| self.clock.now() + pause),
            error: judgement.error,
        }
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

/// The first message of each broadcast, then the second of each, and so on: the earlier permits are shared too.
fn by_turns(claimed: Vec<Claimed>) -> Vec<Claimed> {
    let mut had = HashMap::new();
    let numbered = claimed.into_iter().map(|claimed| {
        let turns: &mut usize = had.entry(claimed.broadcast_id).or_default();
        *turns += 1;
        (*turns, claimed)
    });
    let mut numbered: Vec<_> = numbered.collect();
    numbered.sort_by_key(|(turn, _)| *turn);
    numbered.into_iter().map(|(_, claimed)| claimed).collect()
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
