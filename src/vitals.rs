//! Whether the tasks live that everything else rests on, and whether those that must not stand still do not.
//!
//! A task that panicked is gone while the process goes on answering; only a new process has it back. So
//! `/healthz` says what is told here, and whoever looks after the process starts it anew.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{task::AbortHandle, time::Instant};

/// How long a task may be at one piece of work. Far longer than any limit of time in it, so that only what
/// escaped all of them is meant.
const STUCK: Duration = Duration::from_secs(30);

/// The tasks; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Vitals(Arc<Mutex<Vec<Part>>>);

#[derive(Debug)]
struct Part {
    name: &'static str,
    task: AbortHandle,
    pulse: Option<Pulse>,
}

/// What a task says of its work; cheap to clone.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Beat>);

#[derive(Debug)]
struct Beat {
    origin: Instant,
    /// Milliseconds after the origin at which the present piece of work was begun, and one; 0 for none.
    begun: AtomicU64,
}

impl Vitals {
    /// A task that is to run for as long as the server does.
    pub fn watch(&self, name: &'static str, task: AbortHandle) {
        self.add(Part { name, task, pulse: None });
    }

    /// The same, with what it says of its work.
    pub fn watch_pulse(&self, name: &'static str, task: AbortHandle, pulse: Pulse) {
        self.add(Part { name, task, pulse: Some(pulse) });
    }

    fn add(&self, part: Part) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(part);
    }

    /// What is wrong; empty while all is well.
    #[must_use]
    pub fn failing(&self) -> Vec<String> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().filter_map(Part::failing).collect()
    }
}

impl Part {
    fn failing(&self) -> Option<String> {
        if self.task.is_finished() {
            return Some(format!("{}: ended", self.name));
        }
        let busy = self.pulse.as_ref()?.busy().filter(|busy| *busy >= STUCK)?;
        Some(format!("{}: stuck for {} s", self.name, busy.as_secs()))
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Beat { origin: Instant::now(), begun: AtomicU64::new(0) }))
    }
}

impl Pulse {
    /// A piece of work begins.
    pub fn begin(&self) {
        let begun = u64::try_from(self.0.origin.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        self.0.begun.store(begun, Ordering::Relaxed);
    }

    /// It is done; the next may be long in coming.
    pub fn rest(&self) {
        self.0.begun.store(0, Ordering::Relaxed);
    }

    fn busy(&self) -> Option<Duration> {
        let begun = self.0.begun.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.0.origin.elapsed().saturating_sub(Duration::from_millis(begun)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panicked_or_stands_still_is_told() {
        let (vitals, pulse) = (Vitals::default(), Pulse::default());
        let (beat, (wake, woken)) = (pulse.clone(), tokio::sync::oneshot::channel::<()>());
        let writer = tokio::spawn(async move {
            beat.begin();
            woken.await.unwrap();
            beat.rest();
            std::future::pending::<()>().await;
        });
        let reader = tokio::spawn(async { panic!("a fault") });
        vitals.watch_pulse("writer", writer.abort_handle(), pulse);
        tokio::time::sleep(STUCK / 2).await;
        assert!(vitals.failing().is_empty(), "long, but not too long");
        tokio::time::sleep(STUCK).await;
        assert_eq!(vitals.failing(), ["writer: stuck for 45 s"]);
        wake.send(()).unwrap();
        tokio::time::sleep(STUCK * 2).await;
        assert!(vitals.failing().is_empty(), "who rests may rest for long");
        vitals.watch("reader", reader.abort_handle());
        assert_eq!(vitals.failing(), ["reader: ended"]);
    }
}
