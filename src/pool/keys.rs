//! The keys of one upstream: whose turn it is, and which ones rest.
//!
//! Why the least recently used first: with all keys awake that is strict rotation, and one that
//! wakes up is next. Each level has turns of its own, so that no level's calls disturb another's.
//! The trap: whatever is said here of a key, it is said by its fingerprint.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::health::LONGEST;
use crate::config::UpstreamKey;
use crate::secret::Secret;

/// All keys of one upstream.
#[derive(Debug)]
pub(super) struct Keys {
    keys: Vec<Secret>,
    /// The place among the turns of each level that some key names.
    levels: BTreeMap<u32, usize>,
    turns: Arc<Mutex<Vec<Turns>>>,
    rests: Mutex<Rests>,
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
    /// The upstream does not accept it (401, 403).
    Refused,
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
        let rests = Mutex::new(Rests(vec![None; keys.len()]));
        let keys = keys.iter().map(|key| key.secret.clone()).collect();
        Arc::new(Self { keys, levels, turns, rests })
    }

    /// The same keys for another upstream: their turns go on there, but one that is refused here
    /// may be welcome there.
    pub(super) fn elsewhere(&self) -> Arc<Self> {
        Arc::new(Self {
            keys: self.keys.clone(),
            levels: self.levels.clone(),
            turns: Arc::clone(&self.turns),
            rests: Mutex::new(Rests(vec![None; self.keys.len()])),
        })
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
            Self::Busy => Duration::from_secs(5),
            Self::Quota => Duration::from_secs(60 * 60),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the upstream does not accept it",
            Self::Busy => "it was used too often",
            Self::Quota => "its quota is spent",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn keys(names: &[&str]) -> Arc<Keys> {
        leveled(&names.iter().map(|name| (*name, None)).collect::<Vec<_>>())
    }

    fn leveled(keys: &[(&str, Option<&[u32]>)]) -> Arc<Keys> {
        let key = |(name, levels): &(&str, Option<&[u32]>)| UpstreamKey {
            secret: Secret::new(*name),
            levels: levels.map(<[u32]>::to_vec),
        };
        Keys::of(&keys.iter().map(key).collect::<Vec<_>>())
    }

    fn next(keys: &Arc<Keys>) -> String {
        next_of(keys, 0)
    }

    fn next_of(keys: &Arc<Keys>, level: u32) -> String {
        keys.lend(level).unwrap().unwrap().secret().expose().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn turns_go_on_at_another_upstream_and_rests_do_not() {
        let one = keys(&["a", "b", "c"]);
        let other = one.elsewhere();
        assert_eq!([next(&one), next(&other), next(&one), next(&other)], ["a", "b", "c", "a"]);
        one.lend(0).unwrap().unwrap().rest(Duration::from_secs(60), Why::Refused);
        assert_eq!((one.resting(), other.resting()), (1, 0));
        assert_eq!([next(&one), next(&one), next(&other)], ["c", "a", "b"]);
    }

    #[test]
    fn each_level_has_turns_of_its_own() {
        let keys = leveled(&[
            ("a", Some(&[0, 1])),
            ("b", Some(&[1])),
            ("c", Some(&[2])),
            ("d", Some(&[0])),
            ("e", None),
        ]);
        let mut said = Vec::new();
        for level in [1, 0, 1, 2, 7, 0, 1, 2, 1, 0, 7, 0] {
            said.push(format!("{level}{}", next_of(&keys, level)));
        }
        let expected = ["1a", "0a", "1b", "2c", "7e", "0d", "1e", "2e", "1a", "0e", "7e", "0a"];
        assert_eq!(said, expected);
        assert_eq!([0, 1, 2, 7].map(|level| keys.of_level(level).0), [3, 3, 2, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_level_without_a_key_is_refused_and_a_rest_holds_for_all_levels() {
        let keys = leveled(&[("a", Some(&[0, 1])), ("b", Some(&[1]))]);
        assert_eq!(keys.check(2), Err(NoKey::ForLevel));
        assert_eq!(keys.lend(2).unwrap_err(), NoKey::ForLevel);
        keys.lend(0).unwrap().unwrap().rest(SECOND, Why::Busy);
        let resting = NoKey::AllRest { why: Why::Busy, left: SECOND };
        assert_eq!(keys.check(0), Err(resting));
        assert_eq!([(); 3].map(|()| next_of(&keys, 1)), ["b", "b", "b"]);
        assert_eq!(
            (keys.of_level(0), keys.of_level(1), keys.of_level(2)),
            ((1, 0), (2, 1), (0, 0))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_rests_is_left_out_and_is_next_when_awake() {
        let keys = keys(&["a", "b", "c"]);
        assert_eq!([(); 4].map(|()| next(&keys)), ["a", "b", "c", "a"]);
        let b = keys.lend(0).unwrap().unwrap();
        b.rest(10 * SECOND, Why::Busy);
        b.rest(SECOND, Why::Busy);
        assert_eq!([(); 3].map(|()| next(&keys)), ["c", "a", "c"]);
        assert_eq!(keys.resting(), 1);
        tokio::time::advance(10 * SECOND).await;
        assert_eq!([(); 3].map(|()| next(&keys)), ["b", "a", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_rest_the_reason_is_that_of_the_first_to_wake() {
        let keys = keys(&["a", "b"]);
        let leases = [(); 2].map(|()| keys.lend(0).unwrap().unwrap());
        leases[0].rest(Why::Refused.usual(), Why::Refused);
        assert_eq!(keys.check(0), Ok(()));
        leases[1].rest(7 * SECOND, Why::Busy);
        let expected = NoKey::AllRest { why: Why::Busy, left: 7 * SECOND };
        assert_eq!(keys.check(0), Err(expected));
        assert_eq!(keys.lend(0).unwrap_err(), expected);
        leases[1].rest(Why::Quota.usual(), Why::Quota);
        let refused = keys.check(0).unwrap_err();
        assert!(matches!(refused, NoKey::AllRest { why: Why::Refused, .. }), "{refused:?}");
    }

    #[test]
    fn without_keys_none_is_lent() {
        assert!(keys(&[]).lend(0).unwrap().is_none());
        assert!(!format!("{:?}", keys(&["sk-1"]).lend(0)).contains("sk-1"));
    }

    proptest! {
        /// Nobody who rests is lent, and a key that does not rest is never refused.
        #[test]
        fn rests_are_kept(steps in proptest::collection::vec((0..3_usize, 0..5_u32), 1..40)) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                let keys = keys(&["a", "b", "c"]);
                let mut until = [Instant::now(); 3];
                for (at, seconds) in steps {
                    Lease { keys: Arc::clone(&keys), at }.rest(seconds * SECOND, Why::Busy);
                    until[at] = until[at].max(Instant::now() + seconds * SECOND);
                    let awake = until.iter().any(|until| *until <= Instant::now());
                    match keys.lend(0) {
                        Ok(lease) => prop_assert!(until[lease.unwrap().at] <= Instant::now()),
                        Err(_) => prop_assert!(!awake),
                    }
                    tokio::time::advance(SECOND).await;
                }
                Ok(())
            })?;
        }
    }
}
