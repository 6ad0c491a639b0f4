//! The end of an answer that is written to. Dropped before an end was said, it has broken off.
//!
//! Why it waits for the quickest reader alone: who reads nothing delays nobody, but where nobody
//! reads there is no hurry.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::state::State;
use super::{End, Fill, Head, Piece};
use crate::refusal::Refusal;

/// The one who brings the answer.
#[derive(Debug)]
pub struct Writer(Arc<Fill>);

// === impl Writer ===

impl Writer {
    pub(super) fn of(fill: Arc<Fill>) -> Self {
        Self(fill)
    }

    /// The answer begins.
    pub fn head(&self, head: Head) {
        self.change(|state| state.head = Some(head));
    }

    /// A piece of the body has come.
    pub fn push(&self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        let piece = Piece { at: Instant::now(), data };
        self.change(|state| state.push(piece, self.0.most));
    }

    /// The answer has ended; only the first end counts.
    pub fn end(&self, end: End) {
        self.change(|state| {
            state.end.get_or_insert(end);
        });
    }

    /// An attempt at a host begins.
    pub fn via(&self, host: &str) {
        let mut state = self.0.state.lock();
        state.via.attempts += 1;
        state.via.host = Some(host.into());
    }

    /// Says why it will break off; only the first reason counts.
    pub fn refuse(&self, refusal: Refusal) {
        self.0.state.lock().refusal.get_or_insert(refusal);
    }

    /// Whether every reader has left.
    #[must_use]
    pub fn is_deserted(&self) -> bool {
        self.0.state.lock().deserted
    }

    /// Waits until every reader has left.
    pub async fn deserted(&self) {
        self.wait_for(|state| state.deserted).await;
    }

    /// Waits until the quickest reader has read up, or every one has left.
    pub async fn room(&self) {
        self.wait_for(|state| state.has_room(self.0.most)).await;
    }

    /// The whole answer from its start; `None` when it is not whole, or not all of it was kept.
    #[must_use]
    pub fn whole(&self) -> Option<(Head, Vec<Piece>)> {
        self.0.state.lock().whole()
    }

    async fn wait_for(&self, done: impl Fn(&State) -> bool) {
        loop {
            let change = self.0.readers.notified();
            tokio::pin!(change);
            change.as_mut().enable();
            if done(&self.0.state.lock()) {
                return;
            }
            change.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.state.lock());
        self.0.changes.send_replace(());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.change(|state| {
            state.end.get_or_insert(End::Broken);
            state.over = true;
        });
    }
}
