//! The commit point of a stream: what says nothing yet is held, so that another host may still
//! answer in its place.
//!
//! Why: hosts send a 200 and a role before they have computed anything, and then die or say
//! "error". Until the first content an answer can be thrown away and nobody has seen it.
//! The trap: pieces come out exactly as they went in; events are looked at in a copy of the
//! references. Where the commit falls depends on the bytes alone, never on how they were cut.

use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;

use crate::wire::delta;
use crate::wire::sse::{self, Splitter};

/// The most that is held, bytes.
pub(super) const HELD_MOST: usize = 64 * 1024;

/// The beginning of one stream.
#[derive(Debug)]
pub(super) struct Hold {
    splitter: Splitter,
    limit: usize,
    until: Instant,
    pieces: Vec<Bytes>,
    /// Bytes of `pieces`.
    len: usize,
    committed: bool,
    /// The host has said that this is all.
    ended: bool,
}

/// What to do with what has come so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Nothing yet.
    Wait,
    /// Pass these on, in order; from now on nothing is held.
    Commit(Vec<Bytes>),
    /// The host told of an error before any content. Try another one, or [`Hold::release`].
    Failed {
        /// The HTTP status that the error names, by number or by a well-known word.
        code: Option<u16>,
    },
    /// The stream is over and said nothing, not even that it is over. As above.
    Empty,
}

/// What one event means for the commit.
enum Says {
    Nothing,
    Content,
    /// An end without content: an answer can be empty.
    End,
    Error(Option<u16>),
}

/// Words that hosts put where others put a status.
const WORDS: [(&str, u16); 7] = [
    ("context_length_exceeded", 400),
    ("invalid_request_error", 400),
    ("BadRequestError", 400),
    ("rate_limit_exceeded", 429),
    ("rate_limit_error", 429),
    ("insufficient_quota", 429),
    ("overloaded_error", 503),
];

// === impl Hold ===

impl Hold {
    /// Holds up to `limit` bytes, until `until`.
    pub(super) fn new(limit: usize, until: Instant) -> Self {
        let splitter = Splitter::new(limit);
        Self { splitter, limit, until, pieces: Vec::new(), len: 0, committed: false, ended: false }
    }

    /// When [`Hold::release`] is due although no piece came; `None` once nothing is held back.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.committed).then_some(self.until)
    }

    /// Takes the next piece of the stream.
    pub(super) fn push(&mut self, piece: &Bytes, now: Instant) -> Held {
        self.pieces.push(piece.clone());
        if self.committed {
            return Held::Commit(self.release());
        }
        match self.read(piece) {
            Says::Error(code) => Held::Failed { code },
            Says::Content => Held::Commit(self.release()),
            Says::Nothing | Says::End if now >= self.until => Held::Commit(self.release()),
            Says::Nothing | Says::End => Held::Wait,
        }
    }

    /// Takes the next piece of something that is no stream.
    pub(super) fn keep(&mut self, piece: &Bytes, now: Instant) -> Held {
        self.pieces.push(piece.clone());
        self.len += piece.len();
        match self.len > self.limit || now >= self.until {
            true => Held::Commit(self.release()),
            false => Held::Wait,
        }
    }

    /// The stream has come to a clean end. [`Held::Wait`] is never said here.
    pub(super) fn finish(&mut self) -> Held {
        let tail = std::mem::replace(&mut self.splitter, Splitter::new(0)).finish();
        // Some hosts leave the last blank line out; a half event is something else.
        let is_half = || sse::data(&tail).is_none_or(|data| delta::read(&data).is_none());
        match says(&tail) {
            _ if self.committed => Held::Commit(self.release()),
            Says::Error(code) => Held::Failed { code },
            Says::Nothing if !self.ended => Held::Empty,
            Says::Content if !self.ended && is_half() => Held::Empty,
            Says::Nothing | Says::End | Says::Content => Held::Commit(self.release()),
        }
    }

    /// Gives all that is held, unchanged and in order; from now on nothing is held.
    pub(super) fn release(&mut self) -> Vec<Bytes> {
        self.committed = true;
        std::mem::take(&mut self.pieces)
    }

    /// What the events that end in this piece say; the first word that counts stands.
    fn read(&mut self, piece: &Bytes) -> Says {
        let mut word = Says::Nothing;
        let mut end = self.len - self.splitter.held();
        let (limit, ended) = (self.limit, &mut self.ended);
        self.splitter.push(piece, |event| {
            end += event.raw.len();
            // The LF of a CRLF may come in the next piece, where it is nobody's.
            let len = end - usize::from(event.raw.ends_with(b"\r\n"));
            match word {
                Says::Nothing | Says::End if !event.whole || len > limit => word = Says::Content,
                Says::Nothing | Says::End => word = says(&event.raw),
                Says::Content | Says::Error(_) => {}
            }
            *ended |= matches!(word, Says::End);
        });
        self.len += piece.len();
        match word {
            Says::Nothing | Says::End if self.len > limit => Says::Content,
            word => word,
        }
    }
}

fn says(event: &[u8]) -> Says {
    let name = sse::name(event);
    let Some(data) = sse::data(event) else {
        return Says::Nothing;
    };
    if name == Some(b"error") {
        return Says::Error(status_of(&data));
    }
    let answer = delta::read(&data);
    if let Some(error) = answer.as_ref().and_then(|answer| answer.error) {
        return Says::Error(status_of(error.get().as_bytes()));
    }
    if delta::has_content(&data) {
        return Says::Content;
    }
    let finished = answer
        .is_some_and(|answer| answer.choices.iter().any(|choice| choice.finish_reason.is_some()));
    let completed = matches!(name, Some(b"response.completed" | b"response.incomplete"));
    if finished || completed || data.trim_ascii() == b"[DONE]" {
        return Says::End;
    }
    Says::Nothing
}

/// The status that an error names: `code` or `status` as a number, or a word that stands for one.
fn status_of(error: &[u8]) -> Option<u16> {
    let error: Value = serde_json::from_slice(error).ok()?;
    let error = error.get("error").unwrap_or(&error);
    ["code", "status", "type"].iter().find_map(|member| {
        let value = error.get(member)?;
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let status = number.and_then(|number| u16::try_from(number).ok());
        status.filter(|status| (400..600).contains(status)).or_else(|| {
            let word = value.as_str()?;
            WORDS.iter().find(|(known, _)| *known == word).map(|(_, status)| *status)
        })
    })
}

#[cfg(test)]
mod tests;
