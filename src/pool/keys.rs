//! The keys of one upstream: whose turn it is, and which ones rest.
//!
//! Why the least recently used first: with all keys awake that is strict rotation, and one that
//! wakes up is next. The trap: whatever is said here of a key, it is said by its fingerprint.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::health::LONGEST;
use crate::secret::Secret;

/// All keys of one upstream.
#[derive(Debug)]
pub(super) struct Keys {
    keys: Vec<Secret>,
    state: Mutex<State>,
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

/// Every key rests: the reason and the end of the rest that ends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AllRest {
    pub(super) why: Why,
    pub(super) left: Duration,
}

#[derive(Debug)]
struct State {
    uses: u64,
    keys: Vec<Use>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Use {
    /// The number of its last use, 0 for never.
    last: u64,
    rest: Option<(Instant, Why)>,
}

// === impl Keys ===

impl Keys {
    pub(super) fn of(keys: &[Secret]) -> Arc<Self> {
        let state = State { uses: 0, keys: vec![Use::default(); keys.len()] };
        Arc::new(Self { keys: keys.to_vec(), state: Mutex::new(state) })
    }

    pub(super) fn count(&self) -> usize {
        self.keys.len()
    }

    /// How many of them rest now.
    pub(super) fn resting(&self) -> usize {
        let now = Instant::now();
        self.state.lock().keys.iter().filter(|key| key.rests(now).is_some()).count()
    }

    /// Whether there is a key to be had, or none is needed.
    pub(super) fn check(&self) -> Result<(), AllRest> {
        self.state.lock().next(Instant::now()).map(|_| ())
    }

    /// The key that was not used for the longest time; `None` when the upstream has none.
    pub(super) fn lend(self: &Arc<Self>) -> Result<Option<Lease>, AllRest> {
        let mut state = self.state.lock();
        let Some(at) = state.next(Instant::now())? else { return Ok(None) };
        state.uses += 1;
        state.keys[at].last = state.uses;
        Ok(Some(Lease { keys: Arc::clone(self), at }))
    }
}

// === impl State ===

impl State {
    fn next(&self, now: Instant) -> Result<Option<usize>, AllRest> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let awake = (0..self.keys.len()).filter(|&at| self.keys[at].rests(now).is_none());
        if let Some(at) = awake.min_by_key(|&at| self.keys[at].last) {
            return Ok(Some(at));
        }
        let first = self.keys.iter().filter_map(|key| key.rests(now)).min_by_key(|rest| rest.0);
        first.map_or(Ok(None), |(until, why)| Err(AllRest { why, left: until - now }))
    }
}

// === impl Use ===

impl Use {
    fn rests(&self, now: Instant) -> Option<(Instant, Why)> {
        self.rest.filter(|(until, _)| *until > now)
    }
}

// === impl Lease ===

impl Lease {
    /// The key.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.keys.keys[self.at]
    }

    /// Nobody gets this key for so long. A longer rest that is under way goes on.
    pub fn rest(&self, time: Duration, why: Why) {
        let (now, time) = (Instant::now(), time.min(LONGEST));
        let mut state = self.keys.state.lock();
        let key = &mut state.keys[self.at];
        let before = key.rests(now);
        if before.is_some_and(|(until, _)| until >= now + time) {
            return;
        }
        key.rest = Some((now + time, why));
        drop(state);
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
        Keys::of(&names.iter().map(|name| Secret::new(*name)).collect::<Vec<_>>())
    }

    fn next(keys: &Arc<Keys>) -> String {
        keys.lend().unwrap().unwrap().secret().expose().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn who_rests_is_left_out_and_is_next_when_awake() {
        let keys = keys(&["a", "b", "c"]);
        assert_eq!([(); 4].map(|()| next(&keys)), ["a", "b", "c", "a"]);
        let b = keys.lend().unwrap().unwrap();
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
        let leases = [(); 2].map(|()| keys.lend().unwrap().unwrap());
        leases[0].rest(Why::Refused.usual(), Why::Refused);
        assert_eq!(keys.check(), Ok(()));
        leases[1].rest(7 * SECOND, Why::Busy);
        let expected = AllRest { why: Why::Busy, left: 7 * SECOND };
        assert_eq!(keys.check(), Err(expected));
        assert_eq!(keys.lend().unwrap_err(), expected);
        leases[1].rest(Why::Quota.usual(), Why::Quota);
        assert_eq!(keys.check().unwrap_err().why, Why::Refused);
    }

    #[test]
    fn without_keys_none_is_lent() {
        assert!(keys(&[]).lend().unwrap().is_none());
        assert!(!format!("{:?}", keys(&["sk-1"]).lend()).contains("sk-1"));
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
                    match keys.lend() {
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
