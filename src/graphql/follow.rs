//! What subscriptions send: the change log from a position on, seen through what was asked for.
//!
//! Positions only go forward, nothing is skipped and nothing is sent twice, whatever the database does
//! in between.

use std::{sync::Arc, time::Duration};

use async_stream::stream;
use futures::Stream;

use super::{broadcast::BroadcastProgress, reservation::ReservationChange};
use crate::{
    broadcast::progress::Progress,
    feed::{Entry, Watcher},
    reservations::ReservationFilter,
};

/// How long to wait before a log that could not be read is read again.
const RETRY: Duration = Duration::from_secs(1);

/// The changes that touch the set of a filter; ends when all up to `until` were looked at.
pub fn reservations(
    mut log: Watcher,
    until: Option<i64>,
    filter: ReservationFilter,
) -> impl Stream<Item = ReservationChange> {
    let until = until.unwrap_or(i64::MAX);
    stream! {
        while log.seq() < until {
            for entry in next(&mut log).await.into_iter().filter(|entry| entry.seq <= until) {
                if let Some(change) = ReservationChange::of(&entry, &filter) {
                    yield change;
                }
            }
        }
    }
}

/// The steps of a broadcast. `present` is its state when the log had come to `head`: every step up to
/// there is of this state or an earlier one, every step after it of this state or a later one.
///
/// A new subscription begins with `present`. A resumed one begins with the steps it missed; should
/// the broadcast be done and none of them be the last, `present` is.
pub fn broadcast(
    mut log: Watcher,
    present: Progress,
    head: i64,
    is_resumed: bool,
) -> impl Stream<Item = BroadcastProgress> {
    stream! {
        let is_done = is_last(&present);
        // Of a broadcast that is done, nothing after `present` is worth waiting for.
        let up_to = if is_done { head } else { i64::MAX };
        let mut steps = Steps::default();
        if !is_resumed {
            yield steps.first(head, &present);
        }
        if !is_resumed && is_done {
            return;
        }
        loop {
            if is_done && log.seq() >= head {
                yield steps.finish(head, &present);
                return;
            }
            for entry in next(&mut log).await.iter().filter(|entry| entry.seq <= up_to) {
                let step = Progress::of(entry).filter(|step| step.broadcast.id == present.broadcast.id);
                let Some(step) = step else { continue };
                if let Some(event) = steps.next(entry.seq, step) {
                    yield event;
                }
                // A retry goes on after a step that was the last once.
                if is_last(step) && (entry.seq > head || step.broadcast == present.broadcast) {
                    return;
                }
            }
        }
    }
}

/// A cancelled broadcast may still have messages under way; with this set it has none.
fn is_last(step: &Progress) -> bool {
    step.broadcast.completed_at.is_some()
}

/// The step that was sent last, which the next one goes on from.
#[derive(Debug, Default)]
struct Steps {
    sent: Option<crate::broadcast::Broadcast>,
}

impl Steps {
    /// The present state, before which nothing was finished.
    fn first(&mut self, seq: i64, step: &Progress) -> BroadcastProgress {
        self.send(seq, step, step.broadcast.finished_seq)
    }

    /// The present state as the last step: what finished since the one before, if there was one.
    fn finish(&mut self, seq: i64, step: &Progress) -> BroadcastProgress {
        let since = self.sent.as_ref().map_or(step.broadcast.finished_seq, |sent| sent.finished_seq);
        self.send(seq, step, since)
    }

    /// A step of the log; none when it says nothing new.
    fn next(&mut self, seq: i64, step: &Progress) -> Option<BroadcastProgress> {
        let since = match &self.sent {
            Some(sent) if *sent == step.broadcast || step.broadcast.finished_seq < sent.finished_seq => {
                return None;
            }
            Some(sent) => sent.finished_seq,
            None => step.finished.0,
        };
        Some(self.send(seq, step, since))
    }

    fn send(&mut self, seq: i64, step: &Progress, since: i64) -> BroadcastProgress {
        self.sent = Some(step.broadcast.clone());
        BroadcastProgress::new(seq, step, (since, step.broadcast.finished_seq))
    }
}

/// The next entries of the log, however long the database is away. The position stays where it is
/// until they are read.
async fn next(log: &mut Watcher) -> Vec<Arc<Entry>> {
    let mut is_failing = false;
    loop {
        match log.next().await {
            Ok(entries) => return entries,
            Err(error) if !is_failing => {
                tracing::warn!(%error, "a subscription can't read the change log; trying again");
                is_failing = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::broadcast::{Broadcast, BroadcastStatus, Counts, UncertainPolicy};

    fn step(status: BroadcastStatus, finished: (i64, i64)) -> Progress {
        let broadcast = Broadcast {
            id: uuid::Uuid::nil(),
            message: String::new(),
            status,
            counts: Counts::default(),
            on_uncertain: UncertainPolicy::Resend,
            suspension: None,
            finished_seq: finished.1,
            created_at: DateTime::UNIX_EPOCH,
            starts_at: DateTime::UNIX_EPOCH,
            completed_at: None,
            retries: 0,
        };
        Progress { broadcast, send_rate: 0.0, estimated_completion_at: None, finished }
    }

    #[test]
    fn a_step_that_says_nothing_new_is_not_sent() {
        use BroadcastStatus::{Sending, Suspended};
        let mut steps = Steps::default();
        assert_eq!(steps.first(1, &step(Sending, (3, 5))).finished(), (5, 5));
        assert!(steps.next(2, &step(Sending, (3, 5))).is_none(), "the same");
        assert!(steps.next(3, &step(Sending, (0, 4))).is_none(), "older");
        assert!(steps.next(4, &step(Suspended, (5, 5))).is_some(), "another status");
    }

    #[test]
    fn a_step_has_what_finished_since_the_one_before() {
        use BroadcastStatus::{Completed, Sending};
        let mut steps = Steps::default();
        steps.first(1, &step(Sending, (5, 5)));
        let sent = steps.next(2, &step(Sending, (3, 7))).map(|event| event.finished());
        assert_eq!(sent, Some((5, 7)), "the log was behind the present state");
        assert_eq!(steps.finish(3, &step(Completed, (9, 9))).finished(), (7, 9));
    }

    #[test]
    fn the_first_step_of_a_resumed_subscription_is_whole() {
        let mut steps = Steps::default();
        let sent = steps.next(2, &step(BroadcastStatus::Sending, (3, 7))).map(|event| event.finished());
        assert_eq!(sent, Some((3, 7)));
    }
}
