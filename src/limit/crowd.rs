//! The counters of those who have no key: a map in many parts, each under its lock.
//!
//! Why bounded: anybody can come with a new address. When all places are taken, newcomers share
//! counters: some of them have less than the limit then, nobody has more.
//! The trap: whoever was counted in a shared one remains there until that counts nothing. With a fresh
//! counter of his own he would have the limit twice.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::rules::Limit;
use super::terms::Ticks;
use super::who::{Kind, Who};
use super::window::Counter;

/// All of them.
#[derive(Debug)]
pub(super) struct Crowd {
    parts: Box<[Mutex<Part>]>,
    /// For addresses that found no place.
    shared: Mutex<Part>,
    /// Says in which part a caller is; its secret keeps clients from choosing theirs.
    hasher: RandomState,
    /// Counters of addresses, now and at most.
    addresses: (AtomicUsize, usize),
}

/// The counters of one caller, and of others in the same part.
pub(super) struct Gathered<'a> {
    crowd: &'a Crowd,
    part: MutexGuard<'a, Part>,
    /// Always locked behind the part.
    shared: Option<MutexGuard<'a, Part>>,
}

type Part = HashMap<CounterId, Counter>;

/// Two words, where a [`Who`] beside a number would take three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CounterId {
    value: u64,
    kind: Kind,
    limit: u32,
}

const PARTS: usize = 256;

/// Addresses without a place share so many counters for each limit.
pub(super) const SHARED: u64 = 1024;

// === impl Crowd ===

impl Crowd {
    pub(super) fn of(most: usize) -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            shared: Mutex::default(),
            hasher: RandomState::new(),
            addresses: (AtomicUsize::new(0), most),
        }
    }

    /// Nobody else of this part comes in as long as this lives.
    pub(super) fn hold(&self, who: Who) -> Gathered<'_> {
        // Below the number of parts, so nothing is lost.
        let at = (self.hasher.hash_one(who) % PARTS as u64) as usize;
        Gathered { crowd: self, part: self.parts[at].lock(), shared: None }
    }

    pub(super) fn counters(&self) -> usize {
        self.parts.iter().chain([&self.shared]).map(|part| part.lock().len()).sum()
    }

    /// Places that are taken.
    pub(super) fn addresses(&self) -> usize {
        self.addresses.0.load(Ordering::Relaxed)
    }

    pub(super) fn is_full(&self) -> bool {
        self.addresses() >= self.addresses.1
    }

    /// Drops the counters of a part that count nothing any longer.
    pub(super) fn sweep(&self, turn: usize, now: Ticks, periods: &[Ticks]) {
        let mut part = self.parts.get(turn % (PARTS + 1)).unwrap_or(&self.shared).lock();
        let mut freed = 0;
        part.retain(|id, counter| {
            let stays = now < counter.ends(periods[id.limit as usize]);
            freed += usize::from(!stays && id.kind.is_address());
            stays
        });
        if part.capacity() > 4 * part.len() {
            let room = 2 * part.len();
            part.shrink_to(room);
        }
        drop(part);
        self.addresses.0.fetch_sub(freed, Ordering::Relaxed);
    }

    /// Takes a place for the counter of an address.
    fn take_place(&self) -> bool {
        let (held, most) = &self.addresses;
        let one_more = |held| (held < *most).then_some(held + 1);
        held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.parts.iter().map(|part| part.lock().capacity()).sum()
    }
}

// === impl Gathered ===

impl Gathered<'_> {
    pub(super) fn counter(&mut self, who: Who, limit: &Limit, now: Ticks) -> &mut Counter {
        let (part, id) = self.find(who, limit, now);
        part.entry(id).or_insert_with(|| Counter::new(limit.terms.strategy))
    }

    fn find(&mut self, who: Who, limit: &Limit, now: Ticks) -> (&mut Part, CounterId) {
        let own = CounterId::of(who, limit);
        if !who.kind.is_address() || self.part.contains_key(&own) {
            return (&mut self.part, own);
        }
        let crowd = self.crowd;
        let value = (crowd.hasher.hash_one(who) >> 32) % SHARED;
        let with_others = CounterId::of(Who { kind: Kind::Shared, value }, limit);
        let shared = self.shared.get_or_insert_with(|| crowd.shared.lock());
        let ends = shared.get(&with_others).map_or(0, |counter| counter.ends(limit.terms.period));
        if now < ends || !crowd.take_place() {
            return (shared, with_others);
        }
        self.part.insert(own, Counter::new(limit.terms.strategy));
        (&mut self.part, own)
    }
}

// === impl CounterId ===

impl CounterId {
    fn of(who: Who, limit: &Limit) -> Self {
        Self { value: who.value, kind: who.kind, limit: limit.number }
    }
}
