//! Watchers of one request: one task executes it and puts what comes out into a ring; each watcher
//! takes from there at its own position, or is given the event at once if it waits and has an outlet.
//!
//! Events that are there at once go to a watcher in one piece, and a group that has served many rests
//! before it looks for more: so under load a watcher costs a write for several events, while the first
//! event after a while goes out when it comes.
//!
//! The ring is bounded by bytes, so many a watcher. The task runs ahead of everybody by no more than
//! that, and not at the pace of the slowest: whoever falls out of the ring goes on by itself. The group
//! ends with its last watcher, at once.

use std::{
    collections::VecDeque,
    future::poll_fn,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_graphql::ServerError;
use slab::Slab;
use tokio::{sync::Notify, task::AbortHandle};

use super::{Answer, Event, Inner, Offered, Outlet, Recipe, execution::Execution};
use crate::graphql::{errors, told::Begin};

/// Bytes in the ring for each watcher, and the least and the most for all of them.
const BYTES_EACH: usize = 4 * 1024;
const BYTES_MIN: usize = 16 * 1024;
const BYTES_MAX: usize = 1024 * 1024;
/// Events that are handed on together, and their bytes, but for the last of them.
const BATCH: usize = 16;
const BATCH_BYTES: usize = 16 * 1024;
/// Outlets that are offered events while the group is locked.
const AT_ONCE: usize = 64;
/// What is done before others get a turn: about a millisecond. Offering events to an outlet is 1, making
/// one is [`MAKING`].
const TURN: usize = 256;
const MAKING: usize = 16;
/// How long a group rests for each watcher it has served, and at most; shorter rests are none. Some five
/// times as long as serving it takes, so that a group never keeps a core busy by itself while writes can
/// be saved.
const REST_EACH: Duration = Duration::from_micros(20);
const REST: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(20);

pub(super) struct Group {
    recipe: Arc<Recipe>,
    state: Mutex<State>,
    /// Signalled when the task waits and a watcher took something.
    room: Notify,
    task: OnceLock<AbortHandle>,
}

struct State {
    /// The events after `start`, in order.
    ring: VecDeque<Event>,
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
    /// What is handed on: events in order, at least one.
    batch: Vec<Event>,
    /// Since others had a turn.
    done: usize,
    /// Watchers that had their part of the batch, or were woken for it.
    served: u32,
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

    fn push(&self, batch: &[Event]) {
        let mut state = self.lock();
        state.bytes += batch.iter().map(|(_, body)| body.len()).sum::<usize>();
        state.ring.extend(batch.iter().cloned());
        state.trim();
    }

    /// Gives everybody who waits the events that were pushed: those with an outlet there, so many at a
    /// time, the others when they come for them.
    async fn deliver(&self, work: &mut Work) {
        work.done += MAKING * work.batch.len();
        work.served = 0;
        let mut next = Some(0);
        while let Some(from) = next {
            next = self.lock().offer(from, work);
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
    fn offer(&mut self, from: usize, work: &mut Work) -> Option<usize> {
        let mut offered = 0;
        for slot in from..self.watchers.capacity() {
            if offered == AT_ONCE {
                work.done += offered;
                return Some(slot);
            }
            let Some(watching) = self.watchers.get_mut(slot) else { continue };
            // Who waits has taken all before the batch, or more.
            let events = &work.batch[work.batch.partition_point(|(seq, _)| *seq <= watching.seq)..];
            let Some((last, _)) = events.last() else { continue };
            let Some(waker) = watching.waker.take() else { continue };
            let answer = watching.outlet.as_ref().map_or(Offered::Refused, |outlet| {
                offered += 1;
                outlet.offer(events, &mut work.scratch)
            });
            work.served += 1;
            let seq = match answer {
                Offered::Taken => {
                    watching.waker = Some(waker);
                    *last
                }
                Offered::Begun(count) => {
                    work.woken.push(waker);
                    events[count - 1].0
                }
                Offered::Refused => {
                    work.woken.push(waker);
                    continue;
                }
            };
            watching.seq = seq;
            self.taken = self.taken.max(seq);
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
        let end = loop {
            let end = poll_fn(|cx| poll_batch(&mut execution, &mut work.batch, cx)).await;
            if !work.batch.is_empty() {
                self.group.room().await;
                self.group.push(&work.batch);
                self.group.deliver(&mut work).await;
                for (seq, _) in work.batch.iter().filter(|(seq, _)| *seq > old) {
                    self.inner.delivered(*seq);
                }
            }
            if let Some(end) = end {
                break end;
            }
            let rest = REST_EACH * work.served;
            if rest >= *REST.start() {
                tokio::time::sleep(rest.min(*REST.end())).await;
            }
        };
        self.end(end);
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

/// Takes what is there into an empty batch, at least one event, but for the end that is answered.
fn poll_batch(execution: &mut Execution, batch: &mut Vec<Event>, cx: &mut Context<'_>) -> Poll<Option<End>> {
    batch.clear();
    let mut bytes = 0;
    while batch.len() < BATCH && bytes < BATCH_BYTES {
        match execution.poll_next(cx) {
            Poll::Pending if batch.is_empty() => return Poll::Pending,
            Poll::Pending => break,
            Poll::Ready(Some(Answer::Next { seq: Some(seq), body })) => {
                bytes += body.len();
                batch.push((seq, body));
            }
            // An error of the request: its response has no position.
            Poll::Ready(Some(Answer::Next { seq: None, .. }) | None) => {
                return Poll::Ready(Some(End::Complete));
            }
            Poll::Ready(Some(Answer::Refused(errors))) => return Poll::Ready(Some(End::Refused(errors))),
        }
    }
    Poll::Ready(None)
}

impl Drop for Driver {
    fn drop(&mut self) {
        // After an end it changes nothing; without one, something in the execution panicked.
        let error = errors::already_logged().into_server_error(async_graphql::Pos::default());
        self.end(End::Refused([error].into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes no more than so many of the events it is offered.
    struct Takes {
        most: usize,
        had: Mutex<Vec<i64>>,
    }

    impl Outlet for Takes {
        fn offer(&self, events: &[Event], _: &mut Vec<u8>) -> Offered {
            let count = events.len().min(self.most);
            self.had.lock().unwrap().extend(events[..count].iter().map(|(seq, _)| *seq));
            match count {
                0 => Offered::Refused,
                all if all == events.len() => Offered::Taken,
                count => Offered::Begun(count),
            }
        }
    }

    #[test]
    fn who_waits_is_given_what_comes_after_its_position() {
        let mut state = State {
            ring: VecDeque::new(),
            bytes: 0,
            start: 0,
            taken: 4,
            is_waiting: false,
            watchers: Slab::new(),
            end: None,
        };
        let mut work = Work { batch: (5..8).map(|seq| (seq, "{}".into())).collect(), ..Work::default() };
        // Position, what it takes; what it has then, its position then, whether it was woken.
        let cases: [(i64, usize, &[i64], i64, bool); 5] = [
            (4, 9, &[5, 6, 7], 7, false),
            (6, 9, &[7], 7, false),
            (7, 9, &[], 7, false),
            (4, 2, &[5, 6], 6, true),
            (4, 0, &[], 4, true),
        ];
        let outlets = cases.map(|(seq, most, ..)| {
            let outlet = Arc::new(Takes { most, had: Mutex::default() });
            let (waker, same) = (Some(Waker::noop().clone()), Arc::clone(&outlet) as Arc<dyn Outlet>);
            state.watchers.insert(Watching { seq, waker, outlet: Some(same) });
            outlet
        });
        assert_eq!(state.offer(0, &mut work), None);
        for (slot, (_, _, had, seq, is_woken)) in cases.into_iter().enumerate() {
            assert_eq!(*outlets[slot].had.lock().unwrap(), had, "{slot}");
            assert_eq!((state.watchers[slot].seq, state.watchers[slot].waker.is_none()), (seq, is_woken));
        }
        assert_eq!((state.taken, work.woken.len(), work.served), (7, 2, 4));
    }
}
