//! One answer on its way, for all who asked the same: each reads it at his own pace, from its start.
//!
//! Why apart from everybody's request: whoever came first may leave, and nobody else may notice. The
//! call to the host belongs to its readers together; when the last one has left, it is given up.
//! The trap: a slow reader holds nobody up, so what it has not read is kept for it, up to a bound.
//! Whoever falls back further loses the answer; whoever comes when its beginning is gone begins anew.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Key;
use crate::refusal::Refusal;

/// All answers on their way that others may join.
#[derive(Debug, Default)]
pub struct Fills(Mutex<HashMap<Key, Weak<Fill>>>);

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

/// One who reads. Dropped, it has left.
#[derive(Debug)]
pub struct Reader {
    fill: Arc<Fill>,
    changes: watch::Receiver<()>,
    has_head: bool,
    /// The next piece, counted from the first of all.
    next: usize,
    /// Bytes that it has read.
    taken: u64,
}

/// The one who brings the answer. Dropped without an end, the answer has broken off.
#[derive(Debug)]
pub struct Writer(Arc<Fill>);

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

#[derive(Debug, Default)]
struct State {
    head: Option<Head>,
    pieces: VecDeque<Piece>,
    /// Pieces that are gone, since nobody may fall back further.
    gone: usize,
    bytes: usize,
    /// Bytes that came.
    came: u64,
    /// Bytes that the quickest reader has taken.
    taken: u64,
    end: Option<End>,
    via: Via,
    /// Why there is no answer, or no whole one.
    refusal: Option<Refusal>,
    readers: usize,
    deserted: bool,
    /// The writer is gone: what it had to do with the answer is done.
    over: bool,
}

/// From so many on, those that are over are looked for before another is added.
const MANY: usize = 64;

// === impl Fills ===

impl Fills {
    /// Joins the answer to an equal request, or begins one, of which up to `most` bytes are kept; its
    /// writer's end is there then. `stream`: what is asked for, should it begin.
    #[must_use]
    pub fn join(&self, key: Key, most: usize, stream: bool) -> (Reader, Option<Writer>) {
        let mut all = self.0.lock();
        if let Some(reader) = all.get(&key).and_then(Weak::upgrade).and_then(Fill::reader) {
            return (reader, None);
        }
        if all.len() >= MANY && all.len() == all.capacity() {
            all.retain(|_, fill| fill.strong_count() > 0);
        }
        let (reader, writer) = begin(most, stream);
        all.insert(key, Arc::downgrade(&writer.0));
        (reader, Some(writer))
    }
}

/// An answer that nobody else can join.
#[must_use]
pub fn begin(most: usize, stream: bool) -> (Reader, Writer) {
    let fill = Arc::new(Fill {
        state: Mutex::new(State { readers: 1, ..State::default() }),
        changes: watch::Sender::new(()),
        readers: Notify::new(),
        most,
        stream,
    });
    (Reader::of(Arc::clone(&fill)), Writer(fill))
}

// === impl Reader ===

impl Reader {
    fn of(fill: Arc<Fill>) -> Self {
        let changes = fill.changes.subscribe();
        Self { fill, changes, has_head: false, next: 0, taken: 0 }
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
        let mut state = self.fill.state.lock();
        if !self.has_head
            && let Some(head) = &state.head
        {
            self.has_head = true;
            return Some(Next::Head(head.clone()));
        }
        let Some(at) = self.next.checked_sub(state.gone) else {
            return Some(Next::End(End::Broken));
        };
        if let Some(piece) = state.pieces.get(at).cloned() {
            self.next += 1;
            self.taken += piece.data.len() as u64;
            if self.taken > state.taken {
                state.taken = self.taken;
                self.fill.readers.notify_waiters();
            }
            return Some(Next::Piece(piece));
        }
        state.end.map(Next::End)
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
        state.readers -= 1;
        if state.readers == 0 {
            state.deserted = true;
            self.fill.readers.notify_waiters();
        }
    }
}

// === impl Writer ===

impl Writer {
    /// The answer begins.
    pub fn head(&self, head: Head) {
        self.change(|state| state.head = Some(head));
    }

    /// A piece of the body has come.
    pub fn push(&self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        let (piece, most) = (Piece { at: Instant::now(), data }, self.0.most);
        self.change(|state| {
            state.bytes += piece.data.len();
            state.came += piece.data.len() as u64;
            state.pieces.push_back(piece);
            while state.bytes > most
                && let Some(oldest) = state.pieces.pop_front()
            {
                state.bytes -= oldest.data.len();
                state.gone += 1;
            }
        });
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

    /// Waits until the quickest reader has read up, or every one has left: who reads nothing delays
    /// nobody, but where nobody reads there is no hurry.
    pub async fn room(&self) {
        let most = self.0.most as u64 / 2;
        self.wait_for(|state| state.deserted || state.came - state.taken <= most).await;
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

    /// The whole answer from its start; `None` when it is not whole, or not all of it was kept.
    #[must_use]
    pub fn whole(&self) -> Option<(Head, Vec<Piece>)> {
        let state = self.0.state.lock();
        let whole = state.end == Some(End::Whole) && state.gone == 0;
        let head = state.head.as_ref().filter(|_| whole)?;
        Some((head.clone(), state.pieces.iter().cloned().collect()))
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

// === impl Fill ===

impl Fill {
    /// One more reader, from the start; `None` when the start is gone, or the answer is over or
    /// given up. One that is whole can be joined until it is kept, or it would be fetched twice.
    fn reader(self: Arc<Self>) -> Option<Reader> {
        let mut state = self.state.lock();
        let goes_on = match state.end {
            None => !state.deserted,
            Some(End::Whole) => !state.over,
            Some(End::Broken) => false,
        };
        if state.gone > 0 || !goes_on {
            return None;
        }
        state.readers += 1;
        drop(state);
        Some(Reader::of(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Api, Asked, Tenant};

    fn key(text: &str) -> Key {
        let body = format!("{{\"prompt\":\"{text}\"}}");
        let tenant = Tenant::Group("g");
        let (api, path) = (Api::Chat, "/v1/chat/completions");
        let asked = Asked { api, tenant, route: "/", upstream: "u", path, body: body.as_bytes() };
        Key::of(&asked).unwrap()
    }

    fn head() -> Head {
        Head { status: StatusCode::OK, headers: HeaderMap::new() }
    }

    async fn said(reader: &mut Reader) -> String {
        match reader.next().await {
            Next::Head(head) => head.status.to_string(),
            Next::Piece(piece) => String::from_utf8(piece.data.to_vec()).unwrap(),
            Next::End(end) => format!("{end:?}"),
        }
    }

    async fn all(mut reader: Reader) -> String {
        let mut all = Vec::new();
        while !matches!(all.last().map(String::as_str), Some("Whole" | "Broken")) {
            all.push(said(&mut reader).await);
        }
        all.join(" ")
    }

    #[tokio::test]
    async fn whoever_joins_reads_from_the_start() {
        let fills = Fills::default();
        let (first, writer) = fills.join(key("a"), 1000, true);
        let writer = writer.unwrap();
        let (second, none) = fills.join(key("a"), 1000, true);
        assert!(none.is_none() && fills.join(key("b"), 1000, true).1.is_some());
        writer.head(head());
        writer.push("x".into());
        let (third, _) = fills.join(key("a"), 1000, true);
        writer.push("y".into());
        writer.end(End::Whole);
        for reader in [first, second, third] {
            assert_eq!(all(reader).await, "200 OK x y Whole");
        }
        assert_eq!(writer.whole().unwrap().1.len(), 2);
        let (late, none) = fills.join(key("a"), 1000, true);
        assert!(none.is_none(), "one that is not kept yet is joined");
        assert_eq!(all(late).await, "200 OK x y Whole");
        drop(writer);
        assert!(fills.join(key("a"), 1000, true).1.is_some(), "one that is over is not joined");
    }

    #[tokio::test]
    async fn a_writer_that_is_gone_leaves_a_broken_answer() {
        let (reader, writer) = begin(1000, true);
        writer.head(head());
        drop(writer);
        assert_eq!(all(reader).await, "200 OK Broken");
        let (reader, writer) = begin(1000, true);
        drop(writer);
        assert_eq!(all(reader).await, "Broken");
    }

    #[tokio::test]
    async fn the_last_reader_gives_it_up_and_no_other() {
        let fills = Fills::default();
        let (first, writer) = fills.join(key("a"), 1000, true);
        let writer = writer.unwrap();
        let (second, _) = fills.join(key("a"), 1000, true);
        drop(first);
        assert!(!writer.is_deserted());
        let leaving = async {
            tokio::task::yield_now().await;
            drop(second);
        };
        tokio::join!(writer.deserted(), leaving);
        assert!(writer.is_deserted());
        assert!(fills.join(key("a"), 1000, true).1.is_some(), "one that is given up is not joined");
    }

    #[tokio::test]
    async fn the_quickest_reader_makes_room() {
        let (mut reader, writer) = begin(4, true);
        writer.head(head());
        writer.push("aa".into());
        writer.room().await;
        writer.push("bb".into());
        assert_eq!(said(&mut reader).await, "200 OK");
        let reading = async {
            tokio::task::yield_now().await;
            said(&mut reader).await
        };
        let (_, first) = tokio::join!(writer.room(), reading);
        assert_eq!(first, "aa");
        writer.push("cc".into());
        drop(reader);
        writer.room().await;
    }

    #[tokio::test]
    async fn who_falls_too_far_back_loses_the_answer_and_nobody_else_does() {
        let fills = Fills::default();
        let (mut quick, writer) = fills.join(key("a"), 4, true);
        let (slow, _) = fills.join(key("a"), 4, true);
        let writer = writer.unwrap();
        writer.head(head());
        assert_eq!(said(&mut quick).await, "200 OK");
        for piece in ["aa", "bb", "cc", "dd"] {
            writer.push(piece.into());
            assert_eq!(said(&mut quick).await, piece);
        }
        writer.end(End::Whole);
        assert_eq!(all(slow).await, "200 OK Broken");
        assert_eq!(said(&mut quick).await, "Whole");
        assert!(writer.whole().is_none());
        assert!(fills.join(key("a"), 4, true).1.is_some(), "its start is gone");
    }
}
