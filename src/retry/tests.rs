//! The table of verdicts, and what no run of failures may ever bring about.

use proptest::prelude::*;

use super::Failure::{Connect, Empty, Reset, Stale, Status, Timeout, Tls};
use super::Verdict::{GiveUp, OtherHost, SameHost};
use super::*;

const BASE: Attempt = Attempt {
    failure: Reset,
    committed: false,
    sent: true,
    replayable: true,
    attempts: 1,
    stale: 0,
    left: Duration::from_secs(60),
    hosts_left: 1,
    hosts: 3,
    keys_left: 0,
    wanted: None,
};
/// All hosts tried.
const LAST: Attempt = Attempt { hosts_left: 0, ..BASE };
/// No other host at all.
const ALONE: Attempt = Attempt { hosts: 1, ..LAST };

const ONE_SECOND: Option<Duration> = Some(Duration::from_secs(1));
const AT_ONCE: Duration = Duration::ZERO;

fn policy() -> Policy {
    let mut on = vec![On::Connect, On::Reset, On::Timeout];
    on.extend([400, 404, 429, 500, 502, 503, 504].map(On::Status));
    Policy { attempts: 4, on, backoff: Duration::from_millis(100) }
}

fn same(millis: u64) -> Verdict {
    SameHost { after: Duration::from_millis(millis) }
}

fn other(millis: u64) -> Verdict {
    OtherHost { after: Duration::from_millis(millis) }
}

#[test]
fn the_table() {
    for (attempt, verdict) in [
        // Another host at once, while there is one.
        (BASE, other(0)),
        (Attempt { failure: Connect, ..BASE }, other(0)),
        (Attempt { failure: Tls, ..BASE }, other(0)),
        (Attempt { failure: Timeout, ..BASE }, other(0)),
        (Attempt { failure: Empty, ..BASE }, other(0)),
        (Attempt { failure: Status(429), ..BASE }, other(0)),
        (Attempt { failure: Status(429), wanted: Some(Duration::MAX), ..BASE }, other(0)),
        (Attempt { failure: Status(503), keys_left: 1, ..BASE }, other(0)),
        // Then with a wait, wherever the pool likes; alone at home.
        (LAST, other(100)),
        (ALONE, same(100)),
        (Attempt { attempts: 2, ..ALONE }, same(200)),
        (Attempt { attempts: 3, ..ALONE }, same(400)),
        (Attempt { attempts: 4, ..ALONE }, GiveUp),
        (Attempt { failure: Connect, ..ALONE }, same(100)),
        // Another key needs no wait.
        (Attempt { failure: Status(429), keys_left: 1, wanted: ONE_SECOND, ..ALONE }, same(0)),
        (Attempt { failure: Status(500), keys_left: 1, ..ALONE }, same(100)),
        // The host's own word, up to a cap and never beyond the time left.
        (Attempt { failure: Status(429), wanted: ONE_SECOND, ..ALONE }, same(1100)),
        (Attempt { failure: Status(503), wanted: ONE_SECOND, ..LAST }, other(1100)),
        (Attempt { wanted: Some(WAIT_MOST), ..ALONE }, same(10_100)),
        (Attempt { wanted: Some(WAIT_MOST + Duration::from_nanos(1)), ..ALONE }, GiveUp),
        (Attempt { wanted: Some(Duration::MAX), ..ALONE }, GiveUp),
        (Attempt { wanted: ONE_SECOND, left: Duration::from_secs(1), ..ALONE }, GiveUp),
        (Attempt { left: Duration::from_millis(100), ..ALONE }, GiveUp),
        (Attempt { left: Duration::ZERO, ..BASE }, GiveUp),
        // The first content settles it.
        (Attempt { committed: true, ..BASE }, GiveUp),
        (Attempt { committed: true, failure: Stale, ..BASE }, GiveUp),
        // What cannot be sent again, unless it never was.
        (Attempt { replayable: false, ..BASE }, GiveUp),
        (Attempt { replayable: false, sent: false, ..BASE }, other(0)),
        (Attempt { replayable: false, failure: Connect, ..BASE }, other(0)),
        (Attempt { replayable: false, failure: Tls, ..BASE }, other(0)),
        (Attempt { replayable: false, failure: Stale, ..BASE }, GiveUp),
        // A stale connection is free, so often; then it is a reset.
        (Attempt { failure: Stale, ..BASE }, same(0)),
        (Attempt { failure: Stale, attempts: 4, stale: STALE_MOST - 1, ..BASE }, same(0)),
        (Attempt { failure: Stale, stale: STALE_MOST, ..BASE }, other(0)),
        (Attempt { failure: Stale, stale: STALE_MOST, attempts: 4, ..BASE }, GiveUp),
        // What the client did wrong stays wrong; what the policy leaves out as well.
        (Attempt { failure: Status(400), ..BASE }, GiveUp),
        (Attempt { failure: Status(404), keys_left: 1, ..BASE }, GiveUp),
        (Attempt { failure: Status(501), ..BASE }, GiveUp),
        (Attempt { failure: Status(200), ..BASE }, GiveUp),
    ] {
        assert_eq!(decide(&policy(), &attempt, u32::MAX), verdict, "{attempt:?}");
    }
}

#[test]
fn the_policy_says_what() {
    for (on, covered) in [
        (On::Connect, &[Connect, Tls][..]),
        (On::Reset, &[Reset, Empty]),
        (On::Timeout, &[Timeout]),
        (On::Status(503), &[Status(503)]),
        (On::Status(404), &[]),
    ] {
        let policy = Policy { on: vec![on], ..policy() };
        for failure in [Connect, Tls, Reset, Timeout, Empty, Status(503), Status(404)] {
            let expected = if covered.contains(&failure) { other(0) } else { GiveUp };
            let attempt = Attempt { failure, ..BASE };
            assert_eq!(decide(&policy, &attempt, 0), expected, "{on:?} {failure:?}");
        }
    }
}

#[test]
fn jitter_takes_the_whole_range() {
    for (chance, millis) in [(0, 0), (u32::MAX / 2, 49), (u32::MAX, 100)] {
        let SameHost { after } = decide(&policy(), &ALONE, chance) else {
            panic!("a host alone is asked again");
        };
        assert_eq!(after.as_millis(), millis, "{chance}");
    }
}

fn failure() -> impl Strategy<Value = Failure> {
    prop_oneof![
        Just(Connect),
        Just(Tls),
        Just(Reset),
        Just(Stale),
        Just(Timeout),
        Just(Empty),
        prop_oneof![400..=599_u16, Just(429), Just(503)].prop_map(Status),
    ]
}

prop_compose! {
    /// One attempt's outcome; what depends on the attempts before it is set by the run.
    fn outcome()(
        failure in failure(),
        committed in prop::bool::weighted(0.1),
        sent in any::<bool>(),
        replayable in prop::bool::weighted(0.9),
        keys_left in 0..2_usize,
        wanted in prop::option::of((0..20_000_u64).prop_map(Duration::from_millis)),
        chance in any::<u32>(),
    ) -> (Attempt, u32) {
        (Attempt { failure, committed, sent, replayable, keys_left, wanted, ..BASE }, chance)
    }
}

proptest! {
    #[test]
    fn a_run_ends_in_time(
        outcomes in prop::collection::vec(outcome(), 40),
        attempts in 0..12_u32,
        hosts in 1..5_usize,
        backoff in prop_oneof![0..5_000_u64, Just(u64::MAX)],
        total in 0..60_000_u64,
    ) {
        let policy = Policy { attempts, backoff: Duration::from_millis(backoff), ..policy() };
        let total = Duration::from_millis(total);
        let (mut made, mut stale, mut untried, mut waited) = (1, 0, hosts - 1, AT_ONCE);
        let mut ended = false;
        for (outcome, chance) in outcomes {
            let attempt = Attempt {
                attempts: made,
                stale,
                hosts,
                hosts_left: untried,
                left: total - waited,
                ..outcome
            };
            let verdict = decide(&policy, &attempt, chance);
            let (SameHost { after } | OtherHost { after }) = verdict else {
                ended = true;
                break;
            };
            prop_assert!(!attempt.committed, "nothing after content: {attempt:?}");
            let is_4xx = matches!(attempt.failure, Status(400..=428 | 430..=499));
            prop_assert!(!is_4xx, "never a 4xx: {attempt:?}");
            prop_assert!(after < attempt.left, "{verdict:?} leaves no time: {attempt:?}");
            waited += after;
            if attempt.is_free() {
                prop_assert_eq!(verdict, same(0));
                stale += 1;
            } else {
                made += 1;
            }
            if matches!(verdict, OtherHost { .. }) {
                prop_assert!(untried == 0 || after.is_zero(), "an untried host needs no wait");
                untried = untried.saturating_sub(1);
            }
        }
        prop_assert!(ended, "it came to no end");
        prop_assert!(made <= attempts.max(1) && stale <= STALE_MOST);
        prop_assert!(waited <= total);
    }
}
