//! What the memory store takes in truth: fills it with 100,000 answers and asks the system.
//!
//! Why not beside the others: it needs a process of its own, with the allocator of the real one.
//! The trap: jemalloc gives pages back some seconds late. To see what is held without them:
//! `_RJEM_MALLOC_CONF=dirty_decay_ms:0 cargo bench --bench cache_memory`

#![expect(clippy::print_stdout, reason = "it is there to print")]

use std::time::Duration;

use aifd::cache::{Key, Labels, Memory, Store};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SIZE: u64 = 64 << 20;

fn main() {
    // `cargo bench` has an argument of its own.
    let most = std::env::args().nth(1).and_then(|most| most.parse().ok());
    let Some(most) = most else {
        // What one leaves behind in the allocator would be used again by the next.
        let exe = std::env::current_exe().expect("a program knows its own name");
        for most in ["600", "2000", "16000", "64000"] {
            let _ = std::process::Command::new(&exe).arg(most).status();
        }
        return;
    };
    let before = resident();
    let store = Memory::new(SIZE, Duration::from_secs(3600));
    let labels = Labels::of("key:alice", "gpt");
    let mut random = fastrand::Rng::with_seed(1);
    for number in 0..100_000_u64 {
        let key = Key::from_bytes(blake3::hash(&number.to_le_bytes()).into());
        store.put(key, labels, vec![1; random.usize(0..most)], 0);
        // Read once, so that what is shared with readers is there.
        drop(store.get(&key, 0));
    }
    let counts = store.counts();
    let taken = resident().saturating_sub(before);
    println!(
        "answers up to {most} bytes: {} entries, {} evicted, {:.1} MiB counted, {:.1} MiB taken ({:+.1} %)",
        counts.entries,
        counts.evicted,
        mebi(counts.bytes),
        mebi(taken),
        (taken as f64 / counts.bytes as f64 - 1.0) * 100.0
    );
}

/// Memory of this process that is in use, bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

fn mebi(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
