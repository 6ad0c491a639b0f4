//! Which of the hosts that may be used gets the next request.
//!
//! Why two choices: the better one of two drawn at random is nearly as good as the best of all, and
//! many deciders at once do not all run to the same host. The trap: the time to the first byte
//! depends on the prompt as well, so hosts within a factor of two are held equal.

use std::cmp::Ordering;

/// One host that may be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// Its place in the upstream.
    pub(super) at: usize,
    /// Attempts under way on it.
    pub(super) in_flight: usize,
    /// Seconds to its first byte, if they are known.
    pub(super) first_byte: Option<f64>,
    /// Seconds for which those who wait there have heard nothing.
    pub(super) silence: f64,
    /// From 0 to 1: how much its last attempts speak against it.
    pub(super) doubt: f64,
    /// Nobody knows how quick it is now.
    pub(super) wants_a_look: bool,
}

/// Costs within this factor are the same.
const EVEN: f64 = 2.0;

/// A host that only fails costs so many times as much more.
const DOUBT: f64 = 20.0;

/// Seconds below which times do not matter.
const LEAST: f64 = 0.001;

/// The next one at or behind `turn`, of so many hosts; `None` without candidates.
pub(super) fn round_robin(candidates: &[Candidate], turn: usize, hosts: usize) -> Option<usize> {
    let ahead = |candidate: &&Candidate| (candidate.at + hosts - turn % hosts) % hosts;
    candidates.iter().min_by_key(ahead).map(|candidate| candidate.at)
}

/// The better one of two drawn at random; `None` without candidates. With `looks` a host that
/// wants a look goes first: not for requests that have failed once already.
pub(super) fn least_busy(candidates: &[Candidate], looks: bool) -> Option<usize> {
    if let Some(unknown) = candidates.iter().find(|one| looks && one.wants_a_look) {
        return Some(unknown.at);
    }
    let (one, other) = match candidates {
        [] => return None,
        [only] => return Some(only.at),
        _ => two(candidates),
    };
    let usual = usual(candidates);
    let chosen = match compare(one, other, usual) {
        Ordering::Less => one,
        Ordering::Greater => other,
        Ordering::Equal => [one, other][fastrand::usize(..2)],
    };
    Some(chosen.at)
}

fn two(candidates: &[Candidate]) -> (&Candidate, &Candidate) {
    let first = fastrand::usize(..candidates.len());
    let second = (first + fastrand::usize(1..candidates.len())) % candidates.len();
    (&candidates[first], &candidates[second])
}

fn compare(one: &Candidate, other: &Candidate, usual: f64) -> Ordering {
    let (left, right) = (cost(one, usual), cost(other, usual));
    if left > right * EVEN || right > left * EVEN {
        return left.total_cmp(&right);
    }
    one.in_flight.cmp(&other.in_flight)
}

fn cost(of: &Candidate, usual: f64) -> f64 {
    let time = of.first_byte.unwrap_or(usual).max(of.silence).max(LEAST);
    let load = f64::from(u32::try_from(of.in_flight).unwrap_or(u32::MAX)) + 1.0;
    load * time * (1.0 + DOUBT * of.doubt)
}

/// What is assumed of a host that has not answered yet: the mean of those that have.
fn usual(candidates: &[Candidate]) -> f64 {
    let known = || candidates.iter().filter_map(|candidate| candidate.first_byte);
    known().sum::<f64>() / f64::from(u32::try_from(known().count().max(1)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: Candidate = Candidate {
        at: 0,
        in_flight: 0,
        first_byte: Some(0.1),
        silence: 0.0,
        doubt: 0.0,
        wants_a_look: false,
    };

    #[test]
    fn the_better_one_of_two() {
        use Ordering::{Equal, Greater, Less};
        let known =
            |in_flight, first_byte| Candidate { in_flight, first_byte: Some(first_byte), ..BASE };
        for (other, expected) in [
            (BASE, Equal),
            (known(1, 0.1), Less),
            (known(0, 0.19), Equal),
            (known(0, 0.21), Less),
            (known(0, 0.04), Greater),
            (known(3, 0.01), Greater),
            (Candidate { silence: 0.3, ..BASE }, Less),
            (Candidate { doubt: 1.0, ..BASE }, Less),
            (Candidate { doubt: 0.04, ..BASE }, Equal),
            (Candidate { first_byte: None, ..BASE }, Equal),
            (Candidate { first_byte: None, in_flight: 1, ..BASE }, Less),
            (Candidate { first_byte: None, silence: 0.3, ..BASE }, Less),
        ] {
            assert_eq!(compare(&BASE, &other, 0.1), expected, "{other:?}");
            assert_eq!(compare(&other, &BASE, 0.1), expected.reverse(), "{other:?}");
        }
    }

    #[test]
    fn who_wants_a_look_goes_first_unless_something_failed_already() {
        let busy = Candidate { at: 1, in_flight: 3, wants_a_look: true, ..BASE };
        for _ in 0..20 {
            assert_eq!(least_busy(&[BASE, busy], true), Some(1));
            assert_eq!(least_busy(&[BASE, busy], false), Some(0));
        }
        assert_eq!(least_busy(&[], true), None);
    }

    proptest! {
        /// One after the other, whoever is missing.
        #[test]
        fn turns_are_fair(missing in proptest::collection::vec(any::<bool>(), 1..9)) {
            let there: Vec<Candidate> = (0..missing.len())
                .filter(|&at| !missing[at])
                .map(|at| Candidate { at, ..BASE })
                .collect();
            let mut turn = 0;
            let mut counts = vec![0; missing.len()];
            for _ in 0..12 * there.len() {
                let at = round_robin(&there, turn, missing.len()).unwrap();
                counts[at] += 1;
                turn = at + 1;
            }
            for (at, count) in counts.into_iter().enumerate() {
                prop_assert_eq!(count, if missing[at] { 0 } else { 12 });
            }
        }

        /// Equal hosts get equal shares, within the bounds of chance (five deviations).
        #[test]
        fn equal_hosts_have_equal_shares(hosts in 1..8_usize, in_flight in 0..5_usize, seed: u64) {
            fastrand::seed(seed);
            let equal: Vec<Candidate> =
                (0..hosts).map(|at| Candidate { at, in_flight, ..BASE }).collect();
            let mut counts = vec![0_u32; hosts];
            for _ in 0..500 * hosts {
                counts[least_busy(&equal, true).unwrap()] += 1;
            }
            for count in counts {
                prop_assert!((390..=610).contains(&count), "{} of 500", count);
            }
        }
    }
}
