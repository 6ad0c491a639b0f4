//! How much each caller may do: requests and tokens in a time, and requests at once.
//!
//! Why one admission for all of them: whoever is refused by one limit is charged by none, and two
//! requests at the same moment cannot both take what is left for one. A limit is exact, for any
//! interleaving: in no window of its strategy is there one too many.
//! The trap: what a request costs in tokens is known at its end. It is reserved when it comes in, and
//! a [`Permit`] that drops without [`Permit::settle`] stays charged as it was reserved.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use in_flight::{InFlight, Place};
use memory::{Admitted, Memory, Refused};
use rules::{Kind, Limit, Rules};
use who::Who;
use window::{Booked, Change, NEVER, Ticks};

use crate::config::{Key, Limits, Rate};

mod in_flight;
mod memory;
mod moving;
mod rules;
mod sweep;
#[cfg(test)]
mod tests;
mod who;
mod window;

/// All limits, and what is used of them.
#[derive(Debug, Clone)]
pub struct Limiter(Arc<Inner>);

/// A key, by its place among the keys of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub u32);

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Its key, if it has a known one.
    pub key: Option<KeyId>,
    /// Its address; an IPv6 address counts as its /64.
    pub client: Option<IpAddr>,
    /// Its level, for rules that have one.
    pub level: u32,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask<'a> {
    /// Who asks.
    pub caller: Caller,
    /// The path as the client wrote it, without the query.
    pub path: &'a str,
    /// Tokens to reserve; 0 for none.
    pub tokens: u64,
}

/// A request that was let in. Its place among those under way is given back when this drops.
#[derive(Debug)]
#[must_use = "the request is under way as long as this lives"]
pub struct Permit {
    reservation: Option<Reservation>,
    standing: Standing,
    _place: Option<Place>,
}

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

#[derive(Debug)]
struct Inner {
    began: Instant,
    rules: Rules,
    in_flight: InFlight,
    memory: Memory,
}

/// Tokens that were charged before they were used.
#[derive(Debug)]
struct Reservation {
    limiter: Limiter,
    caller: Caller,
    reserved: u64,
    booked: Vec<Booked>,
}

/// No settlement is more, whatever an upstream says: so many of them fit into a counter.
const SETTLED_MOST: u64 = 1 << 32;

// === impl Limiter ===

impl Limiter {
    /// Takes the limits of the configuration; a [`KeyId`] is a place in `keys`.
    #[must_use]
    pub fn build(section: &Limits, keys: &[Key]) -> Self {
        let rules = Rules::build(section, keys);
        let memory = Memory::build(&rules, section.addresses);
        let in_flight = InFlight::of(keys.len());
        Self(Arc::new(Inner { began: Instant::now(), rules, in_flight, memory }))
    }

    /// Lets a request in and charges it, or neither.
    ///
    /// # Errors
    /// A limit would be exceeded; nothing is charged.
    #[expect(clippy::unused_async, reason = "a store that is elsewhere has to be waited for")]
    pub async fn admit(&self, ask: Ask<'_>) -> Result<Permit, Box<Denied>> {
        self.decide(&ask, Instant::now)
    }

    /// The same at a given time, which must not go backwards.
    ///
    /// # Errors
    /// As [`Limiter::admit`].
    pub fn admit_at(&self, ask: Ask<'_>, now: Instant) -> Result<Permit, Box<Denied>> {
        self.decide(&ask, || now)
    }

    /// Requests that a key has under way.
    #[must_use]
    pub fn in_flight(&self, key: KeyId) -> usize {
        self.0.in_flight.of_key(key)
    }

    /// Counters in memory.
    #[must_use]
    pub fn counters(&self) -> usize {
        self.0.memory.counters()
    }

    fn decide(&self, ask: &Ask<'_>, now: impl Fn() -> Instant) -> Result<Permit, Box<Denied>> {
        let Inner { rules, in_flight, memory, .. } = &*self.0;
        let plan = rules.plan(ask);
        let most = rules.in_flight(&ask.caller);
        let door = ask.caller.key.zip(most).map(|(key, most)| in_flight.door(key, most));
        if plan.is_empty() && door.is_none() {
            return Ok(Permit::free());
        }
        match memory.admit(&plan, door, || self.ticks(now())) {
            Ok(admitted) => Ok(self.permit(ask, admitted)),
            Err(refused) => Err(Box::new(refused.into())),
        }
    }

    fn permit(&self, ask: &Ask<'_>, admitted: Admitted) -> Permit {
        let Admitted { place, booked, standing } = admitted;
        let reservation = (!booked.is_empty()).then(|| Reservation {
            limiter: self.clone(),
            caller: ask.caller,
            reserved: ask.tokens,
            booked,
        });
        Permit { reservation, standing, _place: place }
    }

    fn ticks(&self, now: Instant) -> Ticks {
        let since = now.saturating_duration_since(self.0.began);
        Ticks::try_from(since.as_nanos()).unwrap_or(Ticks::MAX / 4)
    }
}

// === impl Permit ===

impl Permit {
    /// The tokens it came to, in place of those that were reserved. More than the limit has left are
    /// charged all the same, and later requests wait for them. Only the first settlement counts.
    pub fn settle(&mut self, tokens: u64) {
        self.settle_when(tokens, Instant::now);
    }

    /// The same at a given time.
    pub fn settle_at(&mut self, tokens: u64, now: Instant) {
        self.settle_when(tokens, || now);
    }

    /// Gives all reserved tokens back.
    pub fn release(&mut self) {
        self.settle(0);
    }

    /// What was left when it was let in; `None` where nothing is limited.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        let Standing { requests, tokens } = self.standing;
        (requests.is_some() || tokens.is_some()).then_some(self.standing)
    }

    fn free() -> Self {
        Self { reservation: None, standing: Standing::default(), _place: None }
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
        let Inner { rules, memory, .. } = &*limiter.0;
        if let Some(group) = rules.tokens(&caller) {
            memory.settle(&group, &booked, change, || limiter.ticks(now()));
        }
    }
}

// === impl Denied ===

impl From<Refused> for Denied {
    fn from(Refused { what, wait, standing }: Refused) -> Self {
        Self { what, retry_after: wait.map(Duration::from_nanos), standing }
    }
}

// === impl What ===

impl What {
    fn refused(kind: Kind, limit: &Limit, wait: Ticks) -> Self {
        match kind {
            Kind::Requests => Self::Requests(limit.rate),
            Kind::Tokens if wait == NEVER => Self::TooLarge(limit.rate),
            Kind::Tokens => Self::Tokens(limit.rate),
        }
    }
}

// === impl Standing ===

impl Standing {
    fn note(&mut self, kind: Kind, level: Level) {
        let known = match kind {
            Kind::Requests => &mut self.requests,
            Kind::Tokens => &mut self.tokens,
        };
        let tighter = |known: Level| {
            let by = |level: Level| (level.remaining, std::cmp::Reverse(level.reset));
            by(level) < by(known)
        };
        if known.is_none_or(tighter) {
            *known = Some(level);
        }
    }
}

// === impl Level ===

impl Level {
    fn of(limit: &Limit, used: u64, reset: Ticks) -> Self {
        let amount = limit.terms.amount;
        let (remaining, reset) = (amount.saturating_sub(used), Duration::from_nanos(reset));
        Self { limit: amount, remaining, reset }
    }
}
