//! The counters of this process: a slot for each key, and a crowd of everybody else.
//!
//! Why a lock for each: all counters of a caller lie under one, so an admission takes one or two of
//! them, looks at everything, and only then charges everything: no two admissions interleave.
//! The trap: that of the key is taken first, that of the address behind it; and the time is read under
//! them, so that it never runs backwards between two admissions.

use parking_lot::{Mutex, MutexGuard};

use super::crowd::{Crowd, Gathered};
use super::keys::{Door, Keys, Place};
use super::rules::{Group, Kind, Limit, Plan, Rules};
use super::slot::Slot;
use super::sweep::Broom;
use super::terms::{Booked, NEVER, Ticks};
use super::who;
use super::window::{Change, Counter};
use super::{KeyId, Level, Standing, What, Who};

/// All counters of this process.
#[derive(Debug)]
pub(super) struct Memory {
    keys: Keys,
    crowd: Crowd,
    periods: Box<[Ticks]>,
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

/// What one admission looks at.
struct Held<'a> {
    slot: Option<MutexGuard<'a, Slot>>,
    crowd: Option<Gathered<'a>>,
}

/// Slots are swept in so many turns.
const TURNS: usize = 1024;

// === impl Memory ===

impl Memory {
    pub(super) fn build(rules: &Rules, addresses: usize) -> Self {
        Self {
            keys: rules.keys().clone(),
            crowd: Crowd::of(addresses.saturating_mul(rules.longest())),
            periods: rules.periods().into(),
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
        self.crowd.counters()
            + self.keys.slots(0, usize::MAX).map(|slot| slot.lock().counters()).sum::<usize>()
    }

    fn hold(&self, callers: [Who; 2]) -> Held<'_> {
        let slot = callers.iter().find_map(|who| self.slot(*who)).map(Mutex::lock);
        let other = callers.into_iter().find(|who| self.slot(*who).is_none());
        Held { slot, crowd: other.map(|who| self.crowd.hold(who)) }
    }

    /// `None` for who is no key, or one that we do not know.
    fn slot(&self, who: Who) -> Option<&Mutex<Slot>> {
        let number = u32::try_from(who.value).ok().filter(|_| who.kind == who::Kind::Key)?;
        self.keys.slot(KeyId(number))
    }

    /// Now and then, drops the counters that count nothing any longer.
    fn sweep(&self, now: Ticks) {
        if let Some(turn) = self.broom.due(now, self.crowd.is_full()) {
            self.crowd.sweep(turn, now, &self.periods);
            let length = self.keys.len().div_ceil(TURNS);
            let slots = self.keys.slots(turn % TURNS * length, length);
            // One that is in use is not idle.
            for mut slot in slots.filter_map(Mutex::try_lock) {
                slot.forget(now, &self.periods);
            }
        }
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
        let is_key = who.kind == who::Kind::Key;
        match (&mut self.slot, &mut self.crowd) {
            (Some(slot), _) if is_key => slot.counter(limit.number, limit.terms.strategy),
            (_, Some(crowd)) => crowd.counter(who, limit, now),
            _ => unreachable!("whoever is counted is held"),
        }
    }
}

#[cfg(test)]
mod tests;
