//! A person's data, deleted on request.
//!
//! The reservations stay, with the booking source's identifier of the guest and without anything that is known
//! of the person. Whoever watches them is told. What the booking source sends later is taken up again as ever.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use super::{GuestFields, Reservation, change, rejected, store};
use crate::{
    db::{self, Bind},
    feed::{Feed, FeedTx, Topic},
};

/// What was found of a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Reservations whose guest fields were emptied.
    pub reservations: usize,
    /// Changes in the log whose images were.
    pub changes: usize,
    /// Rejected webhooks that named the guest, and were deleted.
    pub rejected: u64,
}

/// Deletes what is known of a guest, in one transaction. The log and the rejected webhooks are read before the feed
/// lock is taken, however long that takes; what the log got meanwhile, after it.
pub async fn forget_guest(feed: &Feed, guest_id: &str, now: DateTime<Utc>) -> Result<Forgotten, DbErr> {
    // In quotes, or guest_7 would be found in guest_77.
    let quoted = serde_json::to_string(guest_id).map_err(json)?;
    let tx = feed.prepare().await?;
    let head = feed.head().await?;
    let mut changes = empty_images(tx.conn(), guest_id, &quoted, 0..=head).await?;
    let rejected = rejected::forget_naming(tx.conn(), &quoted).await?;
    let mut tx = tx.lock().await?;
    changes += empty_images(tx.conn(), guest_id, &quoted, head + 1..=i64::MAX).await?;
    // Gone, and not empty: should the guest book again, the booking source is asked anew.
    db::execute(tx.conn(), "DELETE FROM guests WHERE guest_id = $1", [guest_id.into()]).await?;
    let reservations = empty_rows(&mut tx, guest_id, now).await?;
    tx.commit().await?;
    Ok(Forgotten { reservations, changes, rejected })
}

/// Empties the rows, and tells of it.
async fn empty_rows(tx: &mut FeedTx, guest_id: &str, now: DateTime<Utc>) -> Result<usize, DbErr> {
    let mut rows = store::with_guest_fields(tx.conn(), &[guest_id]).await?;
    let sql = "UPDATE reservations SET guest_first_name = NULL, guest_last_name = NULL, guest_email = NULL, \
               guest_phone = NULL WHERE guest_id = $1";
    db::execute(tx.conn(), sql, [guest_id.into()]).await?;
    let told = rows.iter_mut().map(|row| {
        row.guest = GuestFields::default();
        change::by_guest(row, row, now)
    });
    let told: Result<Vec<_>, _> = told.collect();
    tx.append(&told.map_err(json)?).await?;
    Ok(rows.len())
}

/// Empties the images of reservations of this guest in a part of the log. Only the server reads them, whole, so each
/// is read, emptied and written back.
async fn empty_images(
    conn: &impl ConnectionTrait,
    guest_id: &str,
    quoted: &str,
    part: RangeInclusive<i64>,
) -> Result<usize, DbErr> {
    let mut bind = Bind::new(conn.get_database_backend());
    // Any image that names the guest; which ones are about the guest is seen in the image itself.
    let (topic, text) = (bind.push(Topic::Reservation.as_str()), bind.push(quoted));
    let has = |column: &str| match conn.get_database_backend() {
        DbBackend::Sqlite => format!("instr({column}, {text}) > 0"),
        _ => format!("strpos({column}, {text}) > 0"),
    };
    let (before, after) = (has("COALESCE(before, '')"), has("after"));
    let (first, last) = (bind.push(*part.start()), bind.push(*part.end()));
    let sql = format!(
        "SELECT seq, before, after FROM changes \
         WHERE seq BETWEEN {first} AND {last} AND topic = {topic} AND ({before} OR {after})"
    );
    let rows = db::query_all(conn, sql, bind.into_values()).await?;
    let mut emptied = 0;
    for row in rows {
        let (before, after): (Option<String>, String) =
            (row.try_get("", "before")?, row.try_get("", "after")?);
        let images =
            (before.as_deref().map(|image| empty(image, guest_id)).transpose()?, empty(&after, guest_id)?);
        if (images.0.as_ref(), &images.1) == (before.as_ref(), &after) {
            continue;
        }
        let sql = "UPDATE changes SET before = $1, after = $2 WHERE seq = $3";
        let seq: i64 = row.try_get("", "seq")?;
        db::execute(conn, sql, [images.0.into(), images.1.into(), seq.into()]).await?;
        emptied += 1;
    }
    Ok(emptied)
}

fn empty(image: &str, guest_id: &str) -> Result<String, DbErr> {
    let mut row: Reservation = serde_json::from_str(image).map_err(json)?;
    if row.guest_id != guest_id || row.guest == GuestFields::default() {
        return Ok(image.to_owned());
    }
    row.guest = GuestFields::default();
    serde_json::to_string(&row).map_err(json)
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn json(error: serde_json::Error) -> DbErr {
    DbErr::Json(error.to_string())
}
