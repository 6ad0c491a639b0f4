//! A request that was let in, and what it holds: its place, and the tokens reserved for it.
//!
//! Why the place comes back by itself and the tokens do not: when a request has ended nothing is under
//! way, whatever the end; but what it used nobody knows unless somebody says so.

use tokio::time::Instant;

use super::keys::Place;
use super::redis::Tokens;
use super::terms::Booked;
use super::window::Change;
use super::{Caller, Limiter, Standing};

/// A request that was let in. Its place among those under way is given back when this drops.
#[derive(Debug)]
#[must_use = "the request is under way as long as this lives"]
pub struct Permit {
    reservation: Option<Reservation>,
    standing: Standing,
    _place: Option<Place>,
}

/// Tokens that were charged before they were used.
#[derive(Debug)]
pub(super) struct Reservation {
    pub(super) limiter: Limiter,
    pub(super) caller: Caller,
    pub(super) reserved: u64,
    pub(super) booked: Where,
}

/// Where tokens were booked, limit by limit.
#[derive(Debug)]
pub(super) enum Where {
    Memory(Vec<Booked>),
    Redis(Tokens),
}

/// No settlement is more, whatever an upstream says: so many of them fit into a counter.
const SETTLED_MOST: u64 = 1 << 32;

// === impl Permit ===

impl Permit {
    /// The tokens it came to, in place of those that were reserved. More than the limit has left are
    /// charged all the same, and later requests wait for them. Only the first settlement counts.
    pub fn settle(&mut self, tokens: u64) {
        self.settle_when(tokens, Instant::now);
    }

    /// The same at a given time.
    #[cfg(test)]
    pub(super) fn settle_at(&mut self, tokens: u64, now: Instant) {
        self.settle_when(tokens, || now);
    }

    /// What was left when it was let in; `None` where nothing is limited.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        let Standing { requests, tokens } = self.standing;
        (requests.is_some() || tokens.is_some()).then_some(self.standing)
    }

    pub(super) fn of(
        reservation: Option<Reservation>,
        standing: Standing,
        place: Option<Place>,
    ) -> Self {
        Self { reservation, standing, _place: place }
    }

    fn settle_when(&mut self, tokens: u64, now: impl Fn() -> Instant) {
        let Some(Reservation { limiter, caller, reserved, booked }) = self.reservation.take()
        else {
            return;
        };
        let change = Change::between(reserved, tokens.min(reserved.max(SETTLED_MOST)));
        if change.is_nothing() {
            return;
        }
        match booked {
            Where::Memory(booked) => limiter.settle(&caller, Some(booked), change, now),
            Where::Redis(tokens) => tokens.settle(change, move || {
                // A debt is kept here at least, where it counts as long as Redis is away.
                if let Change::More(_) = change {
                    limiter.settle(&caller, None, change, Instant::now);
                }
            }),
        }
    }
}
