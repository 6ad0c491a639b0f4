//! What became of the last attempts at a host.
//!
//! Why beside "so many in a row": a host that fails every third time never fails three times in a
//! row for long, and hurts all the same. Why beside its peers: when all of them fail, the requests
//! are to blame, and leaving hosts out would only burden the rest.

/// The last outcomes, the newest in the lowest bit; a set bit is a failure.
#[derive(Debug, Default)]
pub(super) struct Window {
    failures: u32,
    held: u32,
}

/// How many of how many attempts failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) failed: u32,
    pub(super) all: u32,
}

/// Outcomes remembered.
const SIZE: u32 = 20;

/// Failures that can be chance.
const CHANCE: u32 = 2;

// === impl Window ===

impl Window {
    pub(super) fn push(&mut self, good: bool) {
        self.failures = (self.failures << 1 | u32::from(!good)) & ((1 << SIZE) - 1);
        self.held = (self.held + 1).min(SIZE);
    }

    /// One that had begun well failed in the end: its place, or one like it, is a failure now.
    pub(super) fn turn(&mut self) {
        let good = !self.failures & ((1 << self.held) - 1);
        self.failures |= good & good.wrapping_neg();
    }

    pub(super) fn tally(&self) -> Tally {
        Tally { failed: self.failures.count_ones(), all: self.held }
    }
}

// === impl Tally ===

impl Tally {
    pub(super) fn and(self, other: Self) -> Self {
        Self { failed: self.failed + other.failed, all: self.all + other.all }
    }

    /// More failed than by chance, and at least twice the part of the others.
    pub(super) fn is_worse_than(self, others: Self) -> bool {
        self.failed > CHANCE && self.failed * others.all >= 2 * others.failed * self.all
    }

    /// From 0 to 1.
    pub(super) fn part(self) -> f64 {
        f64::from(self.failed) / f64::from(self.all.max(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn worse_is_worse_than_chance_and_than_the_others() {
        for (own, others, worse) in [
            ((2, 2), (0, 40), false),
            ((3, 3), (0, 40), true),
            ((2, 20), (0, 40), false),
            ((3, 20), (0, 40), true),
            ((3, 20), (3, 40), true),
            ((3, 20), (4, 40), false),
            ((6, 20), (6, 40), true),
            ((6, 20), (7, 40), false),
            ((20, 20), (20, 20), false),
            ((3, 3), (0, 0), true),
        ] {
            let tally = |(failed, all)| Tally { failed, all };
            assert_eq!(tally(own).is_worse_than(tally(others)), worse, "{own:?} {others:?}");
        }
    }

    proptest! {
        #[test]
        fn the_last_twenty_are_kept(outcomes in proptest::collection::vec(any::<bool>(), 0..60)) {
            let mut window = Window::default();
            outcomes.iter().for_each(|good| window.push(*good));
            let last = &outcomes[outcomes.len().saturating_sub(20)..];
            let failed = last.iter().filter(|good| !**good).count();
            let tally = window.tally();
            prop_assert_eq!((tally.failed as usize, tally.all as usize), (failed, last.len()));
            window.turn();
            let turned = window.tally();
            prop_assert_eq!(turned.failed, (tally.failed + 1).min(tally.all));
            prop_assert_eq!(turned.all, tally.all);
        }
    }
}
