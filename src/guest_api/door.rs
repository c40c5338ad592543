//! Who may call the provider, and when: a permit a request.
//!
//! A permit is a slot in time, given out up to 50 ms ahead, and from then on a place among the requests
//! under way. Both are given back when it is dropped, so a request that is cut off in the middle takes
//! nothing with it. One gate is before all: nothing leaves while the provider told anybody to wait.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    client::{GuestApi, Outcome},
    lanes::{Lane, Lanes},
    lease::Held,
    pacer::{Advice, Answer, Learned, Pacer, Ticket, Verdict},
};
use crate::telemetry::metrics::{DoorReading, Requests};

/// How soon to ask again after letting somebody pass.
const AGAIN: Duration = Duration::from_millis(10);
/// The furthest an instant is put into the future: waits are shorter.
const FAR: f64 = 1e9;

/// The way out; cheap to clone.
#[derive(Clone, Debug)]
pub struct Door {
    api: GuestApi,
    inner: Arc<Inner>,
    lease: watch::Receiver<Option<Held>>,
}

/// What permits and the door share.
#[derive(Debug)]
pub(super) struct Inner {
    /// The pacer counts seconds from here.
    origin: Instant,
    state: Mutex<State>,
    /// Signalled when a permit comes back.
    given_back: Notify,
    /// Signalled when the gate has closed.
    closed: Notify,
    requests: Requests,
}

#[derive(Debug)]
struct State {
    pacer: Pacer,
    lanes: Lanes,
}

/// A slot, and then a place among the requests under way.
#[derive(Debug)]
pub struct Permit {
    inner: Arc<Inner>,
    lease: watch::Receiver<Option<Held>>,
    lane: Lane,
    /// In seconds since the origin.
    slot: f64,
    stage: Stage,
}

/// How far a permit has come.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Booked,
    Left(Ticket),
    Answered,
}

/// What the pacer knows, as the rest of the process counts time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Knowledge {
    /// What it learned of the limit, if anything.
    pub(super) learned: Option<Learned>,
    /// How long nothing may be sent yet.
    pub(super) shut: Duration,
}

impl Door {
    /// A door with `in_flight_max` places, which opens while `lease` says that this process holds it.
    #[must_use]
    pub fn new(
        api: GuestApi,
        in_flight_max: usize,
        lease: watch::Receiver<Option<Held>>,
        requests: Requests,
    ) -> Self {
        let in_flight_max = u32::try_from(in_flight_max).unwrap_or(u32::MAX);
        let state = State { pacer: Pacer::new(in_flight_max), lanes: Lanes::default() };
        let inner = Arc::new(Inner {
            origin: Instant::now(),
            state: Mutex::new(state),
            given_back: Notify::new(),
            closed: Notify::new(),
            requests,
        });
        Self { api: api.heard_by(Arc::clone(&inner)), inner, lease }
    }

    /// The calls behind the door.
    #[must_use]
    pub fn api(&self) -> &GuestApi {
        &self.api
    }

    /// Requests a second that may leave at present.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.inner.lock().pacer.rate(self.inner.now())
    }

    /// Requests under way.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.inner.lock().pacer.in_flight()
    }

    /// How it stands.
    #[must_use]
    pub fn reading(&self) -> DoorReading {
        let (now, Knowledge { learned, shut }) = (self.inner.now(), self.knowledge());
        let state = self.inner.lock();
        DoorReading {
            is_held: is_held(&self.lease, Instant::now()),
            rate: state.pacer.rate(now),
            estimate: learned.map(|learned| learned.rate),
            gate: shut.as_secs_f64(),
            in_flight: state.pacer.in_flight(),
        }
    }

    /// When something may be sent again; `None` while it may.
    #[must_use]
    pub fn opens_at(&self) -> Option<Instant> {
        let (now, gate) = (self.inner.now(), self.inner.lock().pacer.gate());
        (now < gate).then(|| self.inner.instant(gate))
    }

    /// How many messages are still to be sent: with little left, no attempt is made to find out whether the
    /// provider takes more.
    pub fn left(&self, messages: usize) {
        self.inner.lock().pacer.left(messages);
    }

    /// Makes one call as soon as it may leave. What is said about waiting is heard by all.
    pub async fn call<T, F: Future<Output = Outcome<T>>>(
        &self,
        lane: Lane,
        request: impl FnOnce(GuestApi) -> F,
    ) -> Outcome<T> {
        let permit = self.enter(lane).await;
        let outcome = request(self.api.clone()).await;
        permit.answered(&outcome);
        outcome
    }

    /// Waits for a permit whose request may leave at once.
    pub async fn enter(&self, lane: Lane) -> Permit {
        let mut waiting = None;
        loop {
            let mut permit = self.slot(lane, &mut waiting).await;
            if permit.turn().await {
                return permit;
            }
        }
    }

    /// Waits for a slot. Whoever has to wait is in `waiting` from then on.
    async fn slot(&self, lane: Lane, waiting: &mut Option<Waiting>) -> Permit {
        let mut lease = self.lease.clone();
        loop {
            // Both signals are listened to before the question is asked, so that none is lost.
            lease.borrow_and_update();
            let given_back = self.inner.given_back.notified();
            match self.try_enter(lane) {
                Ok(permit) => return permit,
                Err(Some(again_at)) => {
                    waiting.get_or_insert_with(|| Waiting::new(&self.inner, lane));
                    tokio::time::sleep_until(again_at).await;
                }
                Err(None) => {
                    tokio::select! {
                        () = given_back => {}
                        changed = lease.changed() => if changed.is_err() { std::future::pending().await },
                    }
                }
            }
        }
    }

    /// Waits until this process holds the lease.
    pub async fn held(&self) {
        let mut lease = self.lease.clone();
        while !is_held(&self.lease, Instant::now()) {
            if lease.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// A permit for a slot that is at most 50 ms away, or when to ask again: at an instant, or when one is
    /// given back.
    pub fn try_enter(&self, lane: Lane) -> Result<Permit, Option<Instant>> {
        if !is_held(&self.lease, Instant::now()) {
            return Err(None);
        }
        let now = self.inner.now();
        let mut state = self.inner.lock();
        if state.lanes.gives_way(lane, now) {
            return Err(Some(Instant::now() + AGAIN));
        }
        let verdict = state.pacer.verdict(now);
        if lane == Lane::Broadcast {
            state.lanes.broadcast_wants(if let Verdict::At(at) = verdict { at } else { now });
        }
        match verdict {
            Verdict::Send => {
                let slot = state.pacer.book(now);
                state.lanes.served(lane);
                Ok(Permit {
                    inner: Arc::clone(&self.inner),
                    lease: self.lease.clone(),
                    lane,
                    slot,
                    stage: Stage::Booked,
                })
            }
            Verdict::At(at) => Err(Some(self.inner.instant(at))),
            Verdict::WhenAnswered => Err(None),
        }
    }

    /// Goes on with what an earlier process knew.
    pub(super) fn remember(&self, knowledge: Knowledge) {
        let now = self.inner.now();
        let mut state = self.inner.lock();
        if let Some(learned) = knowledge.learned {
            state.pacer.remember(learned);
        }
        if !knowledge.shut.is_zero() {
            state.pacer.close_until(now + knowledge.shut.as_secs_f64());
        }
    }

    /// Requests that have left, by a number that wraps around.
    pub(super) fn requests(&self) -> u32 {
        self.inner.lock().pacer.requests()
    }

    /// What to keep for the next process.
    pub(super) fn knowledge(&self) -> Knowledge {
        let now = self.inner.now();
        let state = self.inner.lock();
        let shut = Duration::try_from_secs_f64(state.pacer.gate() - now).unwrap_or(Duration::ZERO);
        Knowledge { learned: state.pacer.learned(), shut }
    }

    /// Waits until the gate closes.
    pub(super) async fn closed(&self) {
        self.inner.closed.notified().await;
    }
}

/// A call that waits; others let it pass.
struct Waiting {
    inner: Arc<Inner>,
    lane: Lane,
}

impl Waiting {
    fn new(inner: &Arc<Inner>, lane: Lane) -> Self {
        inner.lock().lanes.waits(lane);
        Self { inner: Arc::clone(inner), lane }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.inner.lock().lanes.stops(self.lane);
    }
}

impl Permit {
    /// Waits for the slot and for a place among the requests under way. Whether the request may leave,
    /// now: a refusal that came meanwhile, or a lease that ran out, says no.
    pub async fn turn(&mut self) -> bool {
        let inner = Arc::clone(&self.inner);
        if inner.now() < self.slot {
            tokio::time::sleep_until(inner.instant(self.slot)).await;
        }
        loop {
            let given_back = inner.given_back.notified();
            if !is_held(&self.lease, Instant::now()) {
                return false;
            }
            match self.leave() {
                Verdict::Send => return true,
                Verdict::At(_) => return false,
                Verdict::WhenAnswered => given_back.await,
            }
        }
    }

    fn leave(&mut self) -> Verdict {
        let now = self.inner.now();
        let mut state = self.inner.lock();
        let verdict = state.pacer.may_leave(now);
        if verdict == Verdict::Send {
            self.stage = Stage::Left(state.pacer.leave(now));
        }
        verdict
    }

    /// Gives the permit back with what the provider answered.
    pub fn answered<T>(mut self, outcome: &Outcome<T>) {
        if let Stage::Left(ticket) = self.stage {
            let took = Duration::try_from_secs_f64(self.inner.now() - ticket.sent()).unwrap_or_default();
            self.inner.requests.ended(self.lane.call(), outcome.name(), took);
        }
        self.give_back(match outcome {
            Outcome::Limited { wait } => Answer::Limited { wait: wait.as_secs_f64() },
            // Perhaps it never came to the provider, so it says nothing of what that takes.
            Outcome::Retry { .. } | Outcome::Ambiguous { .. } => Answer::Lost,
            Outcome::Done(_) | Outcome::NotFound | Outcome::Unauthorized { .. } | Outcome::Refused { .. } => {
                Answer::Passed
            }
        });
    }

    fn give_back(&mut self, answer: Answer) {
        let now = self.inner.now();
        let mut state = self.inner.lock();
        match std::mem::replace(&mut self.stage, Stage::Answered) {
            Stage::Booked => {
                state.pacer.unbook(now);
                if self.lane == Lane::Broadcast {
                    state.lanes.broadcast_wants_nothing();
                }
            }
            Stage::Left(ticket) => state.pacer.answered(now, ticket, answer),
            Stage::Answered => return,
        }
        drop(state);
        self.inner.given_back.notify_waiters();
        if matches!(answer, Answer::Limited { .. }) {
            self.inner.closed.notify_one();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back(Answer::Lost);
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the pacer is half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a response tells of the limit.
    pub(super) fn advised(&self, advice: Advice) {
        let now = self.now();
        let mut state = self.lock();
        state.pacer.advised(now, advice);
        if now < state.pacer.gate() {
            self.closed.notify_one();
        }
    }

    /// Seconds since the origin.
    fn now(&self) -> f64 {
        Instant::now().saturating_duration_since(self.origin).as_secs_f64()
    }

    /// The instant of a number of seconds, never before it.
    fn instant(&self, seconds: f64) -> Instant {
        let seconds = Duration::from_secs_f64(seconds.clamp(0.0, FAR));
        self.origin + seconds + Duration::from_micros(1)
    }
}

fn is_held(lease: &watch::Receiver<Option<Held>>, now: Instant) -> bool {
    lease.borrow().is_some_and(|held| now < held.until)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;
    use crate::clock::Clock;

    fn door(places: usize) -> (Door, watch::Sender<Option<Held>>) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (state, lease) = watch::channel(None);
        let api = GuestApi::new(reqwest::Client::new(), String::new(), Clock::from_fn(Default::default));
        let metrics = crate::telemetry::Metrics::new().unwrap();
        (Door::new(api, places, lease, metrics.requests().clone()), state)
    }

    fn held(epoch: i64) -> Held {
        Held { epoch, until: Instant::now() + Duration::from_secs(9) }
    }

    /// Slots, one after the other, for as long as there are places.
    async fn fill(door: &Door, places: usize) -> Vec<Permit> {
        let mut permits = Vec::new();
        while permits.len() < places {
            permits.push(door.enter(Lane::Registration).await);
        }
        permits
    }

    /// One that spins keeps whoever shares its task from being polled.
    #[tokio::test(start_paused = true)]
    async fn who_waits_sleeps_however_often_the_lease_was_renewed() {
        let (door, state) = door(4);
        state.send_replace(Some(held(1)));
        state.send_replace(Some(held(1)));
        let permits = fill(&door, 4).await;
        tokio::time::advance(Duration::from_secs(1)).await;
        let mut booked = door.try_enter(Lane::Bulk).unwrap();
        let mut waiting = by_hand(booked.turn());
        for _ in 0..3 {
            assert!(waiting.poll().is_none());
        }
        assert!(!waiting.was_woken(), "nothing happened, so nobody is woken");
        drop(permits);
        assert!(waiting.was_woken());
        assert_eq!(waiting.poll(), Some(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_waits_for_its_slot_and_not_beyond_the_gate() {
        let (door, state) = door(10);
        state.send_replace(Some(held(1)));
        let mut first = door.try_enter(Lane::Broadcast).unwrap();
        let mut second = door.try_enter(Lane::Broadcast).unwrap();
        let third = door.try_enter(Lane::Broadcast).unwrap_err().unwrap();
        assert!(third > Instant::now() && door.rate() > 24.0 && door.opens_at().is_none());
        assert!(first.turn().await);
        assert_eq!(by_hand(second.turn()).poll(), None, "a slot later");
        assert_eq!(door.in_flight(), 1);
        first.answered(&Outcome::<()>::Limited { wait: Duration::from_millis(2_500) });
        assert!(!second.turn().await, "it has heard of the refusal");
        assert!(door.opens_at().is_some());
        drop(second);
        let before = Instant::now();
        let permit = door.enter(Lane::Bulk).await;
        let waited = before.elapsed().as_millis();
        assert!((2_400..2_600).contains(&waited), "{waited}");
        assert_eq!(door.in_flight(), 1);
        drop(permit);
        assert_eq!(door.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_waited_for_passes_a_broadcast_and_a_broadcast_passes_look_ups() {
        let (door, state) = door(10);
        state.send_replace(Some(Held { epoch: 1, until: Instant::now() + Duration::from_mins(1) }));
        while let Ok(permit) = door.try_enter(Lane::Broadcast) {
            std::mem::forget(permit);
        }
        let mut look_up = by_hand(door.enter(Lane::Bulk));
        let mut urgent = by_hand(door.enter(Lane::Urgent));
        assert!(look_up.poll().is_none() && urgent.poll().is_none());
        tokio::time::sleep(Duration::from_millis(70)).await;
        assert!(door.try_enter(Lane::Broadcast).is_err(), "there would be a slot, but somebody waits");
        assert!(look_up.poll().is_none());
        assert!(urgent.poll().is_none(), "it has a slot now");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(urgent.poll().is_some());
        let permit = door.try_enter(Lane::Broadcast).unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert!(look_up.poll().is_none(), "the broadcast asked a moment ago");
        drop(permit);
        // It asks every 10 ms, and then waits for its slot.
        let mut through = false;
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            through = through || look_up.poll().is_some();
        }
        assert!(through, "the broadcast had no message to send");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_gets_through_without_the_lease() {
        let (door, state) = door(4);
        for lane in [Lane::Urgent, Lane::Registration, Lane::Broadcast, Lane::Bulk] {
            assert!(door.try_enter(lane).is_err(), "{lane:?}");
        }
        let mut waiting = by_hand(door.enter(Lane::Broadcast));
        assert!(waiting.poll().is_none());
        state.send_replace(Some(held(1)));
        assert!(waiting.was_woken() && waiting.poll().is_some());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(door.held().now_or_never().is_none(), "it ran out");
    }

    /// A future polled by hand, with a waker that remembers.
    struct ByHand<F> {
        future: std::pin::Pin<Box<F>>,
        woken: Arc<std::sync::atomic::AtomicBool>,
    }

    struct Remembers(Arc<std::sync::atomic::AtomicBool>);

    impl futures::task::ArcWake for Remembers {
        fn wake_by_ref(this: &Arc<Self>) {
            this.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    fn by_hand<F: Future>(future: F) -> ByHand<F> {
        ByHand { future: Box::pin(future), woken: Arc::default() }
    }

    impl<F: Future> ByHand<F> {
        fn poll(&mut self) -> Option<F::Output> {
            let waker = futures::task::waker(Arc::new(Remembers(Arc::clone(&self.woken))));
            match self.future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            }
        }

        fn was_woken(&self) -> bool {
            self.woken.load(std::sync::atomic::Ordering::SeqCst)
        }
    }
}
