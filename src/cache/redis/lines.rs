//! The two connections to Redis, and what is said over them.
//!
//! Why two: behind an answer of 8 MiB that is written no lookup shall wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{Client, ErrorKind, RedisError, cmd, pipe};
use tokio::time::timeout;

use super::marks::{self, Marks, NAME, ROOT, TAIL, Tail};
use super::{Key, Labels};
use crate::link::{Opening, connect};

/// Both of them.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    reads: MultiplexedConnection,
    writes: MultiplexedConnection,
}

/// Opens them. It counts for nothing that Redis answers if it does not do so in time.
#[derive(Debug)]
pub(super) struct Both {
    pub(super) patience: Duration,
}

type Told<T> = Result<T, RedisError>;

/// More marks than this are made one, so that a lookup stays short.
const MARKS: usize = 256;

/// How many names a step of a sweep looks at.
const STEP: usize = 500;

// === impl Both ===

impl Opening for Both {
    type Line = Lines;

    async fn open(&self, client: &Client) -> Told<Lines> {
        let (mut reads, writes) = (connect(client).await?, connect(client).await?);
        let late = || RedisError::from((ErrorKind::Io, "its answers do not come in time"));
        timeout(self.patience, cmd("PING").exec_async(&mut reads)).await.map_err(|_| late())??;
        Ok(Lines { reads, writes })
    }
}

// === impl Lines ===

impl Lines {
    /// What is kept under `key`, up to `most` bytes of it, and what was purged by then.
    pub(super) async fn look(mut self, key: Key, most: usize) -> Told<(Bytes, Option<Marks>)> {
        let mut ask = pipe();
        // In this order: what is purged between the two is not served.
        ask.cmd("GETRANGE").arg(marks::name(&key)).arg(0).arg(most).cmd("HGETALL").arg(NAME);
        let (value, told): (Vec<u8>, HashMap<_, _>) = ask.query_async(&mut self.reads).await?;
        Ok((value.into(), Marks::of(told)))
    }

    /// What was purged; a first root is set.
    pub(super) async fn marks(mut self) -> Told<Option<Marks>> {
        let root = marks::fresh();
        cmd("HSETNX").arg(NAME).arg(ROOT).arg(root).exec_async(&mut self.writes).await?;
        let told: HashMap<_, _> = cmd("HGETALL").arg(NAME).query_async(&mut self.writes).await?;
        Ok(Marks::of(told))
    }

    /// Keeps an entry, for so many milliseconds.
    pub(super) async fn set(mut self, key: Key, value: Bytes, ttl: u64) -> Told<()> {
        let mut set = cmd("SET");
        set.arg(marks::name(&key)).arg(&value[..]).arg("PX").arg(ttl);
        set.exec_async(&mut self.writes).await
    }

    /// Sets the mark of a field, or a new root. When it cannot be set all marks go, since purging
    /// too much is better than purging nothing: a full Redis takes no more, but deletes.
    pub(super) async fn mark(mut self, field: Option<String>) -> Told<()> {
        let mut set = pipe();
        set.atomic();
        match field {
            None => set.del(NAME).ignore().hset(NAME, ROOT, marks::fresh()).ignore(),
            Some(field) => {
                let root = set.cmd("HSETNX").arg(NAME).arg(ROOT).arg(marks::fresh()).ignore();
                root.hset(NAME, field, marks::fresh()).ignore()
            }
        };
        let count: Told<Vec<usize>> = set.cmd("HLEN").arg(NAME).query_async(&mut self.writes).await;
        if !matches!(count.as_deref(), Ok(&[count]) if count <= MARKS) {
            cmd("DEL").arg(NAME).exec_async(&mut self.writes).await?;
        }
        Ok(())
    }

    /// Deletes what was purged; those of them that `goes` are counted while it goes on.
    pub(super) async fn sweep(
        mut self,
        marks: &Marks,
        goes: impl Fn(&Key, Labels) -> bool,
        count: &AtomicU64,
    ) -> Told<()> {
        let pattern = format!("{}*", marks::PREFIX);
        let mut cursor = 0_u64;
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP);
            let (next, names): (u64, Vec<Vec<u8>>) = scan.query_async(&mut self.writes).await?;
            let mut keys: Vec<Key> = names.iter().filter_map(|name| marks::key(name)).collect();
            let tails = self.tails(&keys).await?;
            let mut tails = tails.iter().map(|tail| Tail::read(tail));
            keys.retain(|key| {
                let tail = tails.next().flatten();
                let is_purged = tail.is_none_or(|tail| !marks.allow(key, &tail));
                if is_purged && tail.is_some_and(|tail| goes(key, tail.labels)) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                is_purged
            });
            self.unlink(&keys).await?;
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    async fn tails(&mut self, keys: &[Key]) -> Told<Vec<Vec<u8>>> {
        let mut ask = pipe();
        for key in keys {
            ask.cmd("GETRANGE").arg(marks::name(key)).arg(-(TAIL as isize)).arg(-1);
        }
        if keys.is_empty() { Ok(Vec::new()) } else { ask.query_async(&mut self.writes).await }
    }

    async fn unlink(&mut self, keys: &[Key]) -> Told<()> {
        let names: Vec<String> = keys.iter().map(marks::name).collect();
        match names.is_empty() {
            true => Ok(()),
            false => cmd("UNLINK").arg(names).exec_async(&mut self.writes).await,
        }
    }
}
