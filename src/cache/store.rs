//! What every store has in common: what it does, labels to purge by, what it counts.
//!
//! Why nothing here can fail: a store that cannot be read or written has no entry, and goes on.
//! Why hashes of labels: a store of a hundred thousand entries need not keep as many names, and two
//! names of one hash cost no more than an entry that is purged too early.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::Key;

/// Holds entries by their keys, for a time, within a size. All methods may be called at once; those
/// of a store on disk wait for it. Times are milliseconds from the epoch.
pub trait Store: Debug + Send + Sync {
    /// The entry of `key`, if there is one that is good at `now`.
    fn get(&self, key: &Key, now: u64) -> Option<Bytes>;

    /// Keeps `entry` from `now` on, in place of an older one of the same key. False if it is not
    /// kept: it is too large, or the store fails.
    fn put(&self, key: Key, labels: Labels, entry: Vec<u8>, now: u64) -> bool;

    /// Forgets; how many entries.
    fn purge(&self, what: Purge<'_>) -> u64;

    /// What it holds now.
    fn counts(&self) -> Counts;
}

/// By what an entry can be found besides its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels {
    pub(super) tenant: u64,
    pub(super) model: u64,
}

/// What shall be forgotten.
#[derive(Debug, Clone, Copy)]
pub enum Purge<'a> {
    /// Everything.
    All,
    /// One answer.
    Key(Key),
    /// All of a tenant, by [`Tenant::label`](super::Tenant::label).
    Tenant(&'a str),
    /// All of a model.
    Model(&'a str),
}

/// What a store holds and has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries that it holds.
    pub entries: u64,
    /// Bytes that they take, with what it costs to hold them.
    pub bytes: u64,
    /// Entries that had to go for lack of room, since it began.
    pub evicted: u64,
}

/// What a store did not do, since it began.
#[derive(Debug, Default)]
pub struct Lost {
    /// Lookups that failed, or had no answer in time.
    pub reads: AtomicU64,
    /// Writes that failed.
    pub writes: AtomicU64,
    /// Answers that were not written at all: the store was away, or too many were waiting.
    pub dropped: AtomicU64,
}

// === impl Lost ===

impl Lost {
    /// All of it, by name.
    #[must_use]
    pub fn each(&self) -> [(&'static str, u64); 3] {
        let all = [("read", &self.reads), ("write", &self.writes), ("dropped", &self.dropped)];
        all.map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

pub(super) fn one_more(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

// === impl Labels ===

impl Labels {
    /// Of an entry of this tenant and model.
    #[must_use]
    pub fn of(tenant: &str, model: &str) -> Self {
        Self { tenant: short(tenant), model: short(model) }
    }
}

// === impl Purge ===

impl Purge<'_> {
    /// Tells for each entry whether it goes; hashes its own label once.
    pub(super) fn test(&self) -> impl Fn(&Key, Labels) -> bool + Clone + Send + use<> {
        let (all, key, tenant, model) = match self {
            Self::All => (true, None, None, None),
            Self::Key(key) => (false, Some(*key), None, None),
            Self::Tenant(name) => (false, None, Some(short(name)), None),
            Self::Model(name) => (false, None, None, Some(short(name))),
        };
        move |its_key, labels| {
            all || key.is_some_and(|key| key == *its_key)
                || tenant.is_some_and(|tenant| tenant == labels.tenant)
                || model.is_some_and(|model| model == labels.model)
        }
    }
}

fn short(label: &str) -> u64 {
    let mut start = [0; 8];
    blake3::Hasher::new().update(label.as_bytes()).finalize_xof().fill(&mut start);
    u64::from_le_bytes(start)
}
