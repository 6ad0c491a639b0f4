//! Whether an answer came to a good end: only then it is worth keeping.
//!
//! Why a list of good ends, not of bad ones: hosts have many words for "something went wrong", and
//! what is stored wrongly is answered wrongly until it expires. A reason that nobody knows costs a
//! call.
//! The trap: a stream that was cut off looks like one that is still going on. Only `[DONE]`, or a
//! reason for every choice, says that nothing is missing.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::wire::delta::{self, Choice};
use crate::wire::sse::{self, Event, Splitter};

use super::Api;

/// Why an answer is whole: its own end, its limit of tokens, a call.
const GOOD: [&str; 12] = [
    "stop",
    "length",
    "tool_calls",
    "function_call",
    "eos",
    "eos_token",
    "stop_sequence",
    "end_turn",
    "tool_use",
    "max_tokens",
    "model_length",
    "complete",
];

/// Most choices of one answer that are kept in mind.
const CHOICES: usize = 1024;

/// Watches a stream for its end, whatever the pieces it comes in.
#[derive(Debug)]
pub struct Ending {
    splitter: Splitter,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    /// Choices by index, and whether each has come to an end.
    choices: BTreeMap<u64, bool>,
    done: bool,
    broken: bool,
}

// === impl Ending ===

impl Ending {
    /// Watches a stream whose events are up to `limit` bytes long: one that is longer cannot be
    /// read, so its stream is not whole.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { splitter: Splitter::new(limit), seen: Seen::default() }
    }

    /// Takes the next piece of the stream.
    pub fn push(&mut self, piece: &Bytes) {
        self.splitter.push(piece, |event| self.seen.event(&event));
    }

    /// Nothing that comes now could make it worth keeping.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.seen.broken
    }

    /// At the end of the stream: whether it is whole, and no error or filter stands in it.
    #[must_use]
    pub fn is_whole(self) -> bool {
        let Self { splitter, mut seen } = self;
        seen.event(&Event { raw: splitter.finish(), whole: true });
        let ended = seen.done || seen.choices.values().all(|ended| *ended);
        ended && !seen.broken && !seen.choices.is_empty()
    }
}

// === impl Seen ===

impl Seen {
    fn event(&mut self, event: &Event) {
        self.broken |= !event.whole;
        let Some(data) = sse::data(&event.raw).filter(|_| event.whole) else { return };
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            self.done = true;
            return;
        }
        self.broken |= sse::name(&event.raw) == Some(b"error");
        match delta::read(data) {
            Some(chunk) if chunk.known && chunk.error.is_none() => {
                chunk.choices.iter().for_each(|choice| self.choice(choice));
            }
            _ => self.broken = true,
        }
    }

    fn choice(&mut self, choice: &Choice<'_>) {
        let reason = choice.finish_reason.as_deref().filter(|reason| !reason.is_empty());
        self.broken |= reason.is_some_and(|reason| !is_good(reason));
        if self.choices.len() < CHOICES || self.choices.contains_key(&choice.index) {
            *self.choices.entry(choice.index).or_default() |= reason.is_some();
        } else {
            self.broken = true;
        }
    }
}

/// Whether a body is an answer that is worth keeping: it is one JSON object without an error, and
/// whole by the measure of its API.
#[must_use]
pub fn is_whole_body(api: Api, status: u16, body: &[u8]) -> bool {
    let Some(answer) = delta::read(body).filter(|_| status == 200) else {
        return false;
    };
    let has_end = |choice: &Choice<'_>| choice.finish_reason.as_deref().is_some_and(is_good);
    answer.error.is_none()
        && match api {
            Api::Chat | Api::Completions => {
                !answer.choices.is_empty() && answer.choices.iter().all(has_end)
            }
            Api::Embeddings => answer.embeddings,
            // If it has choices, they have ends.
            Api::Other => answer
                .choices
                .iter()
                .all(|choice| choice.finish_reason.as_deref().is_none_or(is_good)),
        }
}

fn is_good(reason: &str) -> bool {
    GOOD.iter().any(|good| good.eq_ignore_ascii_case(reason))
}

#[cfg(test)]
mod tests;
