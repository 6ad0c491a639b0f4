//! What was admitted in the last period, in little memory.
//!
//! Why three forms: nearly all callers have one or two hits in a period, which need no heap; some
//! have a few hundred, each kept with its exact time; the busy ones have any number, kept in bins.
//! A hit in a bin counts as if it came at the bin's end, so there is never one too many, and at
//! most a 256th of the limit is lost.

use std::collections::VecDeque;

use super::terms::{Booked, Terms, Ticks};

/// What was admitted, oldest first.
#[derive(Debug)]
pub(super) enum Log {
    /// Up to two hits; one that costs nothing is none, and comes last.
    Few([Hit; 2]),
    /// Any number.
    Many(Many),
}

#[derive(Debug)]
pub(super) struct Many {
    /// Whether new hits go into bins.
    binned: bool,
    /// The cost of all.
    used: u64,
    /// At least one.
    hits: VecDeque<Hit>,
}

/// One hit, or a bin of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hit {
    /// Its time, or the end of its bin: it counts until a period later.
    end: Ticks,
    cost: u64,
}

/// So many hits are kept with their exact times.
const EXACT: usize = 256;

/// So many bins make a period.
const BINS: Ticks = 256;

// === impl Log ===

impl Default for Log {
    fn default() -> Self {
        Self::Few([Hit::default(); 2])
    }
}

impl Log {
    pub(super) fn used(&self, period: Ticks, now: Ticks) -> u64 {
        match self {
            Self::Few(hits) => {
                let counted = hits.iter().filter(|hit| hit.counts(period, now));
                counted.fold(0, |used, hit| used + hit.cost)
            }
            Self::Many(many) => {
                let gone = many.hits.iter().take_while(|hit| !hit.counts(period, now));
                gone.fold(many.used, |used, hit| used - hit.cost)
            }
        }
    }

    /// The end of the newest hit; one that was given back in full is none.
    pub(super) fn newest(&self) -> Option<Ticks> {
        let newest = match self {
            Self::Few(hits) => hits.iter().rfind(|hit| hit.cost > 0),
            Self::Many(many) => many.hits.iter().rfind(|hit| hit.cost > 0),
        };
        newest.map(|hit| hit.end)
    }

    /// How long until `cost`, which is at most the amount, fits.
    pub(super) fn wait(&self, terms: &Terms, cost: u64, now: Ticks) -> Ticks {
        let used = self.used(terms.period, now);
        let mut excess = (used + cost).saturating_sub(terms.amount);
        if excess == 0 {
            return 0;
        }
        let mut counted = self.hits().filter(|hit| hit.counts(terms.period, now));
        let last = counted.find(|hit| {
            excess = excess.saturating_sub(hit.cost);
            excess == 0
        });
        last.map_or(0, |hit| hit.end + terms.period - now)
    }

    /// Books a hit.
    pub(super) fn add(&mut self, period: Ticks, cost: u64, now: Ticks) -> Booked {
        self.forget(period, now);
        match self {
            Self::Few(hits) => {
                let at = hits[0].end.max(hits[1].end).max(now);
                let free = hits.iter_mut().find(|hit| hit.cost == 0 || hit.end == at);
                if let Some(hit) = free {
                    *hit = Hit { end: at, cost: hit.cost + cost };
                } else {
                    let hits = hits.iter().copied().chain([Hit { end: at, cost }]).collect();
                    *self = Self::Many(Many::of(hits));
                }
                at
            }
            Self::Many(many) => many.add(period, cost, now),
        }
    }

    /// Gives back `cost` of what was booked.
    pub(super) fn take(&mut self, period: Ticks, booked: Booked, cost: u64, now: Ticks) {
        if booked + period <= now {
            return;
        }
        match self {
            Self::Few(hits) => {
                if let Some(hit) = hits.iter_mut().find(|hit| hit.end >= booked) {
                    hit.cost = hit.cost.saturating_sub(cost);
                }
                if hits[0].cost == 0 {
                    *hits = [hits[1], Hit::default()];
                }
            }
            Self::Many(many) => many.take(booked, cost),
        }
    }

    fn forget(&mut self, period: Ticks, now: Ticks) {
        match self {
            Self::Few(hits) => {
                while hits[0].cost > 0 && !hits[0].counts(period, now) {
                    *hits = [hits[1], Hit::default()];
                }
            }
            Self::Many(many) => {
                many.forget(period, now);
                if many.hits.is_empty() {
                    *self = Self::default();
                }
            }
        }
    }

    fn hits(&self) -> impl Iterator<Item = &Hit> {
        let (few, many) = match self {
            Self::Few(hits) => (hits.as_slice(), None),
            Self::Many(many) => ([].as_slice(), Some(&many.hits)),
        };
        few.iter().chain(many.into_iter().flatten())
    }
}

// === impl Many ===

impl Many {
    fn of(hits: VecDeque<Hit>) -> Self {
        let used = hits.iter().fold(0, |used, hit| used + hit.cost);
        Self { binned: false, used, hits }
    }

    fn add(&mut self, period: Ticks, cost: u64, now: Ticks) -> Booked {
        if !self.binned && self.hits.len() >= EXACT {
            self.bin(period);
        }
        let time = if self.binned { bin_end(period, now) } else { now };
        // Time goes on: a hit never stands before one that was booked already.
        let end = self.hits.back().map_or(time, |hit| hit.end.max(time));
        self.used += cost;
        self.push(Hit { end, cost });
        end
    }

    fn push(&mut self, hit: Hit) {
        match self.hits.back_mut() {
            Some(last) if last.end == hit.end => last.cost += hit.cost,
            _ => self.hits.push_back(hit),
        }
    }

    /// From exact times to bins.
    fn bin(&mut self, period: Ticks) {
        self.binned = true;
        for hit in std::mem::take(&mut self.hits) {
            self.push(Hit { end: bin_end(period, hit.end), ..hit });
        }
    }

    fn take(&mut self, booked: Booked, cost: u64) {
        // A bin ends at or behind what is in it, and no other one ends between.
        let at = self.hits.partition_point(|hit| hit.end < booked);
        if let Some(hit) = self.hits.get_mut(at) {
            let back = hit.cost.min(cost);
            hit.cost -= back;
            self.used -= back;
        }
    }

    fn forget(&mut self, period: Ticks, now: Ticks) {
        while self.hits.front().is_some_and(|hit| !hit.counts(period, now)) {
            self.used -= self.hits.pop_front().map_or(0, |hit| hit.cost);
        }
    }
}

/// The end of the bin in which `at` falls. A bin is a 256th of the period, and its end belongs to it.
fn bin_end(period: Ticks, at: Ticks) -> Ticks {
    let length = (period / BINS).max(1);
    at.div_ceil(length) * length
}

// === impl Hit ===

impl Hit {
    fn counts(&self, period: Ticks, now: Ticks) -> bool {
        now < self.end + period
    }
}

#[cfg(test)]
mod tests;
