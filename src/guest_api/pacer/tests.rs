//! What the pacer promises: the table, and that it never errs however the server is made.

use proptest::prelude::*;

use super::{
    simulation::{Bucket, Log, Places, ROWS, Run, Says, Server, Windows, measure, pair, run},
    *,
};

const SEEDS: [u64; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/// Under 1 % answered 429 on every server, and no more than a point of utilisation below the reference.
#[test]
fn the_table() {
    for row in &ROWS {
        let cold = measure(row, &SEEDS, false).unwrap();
        assert!(cold.refused < 1.0, "{}: {cold:?}", row.name);
        assert!(cold.utilisation >= row.reference.utilisation - 1.0, "{}: {cold:?}", row.name);
        let warm = measure(row, &SEEDS, true).zip(row.reference_warm);
        if let Some((warm, reference)) = warm {
            assert!(warm.refused < 1.0, "{}, warm: {warm:?}", row.name);
            assert!(warm.utilisation >= reference.utilisation - 1.0, "{}, warm: {warm:?}", row.name);
        }
    }
}

#[test]
fn a_first_broadcast_finds_the_limit_and_the_next_one_knows_it() {
    for seed in 1..=20 {
        let pair = pair(1_000, seed);
        assert!(pair.first.0 < 1.20 && pair.first.1 < 1.0, "{seed}: {pair:?}");
        assert!(pair.next.0 < 1.06 && pair.next.1 < 0.2, "{seed}: {pair:?}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Bucket { rate: f64, burst: f64 },
    Window { requests: u32, seconds: f64 },
    Both { requests: u32, seconds: f64 },
    Log { requests: u32, seconds: f64 },
    Places { places: u32, seconds: f64 },
}

impl Kind {
    fn server(self, says: Says) -> Box<dyn Server> {
        match self {
            Self::Bucket { rate, burst } => Box::new(Bucket::new(rate, burst, says)),
            Self::Window { requests, seconds } => Box::new(Windows::new(&[(requests, seconds)], says)),
            Self::Both { requests, seconds } => {
                Box::new(Windows::new(&[(requests, seconds), (requests * 3, seconds * 10.0)], says))
            }
            Self::Log { requests, seconds } => Box::new(Log::new(requests as usize, seconds, says)),
            Self::Places { places, seconds } => Box::new(Places::new(places as usize, seconds)),
        }
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (0.2..400.0, 1.0..300.0).prop_map(|(rate, burst)| Kind::Bucket { rate, burst }),
        (1_u32..300, 0.5..90.0).prop_map(|(requests, seconds)| Kind::Window { requests, seconds }),
        (1_u32..100, 0.5..30.0).prop_map(|(requests, seconds)| Kind::Both { requests, seconds }),
        (1_u32..300, 0.5..90.0).prop_map(|(requests, seconds)| Kind::Log { requests, seconds }),
        (1_u32..40, 0.01..2.0).prop_map(|(places, seconds)| Kind::Places { places, seconds }),
    ]
}

fn says() -> impl Strategy<Value = Says> {
    prop_oneof![Just(Says::Exactly), Just(Says::WholeSeconds), Just(Says::Nothing)]
}

fn holds(run: &Run, messages: u32, cap: u32) {
    assert_eq!(run.done, messages, "it goes on to the end: {run:?}");
    assert_eq!(run.violations, 0, "nothing is sent before the gate opens: {run:?}");
    assert!(run.in_flight_max <= cap, "{run:?}");
    assert!(run.rates.0 >= 0.01 && run.rates.1 <= 10_000.0, "{run:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_server(
        kind in kinds(),
        says in says(),
        way in 0.001..0.6,
        cap in 1_u32..300,
        remembered in proptest::option::of(0.01..2_000.0),
        seed in any::<u64>(),
    ) {
        let mut pacer = Pacer::new(cap);
        if let Some(rate) = remembered {
            pacer.remember(Learned { rate, ceiling: None });
        }
        let mut server = kind.server(says);
        let first = run(&mut *server, &mut pacer, 300, seed, (way, 0.0));
        holds(&first, 300, cap);
        let next = run(&mut *server, &mut pacer, 100, seed, (way, first.end + 300.0));
        holds(&next, 100, cap);
    }

    #[test]
    fn whatever_it_is_told(
        rates in proptest::collection::vec(proptest::option::of(0.0_f64..1e300), 1..20),
        allowances in proptest::collection::vec((0.0_f64..1e6, 0.0_f64..1e5), 1..20),
        remembered in any::<f64>(),
    ) {
        let mut pacer = Pacer::new(10);
        pacer.remember(Learned { rate: remembered, ceiling: Some(remembered) });
        let mut now = 0.0;
        for (rate, allowance) in rates.into_iter().zip(allowances) {
            pacer.advised(now, Advice { rate, allowance: Some(allowance) });
            let opens = pacer.gate();
            let mut asked = 0;
            loop {
                match pacer.verdict(now) {
                    Verdict::Send => break,
                    Verdict::At(at) => {
                        prop_assert!(at > now && at.is_finite(), "{now} {at}");
                        now = at;
                    }
                    Verdict::WhenAnswered => prop_assert!(false, "nothing is under way"),
                }
                asked += 1;
                prop_assert!(asked < 5);
            }
            prop_assert!(now >= opens);
            let slot = pacer.book(now);
            prop_assert!(slot >= now && slot.is_finite());
            now = slot;
            let ticket = pacer.leave(now);
            pacer.answered(now + 0.01, ticket, Answer::Passed);
            prop_assert!(pacer.rate(now).is_finite() && pacer.rate(now) >= 0.01);
        }
    }
}

/// Sends as fast as it may from `now` on, all let through after 20 ms, for so many seconds.
fn busy(pacer: &mut Pacer, now: &mut f64, seconds: f64) -> u32 {
    let (end, mut sent) = (*now + seconds, 0);
    while *now < end {
        match pacer.verdict(*now) {
            Verdict::Send => {
                *now = pacer.book(*now);
                let ticket = pacer.leave(*now);
                pacer.answered(*now + 0.02, ticket, Answer::Passed);
                sent += 1;
            }
            Verdict::At(at) => *now = at,
            Verdict::WhenAnswered => unreachable!("all were answered"),
        }
    }
    sent
}

#[test]
fn one_refusal_holds_back_all_until_its_time() {
    let mut pacer = Pacer::new(4);
    let tickets = [0.0, 0.0].map(|now| {
        pacer.book(now);
        pacer.leave(now)
    });
    pacer.answered(0.1, tickets[0], Answer::Limited { wait: 5.0 });
    pacer.answered(0.2, tickets[1], Answer::Limited { wait: 3.0 });
    assert_eq!(pacer.verdict(0.3), Verdict::At(5.1));
    assert_eq!(pacer.may_leave(5.0), Verdict::At(5.1));
    assert_eq!(pacer.verdict(5.1), Verdict::Send);
}

#[test]
fn never_more_under_way_than_the_cap() {
    let mut pacer = Pacer::new(2);
    for now in [0.0, 1.0] {
        assert_eq!(pacer.may_leave(now), Verdict::Send);
        pacer.book(now);
        pacer.leave(now);
    }
    assert_eq!(pacer.may_leave(2.0), Verdict::WhenAnswered);
}

#[test]
fn a_slot_that_was_not_used_is_given_again() {
    let mut pacer = Pacer::new(10);
    let (first, second) = (pacer.book(1.0), pacer.book(1.0));
    assert!(second > first);
    pacer.unbook(1.0);
    assert!((pacer.book(1.0) - second).abs() < 1e-9);
}

#[test]
fn what_is_sent_now_and_then_proves_no_higher_rate() {
    for pause in [0.1, 15.0] {
        let mut pacer = Pacer::new(10);
        for n in 0..1_000 {
            let now = f64::from(n) * pause;
            pacer.book(now);
            let ticket = pacer.leave(now);
            pacer.answered(now + 0.05, ticket, Answer::Passed);
        }
        assert!(pacer.rate(15_000.0) <= 25.0, "every {pause} s: {pacer:?}");
        assert_eq!(pacer.learned(), None, "nothing was measured");
    }
}

#[test]
fn a_published_limit_is_held_from_the_first_answer_on() {
    let (mut pacer, mut now) = (Pacer::new(10), 0.0);
    pacer.advised(now, Advice { rate: Some(40.0), allowance: None });
    let sent = busy(&mut pacer, &mut now, 200.0);
    assert!((7_600..=8_000).contains(&sent), "{sent}");
    assert_eq!(pacer.learned(), Some(Learned { rate: 40.0, ceiling: None }));
}

#[test]
fn an_allowance_is_made_to_last_and_a_used_up_one_is_waited_for() {
    let (mut pacer, mut now) = (Pacer::new(10), 0.0);
    pacer.advised(now, Advice { rate: None, allowance: Some((30.0, 10.0)) });
    let sent = busy(&mut pacer, &mut now, 10.0);
    assert!((29..=32).contains(&sent), "{sent}");
    pacer.advised(now, Advice { rate: None, allowance: Some((0.0, 7.0)) });
    assert_eq!(pacer.verdict(now), Verdict::At(now + 7.0));
}

#[test]
fn nonsense_is_not_remembered() {
    for rate in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e9] {
        let mut pacer = Pacer::new(10);
        pacer.remember(Learned { rate, ceiling: Some(rate) });
        assert!((pacer.rate(0.0) - 25.0).abs() < 1e-9, "{rate}");
    }
}

#[test]
fn near_the_end_nothing_is_probed_unless_it_is_overdue() {
    let with = |left| {
        let (mut pacer, mut now) = (Pacer::new(10), 0.0);
        pacer.remember(Learned { rate: 40.0, ceiling: None });
        pacer.left(left);
        busy(&mut pacer, &mut now, 100.0);
        let early = pacer.rate(now);
        busy(&mut pacer, &mut now, 600.0);
        (early, pacer.rate(now))
    };
    let (early, late) = with(100);
    assert!(early < 40.0 && late > 40.0, "{early} {late}");
    let (early, _) = with(100_000);
    assert!(early > 40.0, "{early}");
}
