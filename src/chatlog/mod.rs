//! The chat log: one JSON line a call, with what was asked and what the client got.
//!
//! Why a queue and a thread: no disk may ever stall a stream. A call grows its record in memory
//! ([`Entry`]), hands it over when it ends, and one thread formats, writes and rotates.
//!
//! ```text
//! begin ─► Entry ── capture ──► end ─► queue (bytes) ─► writer ── jsonl ──► files
//! ```
//!
//! Exactly one record comes of every entry, whatever happens to the call; what cannot be written
//! is counted in [`ChatLog::dropped`]. Headers are never written, nor is the query of a path.
//! The trap: a record that is killed half-way leaves a torn line. It stays a line of its own, and
//! [`read()`] steps over it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::config;

mod answer;
mod capture;
mod entry;
mod files;
mod jsonl;
mod queue;
mod read;
mod record;
mod whole;
mod writer;

pub use self::entry::Entry;
pub use self::read::{Lines, read};
pub use self::record::{Call, Ended};

/// The open log. Clones are the same log.
#[derive(Clone, Debug)]
pub struct ChatLog {
    queue: Arc<queue::Queue>,
    /// How much of one answer is kept, bytes.
    capture: usize,
}

// === impl ChatLog ===

impl ChatLog {
    /// Opens the directory, deletes what is beyond `keep` and starts the writer thread.
    ///
    /// # Errors
    /// The directory or the file cannot be made, read or written; the message names it.
    pub fn open(conf: &config::ChatLog) -> io::Result<Self> {
        Self::over(files::Files::open(conf)?, conf)
    }

    /// A log over any sink: the files, or a test's.
    fn over(sink: impl writer::Sink, conf: &config::ChatLog) -> io::Result<Self> {
        let (queue, jobs) = queue::Queue::new(conf.queue, conf.full);
        queue.attach(writer::start(jobs, sink, queue.closer())?);
        Ok(Self { queue: Arc::new(queue), capture: conf.capture })
    }

    /// Begins the record of a call.
    pub fn begin(&self, call: Call) -> Entry {
        Entry::new(Arc::clone(&self.queue), call, self.capture)
    }

    /// Writes everything that waits and stops the writer; blocks up to `timeout`. False when the
    /// disk was too slow for that. Records that come later are dropped and counted.
    #[must_use]
    pub fn shutdown(&self, timeout: Duration) -> bool {
        self.queue.shutdown(timeout)
    }

    /// Records that were lost: no room in the queue, or the disk failed.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue.tally().dropped()
    }

    /// Records that are in a file.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.queue.tally().written()
    }

    /// Records that wait for the disk.
    #[must_use]
    pub fn queued_records(&self) -> usize {
        self.queue.tally().queued_records()
    }

    /// Memory of the records that wait for the disk, bytes.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queue.tally().queued_bytes()
    }
}

#[cfg(test)]
mod tests;
