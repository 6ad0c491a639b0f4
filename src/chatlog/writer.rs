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

use super::print::Printer;
use super::queue::{Closer, Job, Ticket};
use super::record::Record;

/// Lines are gathered up to this much when many wait, bytes.
const BATCH: usize = 256 * 1024;

/// How long the thread rests after a batch: what a kill can take is this much of the log.
const REST: Duration = Duration::from_millis(5);

/// Errors are told at most this often.
const QUIET: Duration = Duration::from_secs(60);

/// What becomes of a record, and in which of its files.
pub(super) trait Form: Send + 'static {
    /// The file that a record belongs to, as a small number.
    fn file(&mut self, record: &Record) -> usize;

    /// Writes the lines of a record, whole with their ends, behind what is in `lines`. A record that
    /// says nothing in this form has none.
    fn write(&mut self, record: Record, lines: &mut Vec<u8>);

    /// The file of a number that was given out.
    fn sink(&mut self, file: usize) -> &mut dyn Sink;
}

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
    form: impl Form,
    printer: Option<Printer>,
    closer: Closer,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("chat-log".to_owned()).spawn(move || {
        // The receiver goes before the closer: who waits for the end finds every count settled.
        let _closer = closer;
        Writer { form, printer, batches: Vec::new(), told: None }.run(jobs);
    })
}

struct Writer<F> {
    form: F,
    printer: Option<Printer>,
    /// By number of the file.
    batches: Vec<Batch>,
    told: Option<Instant>,
}

/// What goes into one file next.
#[derive(Default)]
struct Batch {
    lines: Vec<u8>,
    /// Of each record its ticket and where it ends in `lines`.
    tickets: Vec<(Ticket, usize)>,
}

// === impl Writer ===

impl<F: Form> Writer<F> {
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

    fn add(&mut self, mut record: Record, ticket: Ticket) {
        record.capture.close();
        if let Some(printer) = &self.printer {
            printer.tell(&record);
        }
        let file = self.form.file(&record);
        if self.batches.len() <= file {
            self.batches.resize_with(file + 1, Batch::default);
        }
        let batch = &mut self.batches[file];
        let before = batch.lines.len();
        self.form.write(record, &mut batch.lines);
        let together = batch.lines.len();
        if before > 0 && (together > BATCH || !self.form.sink(file).fits(together)) {
            self.commit_to(file, before);
        }
        let batch = &mut self.batches[file];
        batch.tickets.push((ticket, batch.lines.len()));
    }

    fn commit(&mut self) {
        for file in 0..self.batches.len() {
            self.commit_to(file, self.batches[file].lines.len());
            self.batches[file].lines.shrink_to(BATCH);
        }
    }

    /// Writes the lines before `end`; what is behind them moves to the front.
    fn commit_to(&mut self, file: usize, end: usize) {
        let Batch { lines, tickets } = &mut self.batches[file];
        let written = match end {
            0 => Ok(()),
            end => self.form.sink(file).append(&lines[..end]),
        };
        let short = written.err();
        let written = short.as_ref().map_or(end, |short| short.written);
        for (ticket, end) in tickets.drain(..) {
            if end <= written {
                ticket.written();
            }
        }
        lines.drain(..end);
        if let Some(short) = short {
            self.tell(&short.cause);
        }
    }

    fn tell(&mut self, cause: &io::Error) {
        if self.told.is_none_or(|told| told.elapsed() >= QUIET) {
            self.told = Some(Instant::now());
            log::error!("chat log: records are lost: {cause}");
        }
    }
}
