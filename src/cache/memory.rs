//! A store in memory, bounded in bytes: what was not used for longest goes first.
//!
//! Why it counts more than the bytes it is given: the table, the list and the allocator take their
//! share, and it is memory that runs out. [`cost`] says how much; see `benches/cache_memory.rs`.
//! The trap: shards have no bound of their own, or many small and a few large entries would evict
//! each other by chance. All spend one budget, and the oldest of all shards goes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;

use super::Key;
use super::store::{Counts, Labels, Purge, Store};

/// How many may be at it at once.
const SHARDS: usize = 16;

/// What an entry takes besides its bytes: its node (112), its place in the table (17 bytes at half
/// to seven eighths full) and what shares its bytes with readers (32).
const OVERHEAD: usize = 184;

/// Beyond this the allocator hands out whole pages, and one more to begin anywhere in the first.
const LARGEST_SMALL: usize = 14 * 1024;
const PAGE: usize = 4096;

/// The store.
#[derive(Debug)]
pub struct Memory {
    shards: [Mutex<LruCache<Key, Slot>>; SHARDS],
    /// Most bytes.
    size: u64,
    /// How long an entry is good, milliseconds.
    ttl: u64,
    bytes: AtomicU64,
    evicted: AtomicU64,
    /// Counts uses, so that entries of two shards can be told apart by age.
    clock: AtomicU64,
}

#[derive(Debug)]
struct Slot {
    entry: Bytes,
    labels: Labels,
    /// When it is good no longer, milliseconds from the epoch.
    expires: u64,
    /// When it was used last, by the store's own clock.
    used: u64,
}

// === impl Memory ===

impl Memory {
    /// A store of `size` bytes for entries that are good for `ttl`.
    #[must_use]
    pub fn new(size: u64, ttl: Duration) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::new(LruCache::unbounded())),
            size,
            ttl: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
            bytes: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            clock: AtomicU64::new(0),
        }
    }

    /// Lets go of the entry that was not used for longest; false if there is none.
    fn evict(&self) -> bool {
        let oldest = self.shards.iter().filter_map(|shard| {
            let used = shard.lock().peek_lru().map(|(_, slot)| slot.used)?;
            Some((used, shard))
        });
        let Some((_, shard)) = oldest.min_by_key(|(used, _)| *used) else {
            return false;
        };
        // Another may have taken it meanwhile; then the loop comes again.
        if let Some((_, slot)) = shard.lock().pop_lru() {
            self.gone(&slot);
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    fn gone(&self, slot: &Slot) {
        self.bytes.fetch_sub(cost(slot.entry.len()), Ordering::Relaxed);
    }

    fn shard(&self, key: &Key) -> &Mutex<LruCache<Key, Slot>> {
        &self.shards[usize::from(key.as_bytes()[0]) % SHARDS]
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}

impl Store for Memory {
    fn get(&self, key: &Key, now: u64) -> Option<Bytes> {
        let mut shard = self.shard(key).lock();
        let slot = shard.get_mut(key)?;
        if slot.expires > now {
            slot.used = self.tick();
            return Some(slot.entry.clone());
        }
        let slot = shard.pop(key)?;
        self.gone(&slot);
        None
    }

    fn put(&self, key: Key, labels: Labels, entry: Vec<u8>, now: u64) -> bool {
        // Room that nothing stands in would not be counted.
        let entry = Bytes::from(entry.into_boxed_slice());
        let cost = cost(entry.len());
        if cost > self.size {
            return false;
        }
        // Spent before it is taken: two at once cannot have the same room.
        self.bytes.fetch_add(cost, Ordering::Relaxed);
        while self.bytes.load(Ordering::Relaxed) > self.size && self.evict() {}
        let expires = now.saturating_add(self.ttl);
        let mut shard = self.shard(&key).lock();
        let slot = Slot { entry, labels, expires, used: self.tick() };
        if let Some(before) = shard.put(key, slot) {
            self.gone(&before);
        }
        true
    }

    fn purge(&self, what: Purge<'_>) -> u64 {
        let goes = what.test();
        let mut count = 0;
        for shard in &self.shards {
            let mut shard = shard.lock();
            let keys = shard.iter().filter(|(key, slot)| goes(key, slot.labels));
            let keys: Vec<_> = keys.map(|(key, _)| *key).collect();
            for key in keys {
                if let Some(slot) = shard.pop(&key) {
                    self.gone(&slot);
                    count += 1;
                }
            }
        }
        count
    }

    fn counts(&self) -> Counts {
        let entries: usize = self.shards.iter().map(|shard| shard.lock().len()).sum();
        Counts {
            entries: entries as u64,
            bytes: self.bytes.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }
}

/// What an entry of so many bytes takes of the memory. jemalloc rounds up to one of four sizes
/// between a power of two and the next, and where entries come and go a 32nd of its slabs is empty.
fn cost(length: usize) -> u64 {
    let step = (length.next_power_of_two() / 8).max(16);
    let rounded = length.next_multiple_of(step);
    let page = if rounded > LARGEST_SMALL { PAGE } else { 0 };
    (rounded + rounded / 32 + page + OVERHEAD) as u64
}

#[cfg(test)]
mod tests;
