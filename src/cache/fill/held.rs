//! What all answers on their way hold together.
//!
//! Why one count: each has a bound of its own, but how many there are is up to the clients.
//! The trap: beyond it no stream may break. So it costs who comes later, for whom nothing is kept
//! any more, and the hosts, which wait for the quickest reader; no reader loses a byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The count, and its bound, bytes.
#[derive(Debug)]
pub(super) struct Held {
    most: usize,
    bytes: AtomicUsize,
}

/// What one of them holds; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    all: Arc<Held>,
    bytes: usize,
}

// === impl Held ===

impl Held {
    pub(super) fn new(most: usize) -> Self {
        Self { most, bytes: AtomicUsize::new(0) }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

// === impl Share ===

impl Share {
    pub(super) fn of(all: &Arc<Held>) -> Self {
        Self { all: Arc::clone(all), bytes: 0 }
    }

    /// So many bytes more.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.all.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.all.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What this one holds, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all together hold more than they should.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        self.all.bytes() > self.all.most
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}
