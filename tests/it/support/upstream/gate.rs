//! A latch that a test holds and a script waits at.
//!
//! Why: a test that steps its upstream by events needs no sleep and cannot race.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Closed at first; clones are one gate.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

// === impl Gate ===

impl Gate {
    /// A closed gate.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets one through: the one who waits, or the next to come.
    pub(crate) fn step(&self) {
        self.0.add_permits(1);
    }

    /// Lets everyone through, from now on.
    pub(crate) fn open(&self) {
        self.0.close();
    }

    pub(super) async fn pass(self) {
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}
