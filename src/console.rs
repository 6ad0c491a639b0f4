//! The process's own log on stderr, written by a thread of its own.
//!
//! Why not straight: a reader of stderr that stops reading (a full pipe, a stuck journal) would
//! stop a worker, and with it every stream on it. Lines that find the queue full are counted and
//! the count is told once there is room again.
//! The trap: at trace level Pingora tells what goes over the wire, every key and login in it. That is
//! shown to nobody, whatever `RUST_LOG` says.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use jiff::Timestamp;
use log::{Level, Log, Metadata, Record};

use crate::clock::Clock;

/// Lines that may wait for stderr.
const QUEUE: usize = 8192;

/// Bytes written at once at most.
const BATCH: usize = 64 * 1024;

/// How long the thread rests after a batch.
const REST: Duration = Duration::from_millis(10);

/// What of the log is shown when `RUST_LOG` does not say: Pingora tells again what aifd tells.
const FILTER: &str = "info,pingora_core=off,pingora_proxy=off,pingora_cache=off";

enum Note {
    Line(Line),
    Flush(SyncSender<()>),
}

struct Line {
    at: Timestamp,
    text: String,
}

/// The log of this process: `env_logger` says what is shown, the thread writes it.
struct Lines {
    shown: env_logger::Logger,
    queue: SyncSender<Note>,
    lost: Arc<AtomicU64>,
}

/// Waits for the lines that are still queued.
pub struct Console(SyncSender<Note>);

/// Starts the thread and makes it the log of this process.
///
/// # Errors
/// When the thread cannot be started or another log is in place.
pub fn start() -> anyhow::Result<Console> {
    let env = env_logger::Env::default().default_filter_or(FILTER);
    let shown = env_logger::Builder::from_env(env).build();
    let most = shown.filter();
    let (queue, notes) = sync_channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let lines = Lines { shown, queue: queue.clone(), lost: Arc::clone(&lost) };
    std::thread::Builder::new()
        .name("console".into())
        .spawn(move || drain(&notes, &lost, &mut io::stderr()))?;
    log::set_boxed_logger(Box::new(lines))?;
    log::set_max_level(most);
    Ok(Console(queue))
}

fn drain(notes: &Receiver<Note>, lost: &AtomicU64, out: &mut impl Write) {
    let (mut batch, mut clock) = (Vec::new(), Clock::utc());
    while let Ok(note) = notes.recv() {
        let mut flushed = take(note, &mut clock, &mut batch);
        while batch.len() < BATCH
            && let Ok(note) = notes.try_recv()
        {
            flushed = take(note, &mut clock, &mut batch).or(flushed);
        }
        write(&mut batch, lost, out);
        match flushed {
            Some(done) => drop(done.send(())),
            // Whoever waits for a line is woken by each; whoever rests finds a batch.
            None => std::thread::sleep(REST),
        }
    }
}

fn take(note: Note, clock: &mut Clock, batch: &mut Vec<u8>) -> Option<SyncSender<()>> {
    match note {
        Note::Line(Line { at, text }) => {
            clock.write(at, batch);
            batch.extend_from_slice(text.as_bytes());
            None
        }
        Note::Flush(done) => Some(done),
    }
}

/// A stderr that is closed is nobody's fault, and nobody could be told.
fn write(batch: &mut Vec<u8>, lost: &AtomicU64, out: &mut impl Write) {
    match lost.swap(0, Ordering::Relaxed) {
        0 => {}
        lost => batch
            .extend_from_slice(format!("({lost} log lines lost: stderr was full)\n").as_bytes()),
    }
    let _ = out.write_all(batch).and_then(|()| out.flush());
    batch.clear();
}

// === impl Lines ===

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !tells_secrets(metadata) && self.shown.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if tells_secrets(record.metadata()) || !self.shown.matches(record) {
            return;
        }
        let (level, target) = (record.level().as_str(), record.target());
        let mut text = String::with_capacity(256);
        let _ = writeln!(text, " {level:<5} {target} {}", record.args());
        let line = Line { at: Timestamp::now(), text };
        if self.queue.try_send(Note::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

fn tells_secrets(metadata: &Metadata<'_>) -> bool {
    metadata.level() == Level::Trace && metadata.target().starts_with("pingora")
}

// === impl Console ===

impl Console {
    /// Waits until what was logged so far is written, at most `patience`.
    pub fn flush(&self, patience: Duration) {
        let (done, written) = sync_channel(1);
        if self.0.try_send(Note::Flush(done)).is_ok() {
            let _ = written.recv_timeout(patience);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_and_losses_are_told() {
        let (queue, notes) = sync_channel(2);
        let lost = Arc::new(AtomicU64::new(0));
        let shown = env_logger::Builder::new().filter_level(log::LevelFilter::Info).build();
        let lines = Lines { shown, queue, lost: Arc::clone(&lost) };
        for (level, text) in [
            (Level::Warn, "one"),
            (Level::Debug, "nobody asked for it"),
            (Level::Info, "two"),
            (Level::Info, "three"),
        ] {
            let args = format_args!("{text}");
            lines.log(&Record::builder().level(level).target("t").args(args).build());
        }
        drop(lines);
        let mut out = Vec::new();
        drain(&notes, &lost, &mut out);
        let out = String::from_utf8(out).unwrap();
        let texts: Vec<&str> = out.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(texts, ["WARN  t one", "INFO  t two", "log lines lost: stderr was full)"]);
    }

    #[test]
    fn what_pingora_reads_and_writes_is_shown_to_nobody() {
        let (queue, notes) = sync_channel(8);
        let shown = env_logger::Builder::new().filter_level(log::LevelFilter::Trace).build();
        let lines = Lines { shown, queue, lost: Arc::default() };
        for (level, target) in [
            (Level::Trace, "pingora_core::protocols::http::v1::client"),
            (Level::Trace, "pingora_proxy"),
            (Level::Debug, "pingora_proxy"),
            (Level::Trace, "aifd::stage"),
        ] {
            let metadata = Metadata::builder().level(level).target(target).build();
            let enabled = lines.enabled(&metadata);
            assert_eq!(enabled, level == Level::Debug || target == "aifd::stage", "{target}");
            lines.log(&Record::builder().metadata(metadata).args(format_args!("x")).build());
        }
        drop(lines);
        assert_eq!(notes.iter().count(), 2);
    }
}
