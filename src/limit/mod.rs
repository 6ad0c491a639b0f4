//! How much each caller may do: requests and tokens in a time, and requests at once.
//!
//! Why one admission for all of them: whoever is refused by one limit is charged by none, and two
//! requests at the same moment cannot both take what is left for one. A limit is exact, for any
//! interleaving: in no window of its strategy is there one too many.
//! The trap: what a request costs in tokens is known at its end. It is reserved when it comes in, and
//! a [`Permit`] that drops without [`Permit::settle`] stays charged as it was reserved.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use keys::{Door, Place};
use memory::{Admitted, Memory};
use permit::{Reservation, Where};
use redis::{Redis, Verdict};
use rules::Rules;
use terms::{Booked, Ticks};
use window::Change;

use crate::config::{Key, LimitStore, Limits, OnStoreError};
use crate::link::Away;

mod crowd;
mod denied;
mod keys;
mod memory;
mod moving;
mod permit;
mod redis;
mod rules;
mod slot;
mod sweep;
mod terms;
#[cfg(test)]
mod tests;
mod who;
mod window;

pub use denied::{Denied, Level, Standing, What};
pub use permit::Permit;
pub use who::Who;

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

#[derive(Debug)]
struct Inner {
    began: Instant,
    rules: Rules,
    memory: Memory,
    /// Counts in place of the memory, as long as it answers.
    redis: Option<Redis>,
    on_store_error: OnStoreError,
}

/// A store of limits that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the store of the limits: {0}")]
pub struct BadStore(String);

// === impl Limiter ===

impl Limiter {
    /// Takes the limits of the configuration; a [`KeyId`] is a place in `keys`.
    ///
    /// # Errors
    /// The URL of the store is none. Whether anybody answers there is seen at the first request.
    pub fn build(section: &Limits, keys: &[Key]) -> Result<Self, BadStore> {
        let rules = Rules::build(section, keys);
        let redis = match &section.store {
            LimitStore::Memory => None,
            LimitStore::Redis(url) => {
                let redis = Redis::build(url, section.strategy, &rules, keys);
                Some(redis.map_err(BadStore)?)
            }
        };
        Ok(Self(Arc::new(Inner {
            began: Instant::now(),
            memory: Memory::build(&rules, section.addresses),
            rules,
            redis,
            on_store_error: section.on_store_error,
        })))
    }

    /// Lets a request in and charges it, or neither. A store that is elsewhere is waited for, at most
    /// 50 ms; the one in memory answers at once.
    ///
    /// # Errors
    /// A limit would be exceeded; nothing is charged.
    pub async fn admit(&self, ask: Ask<'_>) -> Result<Permit, Box<Denied>> {
        match &self.0.redis {
            Some(redis) => self.admit_by(redis, &ask).await,
            None => self.decide(&ask, Instant::now),
        }
    }

    /// The same at a given time, which must not go backwards, and by the counters in memory alone.
    ///
    /// # Errors
    /// As [`Limiter::admit`].
    pub fn admit_at(&self, ask: Ask<'_>, now: Instant) -> Result<Permit, Box<Denied>> {
        self.decide(&ask, || now)
    }

    /// Requests that a key has under way.
    #[must_use]
    pub fn in_flight(&self, key: KeyId) -> usize {
        self.0.rules.keys().under_way(key)
    }

    /// Counters in memory.
    #[must_use]
    pub fn counters(&self) -> usize {
        self.0.memory.counters()
    }

    async fn admit_by(&self, redis: &Redis, ask: &Ask<'_>) -> Result<Permit, Box<Denied>> {
        let plan = self.0.rules.plan(ask);
        if plan.is_empty() {
            return self.decide(ask, Instant::now);
        }
        let door = self.0.rules.door(&ask.caller);
        let place = door.map(Door::enter).transpose().map_err(Denied::in_flight)?;
        let answer = redis.admit(&plan).await;
        match answer {
            Ok(Verdict { charge: Ok(charge), standing }) => {
                let booked = charge.keep().map(Where::Redis);
                Ok(self.permit(ask, place, booked, standing))
            }
            Ok(Verdict { charge: Err((what, retry_after)), standing }) => {
                Err(Box::new(Denied { what, retry_after, standing }))
            }
            Err(Away) if self.0.on_store_error == OnStoreError::Allow => {
                drop(place);
                self.decide(ask, Instant::now)
            }
            Err(Away) => Err(Denied::by_nobody()),
        }
    }

    fn decide(&self, ask: &Ask<'_>, now: impl Fn() -> Instant) -> Result<Permit, Box<Denied>> {
        let Inner { rules, memory, .. } = &*self.0;
        let (plan, door) = (rules.plan(ask), rules.door(&ask.caller));
        if plan.is_empty() && door.is_none() {
            return Ok(Permit::of(None, Standing::default(), None));
        }
        match memory.admit(&plan, door, || self.ticks(now())) {
            Ok(Admitted { place, booked, standing }) => {
                let booked = (!booked.is_empty()).then_some(Where::Memory(booked));
                Ok(self.permit(ask, place, booked, standing))
            }
            Err(refused) => Err(Box::new(refused.into())),
        }
    }

    fn permit(
        &self,
        ask: &Ask<'_>,
        place: Option<Place>,
        booked: Option<Where>,
        standing: Standing,
    ) -> Permit {
        let (limiter, caller, reserved) = (self.clone(), ask.caller, ask.tokens);
        let reservation = booked.map(|booked| Reservation { limiter, caller, reserved, booked });
        Permit::of(reservation, standing, place)
    }

    /// Changes what was booked in memory, or charges what never was.
    fn settle(
        &self,
        caller: &Caller,
        booked: Option<Vec<Booked>>,
        change: Change,
        now: impl Fn() -> Instant,
    ) {
        if let Some(group) = self.0.rules.tokens(caller) {
            let booked = booked.unwrap_or_else(|| vec![0; group.limits.len()]);
            self.0.memory.settle(&group, &booked, change, || self.ticks(now()));
        }
    }

    fn ticks(&self, now: Instant) -> Ticks {
        let since = now.saturating_duration_since(self.0.began);
        Ticks::try_from(since.as_nanos()).unwrap_or(Ticks::MAX / 4)
    }
}
