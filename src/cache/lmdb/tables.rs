//! The tables of the store on disk, and how an entry is kept in all three.
//!
//! Why here alone: a change that forgets one of them leaves an entry that nobody finds.

use std::collections::HashSet;
use std::path::Path;

use heed::byteorder::BE;
use heed::types::{Bytes as Raw, U64};
use heed::{Database, Env, EnvOpenOptions, RwTxn, WithoutTls};

use super::Key;
use super::mark::Mark;

/// Most reads that may be going on at once.
const READERS: u32 = 512;

/// An entry is in all of them or in none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tables {
    /// By key: times, labels, length, age.
    pub(super) marks: Database<Raw, Raw>,
    /// By key: the entry.
    pub(super) entries: Database<Raw, Raw>,
    /// By age, the oldest first: the key.
    pub(super) ages: Database<U64<BE>, Raw>,
}

/// What a transaction deletes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gone {
    pub(super) bytes: u64,
    pub(super) evicted: u64,
}

pub(super) fn open(dir: &Path, size: u64) -> heed::Result<(Env<WithoutTls>, Tables)> {
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(usize::try_from(size).unwrap_or(usize::MAX)).max_dbs(3).max_readers(READERS);
    #[expect(
        unsafe_code,
        reason = "the file is mapped: it must not be changed but by LMDB, which its lock sees to"
    )]
    let env = unsafe { options.open(dir) }?;
    // Of processes that were killed while they read.
    env.clear_stale_readers()?;
    let mut write = env.write_txn()?;
    let tables = Tables {
        marks: env.create_database(&mut write, Some("marks 1"))?,
        entries: env.create_database(&mut write, Some("entries 1"))?,
        ages: env.create_database(&mut write, Some("ages 1"))?,
    };
    write.commit()?;
    Ok((env, tables))
}

/// What an entry takes of the file: pages of its own or a part of one, and its place in the tables,
/// whose pages are two thirds full.
pub(super) fn cost(length: u64) -> u64 {
    let own = if length > 2000 { (length + 16).next_multiple_of(4096) } else { length * 3 / 2 };
    own + 300
}

// === impl Tables ===

impl Tables {
    /// Deletes an entry; what it took, if it was there.
    pub(super) fn forget(self, write: &mut RwTxn<'_>, key: &Key) -> heed::Result<Option<u64>> {
        let Some(mark) = self.marks.get(write, key.as_bytes())?.and_then(Mark::read) else {
            return Ok(None);
        };
        self.marks.delete(write, key.as_bytes())?;
        self.entries.delete(write, key.as_bytes())?;
        self.ages.delete(write, &mark.age)?;
        Ok(Some(cost(mark.length)))
    }

    /// Deletes the oldest until they are so many bytes.
    pub(super) fn delete_oldest(self, write: &mut RwTxn<'_>, over: u64) -> heed::Result<Gone> {
        let mut gone = Gone::default();
        while gone.bytes < over {
            let Some((age, key)) = self.ages.first(write)? else { break };
            let key = Key::try_from(key).ok();
            let known = key.map(|key| self.forget(write, &key)).transpose()?;
            gone.bytes += known.flatten().unwrap_or(0);
            gone.evicted += 1;
            // If it was the age of no entry; no version of this has written one.
            self.ages.delete(write, &age)?;
        }
        Ok(gone)
    }

    /// Makes these young again.
    pub(super) fn touch(self, write: &mut RwTxn<'_>, touched: HashSet<Key>) -> heed::Result<()> {
        let Self { marks, ages, .. } = self;
        let mut next = ages.last(write)?.map_or(0, |(last, _)| last + 1);
        for key in touched {
            let Some(mut mark) = marks.get(write, key.as_bytes())?.and_then(Mark::read) else {
                continue;
            };
            ages.delete(write, &mark.age)?;
            mark.age = next;
            ages.put(write, &mark.age, key.as_bytes())?;
            marks.put(write, key.as_bytes(), &mark.bytes())?;
            next += 1;
        }
        Ok(())
    }
}
