//! The one thread that formats records and writes them.
//!
//! Why a plain thread: formatting costs CPU and writing may block, and neither belongs to the
//! threads that carry streams.
//! The trap: a batch holds whole lines only, and what the disk did not take is counted, not kept.

use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::Instant;

use super::jsonl;
use super::queue::{Closer, Job, Ticket};
use super::record::Record;
use crate::clock::Clock;

/// Lines are gathered up to this much when many wait, bytes.
const BATCH: usize = 256 * 1024;

/// How long the thread rests after a batch: what a kill can take is this much of the log.
const REST: Duration = Duration::from_millis(5);

/// Errors are told at most this often.
const QUIET: Duration = Duration::from_secs(60);

/// Where lines go: the files, or a test's.
pub(super) trait Sink: Send + 'static {
    /// Whether so many bytes still go into the present file.
    fn fits(&self, bytes: usize) -> bool;

    /// Appends whole lines, with one write if the system takes them in one.
    fn append(&mut self, lines: &[u8]) -> Result<(), Short>;
}

/// The lines were not all written.
#[derive(Debug)]
pub(super) struct Short {
    /// How many bytes of them were, from the start.
    pub(super) written: usize,
    /// What went wrong.
    pub(super) cause: io::Error,
}

/// Starts the thread; `closer` goes when it ends.
pub(super) fn start(
    jobs: mpsc::Receiver<Job>,
    sink: impl Sink,
    closer: Closer,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("chat-log".to_owned()).spawn(move || {
        // The receiver goes before the closer: who waits for the end finds every count settled.
        let _closer = closer;
        let writer = Writer {
            sink,
            clock: Clock::local(),
            lines: Vec::new(),
            tickets: Vec::new(),
            told: None,
        };
        writer.run(jobs);
    })
}

struct Writer<S> {
    sink: S,
    clock: Clock,
    lines: Vec<u8>,
    /// Of each line its ticket and where it ends in `lines`.
    tickets: Vec<(Ticket, usize)>,
    told: Option<Instant>,
}

// === impl Writer ===

impl<S: Sink> Writer<S> {
    #[expect(clippy::needless_pass_by_value, reason = "it must be dropped when the thread stops")]
    fn run(mut self, jobs: mpsc::Receiver<Job>) {
        let mut open = true;
        while open && let Ok(job) = jobs.recv() {
            let mut next = Some(job);
            while let Some(job) = next {
                match job {
                    Job::Write(record, ticket) => self.add(*record, ticket),
                    Job::Close => open = false,
                }
                next = jobs.try_recv().ok();
            }
            self.commit();
            if open {
                // Whoever waits for a job is woken by each; whoever rests finds a batch.
                std::thread::sleep(REST);
            }
        }
    }

    fn add(&mut self, record: Record, ticket: Ticket) {
        let before = self.lines.len();
        jsonl::write(record, &mut self.clock, &mut self.lines);
        let together = self.lines.len();
        if before > 0 && (together > BATCH || !self.sink.fits(together)) {
            self.commit_to(before);
        }
        self.tickets.push((ticket, self.lines.len()));
    }

    fn commit(&mut self) {
        self.commit_to(self.lines.len());
        self.lines.shrink_to(BATCH);
    }

    /// Writes the lines before `end`; what is behind them moves to the front.
    fn commit_to(&mut self, end: usize) {
        if end == 0 {
            return;
        }
        let written = match self.sink.append(&self.lines[..end]) {
            Ok(()) => end,
            Err(short) => {
                self.tell(&short.cause);
                short.written
            }
        };
        for (ticket, end) in self.tickets.drain(..) {
            if end <= written {
                ticket.written();
            }
        }
        self.lines.drain(..end);
    }

    fn tell(&mut self, cause: &io::Error) {
        if self.told.is_none_or(|told| told.elapsed() >= QUIET) {
            self.told = Some(Instant::now());
            log::error!("chat log: records are lost: {cause}");
        }
    }
}
