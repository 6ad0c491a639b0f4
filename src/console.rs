//! The process's own log on stderr, written by a thread of its own.
//!
//! Why not straight: a reader of stderr that stops reading (a full pipe, a stuck journal) would
//! stop a worker, and with it every stream on it. Lines that find the queue full are counted and
//! the count is told once there is room again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Lines that may wait for stderr.
const QUEUE: usize = 8192;

/// Bytes written at once at most.
const BATCH: usize = 64 * 1024;

/// How long the thread rests after a batch.
const REST: Duration = Duration::from_millis(10);

/// What of the log is shown when `RUST_LOG` does not say: Pingora tells again what aifd tells.
const FILTER: &str = "info,pingora_core=off,pingora_proxy=off,pingora_cache=off";

enum Note {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// The writing end that `env_logger` gets.
struct Lines {
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
    let (queue, notes) = sync_channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let lines = Lines { queue: queue.clone(), lost: Arc::clone(&lost) };
    std::thread::Builder::new()
        .name("console".into())
        .spawn(move || drain(&notes, &lost, &mut io::stderr()))?;
    let env = env_logger::Env::default().default_filter_or(FILTER);
    env_logger::Builder::from_env(env)
        .format(|line, record| {
            let (time, level) = (line.timestamp_millis(), record.level());
            writeln!(line, "{time} {level:<5} {} {}", record.target(), record.args())
        })
        .target(env_logger::Target::Pipe(Box::new(lines)))
        .try_init()?;
    Ok(Console(queue))
}

fn drain(notes: &Receiver<Note>, lost: &AtomicU64, out: &mut impl Write) {
    let mut batch = Vec::new();
    while let Ok(note) = notes.recv() {
        let mut flushed = take(note, &mut batch);
        while batch.len() < BATCH
            && let Ok(note) = notes.try_recv()
        {
            flushed = take(note, &mut batch).or(flushed);
        }
        write(&mut batch, lost, out);
        match flushed {
            Some(done) => drop(done.send(())),
            // Whoever waits for a line is woken by each; whoever rests finds a batch.
            None => std::thread::sleep(REST),
        }
    }
}

fn take(note: Note, batch: &mut Vec<u8>) -> Option<SyncSender<()>> {
    match note {
        Note::Line(line) => {
            batch.extend_from_slice(&line);
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

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Note::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
        let mut lines = Lines { queue, lost: Arc::clone(&lost) };
        for line in ["one\n", "two\n", "three\n"] {
            lines.write_all(line.as_bytes()).unwrap();
        }
        drop(lines);
        let mut out = Vec::new();
        drain(&notes, &lost, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "one\ntwo\n(1 log lines lost: stderr was full)\n"
        );
    }
}
