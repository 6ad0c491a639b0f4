//! The store against a list that does the same, slowly.

use std::thread;

use proptest::prelude::*;

use super::*;
use crate::cache::samples::{key, labels};

const MINUTE: u64 = 60_000;

fn store(size: u64) -> Memory {
    Memory::new(size, Duration::from_millis(MINUTE))
}

#[test]
fn an_entry_is_good_for_its_time() {
    let store = store(10_000);
    assert!(store.put(key(1), labels(1), b"one".to_vec(), 5));
    assert_eq!(store.get(&key(1), 5 + MINUTE - 1).as_deref(), Some(&b"one"[..]));
    assert_eq!(store.get(&key(2), 5), None);
    assert_eq!(store.get(&key(1), 5 + MINUTE), None);
    assert_eq!(store.counts(), Counts::default());
    assert!(Memory::new(1000, Duration::MAX).put(key(1), labels(1), vec![], 5));
}

#[test]
fn what_is_larger_than_the_store_is_not_kept_and_evicts_nothing() {
    let store = store(cost(1000));
    assert!(store.put(key(1), labels(1), vec![1; 800], 0));
    assert!(!store.put(key(2), labels(2), vec![1; 2000], 0));
    assert!(store.get(&key(1), 0).is_some());
    assert!(store.put(key(2), labels(2), vec![1; 1000], 0));
    assert_eq!(store.counts(), Counts { entries: 1, bytes: cost(1000), evicted: 1 });
}

#[test]
fn purging() {
    let store = store(1_000_000);
    let fill = || (0..60).for_each(|n| assert!(store.put(key(n), labels(n), vec![0; 9], 0)));
    for (what, gone) in [
        (Purge::All, 60),
        (Purge::Key(key(7)), 1),
        (Purge::Key(key(60)), 0),
        (Purge::Tenant("key:a"), 30),
        (Purge::Tenant("a"), 0),
        (Purge::Model("o"), 20),
    ] {
        fill();
        assert_eq!(store.purge(what), gone, "{what:?}");
        let left = 60 - gone;
        assert_eq!(store.counts(), Counts { entries: left, bytes: left * cost(9), evicted: 0 });
        let found = (0..60).filter(|n| store.get(&key(*n), 0).is_some()).count();
        assert_eq!(found as u64, left);
    }
}

#[test]
fn costs_are_what_the_allocator_gives() {
    for (length, given) in [
        (0, 0),
        (1, 16),
        (128, 128),
        (129, 160),
        (161, 192),
        (1000, 1024),
        (1025, 1280),
        (14336, 14336),
        (14337, 16384),
        (20_000, 20480),
        (1_000_000, 1 << 20),
    ] {
        let page = if length > 14336 { PAGE } else { 0 };
        let expected = given + given / 32 + page + OVERHEAD;
        assert_eq!(cost(length), expected as u64, "{length}");
    }
}

#[test]
fn a_hundred_thousand_answers_stay_within_the_size() {
    let size = 8 << 20;
    let store = store(size);
    let mut most = 0;
    for number in 0..100_000 {
        let length = fastrand::Rng::with_seed(number).usize(0..4000);
        assert!(store.put(key(number), labels(number), vec![1; length], number));
        most = most.max(store.counts().bytes);
    }
    let counts = store.counts();
    assert!(most <= size && counts.bytes > size * 9 / 10, "{most} {counts:?}");
    assert_eq!(counts.entries + counts.evicted, 100_000);
    // The last ones are there, whatever shards they are in.
    assert!((100_000 - counts.entries..100_000).all(|n| store.get(&key(n), n).is_some()));
}

#[test]
fn many_at_once_leave_the_books_in_order() {
    let store = store(200_000);
    thread::scope(|scope| {
        for seed in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..3000 {
                    let number = random.u64(0..500);
                    match random.u8(0..20) {
                        0 => drop(store.purge(Purge::Key(key(number)))),
                        1 => drop(store.get(&key(number), 2 * MINUTE)),
                        2..10 => drop(store.get(&key(number), 0)),
                        _ => {
                            let entry = vec![0; random.usize(0..3000)];
                            assert!(store.put(key(number), labels(number), entry, 0));
                        }
                    }
                }
            });
        }
    });
    let counts = store.counts();
    let entries: Vec<_> = (0..500).filter_map(|n| store.get(&key(n), 0)).collect();
    assert_eq!(counts.entries, entries.len() as u64);
    assert_eq!(counts.bytes, entries.iter().map(|entry| cost(entry.len())).sum::<u64>());
    assert!(counts.bytes <= 200_000 && counts.evicted > 0);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Put(u64, usize),
    Get(u64),
    Forget(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..30_u64, 0..2000_usize).prop_map(|(key, length)| Step::Put(key, length)),
        4 => (0..30_u64).prop_map(Step::Get),
        1 => (0..30_u64).prop_map(Step::Forget),
        1 => (0..MINUTE).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn it_does_what_a_list_does(steps in prop::collection::vec(step(), 0..200)) {
        let size = 8000;
        let store = store(size);
        // Key, length, when it came; the one that was used last is the last.
        let mut list: Vec<(u64, usize, u64)> = Vec::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Put(number, length) => {
                    prop_assert!(store.put(key(number), labels(number), vec![0; length], now));
                    // What is replaced goes only after there is room for both.
                    let total = |list: &[(u64, usize, u64)]| list.iter().map(|it| cost(it.1)).sum::<u64>();
                    while total(&list) + cost(length) > size {
                        list.remove(0);
                    }
                    list.retain(|it| it.0 != number);
                    list.push((number, length, now));
                }
                Step::Get(number) => {
                    let at = list.iter().position(|it| it.0 == number);
                    let found = at.map(|at| list.remove(at)).filter(|it| it.2 + MINUTE > now);
                    list.extend(found);
                    prop_assert_eq!(store.get(&key(number), now).map(|entry| entry.len()), found.map(|it| it.1));
                }
                Step::Forget(number) => {
                    let before = list.len();
                    list.retain(|it| it.0 != number);
                    prop_assert_eq!(store.purge(Purge::Key(key(number))), (before - list.len()) as u64);
                }
                Step::Wait(time) => now += time,
            }
            let counts = store.counts();
            prop_assert_eq!(counts.entries, list.len() as u64);
            prop_assert_eq!(counts.bytes, list.iter().map(|it| cost(it.1)).sum::<u64>());
        }
    }
}
