//! A stream that leaves one event at a time: what has come, and whose turn is when. Pure.
//!
//! Why events: a host sends many in one piece, and half of one; what has a turn is what a client reads
//! as one. The end, errors and comments have none: they leave behind what came before them.

use std::collections::VecDeque;

use bytes::Bytes;
use pingora::protocols::http::HttpTask;
use tokio::time::Instant;

use crate::pace::Pacer;
use crate::wire::delta;
use crate::wire::sse::{self, Event, Splitter};

/// The longest event that has one turn, bytes; the parts of a longer one go as they come.
const EVENT_MOST: usize = 64 * 1024;

/// What has come and may not leave yet.
#[derive(Debug)]
pub(super) struct Paced {
    pacer: Pacer,
    splitter: Splitter,
    queue: VecDeque<(Instant, HttpTask)>,
}

// === impl Paced ===

impl Paced {
    pub(super) fn new(pacer: Pacer) -> Self {
        Self { pacer, splitter: Splitter::new(EVENT_MOST), queue: VecDeque::new() }
    }

    /// These have come.
    pub(super) fn put(&mut self, tasks: Vec<HttpTask>, now: Instant) {
        for task in tasks {
            match task {
                HttpTask::Body(Some(piece), end) => {
                    self.events(&piece, now);
                    if end {
                        self.tail(now);
                        self.queue.push_back((now, HttpTask::Body(None, true)));
                    }
                }
                task => {
                    if task.is_end() {
                        self.tail(now);
                    }
                    self.queue.push_back((now, task));
                }
            }
        }
    }

    /// When the next write is due; `None` when all that came is out.
    pub(super) fn due(&self) -> Option<Instant> {
        self.queue.front().map(|(due, _)| *due)
    }

    /// What is written next: one event, with what needs no turn of its own before and behind it.
    pub(super) fn take(&mut self) -> Vec<HttpTask> {
        let Some((_, mut last)) = self.queue.pop_front() else { return Vec::new() };
        let mut tasks = Vec::new();
        while !matches!(last, HttpTask::Body(Some(_), _)) {
            tasks.push(last);
            match self.queue.pop_front() {
                Some((_, next)) => last = next,
                None => return tasks,
            }
        }
        tasks.push(last);
        while self.queue.front().is_some_and(|(_, task)| task.is_end()) {
            tasks.extend(self.queue.pop_front().map(|(_, task)| task));
        }
        tasks
    }

    fn events(&mut self, piece: &Bytes, now: Instant) {
        let (pacer, queue) = (&mut self.pacer, &mut self.queue);
        self.splitter.push(piece, |event| {
            let due = if has_turn(&event) { pacer.next(now) } else { now };
            queue.push_back((due, HttpTask::Body(Some(event.raw), false)));
        });
    }

    fn tail(&mut self, now: Instant) {
        let tail = std::mem::replace(&mut self.splitter, Splitter::new(EVENT_MOST)).finish();
        if !tail.is_empty() {
            self.queue.push_back((now, HttpTask::Body(Some(tail), false)));
        }
    }
}

/// Whether an event waits for its turn: the end, an error and a comment never do.
fn has_turn(event: &Event) -> bool {
    let Some(data) = sse::data(&event.raw) else { return false };
    event.whole && data.trim_ascii() != b"[DONE]" && !is_error(&event.raw, &data)
}

fn is_error(event: &[u8], data: &[u8]) -> bool {
    sse::name(event) == Some(b"error")
        || memchr::memmem::find(data, b"\"error\"").is_some()
            && delta::read(data).is_some_and(|answer| answer.error.is_some())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const GAP: Duration = Duration::from_millis(50);

    fn body(text: &str) -> HttpTask {
        HttpTask::Body(Some(Bytes::copy_from_slice(text.as_bytes())), false)
    }

    /// What is written at which millisecond, `$` for the end.
    fn writes(pieces: &[&str]) -> Vec<(u64, String)> {
        let start = Instant::now();
        let mut paced = Paced::new(Pacer::new(GAP, 1));
        let mut tasks: Vec<_> = pieces.iter().map(|piece| body(piece)).collect();
        tasks.push(HttpTask::Done);
        paced.put(tasks, start);
        let mut out = Vec::new();
        while let Some(due) = paced.due() {
            let text = |task| match task {
                HttpTask::Body(Some(piece), _) => String::from_utf8(piece.to_vec()).unwrap(),
                HttpTask::Done => "$".to_owned(),
                task => panic!("{task:?}"),
            };
            let said: String = paced.take().into_iter().map(text).collect();
            out.push(((due - start).as_millis() as u64, said));
        }
        out
    }

    fn expect(pieces: &[&str], expected: &[(u64, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(at, text)| (*at, (*text).to_owned())).collect();
        assert_eq!(writes(pieces), expected, "{pieces:?}");
    }

    #[test]
    fn each_event_has_its_turn_however_it_was_cut() {
        let stream = [(0, "data: a\n\n"), (50, "data: b\n\n"), (100, "data: c\n\n$")];
        expect(&["data: a\n\ndata: b\n\ndata: c\n\n"], &stream);
        expect(&["data: a\n", "\ndata: b", "\n\nda", "ta: c\n\n"], &stream);
    }

    #[test]
    fn the_end_errors_and_comments_have_none() {
        expect(
            &[
                "data: a\n\n: hm\n\ndata: b\n\ndata: {\"error\":{\"message\":\"m\"}}\n\ndata: [DONE]\n\n",
            ],
            &[
                (0, "data: a\n\n"),
                (0, ": hm\n\n"),
                (50, "data: b\n\n"),
                (0, "data: {\"error\":{\"message\":\"m\"}}\n\n"),
                (0, "data: [DONE]\n\n$"),
            ],
        );
        expect(
            &["data: \"error\"\n\ndata: b\n\n"],
            &[(0, "data: \"error\"\n\n"), (50, "data: b\n\n$")],
        );
    }

    #[test]
    fn half_an_event_at_the_end_goes_out_as_it_is() {
        expect(&["data: a\n\ndata: b"], &[(0, "data: a\n\n"), (0, "data: b$")]);
    }
}
