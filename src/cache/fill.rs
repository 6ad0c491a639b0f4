//! One answer on its way, for all who asked the same: each reads it at his own pace, from its start.
//!
//! Why apart from everybody's request: whoever came first may leave, and nobody else may notice. The
//! call to the host belongs to its readers together; when the last one has left, it is given up.
//! The trap: a slow reader holds nobody up, so what it has not read is kept for it, up to a bound.
//! Whoever falls back further loses the answer; whoever comes when its beginning is gone begins anew.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::held::Held;
pub use self::held::Share;
pub use self::reader::Reader;
use self::state::State;
pub use self::writer::Writer;
use super::Key;

mod held;
mod reader;
mod state;
mod writer;

/// All answers on their way.
#[derive(Debug)]
pub struct Fills {
    /// Those that others may join.
    open: Mutex<HashMap<Key, Weak<Fill>>>,
    held: Arc<Held>,
}

/// The head of an answer.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
}

/// Where an answer comes from, for logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Via {
    /// The host of the last attempt.
    pub host: Option<Arc<str>>,
    /// Attempts begun.
    pub attempts: u32,
}

/// A piece of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// When it came.
    pub at: Instant,
    /// Its bytes; never none.
    pub data: Bytes,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The body is whole.
    Whole,
    /// It broke off, or this reader has fallen too far back.
    Broken,
}

/// What a reader gets next.
#[derive(Debug, Clone)]
pub enum Next {
    /// The head; always the first.
    Head(Head),
    /// A piece of the body.
    Piece(Piece),
    /// The end; broken and before any head, no answer came.
    End(End),
}

#[derive(Debug)]
struct Fill {
    state: Mutex<State>,
    changes: watch::Sender<()>,
    /// The last reader has left, or the quickest one has read on.
    readers: Notify,
    /// Bytes that are kept for readers.
    most: usize,
    /// A stream was asked for.
    stream: bool,
}

/// From so many on, those that are over are looked for before another is added.
const MANY: usize = 64;

// === impl Fills ===

impl Fills {
    /// None yet. Together they shall hold `most` bytes; beyond, no more is kept than readers need.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { open: Mutex::default(), held: Arc::new(Held::new(most)) }
    }

    /// Joins the answer to an equal request, or begins one, of which up to `most` bytes are kept; its
    /// writer's end is there then. `stream`: what is asked for, should it begin.
    #[must_use]
    pub fn join(&self, key: Key, most: usize, stream: bool) -> (Reader, Option<Writer>) {
        let mut open = self.open.lock();
        if let Some(reader) = open.get(&key).and_then(Weak::upgrade).and_then(Fill::reader) {
            return (reader, None);
        }
        if open.len() >= MANY && open.len() == open.capacity() {
            open.retain(|_, fill| fill.strong_count() > 0);
        }
        let fill = self.fill(most, stream);
        open.insert(key, Arc::downgrade(&fill));
        (Reader::of(Arc::clone(&fill)), Some(Writer::of(fill)))
    }

    /// An answer that nobody else can join.
    #[must_use]
    pub fn begin(&self, most: usize, stream: bool) -> (Reader, Writer) {
        let fill = self.fill(most, stream);
        (Reader::of(Arc::clone(&fill)), Writer::of(fill))
    }

    /// Counts what a reader gathers of an answer with what they hold themselves.
    #[must_use]
    pub fn share(&self) -> Share {
        Share::of(&self.held)
    }

    /// Bytes that they hold together.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.bytes()
    }

    fn fill(&self, most: usize, stream: bool) -> Arc<Fill> {
        Arc::new(Fill {
            state: Mutex::new(State::of_one_reader(Share::of(&self.held))),
            changes: watch::Sender::new(()),
            readers: Notify::new(),
            most,
            stream,
        })
    }
}

// === impl Fill ===

impl Fill {
    /// One more reader, from the start; `None` when that cannot be.
    fn reader(self: Arc<Self>) -> Option<Reader> {
        let joined = self.state.lock().join();
        joined.then(|| Reader::of(self))
    }
}

#[cfg(test)]
mod tests;
