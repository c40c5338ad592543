//! Makes reservations up, and what happens to them.
//!
//! Guarantees: events come in causal order (made, then changed, then perhaps called off, then nothing more), with
//! rising timestamps in whole milliseconds and webhook ids that differ; the same settings, randomness and clock give
//! the same events. See [`super::disorder`] for how they arrive in real life.

use chrono::{DateTime, NaiveDate, SubsecRound, TimeDelta, Utc};
use rand::{Rng, RngExt};

use super::event::{Cents, Event, EventType, Reservation};

/// How much there is to book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookingSettings {
    /// How many reservations are made; in an endless stream, how many of them are open at a time. Default: 200.
    pub reservations: usize,
    /// How many properties there are; at least one. Default: 25.
    pub properties: usize,
    /// How many guests there are; at least one. Default: 120.
    pub guests: usize,
}

impl Default for BookingSettings {
    fn default() -> Self {
        Self { reservations: 200, properties: 25, guests: 120 }
    }
}

/// A finite story: every reservation is made, and about as many changes and cancellations happen in between. One event
/// a second, the last at `now`.
pub fn events(settings: BookingSettings, rng: &mut impl Rng, now: DateTime<Utc>) -> Vec<Event> {
    let mut book = Book::new(settings);
    let total = settings.reservations.saturating_mul(2);
    (0..total)
        .map_while(|number| {
            let left = total - number;
            let at = now - TimeDelta::seconds(i64::try_from(left - 1).unwrap_or(0));
            let to_make = settings.reservations - book.made;
            let make = to_make == left || (to_make > 0 && rng.random_bool(0.5));
            if make || (to_make > 0 && book.open.is_empty()) {
                Some(book.make(at.trunc_subsecs(3), rng))
            } else {
                book.follow_up(at.trunc_subsecs(3), rng)
            }
        })
        .collect()
}

/// An endless story, made up as it is read: first every reservation is made, then a mix of changes, cancellations and
/// new reservations. Each event happens when it is read, at least a millisecond after the one before.
pub fn events_iter<R: Rng>(
    settings: BookingSettings,
    mut rng: R,
    now: impl Fn() -> DateTime<Utc>,
) -> impl Iterator<Item = Event> {
    let mut book = Book::new(settings);
    let mut last = DateTime::<Utc>::MIN_UTC;
    std::iter::from_fn(move || {
        last = now().trunc_subsecs(3).max(last + TimeDelta::milliseconds(1));
        Some(book.live(last, &mut rng))
    })
}

/// The reservations that something may still happen to.
struct Book {
    settings: BookingSettings,
    open: Vec<Reservation>,
    made: usize,
    sent: usize,
}

impl Book {
    fn new(settings: BookingSettings) -> Self {
        Self { settings, open: Vec::new(), made: 0, sent: 0 }
    }

    fn live(&mut self, at: DateTime<Utc>, rng: &mut impl Rng) -> Event {
        if self.made < self.settings.reservations || rng.random_bool(0.2) {
            return self.make(at, rng);
        }
        match self.follow_up(at, rng) {
            Some(event) => event,
            None => self.make(at, rng),
        }
    }

    /// A new reservation. When the book is full, some other one is left as it is for good.
    fn make(&mut self, at: DateTime<Utc>, rng: &mut impl Rng) -> Event {
        self.made += 1;
        let (check_in, check_out) = stay(at.date_naive(), rng);
        let reservation = Reservation {
            reservation_id: format!("res_{:05}", self.made),
            property_id: format!("property_{:03}", rng.random_range(1..=self.settings.properties.max(1))),
            guest_id: format!("guest_{:03}", rng.random_range(1..=self.settings.guests.max(1))),
            status: EventType::Created.status(),
            check_in,
            check_out,
            num_guests: rng.random_range(1..=6),
            total_amount: price(check_in, check_out, rng),
            currency: ["USD", "EUR", "GBP"][rng.random_range(0..3)],
        };
        if self.open.len() >= self.settings.reservations.max(1) {
            self.open.swap_remove(rng.random_range(0..self.open.len()));
        }
        self.open.push(reservation.clone());
        self.event(EventType::Created, at, reservation, rng)
    }

    /// A change, or now and then a cancellation; `None` when there is nothing to change.
    fn follow_up(&mut self, at: DateTime<Utc>, rng: &mut impl Rng) -> Option<Event> {
        if self.open.is_empty() {
            return None;
        }
        let which = rng.random_range(0..self.open.len());
        if rng.random_bool(0.2) {
            let reservation = self.open.swap_remove(which);
            return Some(self.event(EventType::Cancelled, at, reservation, rng));
        }
        let reservation = self.open.get_mut(which)?;
        if rng.random_bool(0.5) {
            (reservation.check_in, reservation.check_out) = stay(at.date_naive(), rng);
        } else {
            reservation.num_guests = rng.random_range(1..=6);
        }
        reservation.total_amount = price(reservation.check_in, reservation.check_out, rng);
        let reservation = reservation.clone();
        Some(self.event(EventType::Updated, at, reservation, rng))
    }

    fn event(
        &mut self,
        event: EventType,
        timestamp: DateTime<Utc>,
        reservation: Reservation,
        rng: &mut impl Rng,
    ) -> Event {
        self.sent += 1;
        let webhook_id = format!("wh_{:08x}_{}", rng.random::<u32>(), self.sent);
        Event { event, timestamp, webhook_id, data: Reservation { status: event.status(), ..reservation } }
    }
}

/// One to fourteen nights: some guests have left, some are there, most are still to come.
fn stay(today: NaiveDate, rng: &mut impl Rng) -> (NaiveDate, NaiveDate) {
    let check_in = today + TimeDelta::days(rng.random_range(-30..=120));
    (check_in, check_in + TimeDelta::days(rng.random_range(1..=14)))
}

fn price(check_in: NaiveDate, check_out: NaiveDate, rng: &mut impl Rng) -> Cents {
    let nights = u32::try_from((check_out - check_in).num_days()).unwrap_or(1);
    Cents(nights * rng.random_range(6_000..40_000) + rng.random_range(0..10_000))
}
