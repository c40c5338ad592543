//! Who may call the provider, and when: a permit a request.
//!
//! A permit is a place among the requests in flight. It is given back when it is dropped, so a
//! request that is cut off in the middle takes none with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// A person waits for it.
    Urgent,
    /// The webhook registration.
    Registration,
    /// A message of a broadcast; leaves one place to the others.
    Broadcast,
    /// Guests we lack; one at a time while others need more than half of the places.
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
        let inner = Inner { pacer: Mutex::new(Pacer::new(in_flight_max)), given_back: Notify::new() };
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
        let mut lease = self.lease.clone();
        loop {
            // Both signals are listened to before the question is asked, so that none is lost.
            lease.borrow_and_update();
            let given_back = self.inner.given_back.notified();
            match self.try_enter(lane) {
                Ok(permit) => return permit,
                Err(Some(opens_at)) => tokio::time::sleep_until(opens_at).await,
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

    /// A permit, or when to ask again: at an instant, or when one is given back.
    pub fn try_enter(&self, lane: Lane) -> Result<Permit, Option<Instant>> {
        let now = Instant::now();
        if !is_held(&self.lease, now) {
            return Err(None);
        }
        let mut pacer = self.inner.lock();
        match pacer.verdict(now, lane) {
            Verdict::Send => {
                pacer.taken(lane);
                Ok(Permit { inner: Arc::clone(&self.inner), lease: self.lease.clone(), lane })
            }
            Verdict::At(opens_at) => Err(Some(opens_at)),
            Verdict::WhenAnswered => Err(None),
        }
    }
}

impl Permit {
    /// Whether the request may still leave: a refusal that came since the permit was given, or a
    /// lease that ran out, says no.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let now = Instant::now();
        // This permit's own place is taken already, so only the gate matters.
        is_held(&self.lease, now) && !matches!(self.inner.lock().verdict(now, Lane::Urgent), Verdict::At(_))
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
        self.inner.lock().given_back(self.lane);
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
        (Door::new(api, places, lease), state)
    }

    fn held(epoch: i64) -> Held {
        Held { epoch, until: Instant::now() + Duration::from_secs(9) }
    }

    /// One that spins keeps whoever shares its task from being polled.
    #[tokio::test(start_paused = true)]
    async fn who_waits_sleeps_however_often_the_lease_was_renewed() {
        let (door, state) = door(4);
        state.send_replace(Some(held(1)));
        state.send_replace(Some(held(1)));
        let permits: Vec<_> = (0..4).map(|_| door.try_enter(Lane::Registration).unwrap()).collect();
        let mut waiting = by_hand(door.enter(Lane::Bulk));
        for _ in 0..3 {
            assert!(waiting.poll().is_none());
        }
        assert!(!waiting.was_woken(), "nothing happened, so nobody is woken");
        drop(permits);
        assert!(waiting.was_woken());
        assert!(waiting.poll().is_some());
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
