//! A store in Redis, shared by several nodes.
//!
//! Why purging is a mark ([`marks`]) and not a search: a list of what belongs to a model would be
//! wrong as soon as Redis evicts one or the other, and another node may be writing meanwhile. So an
//! entry carries a stamp of the marks that its node knew when it asked the host, a lookup brings the
//! marks of now along in the same trip, and an entry whose stamp differs is none. Eviction of an
//! entry loses an entry, and that of the marks all of them; neither brings one back. What was purged
//! is looked for and deleted only behind that, for the sake of memory.
//! The trap: a purge that Redis was not told of is still owed. Until it is, nothing is served here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::Key;
use super::store::{Labels, Lost, one_more};
use crate::link::{self, Away, spawn};
use crate::secret::Secret;

use self::lines::{Both, Lines};
use self::marks::Marks;
use self::queue::{Pushed, Queue, Value};

mod lines;
mod marks;
mod purge;
mod queue;

/// The store.
#[derive(Debug)]
pub(super) struct Redis(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    link: Arc<link::Link<Both>>,
    queue: Queue,
    /// What was purged, as far as this node knows.
    marks: Mutex<Option<Arc<Marks>>>,
    /// Counts purges: those of this node, and those of which it hears.
    epoch: Arc<AtomicU64>,
    /// Purges of which Redis does not know yet.
    owed: AtomicUsize,
    /// Somebody is asking for the marks.
    learning: AtomicBool,
    lost: Arc<Lost>,
    /// The longest value that is written or read, bytes.
    most: usize,
    /// How long an entry is good, milliseconds.
    ttl: u64,
    /// No lookup takes longer.
    patience: Duration,
    shown: String,
}

/// What the store shares with its shelf, and how large an answer may be.
#[derive(Debug)]
pub(super) struct Terms {
    /// The longest answer, bytes.
    pub(super) answer: usize,
    pub(super) ttl: Option<Duration>,
    pub(super) patience: Duration,
    /// See [`Shelf::epoch`](super::Shelf::epoch).
    pub(super) epoch: Arc<AtomicU64>,
    pub(super) lost: Arc<Lost>,
}

/// What an entry may have besides its answer: headers, and times and lengths of small pieces.
const SLACK: usize = 64 << 10;

/// Ten years. Not without an end: by that Redis tells entries, which it may evict, from the marks.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Bytes that may wait to be written, at least.
const WAITING: usize = 16 << 20;

/// No write takes longer.
const WRITE: Duration = Duration::from_secs(1);

// === impl Redis ===

impl Redis {
    /// Begins to connect, if there is a runtime.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub(super) fn open(url: &Secret, terms: Terms) -> Result<Self, String> {
        let Terms { answer, ttl, patience, epoch, lost } = terms;
        let what = format!("the cached answers in {}", url.origin());
        let link = Arc::new(link::Link::to(url.expose(), what, Both { patience })?);
        let most = answer.saturating_mul(2).saturating_add(SLACK);
        let inner = Arc::new(Inner {
            link,
            queue: Queue::new(WAITING.max(most)),
            marks: Mutex::default(),
            epoch,
            owed: AtomicUsize::new(0),
            learning: AtomicBool::new(false),
            lost,
            most,
            ttl: u64::try_from(ttl.unwrap_or(FOR_EVER).as_millis()).unwrap_or(u64::MAX).max(1),
            patience,
            shown: url.origin().to_owned(),
        });
        inner.learn();
        Ok(Self(inner))
    }

    /// The entry of `key`, if it is there and good and comes in time.
    ///
    /// # Errors
    /// Redis did not say in time, or does not know yet what was purged.
    pub(super) async fn get(&self, key: Key) -> Result<Option<Bytes>, Away> {
        let Inner { link, queue, most, patience, .. } = &*self.0;
        if self.0.owed.load(Ordering::Acquire) > 0 || link.is_down() {
            return Err(Away);
        }
        // Before Redis is asked, or it could be written in between and be found nowhere.
        let waiting = queue.get(&key);
        let (kept, marks) = link.within(*patience, |lines| lines.look(key, *most)).await?;
        let Some(marks) = self.0.note(marks) else {
            self.0.learn();
            return Ok(None);
        };
        let waiting = waiting.and_then(|value| marks.open(&key, value.bytes));
        Ok(waiting.or_else(|| marks.open(&key, kept)))
    }

    /// Keeps an entry that was asked for in this epoch, as soon as may be; false if not.
    pub(super) fn put(&self, key: Key, labels: Labels, mut entry: Vec<u8>, epoch: u64) -> bool {
        let inner = &self.0;
        let marks = inner.marks.lock().clone();
        // In this order: whoever changes the marks counts after it.
        let Some(marks) = marks.filter(|_| epoch == inner.epoch.load(Ordering::Acquire)) else {
            return false;
        };
        entry.extend_from_slice(&marks.tail(&key, labels).bytes());
        if entry.len() > inner.most {
            return false;
        }
        let is_away = inner.link.is_down() || inner.owed.load(Ordering::Acquire) > 0;
        let pushed =
            if is_away { Pushed::Not } else { inner.queue.push(key, labels, entry.into()) };
        if pushed == Pushed::Not {
            one_more(&inner.lost.dropped);
        }
        if pushed == Pushed::New
            && let Some(value) = inner.queue.get(&key)
        {
            let writer = Arc::clone(inner);
            // Without a runtime the process is about to end.
            let _ = spawn(async move { writer.write(key, value).await });
        }
        pushed != Pushed::Not
    }

    /// Whether Redis answers, and has told what was purged.
    pub(super) fn is_up(&self) -> bool {
        self.0.link.is_up() && self.0.marks.lock().is_some()
    }
}

// === impl Inner ===

impl Inner {
    /// Asks what was purged, in the background.
    fn learn(self: &Arc<Self>) {
        if self.learning.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = Arc::clone(self);
        let asked = spawn(async move {
            if let Ok(marks) = inner.link.within(WRITE, Lines::marks).await {
                inner.note(marks);
            }
            inner.learning.store(false, Ordering::Release);
        });
        if asked.is_err() {
            self.learning.store(false, Ordering::Release);
        }
    }

    /// What was purged, as one just heard.
    fn note(&self, heard: Option<Marks>) -> Option<Arc<Marks>> {
        let mut marks = self.marks.lock();
        if marks.as_deref() != heard.as_ref() {
            *marks = heard.map(Arc::new);
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        marks.clone()
    }

    /// Writes, and what comes in its place meanwhile.
    async fn write(&self, key: Key, first: Value) {
        let mut next = Some(first);
        while let Some(value) = next {
            let bytes = value.bytes.clone();
            let set = self.link.call(|lines| lines.set(key, bytes, self.ttl));
            match timeout(WRITE, set).await {
                Ok(Ok(())) => {}
                Ok(Err(Away)) => one_more(&self.lost.writes),
                Err(_) => {
                    self.link.strike();
                    one_more(&self.lost.writes);
                }
            }
            next = self.queue.done(key, &value);
        }
    }
}

#[cfg(test)]
mod tests;
