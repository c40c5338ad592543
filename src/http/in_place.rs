//! Polls again in place what was woken while it was polled.
//!
//! Hyper's connection and its handler are one task, and they wake each other over the body of a request: the
//! handler says that it wants it, and the connection that it is there. A task that is woken while it runs goes to
//! the end of the scheduler's queue, and the scheduler wakes another thread for it, twice a request. Here it is
//! polled again instead, a few times at most, so that a connection that always has something to do does not keep
//! the others waiting.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;

/// Polls at once. Hyper's two make three.
const POLLS: usize = 4;

/// It waits; who wakes it has to wake the task.
const WAITING: u8 = 0;
/// It is polled.
const POLLED: u8 = 1;
/// It was woken, and whoever polls it or the task knows.
const WOKEN: u8 = 2;

#[derive(Default)]
struct Inner {
    task: AtomicWaker,
    state: AtomicU8,
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == WAITING {
            self.task.wake();
        }
    }
}

/// Runs `future` to its end.
pub(super) async fn in_place<T>(future: impl Future<Output = T>) -> T {
    let inner = Arc::new(Inner::default());
    let waker = Waker::from(Arc::clone(&inner));
    let mut future = pin!(future);
    poll_fn(|task| {
        inner.task.register(task.waker());
        for _ in 0..POLLS {
            inner.state.swap(POLLED, Ordering::AcqRel);
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            let waits =
                || inner.state.compare_exchange(POLLED, WAITING, Ordering::AcqRel, Ordering::Acquire).is_ok();
            if polled.is_ready() || waits() {
                return polled;
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::atomic::AtomicUsize};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls once; answers whether it is ready, and how often the task was woken.
    fn poll_once(future: impl Future<Output = ()>, then: impl FnOnce()) -> (bool, usize) {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let polled = pin!(future).poll(&mut Context::from_waker(&waker));
        then();
        (polled.is_ready(), count.0.load(Ordering::Relaxed))
    }

    #[test]
    fn what_wakes_itself_goes_on_at_once() {
        let polls = Cell::new(0);
        let future = poll_fn(|cx| {
            polls.set(polls.get() + 1);
            cx.waker().wake_by_ref();
            if polls.get() == 3 { Poll::Ready(()) } else { Poll::Pending }
        });
        assert_eq!(poll_once(in_place(future), || ()), (true, 0));
    }

    #[test]
    fn what_always_wakes_itself_lets_others_go_on() {
        let polls = Cell::new(0);
        let future = poll_fn(|cx| {
            polls.set(polls.get() + 1);
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        assert_eq!(poll_once(in_place(future), || ()), (false, 1));
        assert_eq!(polls.get(), POLLS);
    }

    #[test]
    fn what_waits_is_woken_from_elsewhere_once() {
        let waker = Cell::new(None);
        let future = poll_fn(|cx| {
            waker.set(Some(cx.waker().clone()));
            Poll::Pending
        });
        let twice = || waker.take().iter().for_each(|waker| (0..2).for_each(|_| waker.wake_by_ref()));
        assert_eq!(poll_once(in_place(future), twice), (false, 1));
    }
}
