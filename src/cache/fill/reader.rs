//! The end of an answer that one reads from. Dropped, its reader has left.
//!
//! Why it never fails: an answer that cannot be read on has ended, broken.

use std::sync::Arc;

use tokio::sync::watch;

use super::state::Place;
use super::{End, Fill, Next, Via};
use crate::refusal::Refusal;

/// One who reads.
#[derive(Debug)]
pub struct Reader {
    fill: Arc<Fill>,
    changes: watch::Receiver<()>,
    place: Place,
}

// === impl Reader ===

impl Reader {
    /// One that the state counts already.
    pub(super) fn of(fill: Arc<Fill>) -> Self {
        let changes = fill.changes.subscribe();
        Self { fill, changes, place: Place::default() }
    }

    /// Waits for what comes next. Dropping this future loses nothing.
    pub async fn next(&mut self) -> Next {
        loop {
            self.changes.mark_unchanged();
            if let Some(next) = self.ready() {
                return next;
            }
            if self.changes.changed().await.is_err() {
                return Next::End(End::Broken);
            }
        }
    }

    /// What comes next, if it is there.
    pub fn ready(&mut self) -> Option<Next> {
        let (next, quickest) = self.fill.state.lock().next(&mut self.place)?;
        if quickest {
            self.fill.readers.notify_waiters();
        }
        Some(next)
    }

    /// Where it comes from, as far as it is known yet.
    #[must_use]
    pub fn via(&self) -> Via {
        self.fill.state.lock().via.clone()
    }

    /// Why it broke off, if that is known.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.fill.state.lock().refusal.clone()
    }

    /// Whether a stream was asked for.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.fill.stream
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.fill.state.lock();
        if state.leave(&self.place) {
            state.deserted = true;
            self.fill.readers.notify_waiters();
        }
    }
}
