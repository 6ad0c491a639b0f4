//! Admissions as the edge asks for them.

use std::cell::Cell;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::{Just, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::config::{CountBy, LimitRule, Rate, Strategy, Unit};
use crate::secret::KeyDigest;

const STRATEGIES: [Strategy; 3] =
    [Strategy::FixedWindow, Strategy::FixedWindowElasticExpiry, Strategy::MovingWindow];

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn rate(amount: u64, seconds: u64) -> Rate {
    Rate { amount, multiple: seconds, unit: Unit::Second }
}

pub(super) fn section(strategy: Strategy, global: &[Rate]) -> Limits {
    Limits {
        strategy,
        store: LimitStore::Memory,
        on_store_error: OnStoreError::Allow,
        by: CountBy::Key,
        global: global.to_vec(),
        rules: Vec::new(),
        addresses: 1_000_000,
        shield: None,
    }
}

pub(super) fn key(requests: &[Rate], tokens: &[Rate], in_flight: usize) -> Key {
    Key {
        name: "ann".to_owned(),
        digest: KeyDigest::of(b"fk-a"),
        origin: String::new(),
        level: 0,
        models: Vec::new(),
        requests: requests.to_vec(),
        tokens: tokens.to_vec(),
        in_flight: NonZeroUsize::new(in_flight),
        pace: None,
        cache_group: None,
    }
}

pub(super) fn caller(key: Option<u32>, client: &str) -> Caller {
    Caller { key: key.map(KeyId), client: Some(client.parse().unwrap()), level: 0 }
}

pub(super) fn ask(caller: Caller, tokens: u64) -> Ask<'static> {
    Ask { caller, path: "/v1/chat/completions", tokens }
}

pub(super) fn of(section: &Limits, keys: &[Key]) -> Limiter {
    Limiter::build(section, keys).unwrap()
}

/// What the first key asks.
fn mine(tokens: u64) -> Ask<'static> {
    ask(caller(Some(0), "10.0.0.1"), tokens)
}

fn used(limiter: &Limiter, now: Instant) -> (Option<u64>, Option<u64>) {
    let plan = limiter.0.rules.plan(&mine(0));
    let standing = limiter.0.memory.standing(&plan, limiter.ticks(now));
    let used = |level: Level| level.limit - level.remaining;
    (standing.requests.map(used), standing.tokens.map(used))
}

#[test]
fn a_refused_request_charges_nothing() {
    for strategy in STRATEGIES {
        let keys = [key(&[rate(5, 60), rate(100, 3600)], &[rate(1_000, 60)], 2)];
        let limiter = of(&section(strategy, &[rate(50, 60)]), &keys);
        let now = Instant::now();
        let held = limiter.admit_at(mine(900), now).unwrap();
        let before = (Some(1), Some(900));
        for (tokens, what) in
            [(101, What::Tokens(rate(1_000, 60))), (1_001, What::TooLarge(rate(1_000, 60)))]
        {
            assert_eq!(limiter.admit_at(mine(tokens), now).unwrap_err().what, what);
            assert_eq!(used(&limiter, now), before, "{strategy:?}");
            assert_eq!(limiter.in_flight(KeyId(0)), 1);
        }
        let second = limiter.admit_at(mine(50), now).unwrap();
        let third = limiter.admit_at(mine(50), now).unwrap_err();
        assert_eq!(third.what, What::InFlight(NonZeroUsize::new(2).unwrap()));
        assert_eq!((third.retry_after, limiter.in_flight(KeyId(0))), (None, 2));
        assert_eq!(used(&limiter, now), (Some(2), Some(950)));
        drop((held, second));
        assert_eq!(limiter.in_flight(KeyId(0)), 0);
        assert_eq!(used(&limiter, now), (Some(2), Some(950)), "unsettled stays charged");
    }
}

#[test]
fn a_settlement_gives_back_or_becomes_debt() {
    for strategy in STRATEGIES {
        let limiter = of(&section(strategy, &[]), &[key(&[], &[rate(100, 60)], 0)]);
        let now = Instant::now();
        let mut cheap = limiter.admit_at(mine(80), now).unwrap();
        cheap.settle_at(30, now + SECOND);
        cheap.settle_at(90, now + SECOND);
        assert_eq!(used(&limiter, now + SECOND), (None, Some(30)), "only the first one counts");
        let mut dear = limiter.admit_at(mine(60), now + SECOND).unwrap();
        dear.settle_at(u64::MAX, now + 2 * SECOND);
        let denied = limiter.admit_at(mine(1), now + 3 * SECOND).unwrap_err();
        assert_eq!(denied.what, What::Tokens(rate(100, 60)));
        assert_eq!(denied.standing.tokens.map(|level| level.remaining), Some(0));
        assert!(denied.retry_after.is_some_and(|after| after >= 57 * SECOND), "{denied:?}");
        let mut free = limiter.admit_at(mine(0), now + 3 * SECOND).unwrap();
        free.settle_at(1, now + 3 * SECOND);
        // An elastic window ends a period after the last call that was refused.
        assert!(limiter.admit_at(mine(100), now + 64 * SECOND).is_ok(), "{strategy:?}");
    }
}

#[tokio::test]
async fn a_settlement_of_nothing_gives_everything_back() {
    let limiter =
        of(&section(Strategy::MovingWindow, &[]), &[key(&[rate(9, 60)], &[rate(100, 60)], 0)]);
    limiter.admit(mine(100)).await.unwrap().settle(0);
    let permit = limiter.admit(mine(100)).await.unwrap();
    let standing = permit.standing().unwrap();
    assert_eq!(standing.requests.map(|level| (level.limit, level.remaining)), Some((9, 7)));
    assert_eq!(standing.tokens.map(|level| (level.limit, level.remaining)), Some((100, 0)));
}

#[test]
fn the_standing_is_that_of_the_tightest_limit() {
    let keys = [key(&[rate(10, 60), rate(8, 3600)], &[], 0)];
    let limiter = of(&section(Strategy::FixedWindow, &[rate(9, 60)]), &keys);
    let now = Instant::now();
    let permit = limiter.admit_at(mine(0), now).unwrap();
    let level = Level { limit: 8, remaining: 7, reset: Duration::from_secs(3600) };
    assert_eq!(permit.standing(), Some(Standing { requests: Some(level), tokens: None }));
    let free = of(&section(Strategy::FixedWindow, &[]), &keys[..0]);
    assert_eq!(free.admit_at(mine(0), now).unwrap().standing(), None);
    assert_eq!(free.counters(), 0);
}

#[test]
fn who_is_counted() {
    let now = Instant::now();
    // Two callers, a limit of one for all: whether the second one is let in.
    for (by, one, other, expected) in [
        (CountBy::Key, (Some(0), "10.0.0.1"), (Some(0), "10.0.0.2"), false),
        (CountBy::Key, (Some(0), "10.0.0.1"), (Some(1), "10.0.0.1"), true),
        (CountBy::Key, (Some(0), "10.0.0.1"), (None, "10.0.0.1"), true),
        (CountBy::Key, (None, "10.0.0.1"), (None, "10.0.0.1"), false),
        (CountBy::Key, (None, "10.0.0.1"), (None, "10.0.0.2"), true),
        (CountBy::Key, (None, "2001:db8::1"), (None, "2001:db8::2"), false),
        (CountBy::Ip, (Some(0), "10.0.0.1"), (Some(0), "10.0.0.2"), true),
        (CountBy::Ip, (Some(0), "10.0.0.1"), (Some(1), "10.0.0.1"), false),
    ] {
        let section = Limits { by, ..section(Strategy::MovingWindow, &[rate(1, 60)]) };
        let limiter = of(&section, &[key(&[], &[], 0), key(&[], &[], 0)]);
        let asks = |(key, client): (Option<u32>, &str)| {
            limiter.admit_at(ask(caller(key, client), 0), now).is_ok()
        };
        assert!(asks(one));
        assert_eq!(asks(other), expected, "{by:?} {one:?} {other:?}");
    }
}

#[test]
fn the_limits_of_a_key_are_its_own_wherever_it_comes_from() {
    let section = Limits { by: CountBy::Ip, ..section(Strategy::MovingWindow, &[rate(9, 60)]) };
    let limiter = of(&section, &[key(&[rate(1, 60)], &[], 0)]);
    let now = Instant::now();
    assert!(limiter.admit_at(ask(caller(Some(0), "10.0.0.1"), 0), now).is_ok());
    let denied = limiter.admit_at(ask(caller(Some(0), "10.0.0.2"), 0), now).unwrap_err();
    assert_eq!(denied.what, What::Requests(rate(1, 60)));
}

mod openai_forward {
    //! The four faults of its limiter.

    use super::*;

    fn rule(path: &str, level: Option<u32>, requests: &[Rate]) -> LimitRule {
        let requests = Some(requests.to_vec());
        LimitRule { path: path.to_owned(), level, requests, pace: None }
    }

    fn admitted(limiter: &Limiter, caller: Caller, path: &str) -> usize {
        let ask = Ask { caller, path, tokens: 0 };
        let now = limiter.0.began;
        (0..20).filter(|_| limiter.admit_at(ask, now).is_ok()).count()
    }

    #[test]
    fn a_request_is_counted_once_however_many_targets_and_rules_there_are() {
        let mut section = section(Strategy::FixedWindow, &[rate(2, 10)]);
        section.rules = vec![rule("/a", None, &[rate(3, 10)]), rule("/a/b", None, &[rate(4, 10)])];
        let limiter = of(&section, &[]);
        let me = caller(None, "10.0.0.1");
        let counted = ["/a/b/c", "/a/x", "/other"].map(|path| admitted(&limiter, me, path));
        assert_eq!(counted, [4, 3, 2]);
    }

    #[test]
    fn a_path_without_a_limit_leaves_the_others_theirs() {
        let mut section = section(Strategy::FixedWindow, &[]);
        section.rules = vec![rule("/a", None, &[rate(3, 10)]), rule("/inf", None, &[])];
        let limiter = of(&section, &[]);
        let me = caller(None, "10.0.0.1");
        let counted = ["/x", "/inf", "/a", "/x"].map(|path| admitted(&limiter, me, path));
        assert_eq!(counted, [20, 20, 3, 20]);
    }

    #[test]
    fn a_rule_of_a_level_is_for_the_keys_of_that_level() {
        let mut section = section(Strategy::FixedWindow, &[rate(9, 10)]);
        section.rules =
            vec![rule("/a", Some(0), &[rate(3, 10)]), rule("/a", Some(1), &[rate(5, 10)])];
        let limiter = of(&section, &[]);
        let counted = [0, 1, 2].map(|level| {
            let me = Caller { level, ..caller(Some(level), "10.0.0.1") };
            admitted(&limiter, me, "/a")
        });
        assert_eq!(counted, [3, 5, 9]);
    }

    #[test]
    fn a_caller_whose_key_nobody_knows_is_counted_by_address() {
        let limiter = of(&section(Strategy::FixedWindow, &[rate(3, 10)]), &[]);
        assert_eq!(admitted(&limiter, caller(None, "10.0.0.1"), "/a"), 3);
        assert_eq!(admitted(&limiter, Caller { key: None, client: None, level: 0 }, "/a"), 3);
    }
}

#[test]
fn a_thousand_at_once_never_reserve_more_than_there_is() {
    for strategy in STRATEGIES {
        let limiter = of(&section(strategy, &[]), &[key(&[], &[rate(100, 60)], 0)]);
        let (reserved, refused) = (AtomicU64::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (limiter, reserved, refused) = (&limiter, &reserved, &refused);
                scope.spawn(move || {
                    for call in 0..125 {
                        let tokens = (thread * 31 + call * 7) % 13 + 1;
                        match limiter.decide(&mine(tokens), Instant::now) {
                            Ok(_) => reserved.fetch_add(tokens, Ordering::Relaxed),
                            Err(_) => refused.fetch_add(1, Ordering::Relaxed) as u64,
                        };
                    }
                });
            }
        });
        let reserved = reserved.into_inner();
        assert_eq!(reserved, 100, "the ones of a single token fill it to the last");
        assert_eq!(used(&limiter, Instant::now()), (None, Some(reserved)));
        assert!(refused.into_inner() > 900);
    }
}

/// Threads, real time and several limits at once, judged by the moment of each decision.
#[test]
fn no_interleaving_admits_one_too_many() {
    for strategy in STRATEGIES {
        let keys = [key(&[rate(7, 1), rate(1_000, 3600)], &[], 0)];
        let limiter = of(&section(strategy, &[rate(9, 1)]), &keys);
        let total = AtomicUsize::new(0);
        let calls = || {
            let (mut admitted, moment) = (Vec::new(), Cell::new(Instant::now()));
            let clock = || {
                moment.set(Instant::now());
                moment.get()
            };
            // Nobody ever pauses, so an elastic window would never end.
            let most = if strategy == Strategy::FixedWindowElasticExpiry { 7 } else { 14 };
            while total.load(Ordering::Relaxed) < most {
                if limiter.decide(&mine(0), clock).is_ok() {
                    admitted.push(moment.get());
                    total.fetch_add(1, Ordering::Relaxed);
                }
            }
            for _ in 0..1_000 {
                admitted.extend(limiter.decide(&mine(0), clock).ok().map(|_| moment.get()));
            }
            admitted
        };
        let mut admitted: Vec<Instant> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(calls)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        admitted.sort();
        for (at, window) in admitted.windows(8).enumerate() {
            // A fixed window begins with every seventh; a moving one with each.
            let is_whole = strategy == Strategy::MovingWindow || at % 7 == 0;
            assert!(!is_whole || window[7] - window[0] >= SECOND, "{strategy:?}: {window:?}");
        }
    }
}

#[test]
fn whoever_is_under_way_is_counted_back_whatever_the_end() {
    let keys = [key(&[], &[], 4), key(&[], &[], 1)];
    let limiter = of(&section(Strategy::MovingWindow, &[]), &keys);
    let (highest, turns) = (AtomicUsize::new(0), 500);
    std::thread::scope(|scope| {
        for seed in 0..8_u64 {
            let (limiter, highest) = (&limiter, &highest);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut held = VecDeque::new();
                for _ in 0..turns {
                    let caller = caller(Some(random.u32(..2)), "10.0.0.1");
                    held.extend(limiter.decide(&ask(caller, 0), Instant::now).ok());
                    highest.fetch_max(limiter.in_flight(KeyId(0)), Ordering::Relaxed);
                    while random.bool() && held.pop_front().is_some() {}
                }
            });
        }
    });
    assert!((1..=4).contains(&highest.into_inner()));
    assert_eq!([0, 1].map(|key| limiter.in_flight(KeyId(key))), [0, 0]);
}

/// One call of a random history.
#[derive(Debug, Clone, Copy)]
struct Call {
    /// Milliseconds since the one before.
    pause: u64,
    tokens: u64,
    settled: Option<u64>,
}

fn calls() -> impl proptest::strategy::Strategy<Value = Vec<Call>> {
    let pause = prop_oneof![4 => 0..30_u64, 2 => 0..400_u64, 1 => 900..1_300_u64, 1 => Just(1_000)];
    let call = (pause, 1..40_u64, prop::option::of(0..80_u64));
    let call = proptest::strategy::Strategy::prop_map(call, |(pause, tokens, settled)| Call {
        pause,
        tokens,
        settled,
    });
    prop::collection::vec(call, 1..60)
}

/// A limiter to which all of this has happened.
fn after(strategy: Strategy, began: Instant, calls: &[Call]) -> (Limiter, Instant) {
    let keys = [key(&[rate(4, 1), rate(9, 3)], &[rate(60, 1), rate(100, 2)], 0)];
    let limiter = of(&section(strategy, &[rate(5, 2)]), &keys);
    let mut now = began;
    for call in calls {
        now += Duration::from_millis(call.pause);
        if let Ok(mut permit) = limiter.admit_at(mine(call.tokens), now)
            && let Some(settled) = call.settled
        {
            permit.settle_at(settled, now);
        }
    }
    (limiter, now)
}

proptest! {
    #[test]
    fn a_wait_is_exact_and_a_refusal_leaves_no_trace(
        calls in calls(), tokens in 1..60_u64, which in 0..3_usize,
    ) {
        let began = Instant::now() + SECOND;
        let same = |calls: &[Call]| after(STRATEGIES[which], began, calls);
        let (limiter, now) = same(&calls);
        let before = used(&limiter, now);
        if let Err(denied) = limiter.admit_at(mine(tokens), now) {
            prop_assert_eq!(used(&limiter, now), before);
            let wait = denied.retry_after.unwrap();
            prop_assert!(wait > Duration::ZERO);
            let early = limiter.admit_at(mine(tokens), now + wait - Duration::from_nanos(1));
            prop_assert!(early.is_err(), "after less than {:?}", wait);
            let (limiter, now) = same(&calls);
            let _ = limiter.admit_at(mine(tokens), now);
            let later = limiter.admit_at(mine(tokens), now + wait);
            prop_assert!(later.is_ok(), "after {:?}: {:?}", wait, later);
        }
    }
}
