//! A store on disk, in LMDB: what was written is there after a restart, and after a kill.
//!
//! Why three tables: labels, times and ages are small and change or are looked through, entries are
//! large and do neither. Each change is one transaction, so all three agree or nothing happened.
//! The trap: pages that a transaction frees can be used again two transactions later. So room is
//! made before it is needed, and a write that finds none makes more and tries again.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, io};

use bytes::Bytes;
use heed::{Env, MdbError, RwTxn, WithoutTls};
use parking_lot::Mutex;

use super::Key;
use super::store::{Counts, Labels, Purge, Store};

use self::mark::Mark;
use self::tables::{Gone, Tables, cost, open};

mod mark;
mod tables;

/// Smallest store, bytes: tables and their free pages take some hundred KiB.
const LEAST: u64 = 1 << 20;

/// Most uses that are remembered until the next write; beyond it, age is a little wrong.
const TOUCHED: usize = 4096;

/// How often a write that finds no room makes more.
const TRIES: u32 = 8;

/// Most entries that are purged in one transaction.
const BATCH: usize = 512;

/// The open store.
#[derive(Debug)]
pub struct Lmdb {
    env: Env<WithoutTls>,
    tables: Tables,
    /// Most bytes that entries may take, less than the file: changed pages are written elsewhere,
    /// and not every gap fits every entry.
    budget: u64,
    /// How long an entry is good, milliseconds.
    ttl: u64,
    bytes: AtomicU64,
    evicted: AtomicU64,
    /// What was read since the last write.
    touched: Mutex<HashSet<Key>>,
    /// Held by who writes, until what it did is counted too.
    turn: Mutex<()>,
}

// === impl Lmdb ===

impl Lmdb {
    /// Opens the store in a directory of its own, which is made if it is not there.
    ///
    /// # Errors
    /// The directory or the file in it cannot be made, read or locked, is larger than `size` or no
    /// store; the message says which and what to do.
    pub fn open(dir: &Path, size: u64, ttl: Duration) -> io::Result<Self> {
        let told = |what: String| io::Error::other(format!("{}: {what}", dir.display()));
        let size = (size.max(LEAST) / 4096) * 4096;
        fs::create_dir_all(dir).map_err(|why| told(why.to_string()))?;
        let file = fs::metadata(dir.join("data.mdb")).map_or(0, |file| file.len());
        if file > size {
            return Err(told(format!(
                "the cache takes {file} bytes already, which is more than the size of {size}; \
                 allow more, or delete the directory"
            )));
        }
        let (env, tables) =
            open(dir, size).map_err(|why| told(format!("no cache can be kept here: {why}")))?;
        let store = Self {
            env,
            tables,
            budget: size / 4 * 3,
            ttl: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
            bytes: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            touched: Mutex::new(HashSet::new()),
            turn: Mutex::new(()),
        };
        let bytes = store.count().map_err(|why| told(why.to_string()))?;
        store.bytes.store(bytes, Ordering::Relaxed);
        Ok(store)
    }

    fn count(&self) -> heed::Result<u64> {
        let read = self.env.read_txn()?;
        let mut bytes = 0;
        for entry in self.tables.marks.iter(&read)? {
            bytes += Mark::read(entry?.1).map_or(0, |mark| cost(mark.length));
        }
        Ok(bytes)
    }

    fn read(&self, key: &Key, now: u64) -> heed::Result<Option<Bytes>> {
        let read = self.env.read_txn()?;
        let mark = self.tables.marks.get(&read, key.as_bytes())?.and_then(Mark::read);
        if mark.is_none_or(|mark| mark.expires <= now) {
            return Ok(None);
        }
        let entry = self.tables.entries.get(&read, key.as_bytes())?;
        Ok(entry.map(Bytes::copy_from_slice))
    }

    fn write(&self, key: &Key, mut mark: Mark, entry: &[u8]) -> heed::Result<()> {
        let _turn = self.turn.lock();
        let mut room = cost(mark.length);
        for last in (0..TRIES).rev() {
            match self.try_write(key, &mut mark, entry) {
                Err(heed::Error::Mdb(MdbError::MapFull)) if last > 0 => {
                    // Another process may have written too, a restart that drains for instance.
                    self.bytes.store(self.count()?, Ordering::Relaxed);
                    let mut write = self.env.write_txn()?;
                    let gone = self.make_room(&mut write, room)?;
                    self.commit(write, 0, gone)?;
                    room *= 2;
                }
                done => return done,
            }
        }
        Ok(())
    }

    fn try_write(&self, key: &Key, mark: &mut Mark, entry: &[u8]) -> heed::Result<()> {
        let mut write = self.env.write_txn()?;
        self.tables.touch(&mut write, std::mem::take(&mut *self.touched.lock()))?;
        let mut gone = self.make_room(&mut write, cost(mark.length))?;
        gone.bytes += self.tables.forget(&mut write, key)?.unwrap_or(0);
        let Tables { marks, entries, ages } = self.tables;
        mark.age = ages.last(&write)?.map_or(0, |(last, _)| last + 1);
        marks.put(&mut write, key.as_bytes(), &mark.bytes())?;
        ages.put(&mut write, &mark.age, key.as_bytes())?;
        entries.put(&mut write, key.as_bytes(), entry)?;
        self.commit(write, cost(mark.length), gone)
    }

    /// Ends a transaction, and only then counts what it did..
    fn commit(&self, write: RwTxn<'_>, came: u64, gone: Gone) -> heed::Result<()> {
        write.commit()?;
        let bytes = self.bytes.load(Ordering::Relaxed) + came;
        self.bytes.store(bytes.saturating_sub(gone.bytes), Ordering::Relaxed);
        self.evicted.fetch_add(gone.evicted, Ordering::Relaxed);
        Ok(())
    }

    /// Lets the oldest go until there is so much room.
    fn make_room(&self, write: &mut RwTxn<'_>, room: u64) -> heed::Result<Gone> {
        let wanted = self.bytes.load(Ordering::Relaxed).saturating_add(room);
        self.tables.delete_oldest(write, wanted.saturating_sub(self.budget))
    }

    fn forget(&self, what: Purge<'_>) -> heed::Result<u64> {
        let _turn = self.turn.lock();
        let goes = what.test();
        let mut keys = Vec::new();
        let read = self.env.read_txn()?;
        for found in self.tables.marks.iter(&read)? {
            let (key, mark) = found?;
            let labels = Mark::read(mark).map(|mark| mark.labels);
            keys.extend(
                Key::try_from(key).ok().filter(|key| labels.is_some_and(|it| goes(key, it))),
            );
        }
        // It would keep the pages that are freed now.
        drop(read);
        let mut count = 0;
        for batch in keys.chunks(BATCH) {
            let (mut write, mut freed) = (self.env.write_txn()?, Vec::new());
            for key in batch {
                freed.extend(self.tables.forget(&mut write, key)?);
            }
            count += freed.len() as u64;
            let gone = Gone { bytes: freed.iter().sum(), evicted: 0 };
            self.commit(write, 0, gone)?;
        }
        Ok(count)
    }
}

impl Store for Lmdb {
    fn get(&self, key: &Key, now: u64) -> Option<Bytes> {
        let entry = self.read(key, now).unwrap_or_else(|why| failed("read", &why))?;
        let mut touched = self.touched.lock();
        if touched.len() < TOUCHED {
            touched.insert(*key);
        }
        Some(entry)
    }

    fn put(&self, key: Key, labels: Labels, entry: Vec<u8>, now: u64) -> bool {
        let length = entry.len() as u64;
        // Its pages lie side by side, and where would a larger one find so many?
        if cost(length) > self.budget / 8 {
            return false;
        }
        let mark = Mark { age: 0, expires: now.saturating_add(self.ttl), labels, length };
        self.write(&key, mark, &entry).map_or_else(|why| failed("written", &why), |()| true)
    }

    fn purge(&self, what: Purge<'_>) -> u64 {
        self.forget(what).unwrap_or_else(|why| failed("purged", &why))
    }

    fn counts(&self) -> Counts {
        let entries = self.env.read_txn().and_then(|read| self.tables.marks.len(&read));
        Counts {
            entries: entries.unwrap_or_default(),
            bytes: self.bytes.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }
}

fn failed<T: Default>(what: &str, why: &heed::Error) -> T {
    log::warn!("the cache on disk cannot be {what}: {why}");
    T::default()
}

#[cfg(test)]
mod tests;
