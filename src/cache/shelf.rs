//! The cache as a request finds it: looks up, lets equal requests share a call, keeps, forgets.
//!
//! Why nothing here fails or lasts: a store that does not answer in time has no answer, and the host
//! is asked.
//! The trap: an answer that was on its way when it was purged must not be kept. So whoever fetches
//! one notes how often was purged ([`Shelf::epoch`]), and what is older is not kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::late::Late;
use super::fill::Fills;
use super::redis::{Redis, Terms};
use super::store::one_more;
use super::{Counts, Entry, Key, Labels, Lmdb, Lost, Memory, Purge, Store};
use crate::config;
use crate::link::Away;

mod late;

/// The cache of one house.
#[derive(Debug)]
pub struct Shelf {
    /// What is kept, and for how long.
    pub rules: config::Cache,
    /// Answers on their way.
    pub fills: Fills,
    /// What it did.
    pub served: Served,
    /// What its store did not do.
    pub lost: Arc<Lost>,
    kept: Kept,
    late: Late,
    purges: Arc<AtomicU64>,
    puts: AtomicU64,
}

/// Where answers are kept.
#[derive(Debug)]
enum Kept {
    /// In a store that answers at once.
    Here(Box<Memory>),
    /// In one that waits for a disk, so many at once.
    OnDisk(Arc<dyn Store>, Arc<Semaphore>),
    There(Redis),
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
        let (purges, lost) = (Arc::<AtomicU64>::default(), Arc::<Lost>::default());
        let ttl = rules.ttl.unwrap_or(Duration::MAX);
        let kept = match &rules.store {
            config::CacheStore::Off => return Ok(None),
            config::CacheStore::Memory => Kept::Here(Box::new(Memory::new(rules.size, ttl))),
            config::CacheStore::Lmdb(dir) => {
                let opened = Lmdb::open(dir, rules.size, ttl).context("cache.path")?;
                Kept::OnDisk(Arc::new(opened), Arc::new(Semaphore::new(TURNS)))
            }
            config::CacheStore::Redis(url) => {
                let (epoch, lost) = (Arc::clone(&purges), Arc::clone(&lost));
                let (answer, ttl, patience) = (rules.answer, rules.ttl, PATIENCE);
                let opened = Redis::open(url, Terms { answer, ttl, patience, epoch, lost });
                Kept::There(opened.map_err(|why| anyhow!("cache.store: {why}"))?)
            }
        };
        Ok(Some(Self {
            rules: rules.clone(),
            fills: Fills::new(UNDER_WAY),
            served: Served::default(),
            lost,
            kept,
            late: Late::default(),
            purges,
            puts: AtomicU64::new(0),
        }))
    }

    /// What was kept under `key`, if it is there and good and comes in time.
    pub async fn get(&self, key: Key) -> Option<Entry> {
        let found = match &self.kept {
            Kept::Here(store) => return Entry::read(&store.get(&key, now())?),
            _ if self.late.knows(&key, PATIENCE) => {
                one_more(&self.lost.reads);
                return None;
            }
            Kept::OnDisk(store, turns) => {
                let store = Arc::clone(store);
                let found = in_turn(turns, move || store.get(&key, now()));
                timeout(PATIENCE, found).await.ok().flatten().ok_or(Away)
            }
            Kept::There(store) => store.get(key).await,
        };
        let Ok(found) = found else {
            one_more(&self.lost.reads);
            self.late.note(key);
            return None;
        };
        let entry = Entry::decode(&key, &found?);
        if entry.is_none() {
            one_more(&self.lost.reads);
        }
        entry
    }

    /// Keeps an answer that was asked for in this `epoch`.
    pub async fn put(&self, key: Key, entry: &Entry, epoch: u64) {
        let Some(bytes) = entry.encode(&key).filter(|_| epoch == self.epoch()) else { return };
        let labels = Labels::of(&entry.tenant, &entry.model);
        let kept = match &self.kept {
            Kept::Here(store) => write(&**store, key, labels, bytes, (epoch, &self.purges)),
            Kept::OnDisk(store, turns) => {
                let (store, purges) = (Arc::clone(store), Arc::clone(&self.purges));
                let write = move || write(&*store, key, labels, bytes, (epoch, &purges));
                in_turn(turns, write).await.unwrap_or_else(|| {
                    one_more(&self.lost.dropped);
                    false
                })
            }
            Kept::There(store) => store.put(key, labels, bytes, epoch),
        };
        if !kept {
            log::debug!("the cache did not keep {key}");
        }
        self.puts.fetch_add(1, Ordering::Release);
    }

    /// How often something was kept: who found nothing need not look again until this changes.
    #[must_use]
    pub fn puts(&self) -> u64 {
        self.puts.load(Ordering::Acquire)
    }

    /// Forgets; how many entries. Waits for the disk or for Redis, where they are there.
    pub fn purge(&self, what: Purge<'_>) -> u64 {
        self.purges.fetch_add(1, Ordering::AcqRel);
        match &self.kept {
            Kept::Here(store) => store.purge(what),
            Kept::OnDisk(store, _) => store.purge(what),
            Kept::There(store) => store.purge(what),
        }
    }

    /// How often was purged.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.purges.load(Ordering::Acquire)
    }

    /// What the store holds; `None` for Redis, which keeps its own books.
    #[must_use]
    pub fn counts(&self) -> Option<Counts> {
        match &self.kept {
            Kept::Here(store) => Some(store.counts()),
            Kept::OnDisk(store, _) => Some(store.counts()),
            Kept::There(_) => None,
        }
    }

    /// Whether the store answers, as far as is known.
    #[must_use]
    pub fn is_up(&self) -> bool {
        match &self.kept {
            Kept::Here(_) | Kept::OnDisk(..) => true,
            Kept::There(store) => store.is_up(),
        }
    }
}

/// Keeps what was asked for in this epoch of these purges.
fn write(
    store: &dyn Store,
    key: Key,
    labels: Labels,
    bytes: Vec<u8>,
    (epoch, purges): (u64, &AtomicU64),
) -> bool {
    let kept = store.put(key, labels, bytes, now());
    if epoch != purges.load(Ordering::Acquire) {
        // Purged while it was written.
        store.purge(Purge::Key(key));
    }
    kept
}

/// Does what waits for a disk; `None` if too many do, or it panics.
async fn in_turn<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let turn = Arc::clone(turns).try_acquire_owned().ok()?;
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    done.await.ok()
}

fn now() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
