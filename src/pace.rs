//! When the events of a stream may leave: one by one, so many in a time. Pure.
//!
//! Why due times and not pauses: a pause after each event adds what the writing took to every gap,
//! and a stream of a thousand events ends seconds late. A due time is reckoned from the one before.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::{LimitRule, Pace};

/// The paces that stand in rules.
#[derive(Debug)]
pub struct Paces(Vec<LimitRule>);

/// The pace of one stream. A stream that was late makes up for as many events as the burst, no more.
#[derive(Debug)]
pub struct Pacer {
    gap: Duration,
    /// How far ahead of its turn an event may leave.
    ahead: Duration,
    /// The turn of the next event.
    turn: Option<Instant>,
}

// === impl Paces ===

impl Paces {
    /// Takes the rules of the configuration.
    #[must_use]
    pub fn build(rules: &[LimitRule]) -> Self {
        let with_pace = rules.iter().filter(|rule| rule.pace.is_some());
        let mut paces: Vec<_> = with_pace.cloned().collect();
        paces.sort_by_key(LimitRule::rank);
        Self(paces)
    }

    /// The pace of a caller's streams on a path: the slower one of its rule and its `own`.
    #[must_use]
    pub fn of(&self, path: &str, level: u32, own: Option<Pace>) -> Option<Pace> {
        let rule = self.0.iter().find(|rule| rule.applies(path, level));
        rule.and_then(|rule| rule.pace).into_iter().chain(own).max_by_key(Pace::gap)
    }
}

// === impl Pacer ===

impl Pacer {
    /// One event every `gap`; `burst` of them (at least one) may leave at once.
    #[must_use]
    pub fn new(gap: Duration, burst: u32) -> Self {
        Self { gap, ahead: gap.saturating_mul(burst.saturating_sub(1)), turn: None }
    }

    /// When the event may leave that came at `now`: at once, or later.
    pub fn next(&mut self, now: Instant) -> Instant {
        let turn = self.turn.map_or(now, |turn| turn.max(now));
        let due = turn.checked_sub(self.ahead).map_or(now, |due| due.max(now));
        self.turn = Some(turn + self.gap);
        due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GAP: Duration = Duration::from_millis(20);

    fn dues(burst: u32, come: &[u64]) -> Vec<u64> {
        let start = Instant::now();
        let mut pacer = Pacer::new(GAP, burst);
        let due = |ms: &u64| pacer.next(start + Duration::from_millis(*ms)) - start;
        come.iter().map(due).map(|due| due.as_millis() as u64).collect()
    }

    #[test]
    fn events_leave_one_by_one() {
        for (burst, come, due) in [
            (1, &[0, 0, 0, 0][..], &[0, 20, 40, 60][..]),
            // One that is late has no credit for it.
            (1, &[0, 100, 100, 105], &[0, 100, 120, 140]),
            (3, &[0, 0, 0, 0, 0], &[0, 0, 0, 20, 40]),
            (3, &[0, 0, 0, 0, 200, 200, 200, 200], &[0, 0, 0, 20, 200, 200, 200, 220]),
            (0, &[0, 0], &[0, 20]),
        ] {
            assert_eq!(dues(burst, come), due, "burst {burst}, {come:?}");
        }
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_the_burst_and_its_part(
            burst in 1..6u32,
            waits in prop::collection::vec(0..60u64, 1..60),
        ) {
            let mut come = Vec::new();
            for wait in waits {
                come.push(come.last().unwrap_or(&0) + wait);
            }
            let due = dues(burst, &come);
            prop_assert!(due.iter().zip(&come).all(|(due, come)| due >= come));
            for (at, first) in due.iter().enumerate() {
                for (nth, last) in due[at..].iter().enumerate() {
                    let allowed = u64::from(burst) + (last - first) / 20;
                    prop_assert!((nth as u64) < allowed, "{first} to {last}: {nth}");
                }
            }
        }

        #[test]
        fn nobody_waits_without_need(waits in prop::collection::vec(20..60u64, 1..60)) {
            let mut come = Vec::new();
            for wait in waits {
                come.push(come.last().unwrap_or(&0) + wait);
            }
            prop_assert_eq!(dues(1, &come), come);
        }
    }
}
