//! Every strategy against the sequences measured at openai-forward, and against a slow judge.

use proptest::prelude::{Just, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

const SECOND: Ticks = 1_000_000_000;

fn terms(strategy: Strategy, amount: u64, period: Ticks) -> Terms {
    Terms { strategy, amount, period }
}

/// One call: whether it was admitted.
fn hit(counter: &mut Counter, terms: &Terms, cost: u64, now: Ticks) -> Result<Booked, Ticks> {
    match counter.refuse(terms, cost, now) {
        0 => Ok(counter.charge(terms, cost, now)),
        wait => Err(wait),
    }
}

const STRATEGIES: [Strategy; 3] =
    [Strategy::FixedWindow, Strategy::FixedWindowElasticExpiry, Strategy::MovingWindow];

#[test]
fn the_sequences_measured_at_openai_forward() {
    // Tenths of a second; 3 in 6 seconds.
    let times = [2, 22, 42, 42, 52, 64, 64, 64, 84, 84, 106, 106, 130, 130, 130, 130];
    for (strategy, expected) in [
        (Strategy::FixedWindow, "ooo-- ooo -- -- ooo-"),
        (Strategy::MovingWindow, "ooo-- o-- o- o- o---"),
        (Strategy::FixedWindowElasticExpiry, "ooo-- --- -- -- ----"),
    ] {
        let terms = terms(strategy, 3, 6 * SECOND);
        let mut counter = Counter::new(strategy);
        let answer = |tenths: u64| {
            if hit(&mut counter, &terms, 1, tenths * SECOND / 10).is_ok() { 'o' } else { '-' }
        };
        let answers: String = times.into_iter().map(answer).collect();
        assert_eq!(answers, expected.replace(' ', ""), "{strategy:?}");
    }
}

#[test]
fn an_elastic_window_ends_when_nobody_has_called_for_a_period() {
    let terms = terms(Strategy::FixedWindowElasticExpiry, 1, 6 * SECOND);
    let mut counter = Counter::new(terms.strategy);
    assert!(hit(&mut counter, &terms, 1, 0).is_ok());
    assert_eq!(hit(&mut counter, &terms, 1, 5 * SECOND), Err(6 * SECOND));
    assert_eq!(hit(&mut counter, &terms, 1, 11 * SECOND - 1), Err(6 * SECOND));
    assert!(hit(&mut counter, &terms, 1, 17 * SECOND - 1).is_ok());
}

#[test]
fn a_cost_beyond_the_limit_is_never_admitted_and_moves_nothing() {
    for strategy in STRATEGIES {
        let terms = terms(strategy, 10, SECOND);
        let mut counter = Counter::new(strategy);
        assert_eq!(hit(&mut counter, &terms, 11, 0), Err(NEVER));
        assert!(hit(&mut counter, &terms, 10, 0).is_ok());
        assert_eq!(hit(&mut counter, &terms, 11, SECOND / 2), Err(NEVER));
        assert_eq!(counter.wait(&terms, 10, SECOND / 2), SECOND / 2, "{strategy:?}");
    }
}

#[test]
fn a_limit_of_nothing_admits_nothing() {
    for strategy in STRATEGIES {
        let terms = terms(strategy, 0, SECOND);
        assert_eq!(hit(&mut Counter::new(strategy), &terms, 1, 0), Err(NEVER));
    }
}

#[test]
fn what_was_too_much_is_given_back_to_its_own_window() {
    for strategy in STRATEGIES {
        let terms = terms(strategy, 100, 10 * SECOND);
        let mut counter = Counter::new(strategy);
        let booked = hit(&mut counter, &terms, 90, 0).unwrap();
        counter.settle(&terms, booked, Change::Less(80), 5 * SECOND);
        assert_eq!(counter.used(&terms, 5 * SECOND), 10, "{strategy:?}");
        // A later window owes nothing to an earlier one.
        let later = 21 * SECOND;
        hit(&mut counter, &terms, 50, later).unwrap();
        counter.settle(&terms, booked, Change::Less(10), later);
        assert_eq!(counter.used(&terms, later), 50, "{strategy:?}");
    }
}

#[test]
fn what_was_too_little_is_a_debt_for_a_period() {
    for strategy in STRATEGIES {
        let terms = terms(strategy, 100, 10 * SECOND);
        let mut counter = Counter::new(strategy);
        let booked = hit(&mut counter, &terms, 10, 0).unwrap();
        counter.settle(&terms, booked, Change::More(190), 20 * SECOND);
        assert_eq!(counter.used(&terms, 20 * SECOND), 190, "{strategy:?}");
        assert_eq!(counter.wait(&terms, 1, 25 * SECOND), 5 * SECOND, "{strategy:?}");
        assert_eq!(counter.wait(&terms, 0, 25 * SECOND), 0, "{strategy:?}");
        assert_eq!(counter.wait(&terms, 100, 30 * SECOND), 0, "{strategy:?}");
    }
}

#[test]
fn a_counter_ends_when_nothing_of_it_counts() {
    for (strategy, ends) in [
        (Strategy::FixedWindow, 10),
        (Strategy::FixedWindowElasticExpiry, 17),
        (Strategy::MovingWindow, 14),
    ] {
        let terms = terms(strategy, 2, 10 * SECOND);
        let mut counter = Counter::new(strategy);
        assert_eq!(counter.ends(terms.period), 0);
        for now in [0, 4, 7] {
            let _ = hit(&mut counter, &terms, 1, now * SECOND);
        }
        assert_eq!(counter.ends(terms.period), ends * SECOND, "{strategy:?}");
        assert_eq!(counter.used(&terms, ends * SECOND - 1), if ends == 14 { 1 } else { 2 });
        assert_eq!(counter.used(&terms, ends * SECOND), 0);
    }
}

/// Knows the strategies by their words alone: it keeps every call there ever was.
#[derive(Default)]
struct Judge {
    /// Time, cost, admitted.
    calls: Vec<(Ticks, u64, bool)>,
}

impl Judge {
    fn admits(&self, terms: &Terms, cost: u64, now: Ticks) -> bool {
        self.used(terms, now) + cost <= terms.amount
    }

    fn used(&self, terms: &Terms, now: Ticks) -> u64 {
        let since = match terms.strategy {
            Strategy::MovingWindow => (now + 1).saturating_sub(terms.period),
            Strategy::FixedWindow => self.began(now, |_, began, _| began + terms.period),
            Strategy::FixedWindowElasticExpiry => self.began(now, |call, _, _| call + terms.period),
        };
        let counted = self.calls.iter().filter(|(at, _, admitted)| *admitted && *at >= since);
        counted.map(|(_, cost, _)| cost).sum()
    }

    /// When the window of `now` began, from how a call moves the end of its window.
    fn began(&self, now: Ticks, end: impl Fn(Ticks, Ticks, Ticks) -> Ticks) -> Ticks {
        let mut window = (0, 0);
        for (at, _, admitted) in &self.calls {
            let (mut began, mut ends) = window;
            if *at >= ends && !admitted {
                continue;
            }
            if *at >= ends {
                began = *at;
            }
            ends = end(*at, began, ends);
            window = (began, ends);
        }
        if now >= window.1 { now } else { window.0 }
    }
}

fn calls() -> impl proptest::strategy::Strategy<Value = Vec<(u64, u64)>> {
    // Pauses short and long, so that calls meet inside of windows and at their very ends.
    let pause = prop_oneof![4 => 0..3_u64, 3 => 0..40_u64, 1 => 90..130_u64, 1 => Just(100)];
    prop::collection::vec((pause, 1..8_u64), 1..120)
}

proptest! {
    #[test]
    fn every_decision_is_that_of_the_judge(
        calls in calls(), amount in 1..12_u64, which in 0..3_usize,
    ) {
        let terms = terms(STRATEGIES[which], amount, 100);
        let (mut counter, mut judge, mut now) = (Counter::new(terms.strategy), Judge::default(), 0);
        for (pause, cost) in calls {
            now += pause;
            let expected = judge.admits(&terms, cost, now);
            prop_assert_eq!(counter.used(&terms, now), judge.used(&terms, now));
            let answer = hit(&mut counter, &terms, cost, now);
            prop_assert_eq!(answer.is_ok(), expected, "{:?} at {}", answer, now);
            // A cost that can never fit is no call of any window.
            if answer != Err(NEVER) {
                judge.calls.push((now, cost, expected));
            }
            if let Err(wait @ 1..) = answer && wait != NEVER {
                prop_assert!(judge.admits(&terms, cost, now + wait));
                prop_assert!(!judge.admits(&terms, cost, now + wait - 1));
            }
        }
    }
}
