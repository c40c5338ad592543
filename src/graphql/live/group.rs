//! Watchers of one request: one task executes it and puts what comes out into a ring; each watcher
//! takes from there at its own position, or is given the event at once if it waits and has an outlet.
//!
//! The ring is bounded by bytes, so many a watcher. The task runs ahead of everybody by no more than
//! that, and not at the pace of the slowest: whoever falls out of the ring goes on by itself. The group
//! ends with its last watcher, at once.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
};

use async_graphql::ServerError;
use slab::Slab;
use tokio::{sync::Notify, task::AbortHandle};

use super::{Answer, Inner, Offered, Outlet, Recipe, execution::Execution};
use crate::graphql::{errors, told::Begin};

/// Bytes in the ring for each watcher, and the least and the most for all of them.
const BYTES_EACH: usize = 4 * 1024;
const BYTES_MIN: usize = 16 * 1024;
const BYTES_MAX: usize = 1024 * 1024;
/// Outlets that are offered an event while the group is locked.
const AT_ONCE: usize = 64;
/// What is done before others get a turn: about a millisecond. Offering an event to an outlet is 1, making
/// one is [`MAKING`].
const TURN: usize = 256;
const MAKING: usize = 16;

pub(super) struct Group {
    recipe: Arc<Recipe>,
    state: Mutex<State>,
    /// Signalled when the task waits and a watcher took something.
    room: Notify,
    task: OnceLock<AbortHandle>,
}

struct State {
    /// The events after `start`, in order.
    ring: VecDeque<(i64, Arc<str>)>,
    bytes: usize,
    start: i64,
    /// How far the quickest watcher is.
    taken: i64,
    is_waiting: bool,
    watchers: Slab<Watching>,
    end: Option<End>,
}

struct Watching {
    /// The position of the last event taken.
    seq: i64,
    /// Of a watcher that has taken all there was, and waits.
    waker: Option<Waker>,
    outlet: Option<Arc<dyn Outlet>>,
}

/// What the task of a group uses again and again.
#[derive(Default)]
struct Work {
    /// Since others had a turn.
    done: usize,
    scratch: Vec<u8>,
    woken: Vec<Waker>,
}

/// How a group ended.
#[derive(Clone)]
pub(super) enum End {
    Complete,
    Refused(Arc<[ServerError]>),
}

/// What a watcher finds.
pub(super) enum Found {
    Event(i64, Arc<str>),
    /// The ring begins after the watcher's position.
    Behind(i64),
    Ended(End),
}

/// A watcher's place in a group; leaves it when dropped.
pub(super) struct Member {
    inner: Arc<Inner>,
    group: Arc<Group>,
    slot: usize,
}

impl Group {
    /// A group that begins after `from`, and its first watcher. `inner` must have no group of this key;
    /// its map is locked by the caller.
    pub(super) fn start(inner: &Arc<Inner>, recipe: Arc<Recipe>, from: i64) -> (Arc<Self>, Member) {
        let begin = Begin::Range { from, until: None };
        let execution = Execution::new(inner, recipe.request(), begin);
        let mut state = State {
            ring: VecDeque::new(),
            bytes: 0,
            start: from,
            taken: from,
            is_waiting: false,
            watchers: Slab::new(),
            end: None,
        };
        let slot = state.watchers.insert(Watching::new(from));
        let group = Self { recipe, state: Mutex::new(state), room: Notify::new(), task: OnceLock::new() };
        let group = Arc::new(group);
        let member = Member { inner: Arc::clone(inner), group: Arc::clone(&group), slot };
        let driver = Driver { inner: Arc::clone(inner), group: Arc::clone(&group) };
        let task = tokio::spawn(driver.run(execution));
        // It was not set before.
        let _ = group.task.set(task.abort_handle());
        (group, member)
    }

    /// A place for a watcher at `seq`; where the ring begins if that is after it.
    pub(super) fn join(self: &Arc<Self>, inner: &Arc<Inner>, seq: i64) -> Result<Member, i64> {
        let mut state = self.lock();
        if seq < state.start {
            return Err(state.start);
        }
        state.taken = state.taken.max(seq);
        let slot = state.watchers.insert(Watching::new(seq));
        Ok(Member { inner: Arc::clone(inner), group: Arc::clone(self), slot })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the state is half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the ring takes another event without losing one that nobody took.
    async fn room(&self) {
        loop {
            {
                let mut state = self.lock();
                if state.bytes < state.cap() || state.ring.front().is_none_or(|(seq, _)| *seq <= state.taken)
                {
                    return;
                }
                state.is_waiting = true;
            }
            self.room.notified().await;
        }
    }

    fn push(&self, seq: i64, body: Arc<str>) {
        let mut state = self.lock();
        state.bytes += body.len();
        state.ring.push_back((seq, body));
        state.trim();
    }

    /// Gives everybody who waits the event that was pushed: those with an outlet there, so many at a
    /// time, the others when they come for it.
    async fn deliver(&self, seq: i64, body: &str, work: &mut Work) {
        work.done += MAKING;
        let mut next = Some(0);
        while let Some(from) = next {
            next = self.lock().offer(from, (seq, body), work);
            work.woken.drain(..).for_each(Waker::wake);
            if work.done >= TURN {
                work.done = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    fn finish(&self, end: End) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        let wakers = state.wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn cap(&self) -> usize {
        (self.watchers.len() * BYTES_EACH).clamp(BYTES_MIN, BYTES_MAX)
    }

    /// Keeps to the bound; what nobody took yet stays.
    fn trim(&mut self) {
        while self.bytes > self.cap() && self.ring.front().is_some_and(|(seq, _)| *seq <= self.taken) {
            if let Some((seq, body)) = self.ring.pop_front() {
                self.bytes -= body.len();
                self.start = seq;
            }
        }
    }

    fn wakers(&mut self) -> Vec<Waker> {
        self.watchers.iter_mut().filter_map(|(_, watching)| watching.waker.take()).collect()
    }

    /// Goes through the watchers from a slot on, and answers where to go on.
    fn offer(&mut self, from: usize, (seq, body): (i64, &str), work: &mut Work) -> Option<usize> {
        let mut offered = 0;
        for slot in from..self.watchers.capacity() {
            if offered == AT_ONCE {
                work.done += offered;
                return Some(slot);
            }
            // Who waits has taken all before this one.
            let Some(watching) = self.watchers.get_mut(slot).filter(|watching| watching.seq < seq) else {
                continue;
            };
            let Some(waker) = watching.waker.take() else { continue };
            let answer = watching.outlet.as_ref().map_or(Offered::Refused, |outlet| {
                offered += 1;
                outlet.offer(body, &mut work.scratch)
            });
            match answer {
                Offered::Taken => watching.waker = Some(waker),
                Offered::Begun | Offered::Refused => work.woken.push(waker),
            }
            if answer != Offered::Refused {
                watching.seq = seq;
                self.taken = self.taken.max(seq);
            }
        }
        work.done += offered;
        None
    }
}

impl Watching {
    /// One that has not asked for anything yet.
    fn new(seq: i64) -> Self {
        Self { seq, waker: None, outlet: None }
    }
}

impl Member {
    /// What is shared.
    pub(super) fn recipe(&self) -> &Arc<Recipe> {
        &self.group.recipe
    }

    /// The position of the last event taken.
    pub(super) fn seq(&self) -> i64 {
        self.group.lock().watchers[self.slot].seq
    }

    /// The next event after the watcher's position. While there is none, those to come may go to the outlet.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, outlet: Option<&Arc<dyn Outlet>>) -> Poll<Found> {
        let mut guard = self.group.lock();
        let state = &mut *guard;
        let watching = &mut state.watchers[self.slot];
        if watching.seq < state.start {
            return Poll::Ready(Found::Behind(state.start));
        }
        let next = state.ring.partition_point(|(seq, _)| *seq <= watching.seq);
        if let Some((seq, body)) = state.ring.get(next).cloned() {
            watching.seq = seq;
            state.taken = state.taken.max(seq);
            if std::mem::take(&mut state.is_waiting) {
                self.group.room.notify_one();
            }
            return Poll::Ready(Found::Event(seq, body));
        }
        if let Some(end) = &state.end {
            return Poll::Ready(Found::Ended(end.clone()));
        }
        match &mut watching.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => watching.waker = Some(cx.waker().clone()),
        }
        if watching.outlet.is_none() {
            watching.outlet = outlet.cloned();
        }
        Poll::Pending
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // The map before the state, as when joining: nobody joins a group that is about to end.
        let mut groups = self.inner.groups();
        let mut state = self.group.lock();
        state.watchers.remove(self.slot);
        if !state.watchers.is_empty() {
            return;
        }
        drop(state);
        let key = &self.group.recipe.key;
        if groups.get(key).is_some_and(|group| Arc::ptr_eq(group, &self.group)) {
            groups.remove(key);
        }
        drop(groups);
        if let Some(task) = self.group.task.get() {
            task.abort();
        }
    }
}

/// What the task of a group holds: however it ends, the group does too.
struct Driver {
    inner: Arc<Inner>,
    group: Arc<Group>,
}

impl Driver {
    async fn run(self, mut execution: Execution) {
        let mut work = Work::default();
        // What came before the group is old news to its first watcher.
        let old = self.inner.hub.head();
        while let Some(answer) = std::future::poll_fn(|cx| execution.poll_next(cx)).await {
            match answer {
                Answer::Next { seq: Some(seq), body } => {
                    self.group.room().await;
                    self.group.push(seq, Arc::clone(&body));
                    self.group.deliver(seq, &body, &mut work).await;
                    if seq > old {
                        self.inner.delivered(seq);
                    }
                }
                // An error of the request: its response has no position.
                Answer::Next { seq: None, .. } => break,
                Answer::Refused(errors) => return self.end(End::Refused(errors)),
            }
        }
        self.end(End::Complete);
    }

    /// Whoever asks for the same from now on begins anew.
    fn end(&self, end: End) {
        let mut groups = self.inner.groups();
        let key = &self.group.recipe.key;
        if groups.get(key).is_some_and(|group| Arc::ptr_eq(group, &self.group)) {
            groups.remove(key);
        }
        drop(groups);
        self.group.finish(end);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // After an end it changes nothing; without one, something in the execution panicked.
        let error = errors::already_logged().into_server_error(async_graphql::Pos::default());
        self.end(End::Refused([error].into()));
    }
}
