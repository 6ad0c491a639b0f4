//! Answers on their way to Redis.
//!
//! Why they wait here by their keys: whoever asks meanwhile finds the answer that this node has, and
//! of two answers to one request only the later one is written.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Key, Labels};

/// The answers.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Bytes that may wait.
    most: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    values: HashMap<Key, Value>,
    bytes: usize,
    count: u64,
}

/// What shall be written.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) bytes: Bytes,
    labels: Labels,
    number: u64,
}

/// What came of one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// Somebody has to write it.
    New,
    /// In place of another of this key, whose writer takes it.
    Instead,
    /// There is no room.
    Not,
}

/// So many may wait.
const MOST: usize = 1024;

// === impl Queue ===

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self { waiting: Mutex::default(), most }
    }

    pub(super) fn push(&self, key: Key, labels: Labels, bytes: Bytes) -> Pushed {
        let mut waiting = self.waiting.lock();
        let before = waiting.values.get(&key).map_or(0, |value| value.bytes.len());
        let after = waiting.bytes - before + bytes.len();
        if after > self.most || before == 0 && waiting.values.len() >= MOST {
            return Pushed::Not;
        }
        waiting.bytes = after;
        waiting.count += 1;
        let value = Value { bytes, labels, number: waiting.count };
        match waiting.values.insert(key, value) {
            Some(_) => Pushed::Instead,
            None => Pushed::New,
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Value> {
        self.waiting.lock().values.get(key).cloned()
    }

    /// It was written, or cannot be; gives what came in its place meanwhile.
    pub(super) fn done(&self, key: Key, value: &Value) -> Option<Value> {
        let mut waiting = self.waiting.lock();
        let Entry::Occupied(found) = waiting.values.entry(key) else { return None };
        if found.get().number != value.number {
            return Some(found.get().clone());
        }
        let length = found.remove().bytes.len();
        waiting.bytes -= length;
        None
    }

    /// Drops what was purged. What is being written is written, and nobody finds it.
    pub(super) fn forget(&self, goes: impl Fn(&Key, Labels) -> bool) {
        let Waiting { values, bytes, .. } = &mut *self.waiting.lock();
        values.retain(|key, value| {
            let stays = !goes(key, value.labels);
            if !stays {
                *bytes -= value.bytes.len();
            }
            stays
        });
    }

    /// How many wait, and their bytes.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> (usize, usize) {
        let waiting = self.waiting.lock();
        (waiting.values.len(), waiting.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        Key::from_bytes([number; 32])
    }

    fn push(queue: &Queue, number: u8, text: &'static str) -> Pushed {
        queue.push(key(number), Labels::of("t", "m"), text.into())
    }

    #[test]
    fn only_the_last_of_a_key_is_written() {
        let queue = Queue::new(10);
        assert_eq!(push(&queue, 1, "one"), Pushed::New);
        let first = queue.get(&key(1)).unwrap();
        assert_eq!(push(&queue, 1, "two"), Pushed::Instead);
        let second = queue.done(key(1), &first).unwrap();
        assert_eq!(second.bytes, "two");
        assert!(queue.done(key(1), &second).is_none() && queue.get(&key(1)).is_none());
        assert_eq!(queue.waiting(), (0, 0));
    }

    #[test]
    fn it_is_bounded() {
        let queue = Queue::new(10);
        assert_eq!(push(&queue, 1, "123456"), Pushed::New);
        assert_eq!(push(&queue, 2, "12345"), Pushed::Not);
        assert_eq!(push(&queue, 1, "1234567890"), Pushed::Instead, "in its own place");
        assert_eq!(push(&queue, 1, "12345678901"), Pushed::Not);
        assert_eq!(queue.waiting(), (1, 10));
        let queue = Queue::new(usize::MAX);
        let keys =
            (0..=MOST as u64).map(|key| Key::from_bytes(blake3::hash(&key.to_le_bytes()).into()));
        let room =
            keys.filter(|key| queue.push(*key, Labels::of("", ""), "x".into()) == Pushed::New);
        assert_eq!(room.count(), MOST);
    }

    #[test]
    fn what_is_purged_waits_no_longer() {
        let queue = Queue::new(10);
        push(&queue, 1, "one");
        push(&queue, 2, "two");
        let first = queue.get(&key(1)).unwrap();
        queue.forget(|it, _| *it == key(1));
        assert_eq!(queue.waiting(), (1, 3));
        assert!(queue.done(key(1), &first).is_none());
        assert_eq!(queue.waiting(), (1, 3));
    }
}
