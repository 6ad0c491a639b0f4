//! The log where it is coarse: never one too many, hardly one too few, in little memory.

use proptest::prelude::{ProptestConfig, prop, prop_assert, proptest};

use super::*;
use crate::config::Strategy;

fn terms(amount: u64, period: Ticks) -> Terms {
    Terms { strategy: Strategy::MovingWindow, amount, period }
}

/// Calls as often as every `gap`; gives the times of those that were admitted.
fn saturate(terms: &Terms, gap: Ticks, until: Ticks) -> (Log, Vec<Ticks>) {
    let mut log = Log::default();
    let mut admitted = Vec::new();
    for call in 0..until / gap {
        let now = call * gap;
        if log.wait(terms, 1, now) == 0 {
            log.add(terms.period, 1, now);
            admitted.push(now);
        }
    }
    (log, admitted)
}

#[test]
fn a_saturated_limit_is_used_to_99_percent_and_never_exceeded() {
    for (amount, gap) in [(1, 7), (10, 1_000), (256, 1_003), (257, 997), (5_000, 100), (5_000, 173)]
    {
        let (period, periods) = (1_000_000, 10);
        let (log, admitted) = saturate(&terms(amount, period), gap, periods * period);
        let most = usize::try_from(amount).unwrap();
        for window in admitted.windows(most + 1) {
            assert!(window[most] - window[0] >= period, "{amount} every {gap}");
        }
        let share = admitted.len() as f64 / (amount * periods) as f64;
        assert!(share >= 0.99, "{amount} every {gap}: {share}");
        assert!(log.hits().count() <= EXACT + 2, "{} hits", log.hits().count());
    }
}

#[test]
fn two_hits_need_no_heap_and_an_old_log_none_either() {
    assert!(size_of::<Log>() <= 48);
    let mut log = Log::default();
    for now in 0..300 {
        log.add(100_000, 1, now);
        assert_eq!(matches!(log, Log::Few(_)), now < 2);
    }
    assert!(matches!(&log, Log::Many(many) if many.binned));
    log.add(100_000, 1, 300_000);
    assert!(matches!(log, Log::Few(_)));
    assert_eq!(log.used(100_000, 300_000), 1);
}

#[test]
fn hits_of_one_moment_are_one_entry() {
    let mut log = Log::default();
    for _ in 0..1_000 {
        log.add(100, 2, 5);
    }
    let entries = log.hits().filter(|hit| hit.cost > 0).count();
    assert_eq!((entries, log.used(100, 104), log.used(100, 105)), (1, 2_000, 0));
}

#[test]
fn a_clock_that_is_late_books_no_hit_before_another() {
    let mut log = Log::default();
    for now in [50, 40, 60, 55] {
        log.add(100, 1, now);
    }
    let ends: Vec<Ticks> = log.hits().map(|hit| hit.end).collect();
    assert_eq!(ends, [50, 60]);
    assert_eq!(log.used(100, 149), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The true times of all hits beside the log: it may count a hit longer than it should, by less
    /// than a bin, and never shorter; what is given back is given back to the hit it was booked for.
    #[test]
    fn a_coarse_log_errs_by_less_than_a_bin_and_to_the_safe_side(
        calls in prop::collection::vec((0..600_u64, 1..50_u64, prop::bool::weighted(0.3)), 1..700),
    ) {
        let period = 256 * 500;
        let terms = terms(u64::from(u32::MAX), period);
        let (mut log, mut now, mut truth) = (Log::default(), 0, Vec::new());
        for (pause, cost, gives_back) in calls {
            now += pause;
            let booked = log.add(period, cost, now);
            truth.push((now, cost, booked));
            if gives_back {
                let some = (pause as usize * 7919) % truth.len();
                let (at, cost, booked) = &mut truth[some];
                if *at + period > now {
                    log.take(period, *booked, *cost / 2, now);
                    *cost -= *cost / 2;
                }
            }
            let counted = |period: Ticks| {
                let within = truth.iter().filter(|(at, ..)| now < at + period);
                within.map(|(_, cost, _)| cost).sum::<u64>()
            };
            let used = log.used(terms.period, now);
            prop_assert!(counted(period) <= used, "{} of {}", used, counted(period));
            prop_assert!(used <= counted(period + 500), "{} of {}", used, counted(period + 500));
        }
    }
}
