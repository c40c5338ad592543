//! Who may call the provider, and when: a permit a request.
//!
//! A permit is a place among the requests in flight. It is given back when it is dropped, so a
//! request that is cut off in the middle takes none with it.

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
    lease::Held,
    pacer::{Pacer, Verdict},
};

/// What a call is for. Earlier lanes are not held up by later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A person or the webhook registration waits for it.
    Urgent,
    /// A message of a broadcast.
    Broadcast,
    /// Guests we lack; leaves half of the places to the others.
    Bulk,
}

/// The way out; cheap to clone.
#[derive(Clone, Debug)]
pub struct Door {
    api: GuestApi,
    inner: Arc<Inner>,
    lease: watch::Receiver<Option<Held>>,
}

#[derive(Debug)]
struct Inner {
    pacer: Mutex<Pacer>,
    /// Signalled when a permit comes back.
    given_back: Notify,
    in_flight_max: usize,
}

/// A place among the requests in flight.
#[derive(Debug)]
pub struct Permit {
    inner: Arc<Inner>,
    lease: watch::Receiver<Option<Held>>,
    lane: Lane,
}

impl Door {
    /// A door with `in_flight_max` places, which opens while `lease` says that this process holds it.
    #[must_use]
    pub fn new(api: GuestApi, in_flight_max: usize, lease: watch::Receiver<Option<Held>>) -> Self {
        let inner =
            Inner { pacer: Mutex::new(Pacer::new(in_flight_max)), given_back: Notify::new(), in_flight_max };
        Self { api, inner: Arc::new(inner), lease }
    }

    /// The calls behind the door.
    #[must_use]
    pub fn api(&self) -> &GuestApi {
        &self.api
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

    /// Waits for a permit.
    pub async fn enter(&self, lane: Lane) -> Permit {
        loop {
            let given_back = self.inner.given_back.notified();
            match self.try_enter(lane) {
                Ok(permit) => return permit,
                Err(Some(opens_at)) => tokio::time::sleep_until(opens_at).await,
                Err(None) => self.wait(given_back).await,
            }
        }
    }

    /// A permit, or when to ask again: at an instant, or when [`Door::wait_for_place`] returns.
    pub fn try_enter(&self, lane: Lane) -> Result<Permit, Option<Instant>> {
        let now = Instant::now();
        if lane != Lane::Urgent && !is_held(&self.lease, now) {
            return Err(None);
        }
        let keep_free = if lane == Lane::Bulk { self.inner.in_flight_max / 2 } else { 0 };
        let mut pacer = self.inner.lock();
        match pacer.verdict(now, keep_free) {
            Verdict::Send => {
                pacer.taken();
                Ok(Permit { inner: Arc::clone(&self.inner), lease: self.lease.clone(), lane })
            }
            Verdict::At(opens_at) => Err(Some(opens_at)),
            Verdict::WhenAnswered => Err(None),
        }
    }

    /// Waits until a permit comes back or the lease changes hands.
    async fn wait(&self, given_back: impl Future<Output = ()>) {
        let mut lease = self.lease.clone();
        tokio::select! {
            () = given_back => {}
            _ = lease.changed() => {}
            // A permit that came back to another waiter is no signal to this one.
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
}

impl Permit {
    /// Whether the request may still leave: a refusal that came since the permit was given, or a
    /// lease that ran out, says no.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let now = Instant::now();
        let held = self.lane == Lane::Urgent || is_held(&self.lease, now);
        // This permit's own place is taken already, so only the gate matters.
        held && !matches!(self.inner.lock().verdict(now, 0), Verdict::At(_))
    }

    /// Gives the permit back with what the provider answered.
    pub fn answered<T>(self, outcome: &Outcome<T>) {
        if let Outcome::Limited { wait } = outcome {
            self.inner.lock().limited(Instant::now() + *wait);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.inner.lock().given_back();
        self.inner.given_back.notify_waiters();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Pacer> {
        // Nothing panics while the pacer is half changed.
        self.pacer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_held(lease: &watch::Receiver<Option<Held>>, now: Instant) -> bool {
    lease.borrow().is_some_and(|held| now < held.until)
}
