//! How much of a capacity one client may hold.

/// The parts of a capacity, in units, and the formula of [`budget`](super).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FairShare {
    /// Units that all clients may hold together, in addition to those guaranteed.
    pub total: usize,
    /// Units of the total that are kept for floors.
    pub reserved: usize,
    /// Units that a client may hold while the total allows.
    pub floor: usize,
    /// Units that a client may hold even beyond the total. The number of clients
    /// must then be limited.
    pub guaranteed: usize,
}

impl FairShare {
    /// Returns the maximum units that one client may hold while all other clients
    /// together hold `others`.
    ///
    /// Outside the reserve, a client leaves at least as many units free as it holds:
    /// the dynamic threshold of switches that share one buffer among their queues
    /// (Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).
    #[must_use]
    pub fn limit(&self, others: usize) -> usize {
        let free = self.total.saturating_sub(others);
        let half = free.saturating_sub(self.reserved) / 2;
        half.max(self.floor.min(free)).max(self.guaranteed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns what each of `clients` holds that take all they may, one after the
    /// other.
    fn greedy(share: &FairShare, clients: usize) -> Vec<usize> {
        let mut used = 0;
        let each = (0..clients).map(|_| {
            let held = share.limit(used);
            used += held;
            held
        });
        each.collect()
    }

    #[test]
    fn worked_example_of_the_module_holds() {
        let share = FairShare { total: 1024, reserved: 128, floor: 4, guaranteed: 0 };
        let held = greedy(&share, 100);
        assert_eq!(held[..7], [448, 224, 112, 56, 28, 14, 7]);
        assert_eq!(held[7..40], [4; 33]);
        assert_eq!(held[40..], [vec![3], vec![0; 59]].concat());
    }

    fn shares() -> impl Strategy<Value = FairShare> {
        (0..200_usize, 0..200_usize, 0..20_usize, 0..4_usize).prop_map(
            |(total, reserved, floor, guaranteed)| FairShare {
                total,
                reserved,
                floor,
                guaranteed,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn clients_never_hold_more_than_the_total_and_what_is_guaranteed(
            share in shares(),
            clients in 1..300_usize,
        ) {
            let held = greedy(&share, clients);
            let beyond = share.guaranteed * clients;
            prop_assert!(held.iter().sum::<usize>() <= share.total + beyond);
            prop_assert!(held.iter().all(|held| *held >= share.guaranteed));
        }

        #[test]
        fn client_above_its_floor_leaves_as_much_free_as_it_holds(
            share in shares(),
            others in 0..250_usize,
        ) {
            let held = share.limit(others);
            if held > share.floor.max(share.guaranteed) {
                prop_assert!(others + 2 * held + share.reserved <= share.total);
            }
        }

        #[test]
        fn client_may_hold_less_the_more_others_hold(
            share in shares(),
            others in 0..250_usize,
        ) {
            prop_assert!(share.limit(others + 1) <= share.limit(others));
        }

        #[test]
        fn client_gets_its_floor_while_the_total_allows(
            share in shares(),
            others in 0..250_usize,
        ) {
            let floor = share.floor.min(share.total.saturating_sub(others));
            prop_assert!(share.limit(others) >= floor.max(share.guaranteed));
        }
    }
}
