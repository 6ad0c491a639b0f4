//! A shelf before stores that do not do what they should.

use std::sync::mpsc::{Receiver, channel};

use parking_lot::Mutex;

use super::*;

/// Answers nothing until the other end is dropped.
#[derive(Debug)]
struct Stuck(Mutex<Receiver<()>>, AtomicU64);

impl Store for Stuck {
    fn get(&self, _: &Key, _: u64) -> Option<bytes::Bytes> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let _ = self.0.lock().recv();
        None
    }

    fn put(&self, _: Key, _: Labels, _: Vec<u8>, _: u64) -> bool {
        false
    }

    fn purge(&self, _: Purge<'_>) -> u64 {
        0
    }

    fn counts(&self) -> Counts {
        Counts::default()
    }
}

fn shelf(kept: Kept) -> Shelf {
    let conf = "[[upstream]]\nname = \"u\"\nhosts = [\"http://h\"]\n\
                [[key]]\nname = \"k\"\nsecret = \"fk-0123456789\"\n";
    Shelf {
        rules: config::parse(conf, "test").unwrap().cache,
        fills: Fills::new(1 << 20),
        served: Served::default(),
        lost: Arc::default(),
        kept,
        late: Late::default(),
        purges: Arc::default(),
        puts: AtomicU64::new(0),
    }
}

#[tokio::test]
async fn a_request_waits_once_for_a_store_that_hangs() {
    let (_held, stuck) = channel();
    let stuck = Arc::new(Stuck(Mutex::new(stuck), AtomicU64::new(0)));
    let shelf = shelf(Kept::OnDisk(stuck.clone(), Arc::new(Semaphore::new(TURNS))));
    let key = Key::from_bytes([1; 32]);
    assert!(shelf.get(key).await.is_none());
    // From now on nobody can wait.
    tokio::time::pause();
    assert!(shelf.get(key).await.is_none());
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    assert_eq!((count(&stuck.1), count(&shelf.lost.reads)), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_asked_for_again_after_a_while() {
    let late = Late::default();
    let keys = [1, 2].map(|byte| Key::from_bytes([byte; 32]));
    late.note(keys[0]);
    assert!(late.knows(&keys[0], PATIENCE) && !late.knows(&keys[1], PATIENCE));
    tokio::time::advance(PATIENCE).await;
    assert!(!late.knows(&keys[0], PATIENCE));
    (0..1000).for_each(|_| late.note(keys[1]));
    assert!(late.knows(&keys[1], PATIENCE));
}
