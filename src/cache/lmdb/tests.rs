//! The store on disk: as a store, over restarts, and under a process that is killed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::cache::Entry;
use crate::cache::samples::{entry, key, labels};

const MINUTE: u64 = 60_000;
const SIZE: u64 = 4 << 20;

fn store(dir: &Path) -> Lmdb {
    Lmdb::open(dir, SIZE, Duration::from_millis(MINUTE)).unwrap()
}

/// Closes it, so that it can be opened again in this process.
fn close(store: Lmdb) {
    let Lmdb { env, .. } = store;
    env.prepare_for_closing().wait();
}

fn put(store: &Lmdb, number: u64) -> bool {
    let entry = entry(number).encode(&key(number)).unwrap();
    store.put(key(number), labels(number), entry, 0)
}

/// Whether it is there; panics if it is not whole and right.
fn has(store: &Lmdb, number: u64) -> bool {
    let Some(bytes) = store.get(&key(number), 0) else { return false };
    assert_eq!(Entry::decode(&key(number), &bytes), Some(entry(number)), "{number}");
    true
}

#[test]
fn it_is_there_after_a_restart_and_good_for_its_time() {
    let dir = TempDir::new().unwrap();
    let first = store(dir.path());
    assert!((0..20).all(|number| put(&first, number)));
    assert!(!has(&first, 20));
    let counts = first.counts();
    assert_eq!((counts.entries, counts.evicted), (20, 0));
    close(first);
    let second = store(dir.path());
    assert!((0..20).all(|number| has(&second, number)));
    assert_eq!(second.counts(), counts);
    assert!(second.get(&key(1), MINUTE - 1).is_some());
    assert!(second.get(&key(1), MINUTE).is_none());
}

#[test]
fn purging() {
    let dir = TempDir::new().unwrap();
    let store = store(dir.path());
    for (what, gone) in [
        (Purge::Key(key(7)), 1),
        (Purge::Key(key(60)), 0),
        (Purge::Tenant("key:a"), 15),
        (Purge::Model("o"), 10),
        (Purge::All, 30),
    ] {
        (0..30).for_each(|number| assert!(put(&store, number)));
        assert_eq!(store.purge(what), gone, "{what:?}");
        assert_eq!(store.counts().entries, 30 - gone);
        let found = (0..30).filter(|number| has(&store, *number)).count();
        assert_eq!(found as u64, 30 - gone);
        assert_eq!(store.counts().bytes, store.count().unwrap());
    }
    assert_eq!(store.counts(), Counts::default());
}

#[test]
fn the_file_is_bounded_and_the_oldest_go() {
    let dir = TempDir::new().unwrap();
    let store = store(dir.path());
    for number in 0..600 {
        assert!(put(&store, number), "{number}");
        // What is used stays.
        assert!(has(&store, 0), "{number}");
    }
    let counts = store.counts();
    assert!(counts.evicted > 0 && counts.bytes <= store.budget, "{counts:?}");
    assert!(counts.bytes > SIZE / 2, "{counts:?}");
    assert_eq!(counts.entries + counts.evicted, 600);
    let oldest = 600 - counts.entries + 1;
    assert!((oldest..600).all(|number| has(&store, number)));
    assert_eq!((1..oldest).filter(|number| has(&store, *number)).count(), 0);
    assert!(fs::metadata(dir.path().join("data.mdb")).unwrap().len() <= SIZE);
    assert!(!store.put(key(600), labels(0), vec![0; (SIZE / 8) as usize], 0));
}

#[test]
fn many_at_once_leave_the_books_in_order() {
    let dir = TempDir::new().unwrap();
    let store = store(dir.path());
    thread::scope(|scope| {
        for seed in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..40 {
                    let number = random.u64(0..200);
                    match random.u8(0..10) {
                        0 => drop(store.purge(Purge::Key(key(number)))),
                        1..6 => drop(has(store, number)),
                        _ => assert!(put(store, number)),
                    }
                }
            });
        }
    });
    let counts = store.counts();
    assert_eq!(counts.entries, (0..200).filter(|number| has(&store, *number)).count() as u64);
    assert_eq!(counts.bytes, store.count().unwrap());
}

#[test]
fn what_cannot_be_opened_says_why() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("data.mdb"), vec![1; 65536]).unwrap();
    let why = Lmdb::open(dir.path(), SIZE, Duration::ZERO).unwrap_err().to_string();
    assert!(why.contains("no cache can be kept here"), "{why}");
    fs::write(dir.path().join("data.mdb"), vec![1; SIZE as usize + 1]).unwrap();
    let why = Lmdb::open(dir.path(), SIZE, Duration::ZERO).unwrap_err().to_string();
    assert!(why.contains("more than the size"), "{why}");
}

// === kill -9 ===

const DIR: &str = "AIFD_TEST_LMDB_DIR";
const FROM: &str = "AIFD_TEST_LMDB_FROM";

/// Writes until it is killed, and tells what it has written.
fn write_until_killed(dir: &Path) {
    let store = store(dir);
    let from: u64 = std::env::var(FROM).unwrap().parse().unwrap();
    for number in from.. {
        assert!(put(&store, number));
        println!("\nput {number}");
    }
}

#[test]
fn the_store_survives_fifty_kills() {
    // The child that is killed is this test, told where to write.
    if let Some(dir) = std::env::var_os(DIR) {
        return write_until_killed(Path::new(&dir));
    }
    let dir = TempDir::new().unwrap();
    let mut from = 0;
    for round in 0..50 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cache::lmdb::tests::the_store_survives_fifty_kills", "--nocapture"])
            .env(DIR, dir.path())
            .env(FROM, from.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = lines.filter_map(|line| line.ok()?.strip_prefix("put ")?.parse::<u64>().ok());
        let last = told.take(1 + round % 7).last().expect("the child writes");
        child.kill().unwrap();
        child.wait().unwrap();

        let store = store(dir.path());
        assert!(has(&store, last), "round {round}: {last} was written");
        let found = (0..last + 100).filter(|number| has(&store, *number)).count();
        let counts = store.counts();
        assert_eq!(counts.entries, found as u64, "round {round}");
        assert_eq!(counts.bytes, store.count().unwrap());
        close(store);
        from = last + 50;
    }
}

proptest! {
    #[test]
    fn marks_there_and_back(age: u64, expires: u64, tenant: u64, model: u64, length: u64) {
        let mark = Mark { age, expires, labels: Labels { tenant, model }, length };
        prop_assert_eq!(Mark::read(&mark.bytes()), Some(mark));
        prop_assert_eq!(Mark::read(&mark.bytes()[1..]), None);
    }
}
