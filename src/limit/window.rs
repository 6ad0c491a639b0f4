//! One counter: how much of one limit one caller has used. Pure; time comes in.
//!
//! Why costs and not hits: a request costs one, and the tokens of a request many; both keep the same
//! windows. A window is half open: what was counted at `t` is free again at `t` + period.
//! The trap: only what was admitted is charged; a refusal changes nothing, except that it lets an
//! elastic window begin anew, as its strategy says.

use super::moving::Log;
use super::terms::{Booked, NEVER, Terms, Ticks};
use crate::config::Strategy;

/// What one caller has used of one limit.
#[derive(Debug)]
pub(super) enum Counter {
    /// Both strategies with a window that begins at its first hit.
    Fixed(Window),
    /// The last period, at any moment.
    Moving(Log),
}

/// A window that began with its first hit.
#[derive(Debug, Default)]
pub(super) struct Window {
    began: Ticks,
    ends: Ticks,
    used: u64,
}

// === impl Counter ===

impl Counter {
    pub(super) fn new(strategy: Strategy) -> Self {
        match strategy {
            Strategy::MovingWindow => Self::Moving(Log::default()),
            Strategy::FixedWindow | Strategy::FixedWindowElasticExpiry => {
                Self::Fixed(Window::default())
            }
        }
    }

    /// How long until `cost` can be admitted, if nobody else comes; 0 for now.
    pub(super) fn wait(&self, terms: &Terms, cost: u64, now: Ticks) -> Ticks {
        if cost > terms.amount {
            return NEVER;
        }
        match self {
            // A cost of nothing fits everywhere, also where there is debt.
            _ if cost == 0 => 0,
            Self::Fixed(window) => window.wait(terms, cost, now),
            Self::Moving(log) => log.wait(terms, cost, now),
        }
    }

    /// Takes note of a refusal; gives the wait that holds from here on.
    pub(super) fn refuse(&mut self, terms: &Terms, cost: u64, now: Ticks) -> Ticks {
        let wait = self.wait(terms, cost, now);
        match self {
            Self::Fixed(window) if terms.is_elastic() && wait > 0 && wait != NEVER => {
                window.ends = window.ends.max(now + terms.period);
                window.ends - now
            }
            _ => wait,
        }
    }

    /// Charges what was found admissible.
    pub(super) fn charge(&mut self, terms: &Terms, cost: u64, now: Ticks) -> Booked {
        match self {
            Self::Fixed(window) => {
                window.add(terms, cost, now);
                if terms.is_elastic() {
                    window.ends = window.ends.max(now + terms.period);
                }
                window.began
            }
            Self::Moving(log) => log.add(terms.period, cost, now),
        }
    }

    /// Changes a charge. What was too much is given back to the window it was booked in, if that
    /// still counts; what was too little is charged now, beyond the limit if it has to be.
    pub(super) fn settle(&mut self, terms: &Terms, booked: Booked, change: Change, now: Ticks) {
        match (self, change) {
            (Self::Fixed(window), Change::More(cost)) => window.add(terms, cost, now),
            (Self::Moving(log), Change::More(cost)) => {
                log.add(terms.period, cost, now);
            }
            (Self::Fixed(window), Change::Less(cost)) => window.take(booked, cost),
            (Self::Moving(log), Change::Less(cost)) => log.take(terms.period, booked, cost, now),
        }
    }

    /// What is used at the moment.
    pub(super) fn used(&self, terms: &Terms, now: Ticks) -> u64 {
        match self {
            Self::Fixed(window) if now < window.ends => window.used,
            Self::Fixed(_) => 0,
            Self::Moving(log) => log.used(terms.period, now),
        }
    }

    /// When nothing of it will count any longer; in the past when nothing does.
    pub(super) fn ends(&self, period: Ticks) -> Ticks {
        match self {
            Self::Fixed(window) => window.ends,
            Self::Moving(log) => log.newest().map_or(0, |end| end + period),
        }
    }
}

/// The difference between what was reserved and what it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    More(u64),
    Less(u64),
}

// === impl Change ===

impl Change {
    pub(super) fn between(from: u64, to: u64) -> Self {
        if to >= from { Self::More(to - from) } else { Self::Less(from - to) }
    }

    pub(super) fn is_nothing(self) -> bool {
        matches!(self, Self::More(0) | Self::Less(0))
    }
}

// === impl Window ===

impl Window {
    fn wait(&self, terms: &Terms, cost: u64, now: Ticks) -> Ticks {
        let fits = self.used + cost <= terms.amount;
        if fits || now >= self.ends { 0 } else { self.ends - now }
    }

    fn add(&mut self, terms: &Terms, cost: u64, now: Ticks) {
        if now >= self.ends {
            *self = Self { began: now, ends: now + terms.period, used: 0 };
        }
        self.used += cost;
    }

    fn take(&mut self, booked: Booked, cost: u64) {
        if self.began == booked {
            self.used = self.used.saturating_sub(cost);
        }
    }
}

#[cfg(test)]
mod tests;
