//! What became of messages that were SENDING, and the counts that go with it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use super::{lock, message_of};
use crate::{
    broadcast::{BroadcastStatus, MessageState, UncertainPolicy},
    db::{self, Bind, Db},
};

/// What became of a message that was SENDING.
#[derive(Clone, Debug)]
pub(in crate::broadcast) struct Verdict {
    /// The broadcast.
    pub(in crate::broadcast) broadcast_id: Uuid,
    /// The guest.
    pub(in crate::broadcast) guest_id: String,
    /// The epoch it was claimed with.
    pub(in crate::broadcast) epoch: i64,
    /// The state it enters. Where the broadcast was cancelled meanwhile, PENDING becomes CANCELLED, or
    /// UNCERTAIN if the guest may have the message.
    pub(in crate::broadcast) state: MessageState,
    /// Whether the guest may have it although nobody said so.
    pub(in crate::broadcast) may_have_arrived: bool,
    /// Tries this cost: 0 or 1.
    pub(in crate::broadcast) tries: i32,
    /// Earliest time of the next try.
    pub(in crate::broadcast) not_before: Option<DateTime<Utc>>,
    /// Why it failed.
    pub(in crate::broadcast) error: Option<String>,
}

impl Verdict {
    /// The state it enters in a broadcast that stands there.
    fn state_in(&self, status: BroadcastStatus) -> MessageState {
        match self.state {
            MessageState::Pending if status == BroadcastStatus::Cancelled && self.may_have_arrived => {
                MessageState::Uncertain
            }
            MessageState::Pending if status == BroadcastStatus::Cancelled => MessageState::Cancelled,
            state => state,
        }
    }
}

/// Writes results, and with them the counts; the last result completes the broadcast. A result whose epoch is
/// no longer the row's changes nothing.
pub(in crate::broadcast) async fn record(
    db: &Db,
    verdicts: &[Verdict],
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let mut of_broadcast: BTreeMap<Uuid, Vec<&Verdict>> = BTreeMap::new();
    for verdict in verdicts {
        of_broadcast.entry(verdict.broadcast_id).or_default().push(verdict);
    }
    let tx = db.begin_write().await?;
    // In the order of the ids, as everybody locks them.
    for (id, verdicts) in of_broadcast {
        let broadcast = lock(tx.conn(), id).await?.ok_or_else(|| DbErr::RecordNotFound(id.to_string()))?;
        let mut tally = Tally::default();
        for verdict in verdicts {
            let state = verdict.state_in(broadcast.status);
            let seq = broadcast.finished_seq + tally.finished() + 1;
            if settle(tx.conn(), verdict, state, seq, now).await? {
                tally.add(state);
            }
        }
        tally.apply(tx.conn(), id, now).await?;
    }
    tx.commit().await
}

async fn settle(
    conn: &impl ConnectionTrait,
    verdict: &Verdict,
    state: MessageState,
    seq: i64,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let is_final = state != MessageState::Pending;
    let mut bind = Bind::new(conn.get_database_backend());
    let set = [
        format!("state = {}", bind.push(state.as_str())),
        format!("attempts = attempts + {}", bind.push(verdict.tries)),
        format!("not_before = {}", bind.push_instant(verdict.not_before.filter(|_| !is_final))),
        // What held a message back for a while does not hide why its last try failed.
        format!("last_error = COALESCE({}, last_error)", bind.push(verdict.error.clone())),
        format!("finished_seq = {}", bind.push(is_final.then_some(seq))),
        format!("finished_at = {}", bind.push_instant(is_final.then_some(now))),
    ];
    let id = bind.push(verdict.broadcast_id.to_string());
    let (guest, epoch) = (bind.push(verdict.guest_id.as_str()), bind.push(verdict.epoch));
    let sql = format!(
        "UPDATE broadcast_recipients SET {} \
         WHERE broadcast_id = {id} AND guest_id = {guest} AND state = 'sending' AND epoch = {epoch}",
        set.join(", ")
    );
    Ok(db::execute(conn, sql, bind.into_values()).await?.rows_affected() == 1)
}

/// Final results by state.
#[derive(Debug, Default)]
struct Tally {
    sent: i32,
    failed: i32,
    uncertain: i32,
    cancelled: i32,
}

impl Tally {
    fn add(&mut self, state: MessageState) {
        match state {
            MessageState::Sent => self.sent += 1,
            MessageState::Failed => self.failed += 1,
            MessageState::Uncertain => self.uncertain += 1,
            MessageState::Cancelled => self.cancelled += 1,
            MessageState::Pending | MessageState::Sending => {}
        }
    }

    fn finished(&self) -> i64 {
        i64::from(self.sent + self.failed + self.uncertain + self.cancelled)
    }

    /// Moves the counts. The result that leaves nothing pending ends the broadcast: SENDING becomes
    /// COMPLETED, what was paused or suspended with its last message under way does so too.
    async fn apply(&self, conn: &impl ConnectionTrait, id: Uuid, now: DateTime<Utc>) -> Result<(), DbErr> {
        if self.finished() == 0 {
            return Ok(());
        }
        let mut bind = Bind::new(conn.get_database_backend());
        let (sent, failed) = (bind.push(self.sent), bind.push(self.failed));
        let (uncertain, cancelled) = (bind.push(self.uncertain), bind.push(self.cancelled));
        let (finished, now, id) =
            (bind.push(self.finished()), bind.push_instant(now), bind.push(id.to_string()));
        let rest = format!("pending - {sent} - {failed} - {uncertain} - {cancelled}");
        let sql = format!(
            "UPDATE broadcasts SET pending = {rest}, sent = sent + {sent}, failed = failed + {failed}, \
             uncertain = uncertain + {uncertain}, cancelled = cancelled + {cancelled}, \
             finished_seq = finished_seq + {finished}, unreported = TRUE, \
             completed_at = CASE WHEN {rest} = 0 THEN {now} END, \
             status = CASE WHEN {rest} = 0 AND status <> 'cancelled' THEN 'completed' ELSE status END, \
             suspension_reason = CASE WHEN {rest} > 0 THEN suspension_reason END, \
             resumes_at = CASE WHEN {rest} > 0 THEN resumes_at END \
             WHERE id = {id} AND completed_at IS NULL"
        );
        db::execute(conn, sql, bind.into_values()).await.map(drop)
    }
}

/// Messages that a former sender left SENDING: nobody knows what became of them. By the policy of their
/// broadcast they are to be sent again, or UNCERTAIN.
pub(in crate::broadcast) async fn orphans(db: &Db, epoch: i64) -> Result<Vec<Verdict>, DbErr> {
    let sql = "SELECT r.broadcast_id, r.guest_id, r.epoch, b.on_uncertain FROM broadcast_recipients r \
               JOIN broadcasts b ON b.id = r.broadcast_id WHERE r.state = 'sending' AND r.epoch < $1";
    let rows = db::query_all(db.pool(), sql, [epoch.into()]).await?;
    rows.iter()
        .map(|row| {
            let (broadcast_id, guest_id) = message_of(row)?;
            let state = match UncertainPolicy::parse(&row.try_get::<String>("", "on_uncertain")?)? {
                UncertainPolicy::Resend => MessageState::Pending,
                UncertainPolicy::Hold => MessageState::Uncertain,
            };
            Ok(Verdict {
                broadcast_id,
                guest_id,
                epoch: row.try_get("", "epoch")?,
                state,
                may_have_arrived: true,
                tries: 1,
                not_before: None,
                error: Some("the server stopped before the answer came".to_owned()),
            })
        })
        .collect()
}
