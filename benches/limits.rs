//! What a decision of the limiter costs at a million keys, by the clock and in memory.
//!
//! Why with an allocator that counts: what a key costs is what was asked of the allocator for it, and
//! the resident size of a process says that only after the fact.

#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]
#![expect(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aifd::config::{CountBy, Key, LimitStore, Limits, OnStoreError, Rate, Strategy, Unit};
use aifd::limit::{Ask, Caller, KeyId, Limiter};
use aifd::secret::KeyDigest;
use criterion::{Criterion, criterion_group, criterion_main};
use tikv_jemallocator::Jemalloc;
use tokio::time::Instant;

/// The allocator of the binary, with a count of what is taken.
struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const KEYS: u32 = 1_000_000;

// SAFETY: every call goes on to the real allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { Jemalloc.dealloc(at, layout) }
    }
}

fn key(tokens: bool, in_flight: usize) -> Key {
    let rate = |amount| Rate { amount, multiple: 1, unit: Unit::Minute };
    Key {
        name: String::new(),
        digest: KeyDigest::of(b""),
        origin: String::new(),
        level: 0,
        models: Vec::new(),
        requests: vec![rate(1_000)],
        tokens: if tokens { vec![rate(1_000_000)] } else { Vec::new() },
        in_flight: std::num::NonZeroUsize::new(in_flight),
        pace: None,
    }
}

fn limiter(strategy: Strategy, key: &Key) -> Limiter {
    let section = Limits {
        strategy,
        store: LimitStore::Memory,
        on_store_error: OnStoreError::Allow,
        by: CountBy::Key,
        global: Vec::new(),
        rules: Vec::new(),
        addresses: 1_000_000,
        shield: None,
    };
    let keys: Vec<Key> = (0..KEYS).map(|_| key.clone()).collect();
    Limiter::build(&section, &keys).expect("the store in memory")
}

fn ask(key: u32, tokens: u64) -> Ask<'static> {
    let caller = Caller { key: Some(KeyId(key)), client: None, level: 0 };
    Ask { caller, path: "/v1/chat/completions", tokens }
}

/// Every key once, so many times; the keys in an order that no cache foresees.
fn fill(limiter: &Limiter, times: u32, tokens: u64, now: Instant) {
    for turn in 0..times {
        for at in 0..KEYS {
            let key = (u64::from(at) * 7_368_787 % u64::from(KEYS)) as u32;
            let now = now + Duration::from_nanos(u64::from(turn * KEYS + at));
            drop(black_box(limiter.admit_at(ask(key, tokens), now)));
        }
    }
}

fn decisions(c: &mut Criterion) {
    let cases = [
        ("fixed window", Strategy::FixedWindow, false, 0),
        ("moving window", Strategy::MovingWindow, false, 0),
        ("moving window, tokens, in flight", Strategy::MovingWindow, true, 8),
    ];
    let mut group = c.benchmark_group("decision at 1,000,000 keys");
    for (name, strategy, with_tokens, in_flight) in cases {
        let tokens = if with_tokens { 500 } else { 0 };
        let key = key(with_tokens, in_flight);
        let before = TAKEN.load(Ordering::Relaxed);
        let limiter = limiter(strategy, &key);
        let now = Instant::now() + Duration::from_secs(1);
        for times in [1, 1, 6] {
            fill(&limiter, times, tokens, now);
            let taken = TAKEN.load(Ordering::Relaxed) - before;
            println!("{name}: {} bytes a key", taken / KEYS as usize);
        }
        let mut random = fastrand::Rng::with_seed(1);
        group.bench_function(name, |b| {
            b.iter(|| limiter.admit_at(ask(random.u32(..KEYS), tokens), now).ok());
        });
    }
    group.finish();
}

criterion_group!(limits, decisions);
criterion_main!(limits);
