//! The keys of one upstream: whose turn it is, and which ones rest.
//!
//! Why the least recently used first: with all keys awake that is strict rotation, and one that
//! wakes up is next. Each level has turns of its own, so that no level's calls disturb another's.
//! The trap: whatever is said here of a key, it is said by its fingerprint.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::health::LONGEST;
use crate::config::UpstreamKey;
use crate::secret::Secret;

/// So many answers of 403 in a row make a key rest.
const STRIKES: u32 = 3;

/// All keys of one upstream.
#[derive(Debug)]
pub(super) struct Keys {
    keys: Vec<Secret>,
    /// The place among the turns of each level that some key names.
    levels: BTreeMap<u32, usize>,
    turns: Arc<Mutex<Vec<Turns>>>,
    rests: Mutex<Rests>,
    /// Of each key, how often in a row it was forbidden what it was asked for.
    strikes: Vec<AtomicU32>,
}

/// A key, lent to one request.
#[derive(Debug)]
pub struct Lease {
    keys: Arc<Keys>,
    at: usize,
}

/// Why a key rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The upstream does not accept it (401).
    Refused,
    /// The upstream forbids it what it is asked for (403), again and again.
    Barred,
    /// It was used too often (429).
    Busy,
    /// What it may spend is spent (`insufficient_quota`).
    Quota,
}

/// Why no key is lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The upstream has keys, and none for this level.
    ForLevel,
    /// Every key rests: the reason and the end of the rest that ends first.
    AllRest { why: Why, left: Duration },
}

/// Until when each key rests, and why.
#[derive(Debug)]
struct Rests(Vec<Option<(Instant, Why)>>);

/// Who takes turns at one level.
#[derive(Debug)]
struct Turns {
    uses: u64,
    /// A key's place, and the number of its last use, 0 for never.
    keys: Vec<(usize, u64)>,
}

// === impl Keys ===

impl Keys {
    pub(super) fn of(keys: &[UpstreamKey]) -> Arc<Self> {
        let named = keys.iter().filter_map(|key| key.levels.as_ref()).flatten().copied();
        let mut levels: BTreeMap<u32, usize> = named.map(|level| (level, 0)).collect();
        let mut turns = Vec::with_capacity(levels.len() + 1);
        for (level, place) in &mut levels {
            *place = turns.len();
            turns.push(Turns::of(keys, |key| key.is_for(*level)));
        }
        // Those of the levels that no key names come last.
        turns.push(Turns::of(keys, |key| key.levels.is_none()));
        let turns = Arc::new(Mutex::new(turns));
        let keys = keys.iter().map(|key| key.secret.clone()).collect();
        Arc::new(Self::awake(keys, levels, turns))
    }

    /// The same keys for another upstream: their turns go on there, but one that is refused here
    /// may be welcome there.
    pub(super) fn elsewhere(&self) -> Arc<Self> {
        Arc::new(Self::awake(self.keys.clone(), self.levels.clone(), Arc::clone(&self.turns)))
    }

    fn awake(
        keys: Vec<Secret>,
        levels: BTreeMap<u32, usize>,
        turns: Arc<Mutex<Vec<Turns>>>,
    ) -> Self {
        let rests = Mutex::new(Rests(vec![None; keys.len()]));
        let strikes = keys.iter().map(|_| AtomicU32::new(0)).collect();
        Self { keys, levels, turns, rests, strikes }
    }

    pub(super) fn count(&self) -> usize {
        self.keys.len()
    }

    /// How many of them rest now.
    pub(super) fn resting(&self) -> usize {
        let now = Instant::now();
        let rests = self.rests.lock();
        (0..self.keys.len()).filter(|&at| rests.of(at, now).is_some()).count()
    }

    /// How many are for a level, and how many of those are awake.
    pub(super) fn of_level(&self, level: u32) -> (usize, usize) {
        let now = Instant::now();
        let (turns, rests) = (self.turns.lock(), self.rests.lock());
        let keys = &turns[self.place(level)].keys;
        let awake = keys.iter().filter(|(at, _)| rests.of(*at, now).is_none());
        (keys.len(), awake.count())
    }

    /// Whether there is a key to be had, or none is needed.
    pub(super) fn check(&self, level: u32) -> Result<(), NoKey> {
        let turns = self.turns.lock();
        self.rests.lock().next(&turns[self.place(level)], Instant::now()).map(|_| ())
    }

    /// The key of a level that it did not use for the longest time; `None` when the upstream has no
    /// keys at all.
    pub(super) fn lend(self: &Arc<Self>, level: u32) -> Result<Option<Lease>, NoKey> {
        let mut turns = self.turns.lock();
        let turns = &mut turns[self.place(level)];
        let Some(turn) = self.rests.lock().next(turns, Instant::now())? else { return Ok(None) };
        turns.uses += 1;
        let (at, last) = &mut turns.keys[turn];
        *last = turns.uses;
        Ok(Some(Lease { keys: Arc::clone(self), at: *at }))
    }

    fn place(&self, level: u32) -> usize {
        self.levels.get(&level).copied().unwrap_or(self.levels.len())
    }
}

// === impl Rests ===

impl Rests {
    /// Whose turn it is.
    fn next(&self, turns: &Turns, now: Instant) -> Result<Option<usize>, NoKey> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let keys = &turns.keys;
        let awake = keys.iter().enumerate().filter(|(_, (at, _))| self.of(*at, now).is_none());
        if let Some((turn, _)) = awake.min_by_key(|(_, (_, last))| *last) {
            return Ok(Some(turn));
        }
        let rests = keys.iter().filter_map(|(at, _)| self.of(*at, now));
        let first = rests.min_by_key(|rest| rest.0);
        Err(first.map_or(NoKey::ForLevel, |(until, why)| NoKey::AllRest { why, left: until - now }))
    }

    fn of(&self, at: usize, now: Instant) -> Option<(Instant, Why)> {
        self.0[at].filter(|(until, _)| *until > now)
    }
}

// === impl Turns ===

impl Turns {
    fn of(keys: &[UpstreamKey], takes_part: impl Fn(&UpstreamKey) -> bool) -> Self {
        let keys = keys.iter().enumerate().filter(|(_, key)| takes_part(key));
        Self { uses: 0, keys: keys.map(|(at, _)| (at, 0)).collect() }
    }
}

// === impl Lease ===

impl Lease {
    /// The key.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.keys.keys[self.at]
    }

    /// Whether it rests now.
    #[must_use]
    pub fn rests(&self) -> bool {
        self.keys.rests.lock().of(self.at, Instant::now()).is_some()
    }

    /// It was good for what it was asked for.
    pub fn served(&self) {
        let strikes = &self.keys.strikes[self.at];
        if strikes.load(Ordering::Relaxed) > 0 {
            strikes.store(0, Ordering::Relaxed);
        }
    }

    /// It was forbidden what it was asked for. That may be the caller's doing, so it takes several in
    /// a row before the key rests.
    pub fn barred(&self) {
        let strikes = &self.keys.strikes[self.at];
        if strikes.fetch_add(1, Ordering::Relaxed) + 1 >= STRIKES {
            strikes.store(0, Ordering::Relaxed);
            self.rest(Why::Barred.usual(), Why::Barred);
        }
    }

    /// Nobody gets this key for so long. A longer rest that is under way goes on.
    pub fn rest(&self, time: Duration, why: Why) {
        let (now, time) = (Instant::now(), time.min(LONGEST));
        let mut rests = self.keys.rests.lock();
        let before = rests.of(self.at, now);
        if before.is_some_and(|(until, _)| until >= now + time) {
            return;
        }
        rests.0[self.at] = Some((now + time, why));
        drop(rests);
        // A hundred requests may bring the same news.
        if before.is_none_or(|(_, known)| known != why) {
            let level = if why == Why::Busy { log::Level::Info } else { log::Level::Warn };
            let key = self.secret().fingerprint();
            let time = humantime::format_duration(Duration::from_secs(time.as_secs()));
            log::log!(level, "upstream key {key} rests for {time}: {why}");
        }
    }
}

// === impl Why ===

impl Why {
    /// How long a key rests when the upstream does not say.
    #[must_use]
    pub const fn usual(self) -> Duration {
        match self {
            Self::Refused => Duration::from_secs(10 * 60),
            Self::Barred => Duration::from_secs(60),
            Self::Busy => Duration::from_secs(5),
            Self::Quota => Duration::from_secs(60 * 60),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the upstream does not accept it",
            Self::Barred => "the upstream forbids it what it is asked for",
            Self::Busy => "it was used too often",
            Self::Quota => "its quota is spent",
        })
    }
}

#[cfg(test)]
mod tests;
