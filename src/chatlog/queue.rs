//! The bounded queue between the calls and the writer thread.
//!
//! Why bounded in bytes: records differ by a factor of a million, so a number of them bounds nothing.
//! The trap: a record that is larger than the whole queue must pass all the same, when it is empty.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::WhenFull;

use super::record::Record;

/// One permit of the semaphore, bytes.
const UNIT: usize = 1024;

/// The sending end, and what is known about the other.
#[derive(Debug)]
pub(super) struct Queue {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    /// All of the room, units.
    size: u32,
    full: WhenFull,
    tally: Arc<Tally>,
    stopped: Arc<Stopped>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer thread is told.
#[derive(Debug)]
pub(super) enum Job {
    /// Write this record.
    Write(Box<Record>, Ticket),
    /// Write what came before, then stop.
    Close,
}

/// Room for one record.
#[derive(Debug)]
pub(super) enum Room {
    /// Inside the bound.
    Inside(OwnedSemaphorePermit),
    /// Beyond it: for a record that cannot wait and must not be lost.
    Beyond,
    /// None: the record is lost.
    Nowhere,
}

/// A record's place in the counts: it is dropped unless somebody says that it was written.
#[derive(Debug)]
pub(super) struct Ticket {
    tally: Arc<Tally>,
    weight: usize,
    written: bool,
    _room: Option<OwnedSemaphorePermit>,
}

/// The counts of the log.
#[derive(Debug, Default)]
pub(super) struct Tally {
    written: AtomicU64,
    dropped: AtomicU64,
    records: AtomicUsize,
    bytes: AtomicUsize,
}

/// Held by the writer thread: when it goes, the thread has stopped.
#[derive(Debug)]
pub(super) struct Closer(Arc<Stopped>);

#[derive(Debug, Default)]
struct Stopped(Mutex<bool>, Condvar);

// === impl Queue ===

impl Queue {
    /// A queue of `bytes` bytes and its receiving end.
    pub(super) fn new(bytes: usize, full: WhenFull) -> (Self, mpsc::Receiver<Job>) {
        let (jobs, receiver) = mpsc::channel();
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let size = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, most);
        let queue = Self {
            jobs,
            room: Arc::new(Semaphore::new(size as usize)),
            size,
            full,
            tally: Arc::default(),
            stopped: Arc::default(),
            thread: Mutex::new(None),
        };
        (queue, receiver)
    }

    pub(super) fn closer(&self) -> Closer {
        Closer(Arc::clone(&self.stopped))
    }

    pub(super) fn attach(&self, thread: JoinHandle<()>) {
        *self.thread.lock() = Some(thread);
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Room for a record; waits for it if the policy says so.
    pub(super) async fn room(&self, weight: usize) -> Room {
        if self.full == WhenFull::Drop {
            return self.room_now(weight);
        }
        let room = Arc::clone(&self.room).acquire_many_owned(self.units(weight)).await;
        room.map_or(Room::Nowhere, Room::Inside)
    }

    /// Room for a record that cannot wait.
    pub(super) fn room_now(&self, weight: usize) -> Room {
        match Arc::clone(&self.room).try_acquire_many_owned(self.units(weight)) {
            Ok(room) => Room::Inside(room),
            Err(_) if self.full == WhenFull::Block && !self.room.is_closed() => Room::Beyond,
            Err(_) => Room::Nowhere,
        }
    }

    /// Gives a record to the writer, or counts it as dropped.
    pub(super) fn put(&self, record: Box<Record>, room: Room) {
        let room = match room {
            Room::Inside(room) => Some(room),
            Room::Beyond => None,
            Room::Nowhere => {
                self.tally.dropped.fetch_add(1, Relaxed);
                return;
            }
        };
        let ticket = Ticket::new(Arc::clone(&self.tally), record.weight(), room);
        // When the writer has gone the job comes back and its ticket counts it.
        let _ = self.jobs.send(Job::Write(record, ticket));
    }

    /// See [`super::ChatLog::shutdown`].
    pub(super) fn shutdown(&self, timeout: Duration) -> bool {
        let _ = self.jobs.send(Job::Close);
        let Stopped(stopped, changed) = &*self.stopped;
        let mut stopped = stopped.lock();
        let in_time =
            !changed.wait_while_for(&mut stopped, |stopped| !*stopped, timeout).timed_out();
        drop(stopped);
        self.room.close();
        let thread = self.thread.lock().take();
        in_time && thread.is_none_or(|thread| thread.join().is_ok())
    }

    fn units(&self, weight: usize) -> u32 {
        u32::try_from(weight.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.size)
    }
}

// === impl Ticket ===

impl Ticket {
    fn new(tally: Arc<Tally>, weight: usize, room: Option<OwnedSemaphorePermit>) -> Self {
        tally.records.fetch_add(1, Relaxed);
        tally.bytes.fetch_add(weight, Relaxed);
        Self { tally, weight, written: false, _room: room }
    }

    /// The record is in a file.
    pub(super) fn written(mut self) {
        self.written = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let count = if self.written { &self.tally.written } else { &self.tally.dropped };
        count.fetch_add(1, Relaxed);
        self.tally.records.fetch_sub(1, Relaxed);
        self.tally.bytes.fetch_sub(self.weight, Relaxed);
    }
}

// === impl Tally ===

impl Tally {
    pub(super) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    pub(super) fn queued_records(&self) -> usize {
        self.records.load(Relaxed)
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }
}

// === impl Closer ===

impl Drop for Closer {
    fn drop(&mut self) {
        let Stopped(stopped, changed) = &*self.0;
        *stopped.lock() = true;
        changed.notify_all();
    }
}
