//! Why a request was not let in, when it may come again, and what is left of its limits.
//!
//! Why one limit of several: whoever waits for the one that takes longest is let in by all.

use std::cmp::Reverse;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::memory::Refused;
use super::rules::{Kind, Limit};
use super::terms::{NEVER, Ticks};
use crate::config::Rate;

/// Why a request was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// What would have been too much. Of several limits, the one that takes longest.
    pub what: What,
    /// After this time it is let in, if nobody else comes; `None` when no time is known, or no time
    /// will help.
    pub retry_after: Option<Duration>,
    /// What is left.
    pub standing: Standing,
}

/// What would have been too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Another request.
    Requests(Rate),
    /// So many tokens, now.
    Tokens(Rate),
    /// So many tokens, ever: they are more than the limit.
    TooLarge(Rate),
    /// Another request at the same time as so many.
    InFlight(NonZeroUsize),
    /// Nothing: the store that counts for all nodes does not answer, and without it nobody is let in.
    StoreAway,
}

/// What is left of the limits that were asked; `None` where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Of the limits of requests, the one that is nearest to its end.
    pub requests: Option<Level>,
    /// The same of the limits of tokens.
    pub tokens: Option<Level>,
}

/// What is left of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Its amount.
    pub limit: u64,
    /// What is left of it now.
    pub remaining: u64,
    /// After this time all of it is there again, if nobody comes.
    pub reset: Duration,
}

// === impl Denied ===

impl Denied {
    pub(super) fn in_flight(most: NonZeroUsize) -> Box<Self> {
        Box::new(Self::of(What::InFlight(most)))
    }

    pub(super) fn by_nobody() -> Box<Self> {
        Box::new(Self::of(What::StoreAway))
    }

    fn of(what: What) -> Self {
        Self { what, retry_after: None, standing: Standing::default() }
    }
}

impl From<Refused> for Denied {
    fn from(Refused { what, wait, standing }: Refused) -> Self {
        Self { what, retry_after: wait.map(Duration::from_nanos), standing }
    }
}

// === impl What ===

impl What {
    pub(super) fn refused(kind: Kind, limit: &Limit, wait: Ticks) -> Self {
        match kind {
            Kind::Requests => Self::Requests(limit.rate),
            Kind::Tokens if wait == NEVER => Self::TooLarge(limit.rate),
            Kind::Tokens => Self::Tokens(limit.rate),
        }
    }
}

// === impl Standing ===

impl Standing {
    pub(super) fn note(&mut self, kind: Kind, level: Level) {
        let known = match kind {
            Kind::Requests => &mut self.requests,
            Kind::Tokens => &mut self.tokens,
        };
        let tighter = |known: Level| {
            let by = |level: Level| (level.remaining, Reverse(level.reset));
            by(level) < by(known)
        };
        if known.is_none_or(tighter) {
            *known = Some(level);
        }
    }
}

// === impl Level ===

impl Level {
    pub(super) fn of(limit: &Limit, used: u64, reset: Ticks) -> Self {
        let amount = limit.terms.amount;
        let (remaining, reset) = (amount.saturating_sub(used), Duration::from_nanos(reset));
        Self { limit: amount, remaining, reset }
    }
}
