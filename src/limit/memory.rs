//! The counters of this process: a map in many parts, each under its lock.
//!
//! Why parts by caller: all counters of a caller lie in one, so an admission locks one or two of
//! them, looks at everything, and only then charges everything: no two admissions interleave.
//! The trap: locks are taken in the order of the parts, that of the shared counters last; and the
//! time is read under them, so that it never runs backwards from one admission to the next.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::in_flight::{Door, Place};
use super::rules::{Group, Kind, Limit, Plan, Rules};
use super::sweep::Broom;
use super::terms::{Booked, NEVER, Ticks};
use super::who;
use super::window::{Change, Counter};
use super::{Level, Standing, What, Who};

/// All counters of this process.
#[derive(Debug)]
pub(super) struct Memory {
    parts: Box<[Mutex<Part>]>,
    /// For addresses that found no place.
    shared: Mutex<Part>,
    /// Says in which part a caller is; its secret keeps clients from choosing theirs.
    hasher: RandomState,
    periods: Box<[Ticks]>,
    /// Counters of addresses, now and at most.
    addresses: (AtomicUsize, usize),
    broom: Broom,
}

/// What an admission took.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) place: Option<Place>,
    /// Where the tokens were booked, limit by limit.
    pub(super) booked: Vec<Booked>,
    pub(super) standing: Standing,
}

/// Why there was none.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) what: What,
    /// How long to wait; `None` when nobody knows.
    pub(super) wait: Option<Ticks>,
    pub(super) standing: Standing,
}

type Part = HashMap<CounterId, Counter>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CounterId {
    value: u64,
    kind: who::Kind,
    limit: u32,
}

/// The parts that one admission looks at.
struct Held<'a> {
    memory: &'a Memory,
    first: MutexGuard<'a, Part>,
    /// That of the other caller, if he is in another one.
    second: Option<(Who, MutexGuard<'a, Part>)>,
    shared: Option<MutexGuard<'a, Part>>,
}

const PARTS: usize = 256;

/// Addresses without a place share so many counters for each limit.
const SHARED: u64 = 1024;

// === impl Memory ===

impl Memory {
    pub(super) fn build(rules: &Rules, addresses: usize) -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            shared: Mutex::default(),
            hasher: RandomState::new(),
            periods: rules.periods().into(),
            addresses: (AtomicUsize::new(0), addresses.saturating_mul(rules.longest())),
            broom: Broom::default(),
        }
    }

    /// Charges every limit of the plan, or none.
    pub(super) fn admit(
        &self,
        plan: &Plan<'_>,
        door: Option<Door<'_>>,
        clock: impl FnOnce() -> Ticks,
    ) -> Result<Admitted, Refused> {
        let mut held = self.hold(plan.callers());
        let now = clock();
        let verdict = match held.worst(plan, now) {
            Some((what, wait)) => Err((what, (wait != NEVER).then_some(wait))),
            None => door.map(Door::enter).transpose().map_err(|most| (What::InFlight(most), None)),
        };
        let verdict = match verdict {
            Ok(place) => {
                let booked = held.charge(plan, now);
                Ok(Admitted { place, booked, standing: held.standing(plan, now) })
            }
            Err((what, wait)) => Err(Refused { what, wait, standing: held.standing(plan, now) }),
        };
        drop(held);
        self.sweep(now);
        verdict
    }

    /// Changes what was booked for the limits of one caller.
    pub(super) fn settle(
        &self,
        group: &Group<'_>,
        booked: &[Booked],
        change: Change,
        clock: impl FnOnce() -> Ticks,
    ) {
        let mut held = self.hold([group.who; 2]);
        let now = clock();
        for (limit, booked) in group.limits.iter().zip(booked) {
            held.counter(group.who, limit, now).settle(&limit.terms, *booked, change, now);
        }
    }

    /// What is left of the limits of a plan.
    #[cfg(test)]
    pub(super) fn standing(&self, plan: &Plan<'_>, now: Ticks) -> Standing {
        self.hold(plan.callers()).standing(plan, now)
    }

    /// How many counters there are.
    pub(super) fn counters(&self) -> usize {
        let parts = self.parts.iter().chain([&self.shared]);
        parts.map(|part| part.lock().len()).sum()
    }

    fn hold(&self, callers: [Who; 2]) -> Held<'_> {
        let [one, other] = callers.map(|who| (self.part_of(who), who));
        let (low, high) = if one.0 <= other.0 { (one, other) } else { (other, one) };
        let first = self.parts[low.0].lock();
        let second = (low.0 != high.0).then(|| (high.1, self.parts[high.0].lock()));
        Held { memory: self, first, second, shared: None }
    }

    fn part_of(&self, who: Who) -> usize {
        // Below the number of parts, so nothing is lost.
        (self.hasher.hash_one(who) % PARTS as u64) as usize
    }

    /// Takes a place for the counter of an address.
    fn take_place(&self) -> bool {
        let (held, most) = &self.addresses;
        let one_more = |held| (held < *most).then_some(held + 1);
        held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// Now and then, forgets the counters of a part that count nothing any longer.
    fn sweep(&self, now: Ticks) {
        let (held, most) = &self.addresses;
        let is_full = held.load(Ordering::Relaxed) >= *most;
        let Some(at) = self.broom.due(now, is_full, PARTS + 1) else {
            return;
        };
        let mut part = self.parts.get(at).unwrap_or(&self.shared).lock();
        let mut freed = 0;
        part.retain(|id, counter| {
            let stays = now < counter.ends(self.periods[id.limit as usize]);
            freed += usize::from(!stays && id.kind.is_address());
            stays
        });
        if part.capacity() > 4 * part.len() {
            let room = 2 * part.len();
            part.shrink_to(room);
        }
        drop(part);
        held.fetch_sub(freed, Ordering::Relaxed);
    }
}

// === impl CounterId ===

impl CounterId {
    /// Two words, where a [`Who`] beside a number would take three.
    fn of(who: Who, limit: &Limit) -> Self {
        Self { value: who.value, kind: who.kind, limit: limit.number }
    }
}

// === impl Held ===

impl Held<'_> {
    /// Which limit refuses, and for how long: that which does so longest.
    fn worst(&mut self, plan: &Plan<'_>, now: Ticks) -> Option<(What, Ticks)> {
        let mut worst = None;
        let mut longest = 0;
        for (group, limit) in plan.limits() {
            let counter = self.counter(group.who, limit, now);
            let wait = counter.refuse(&limit.terms, group.cost, now);
            if wait > longest {
                longest = wait;
                worst = Some((What::refused(group.kind, limit, wait), wait));
            }
        }
        worst
    }

    /// Charges all; gives where the tokens were booked.
    fn charge(&mut self, plan: &Plan<'_>, now: Ticks) -> Vec<Booked> {
        let mut tokens = Vec::new();
        for (group, limit) in plan.limits() {
            let booked = match group.cost {
                0 => now,
                cost => self.counter(group.who, limit, now).charge(&limit.terms, cost, now),
            };
            if group.kind == Kind::Tokens {
                tokens.push(booked);
            }
        }
        tokens
    }

    fn standing(&mut self, plan: &Plan<'_>, now: Ticks) -> Standing {
        let mut standing = Standing::default();
        for (group, limit) in plan.limits() {
            let counter = self.counter(group.who, limit, now);
            let used = counter.used(&limit.terms, now);
            let reset = counter.ends(limit.terms.period).saturating_sub(now);
            standing.note(group.kind, Level::of(limit, used, reset));
        }
        standing
    }

    fn counter(&mut self, who: Who, limit: &Limit, now: Ticks) -> &mut Counter {
        let (part, id) = self.find(who, limit, now);
        part.entry(id).or_insert_with(|| Counter::new(limit.terms.strategy))
    }

    /// Where the counter is. Whoever was counted in a shared one remains there until that counts
    /// nothing: with a fresh counter of his own he would have the limit twice.
    fn find(&mut self, who: Who, limit: &Limit, now: Ticks) -> (&mut Part, CounterId) {
        let memory = self.memory;
        let own = CounterId::of(who, limit);
        if !who.kind.is_address() || self.part(who).contains_key(&own) {
            return (self.part(who), own);
        }
        let hash = memory.hasher.hash_one(who);
        let slot = Who { kind: who::Kind::Shared, value: (hash >> 32) % SHARED };
        let slot = CounterId::of(slot, limit);
        let shared = self.shared.get_or_insert_with(|| memory.shared.lock());
        let ends = shared.get(&slot).map_or(0, |counter| counter.ends(limit.terms.period));
        if now < ends || !memory.take_place() {
            return (self.shared.as_mut().expect("just locked"), slot);
        }
        let part = self.part(who);
        part.insert(own, Counter::new(limit.terms.strategy));
        (part, own)
    }

    fn part(&mut self, who: Who) -> &mut Part {
        match &mut self.second {
            Some((second, part)) if *second == who => part,
            _ => &mut self.first,
        }
    }
}

#[cfg(test)]
mod tests;
