//! One call's hold on the log: it gathers what becomes known and ends in exactly one record.
//!
//! Why `Drop`: a call that panics, or whose task is cancelled, is a call too.
//! The trap: [`Entry::end`] may wait for room. Dropping its future does not lose the record.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::capture::Capture;
use super::queue::Queue;
use super::record::{Ended, Record};

/// The record of a call that is going on.
#[derive(Debug)]
#[must_use = "an entry that is dropped at once logs an aborted call"]
pub struct Entry {
    queue: Arc<Queue>,
    /// `None` once it is handed over.
    record: Option<Box<Record>>,
    /// How much of the answer is kept, bytes.
    capture: usize,
}

// === impl Entry ===

impl Entry {
    pub(super) fn new(queue: Arc<Queue>, record: Record, capture: usize) -> Self {
        Self { queue, record: Some(Box::new(record)), capture }
    }

    /// Whose key it is.
    pub fn by(&mut self, key: &str) {
        self.note(|record| record.key = Some(key.to_owned()));
    }

    /// What was asked: with which body (`None` when it is not held), for which model.
    pub fn asked(&mut self, body: Option<Bytes>, model: Option<&str>, stream: bool) {
        self.note(|record| {
            record.body_bytes = body.as_ref().map_or(0, |body| body.len() as u64);
            record.body = body;
            record.model = model.map(str::to_owned);
            record.stream = stream;
        });
    }

    /// How long the body was, bytes: for bodies that are not held.
    pub fn body_bytes(&mut self, bytes: u64) {
        self.note(|record| record.body_bytes = bytes);
    }

    /// Which host answers, `host:port`.
    pub fn via(&mut self, host: &str) {
        self.note(|record| record.upstream = Some(host.to_owned()));
    }

    /// How many times a host was asked.
    pub fn attempts(&mut self, attempts: u32) {
        self.note(|record| record.attempts = attempts);
    }

    /// The head of the answer; what was captured of an earlier answer is forgotten.
    pub fn head(
        &mut self,
        status: u16,
        content_type: Option<&str>,
        content_encoding: Option<&str>,
    ) {
        let capture = Capture::new(self.capture, content_type, content_encoding);
        self.note(|record| {
            record.status = Some(status);
            record.capture = capture;
        });
    }

    /// A piece of the answer's body, as the client got it.
    pub fn chunk(&mut self, piece: &Bytes) {
        self.note(|record| record.capture.push(piece));
    }

    /// How long after its arrival the call got its first content.
    pub fn ttft(&mut self, after: Duration) {
        self.note(|record| record.ttft = Some(after));
    }

    /// Why the call failed or was refused: the code that the client was told.
    pub fn error(&mut self, code: &str) {
        self.note(|record| record.error = Some(code.to_owned()));
    }

    /// Hands the record over. With `full = "block"` it waits until there is room, with `"drop"` it
    /// never waits.
    pub async fn end(mut self, ended: Ended) {
        let Some(record) = &mut self.record else {
            return;
        };
        record.close(ended);
        let room = self.queue.room(record.weight()).await;
        if let Some(record) = self.record.take() {
            self.queue.put(record, room);
        }
    }

    fn note(&mut self, note: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            note(record);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(mut record) = self.record.take() {
            record.close(Ended::Aborted);
            let room = self.queue.room_now(record.weight());
            self.queue.put(record, room);
        }
    }
}
