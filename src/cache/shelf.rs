//! The cache as a request finds it: looks up, lets equal requests share a call, keeps, forgets.
//!
//! Why nothing here fails or lasts: a store that does not answer in time has no answer, and the host
//! is asked.
//! The trap: an answer that was on its way when it was purged must not be kept. So whoever fetches
//! one notes how often was purged ([`Shelf::epoch`]), and what is older is not kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::fill::Fills;
use super::{Counts, Entry, Key, Labels, Lmdb, Memory, Purge, Store};
use crate::config;

/// The cache of one house.
#[derive(Debug)]
pub struct Shelf {
    /// What is kept, and for how long.
    pub rules: config::Cache,
    /// Answers on their way.
    pub fills: Fills,
    /// What it did.
    pub served: Served,
    store: Arc<dyn Store>,
    /// Turns at a store that waits for a disk; `None` for one that does not.
    turns: Option<Arc<Semaphore>>,
    purges: Arc<AtomicU64>,
}

/// How requests were answered that could be cached.
#[derive(Debug, Default)]
pub struct Served {
    /// From what was kept.
    pub hits: AtomicU64,
    /// By a host.
    pub misses: AtomicU64,
    /// Together with one that was under way.
    pub coalesced: AtomicU64,
}

/// What answers on their way may hold together, bytes; beyond it they hold what readers need.
const UNDER_WAY: usize = 128 << 20;

/// The longest a lookup may take.
const PATIENCE: Duration = Duration::from_millis(50);

/// Lookups and writes that may wait for a disk at once; beyond it, all is a miss.
const TURNS: usize = 64;

// === impl Served ===

impl Served {
    /// All of it, by name.
    #[must_use]
    pub fn each(&self) -> [(&'static str, u64); 3] {
        let all = [("hit", &self.hits), ("miss", &self.misses), ("coalesced", &self.coalesced)];
        all.map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

// === impl Shelf ===

impl Shelf {
    /// Opens what the configuration says; `None` if it is off.
    ///
    /// # Errors
    /// The folder or file of the store cannot be used; the message says what to do.
    pub fn open(rules: &config::Cache) -> anyhow::Result<Option<Self>> {
        let ttl = rules.ttl.unwrap_or(Duration::MAX);
        let (store, on_disk): (Arc<dyn Store>, bool) = match &rules.store {
            config::CacheStore::Off => return Ok(None),
            config::CacheStore::Memory => (Arc::new(Memory::new(rules.size, ttl)), false),
            config::CacheStore::Lmdb(dir) => {
                let opened = Lmdb::open(dir, rules.size, ttl).context("cache.path")?;
                (Arc::new(opened), true)
            }
            config::CacheStore::Redis(_) => anyhow::bail!("cache.store: Redis is not served yet"),
        };
        Ok(Some(Self {
            rules: rules.clone(),
            fills: Fills::new(UNDER_WAY),
            served: Served::default(),
            store,
            turns: on_disk.then(|| Arc::new(Semaphore::new(TURNS))),
            purges: Arc::default(),
        }))
    }

    /// What was kept under `key`, if it is there and good and comes in time.
    pub async fn get(&self, key: Key) -> Option<Entry> {
        let (store, now) = (Arc::clone(&self.store), now());
        let found = match &self.turns {
            None => store.get(&key, now)?,
            Some(_) => {
                timeout(PATIENCE, self.in_turn(move || store.get(&key, now))).await.ok()???
            }
        };
        Entry::decode(&key, &found)
    }

    /// Keeps an answer that was asked for in this `epoch`.
    pub async fn put(&self, key: Key, entry: &Entry, epoch: u64) {
        let Some(bytes) = entry.encode(&key).filter(|_| epoch == self.epoch()) else { return };
        let labels = Labels::of(&entry.tenant, &entry.model);
        let (store, purges) = (Arc::clone(&self.store), Arc::clone(&self.purges));
        let write = move || {
            let kept = store.put(key, labels, bytes, now());
            if epoch != purges.load(Ordering::Acquire) {
                // Purged while it was written.
                store.purge(Purge::Key(key));
            }
            kept
        };
        let kept = match &self.turns {
            None => Some(write()),
            Some(_) => self.in_turn(write).await,
        };
        if kept != Some(true) {
            log::debug!("the cache did not keep {key}");
        }
    }

    /// Forgets; how many entries. Waits for a disk, if the store is on one.
    pub fn purge(&self, what: Purge<'_>) -> u64 {
        self.purges.fetch_add(1, Ordering::AcqRel);
        self.store.purge(what)
    }

    /// How often was purged.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.purges.load(Ordering::Acquire)
    }

    /// What the store holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.store.counts()
    }

    /// Does what waits for a disk; `None` if too many do, or it panics.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let turn = Arc::clone(self.turns.as_ref()?).try_acquire_owned().ok()?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.ok()
    }
}

fn now() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}
