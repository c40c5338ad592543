//! Pause, resume, cancel, retry: whether a broadcast allows it, and when it has taken effect.
//!
//! A pause and a cancel answer once no message of the broadcast is leaving any more. They are asked of any
//! process; the sender sees the row. Asking for what is so already is harmless.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use thiserror::Error;
use uuid::Uuid;

use super::{Broadcast, BroadcastStatus as Status, store};
use crate::{
    access::Caller,
    audit::{self, Action},
    db::Db,
};

/// How often it is looked whether a message is still leaving, and for how long: longer than a request may take
/// and longer than another process needs to take over from one that crashed.
const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stop until it is resumed.
    Pause,
    /// Go on after a pause, or before a suspension is over.
    Resume,
    /// Stop for good.
    Cancel,
    /// Try what failed or is uncertain again.
    Retry,
}

/// Why a broadcast stays as it is.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such broadcast.
    #[error("there is no such broadcast")]
    Unknown,
    /// Every message has its result.
    #[error("the broadcast is completed, so there is nothing left to stop or to go on with")]
    Completed,
    /// It was stopped for good.
    #[error("the broadcast is cancelled, which is for good")]
    Cancelled,
    /// A retry is for what a finished broadcast has left.
    #[error("the broadcast is not finished yet; what failed can be tried again once it is")]
    Unfinished,
    /// A retry would have nothing to do.
    #[error("every message of the broadcast was sent, so there is nothing to try again")]
    NothingFailed,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The broadcast as it is now; none when it does not exist.
    pub broadcast: Option<Broadcast>,
    /// Why nothing was done.
    pub refusal: Option<Refusal>,
}

/// What a command does to a broadcast that stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// It changes.
    Change,
    /// It is so already.
    Nothing,
    /// It can't be.
    Refuse(Refusal),
}

fn decide(command: Command, broadcast: &Broadcast) -> Decision {
    use Decision::{Change, Nothing, Refuse};
    let failed = broadcast.counts.failed + broadcast.counts.uncertain;
    match (command, broadcast.status) {
        (Command::Cancel, Status::Cancelled)
        | (Command::Pause, Status::Paused)
        | (Command::Resume, Status::Queued | Status::Sending) => Nothing,
        (Command::Pause | Command::Cancel, Status::Queued | Status::Sending | Status::Suspended)
        | (Command::Cancel, Status::Paused)
        | (Command::Resume, Status::Paused | Status::Suspended) => Change,
        (Command::Retry, Status::Completed) if failed > 0 => Change,
        (Command::Retry, Status::Completed) => Refuse(Refusal::NothingFailed),
        (_, Status::Completed) => Refuse(Refusal::Completed),
        (_, Status::Cancelled) => Refuse(Refusal::Cancelled),
        // An earlier retry is under way.
        (Command::Retry, _) if broadcast.retries > 0 => Nothing,
        (Command::Retry, _) => Refuse(Refusal::Unfinished),
    }
}

/// Does what is asked, if the broadcast allows it. `changed` is called as soon as it has changed, before a stop
/// has taken effect.
pub async fn control(
    db: &Db,
    id: Uuid,
    command: Command,
    caller: &Caller,
    now: DateTime<Utc>,
    changed: impl FnOnce(),
) -> Result<Answer, DbErr> {
    let tx = db.begin_write().await?;
    let Some(present) = store::lock(tx.conn(), id).await? else {
        return Ok(Answer { broadcast: None, refusal: Some(Refusal::Unknown) });
    };
    let broadcast = match decide(command, &present) {
        Decision::Refuse(refusal) => {
            return Ok(Answer { broadcast: Some(present), refusal: Some(refusal) });
        }
        Decision::Nothing => present,
        Decision::Change => {
            let after = match command {
                Command::Pause => store::pause(tx.conn(), id).await?,
                Command::Resume => store::resume(tx.conn(), id, now).await?,
                Command::Cancel => store::cancel(tx.conn(), id, now).await?,
                Command::Retry => store::retry(tx.conn(), id).await?,
            };
            audit::write(tx.conn(), caller, action(command), Some(id), now).await?;
            tx.commit().await?;
            changed();
            after.ok_or_else(|| DbErr::RecordNotUpdated)?
        }
    };
    let broadcast = match command {
        Command::Pause | Command::Cancel => quiet(db, broadcast).await?,
        Command::Resume | Command::Retry => broadcast,
    };
    Ok(Answer { broadcast: Some(broadcast), refusal: None })
}

fn action(command: Command) -> Action {
    match command {
        Command::Pause => Action::BroadcastPaused,
        Command::Resume => Action::BroadcastResumed,
        Command::Cancel => Action::BroadcastCancelled,
        Command::Retry => Action::BroadcastRetried,
    }
}

/// Waits until no message of the broadcast is leaving any more; answers it as it is then.
async fn quiet(db: &Db, broadcast: Broadcast) -> Result<Broadcast, DbErr> {
    let id = broadcast.id;
    let quiet = async {
        while store::is_sending(db, id).await? {
            tokio::time::sleep(LOOK).await;
        }
        Ok::<_, DbErr>(())
    };
    if let Ok(result) = tokio::time::timeout(PATIENCE, quiet).await {
        result?;
    } else {
        tracing::warn!(broadcast = %id, "a message of a stopped broadcast has had no result for long");
    }
    Ok(store::by_id(db.pool(), id).await?.unwrap_or(broadcast))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broadcast::{Counts, UncertainPolicy};

    fn broadcast(status: Status, failed: i32, retries: i32) -> Broadcast {
        Broadcast {
            id: Uuid::nil(),
            message: String::new(),
            status,
            counts: Counts { failed, ..Counts::default() },
            on_uncertain: UncertainPolicy::Resend,
            suspension: None,
            finished_seq: 0,
            created_at: DateTime::UNIX_EPOCH,
            starts_at: DateTime::UNIX_EPOCH,
            completed_at: None,
            retries,
        }
    }

    #[test]
    fn what_each_state_allows() {
        use Decision::{Change, Nothing, Refuse};
        let commands = [Command::Pause, Command::Resume, Command::Cancel, Command::Retry];
        for (status, allowed) in [
            (Status::Queued, [Change, Nothing, Change, Refuse(Refusal::Unfinished)]),
            (Status::Sending, [Change, Nothing, Change, Refuse(Refusal::Unfinished)]),
            (Status::Suspended, [Change, Change, Change, Refuse(Refusal::Unfinished)]),
            (Status::Paused, [Nothing, Change, Change, Refuse(Refusal::Unfinished)]),
            (
                Status::Completed,
                [
                    Refuse(Refusal::Completed),
                    Refuse(Refusal::Completed),
                    Refuse(Refusal::Completed),
                    Refuse(Refusal::NothingFailed),
                ],
            ),
            (
                Status::Cancelled,
                [Refuse(Refusal::Cancelled), Refuse(Refusal::Cancelled), Nothing, Refuse(Refusal::Cancelled)],
            ),
        ] {
            let decided = commands.map(|command| decide(command, &broadcast(status, 0, 0)));
            assert_eq!(decided, allowed, "{status:?}");
        }
        assert_eq!(decide(Command::Retry, &broadcast(Status::Completed, 1, 0)), Change);
        assert_eq!(decide(Command::Retry, &broadcast(Status::Sending, 0, 1)), Nothing, "a repeat");
    }
}
