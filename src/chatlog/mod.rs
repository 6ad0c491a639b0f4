//! The chat log: what was asked and what the client got, as one JSON line a call or in the form of
//! openai-forward.
//!
//! Why a queue and a thread: no disk may ever stall a stream. A call grows its record in memory
//! ([`Entry`]), hands it over when it ends, and one thread formats, writes and rotates.
//!
//! ```text
//! begin ─► Entry ── capture ──► end ─► queue (bytes) ─► writer ─┬─ jsonl or python ──► files
//!                                                               └─ print ──► stdout
//! ```
//!
//! Exactly one record comes of every entry, whatever happens to the call; what cannot be written
//! is counted in [`ChatLog::dropped`]. Headers are never written, nor is the query of a path.
//! The trap: a record that is killed half-way leaves a torn line. It stays a line of its own, and
//! [`read()`] steps over it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::clock::Clock;
use crate::config::{self, Format};

mod answer;
mod api;
mod capture;
mod entry;
mod files;
mod first;
mod jsonl;
mod names;
mod print;
mod python;
mod queue;
mod read;
mod record;
mod whole;
mod writer;

pub use self::entry::Entry;
pub use self::read::{Lines, read};
pub use self::record::{Call, Ended};

use self::api::Api;
use self::files::{Files, Place};
use self::jsonl::Jsonl;
use self::names::Names;
use self::print::Printer;
use self::python::Python;
use self::record::Record;
use self::writer::{Form, Sink};

/// The open log. Clones are the same log.
#[derive(Clone, Debug)]
pub struct ChatLog {
    queue: Arc<queue::Queue>,
    /// How much of one answer is kept, bytes.
    capture: usize,
    paths: Arc<config::ChatPaths>,
    wants: Wants,
}

/// Which calls have an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    All,
    /// Those that have a file of their own.
    Named,
    Chats,
}

/// No file: chats are printed, and that is all.
struct Nowhere;

// === impl ChatLog ===

impl ChatLog {
    /// Opens the directory, deletes what is beyond `keep` and starts the writer thread.
    ///
    /// # Errors
    /// The directory or the file cannot be made, read or written; the message names it.
    pub fn open(conf: &config::ChatLog) -> io::Result<Self> {
        let zone = conf.timezone.as_ref();
        let zone = zone.map_or_else(TimeZone::system, |zone| zone.zone.clone());
        match conf.format {
            _ if !conf.on => Self::over(Nowhere, conf),
            Format::Jsonl => {
                let place = Place {
                    dir: conf.dir.clone(),
                    names: Names::jsonl(),
                    rotate: conf.rotate,
                    keep: conf.keep,
                };
                Self::over(Jsonl { sink: Files::open(place)?, clock: Clock::of(zone) }, conf)
            }
            Format::Python => Self::over(Python::open(conf, zone)?, conf),
        }
    }

    /// A log in any form, over files or a test's sink.
    fn over(form: impl Form, conf: &config::ChatLog) -> io::Result<Self> {
        let (queue, jobs) = queue::Queue::new(conf.queue, conf.full);
        let printer = conf.print.then(Printer::stdout).transpose()?;
        queue.attach(writer::start(jobs, form, printer, queue.closer())?);
        let wants = match conf.format {
            _ if !conf.on => Wants::Chats,
            Format::Jsonl => Wants::All,
            Format::Python => Wants::Named,
        };
        let paths = Arc::new(conf.paths.clone());
        Ok(Self { queue: Arc::new(queue), capture: conf.capture, paths, wants })
    }

    /// Begins the record of a call; `None` when the log says nothing of such calls.
    #[must_use]
    pub fn begin(&self, call: Call) -> Option<Entry> {
        let api = Api::of(&call.path, &call.route, &self.paths);
        let wanted = match self.wants {
            Wants::All => true,
            Wants::Named => api.is_some(),
            Wants::Chats => api == Some(Api::Chat),
        };
        wanted.then(|| Entry::new(Arc::clone(&self.queue), Record::new(call, api), self.capture))
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

// === impl Nowhere ===

impl Form for Nowhere {
    fn file(&mut self, _: &Record) -> usize {
        0
    }

    fn write(&mut self, _: Record, _: &mut Vec<u8>) {}

    fn sink(&mut self, _: usize) -> &mut dyn Sink {
        self
    }
}

impl Sink for Nowhere {
    fn fits(&self, _: usize) -> bool {
        true
    }

    fn append(&mut self, _: &[u8]) -> Result<(), writer::Short> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
