//! The counters of one key.
//!
//! Why not in a map: keys are known and numbered, so theirs are found without a search, and the two
//! that most keys have lie in the slot itself.

use super::terms::Ticks;
use super::window::Counter;
use crate::config::Strategy;

/// What one key has used.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The limits of `near`, together, so that nothing lies between the counters.
    limits: [u32; 2],
    near: [Option<Counter>; 2],
    far: Option<Box<Far>>,
}

/// Beyond two limits.
#[derive(Debug, Default)]
struct Far(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    limit: u32,
    counter: Counter,
}

// === impl Slot ===

impl Slot {
    /// The counter for a limit.
    pub(super) fn counter(&mut self, limit: u32, strategy: Strategy) -> &mut Counter {
        let fresh = || Counter::new(strategy);
        match self.near_place(limit) {
            Some(at) => {
                self.limits[at] = limit;
                self.near[at].get_or_insert_with(fresh)
            }
            None => self.far.get_or_insert_default().counter(limit, fresh),
        }
    }

    /// Drops those that count nothing any longer.
    pub(super) fn forget(&mut self, now: Ticks, periods: &[Ticks]) {
        let is_idle = |limit: u32, counter: &Counter| counter.ends(periods[limit as usize]) <= now;
        for (limit, place) in self.limits.iter().zip(&mut self.near) {
            if place.as_ref().is_some_and(|counter| is_idle(*limit, counter)) {
                *place = None;
            }
        }
        if let Some(far) = &mut self.far {
            far.0.retain(|entry| !is_idle(entry.limit, &entry.counter));
            if far.0.is_empty() {
                self.far = None;
            }
        }
    }

    pub(super) fn counters(&self) -> usize {
        self.near.iter().flatten().count() + self.far.as_ref().map_or(0, |far| far.0.len())
    }

    /// Where in the slot itself the counter is, or can be.
    fn near_place(&self, limit: u32) -> Option<usize> {
        let mut near = self.limits.iter().zip(&self.near);
        let known = near.position(|(known, place)| *known == limit && place.is_some());
        let has = |far: &Far| far.0.iter().any(|entry| entry.limit == limit);
        let is_far = || self.far.as_deref().is_some_and(has);
        known.or_else(|| if is_far() { None } else { self.near.iter().position(Option::is_none) })
    }
}

// === impl Far ===

impl Far {
    fn counter(&mut self, limit: u32, fresh: impl FnOnce() -> Counter) -> &mut Counter {
        let at = self.0.iter().position(|entry| entry.limit == limit);
        let at = at.unwrap_or_else(|| {
            self.0.push(Entry { limit, counter: fresh() });
            self.0.len() - 1
        });
        &mut self.0[at].counter
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::terms::Terms;

    #[test]
    fn each_limit_keeps_its_counter_wherever_it_lies() {
        let terms = |limit: u32| Terms {
            strategy: Strategy::FixedWindow,
            amount: 9,
            period: 10 + u64::from(limit),
        };
        let periods: Vec<Ticks> = (0..5).map(|limit| terms(limit).period).collect();
        let mut slot = Slot::default();
        let hit = |slot: &mut Slot, limit: u32, now: Ticks| {
            let counter = slot.counter(limit, Strategy::FixedWindow);
            counter.charge(&terms(limit), 1, now);
            counter.used(&terms(limit), now)
        };
        for round in 1..4 {
            for limit in 0..5 {
                assert_eq!(hit(&mut slot, limit, 0), round, "limit {limit}");
            }
        }
        slot.forget(11, &periods);
        assert_eq!(slot.counters(), 3);
        // A place in the slot itself has become free; those that lie elsewhere stay what they are.
        for limit in [2, 3, 4, 0] {
            assert_eq!(hit(&mut slot, limit, 11), if limit == 0 { 1 } else { 4 }, "limit {limit}");
        }
        slot.forget(30, &periods);
        assert!(slot.counters() == 0 && slot.far.is_none());
    }
}
