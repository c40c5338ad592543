//! Whose turn: the broadcasts that are open share the rate evenly, whatever their size and start. Pure.
//!
//! Each turn goes to the one that has had the fewest. Who is new, or had nothing to send for a while, starts
//! level with the others: it neither catches up at their cost nor waits for them.

use std::collections::BTreeMap;

use uuid::Uuid;

/// How many turns each open broadcast has had.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    had: BTreeMap<Uuid, u64>,
}

impl Schedule {
    /// Takes up which broadcasts are open.
    pub(super) fn open(&mut self, open: impl Iterator<Item = Uuid>) {
        let open: Vec<_> = open.collect();
        self.had.retain(|id, _| open.contains(id));
        let level = self.had.values().min().copied().unwrap_or_default();
        for id in open {
            self.had.entry(id).or_insert(level);
        }
    }

    /// Gives `turns` away among `those`: how many each gets.
    pub(super) fn allot(&mut self, those: &[Uuid], turns: usize) -> Vec<(Uuid, usize)> {
        let mut allotted = BTreeMap::new();
        for _ in 0..turns {
            let next = those.iter().min_by_key(|id| (self.had.get(id).copied().unwrap_or_default(), **id));
            let Some(next) = next else { break };
            *self.had.entry(*next).or_default() += 1;
            *allotted.entry(*next).or_default() += 1;
        }
        allotted.into_iter().collect()
    }

    /// A broadcast had nothing to send on some of its turns.
    pub(super) fn unused(&mut self, id: Uuid) {
        let level = self.had.values().max().copied().unwrap_or_default();
        self.had.insert(id, level);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(count: u128) -> Vec<Uuid> {
        (0..count).map(Uuid::from_u128).collect()
    }

    #[test]
    fn a_newcomer_is_level_with_the_others() {
        let (mut schedule, all) = (Schedule::default(), ids(2));
        schedule.open(all[..1].iter().copied());
        schedule.allot(&all[..1], 1_000);
        schedule.open(all.iter().copied());
        assert_eq!(schedule.allot(&all, 10), [(all[0], 5), (all[1], 5)]);
    }

    #[test]
    fn who_had_nothing_to_send_does_not_catch_up() {
        let (mut schedule, all) = (Schedule::default(), ids(2));
        schedule.open(all.iter().copied());
        for _ in 0..100 {
            schedule.allot(&all, 2);
            schedule.unused(all[1]);
            schedule.allot(&all[..1], 1);
        }
        let shares = schedule.allot(&all, 10);
        assert!(shares.iter().all(|(_, turns)| (4..=6).contains(turns)), "{shares:?}");
    }

    proptest! {
        /// However the turns come, no two open broadcasts are ever more than one apart.
        #[test]
        fn shares_are_even(count in 1..6_u128, turns in prop::collection::vec(0..9_usize, 1..50)) {
            let (mut schedule, all) = (Schedule::default(), ids(count));
            schedule.open(all.iter().copied());
            let mut had = BTreeMap::new();
            for turns in turns {
                let allotted = schedule.allot(&all, turns);
                prop_assert_eq!(allotted.iter().map(|(_, turns)| turns).sum::<usize>(), turns);
                for (id, turns) in allotted {
                    *had.entry(id).or_insert(0) += turns;
                }
                let of = |id| had.get(id).copied().unwrap_or(0);
                let (least, most) = (all.iter().map(of).min().unwrap(), all.iter().map(of).max().unwrap());
                prop_assert!(most - least <= 1);
            }
        }
    }
}
