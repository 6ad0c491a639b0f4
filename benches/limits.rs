//! What a decision of the limiter costs at a million keys, by the clock and in memory.
//!
//! Why the resident size: it is what a machine must have, the allocator's own waste in it. The keys of
//! the configuration stay where they are meanwhile, so nothing of theirs is used again.

#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]

use std::hint::black_box;
use std::time::Duration;

use aifd::config::{CountBy, Key, LimitStore, Limits, OnStoreError, Rate, Strategy, Unit};
use aifd::limit::{Ask, Caller, KeyId, Limiter};
use aifd::secret::KeyDigest;
use criterion::{Criterion, criterion_group, criterion_main};
use tikv_jemallocator::Jemalloc;
use tokio::time::Instant;

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

const KEYS: u32 = 1_000_000;
const PAGE: usize = 4096;

/// Resident memory of this process, bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm");
    let pages = pages.ok().and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
    pages.expect("Linux tells how much memory a process has") * PAGE
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
        cache_group: None,
    }
}

fn limiter(strategy: Strategy, keys: &[Key]) -> Limiter {
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
    Limiter::build(&section, keys).expect("a store that needs no URL")
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
        let keys = vec![key(with_tokens, in_flight); KEYS as usize];
        let before = resident();
        let limiter = limiter(strategy, &keys);
        let now = Instant::now() + Duration::from_secs(1);
        // One or two hits in a period is what nearly all callers have; eight is a busy million.
        for (times, hits) in [(1, 1), (1, 2), (6, 8)] {
            fill(&limiter, times, tokens, now);
            let taken = resident().saturating_sub(before) / KEYS as usize;
            println!("{name}, hits a key {hits}: {taken} bytes a key");
            if hits == 1 {
                continue;
            }
            let mut random = fastrand::Rng::with_seed(1);
            group.bench_function(format!("{name}, hits a key {hits}"), |b| {
                b.iter(|| limiter.admit_at(ask(random.u32(..KEYS), tokens), now).ok());
            });
        }
    }
    group.finish();
}

criterion_group!(limits, decisions);
criterion_main!(limits);
