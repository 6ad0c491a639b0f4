//! Grows an answer out of the bytes that the client got, within a bound.
//!
//! Why from the client's bytes: the log says what was delivered, not what was meant.
//! The trap: this runs for every piece of every stream. JSON bodies are only gathered here and
//! read later, on the writer thread; nothing is kept of what is compressed or binary.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::wire::{delta, sse};

use super::answer::{Answer, cut};
use super::whole;

/// Events up to this size are read even when less than that is kept, bytes.
const EVENT: usize = 64 * 1024;

/// Longest name of an encoding that is kept, bytes.
const NAME: usize = 32;

/// What was kept of one answer so far.
#[derive(Debug, Default)]
pub(super) struct Capture {
    form: Form,
    /// Bytes of the body, kept or not.
    bytes: u64,
    /// How much may be kept, bytes.
    limit: usize,
    truncated: bool,
}

#[derive(Debug, Default)]
enum Form {
    /// No head yet.
    #[default]
    Nothing,
    /// Nobody could read it in a log.
    Binary,
    /// Compressed, by this encoding.
    Encoded(String),
    /// JSON or other text.
    Body(Vec<u8>),
    Stream(Box<Stream>),
}

#[derive(Debug)]
struct Stream {
    splitter: sse::Splitter,
    answer: Answer,
}

/// What there is of an answer that is over and was kept whole.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kept<'c> {
    /// Its body.
    Body(&'c str),
    /// What its events said.
    Events(&'c Answer),
}

/// What the log says of an answer.
#[derive(Debug, Default)]
pub(super) struct Captured {
    /// The `answer` member; `None` when there was no body.
    pub(super) answer: Option<Said>,
    pub(super) usage: Option<Box<RawValue>>,
    pub(super) prompt_tokens: Option<u64>,
    pub(super) completion_tokens: Option<u64>,
    pub(super) truncated: bool,
}

/// The `answer` member, in one of its forms.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Said {
    /// A chat or text answer.
    Choices(Answer),
    /// A chat answer in the host's own JSON.
    Taken(Box<RawValue>),
    /// Another text, or JSON as it came.
    Body { body: Body },
    /// Not kept.
    Bytes {
        #[serde(skip_serializing_if = "Option::is_none")]
        encoding: Option<String>,
        bytes: u64,
    },
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Body {
    Json(Box<RawValue>),
    Text(String),
}

// === impl Capture ===

impl Capture {
    /// A capture for an answer with this head that keeps about `limit` bytes.
    pub(super) fn new(limit: usize, kind: Option<&str>, encoding: Option<&str>) -> Self {
        let encoding = encoding.map(|text| text.trim().to_ascii_lowercase());
        let encoding = encoding.filter(|text| !text.is_empty() && text != "identity");
        let form = match encoding {
            Some(name) => Form::Encoded(cut(&name, NAME).to_owned()),
            None => Form::of(kind, limit),
        };
        Self { form, bytes: 0, limit, truncated: false }
    }

    pub(super) fn push(&mut self, piece: &Bytes) {
        self.bytes += piece.len() as u64;
        match &mut self.form {
            Form::Nothing | Form::Binary | Form::Encoded(_) => {}
            Form::Body(body) => {
                let room = self.limit - body.len();
                body.extend_from_slice(&piece[..piece.len().min(room)]);
                self.truncated |= piece.len() > room;
            }
            Form::Stream(stream) => {
                let Stream { splitter, answer } = &mut **stream;
                splitter.push(piece, |event| answer.event(&event));
            }
        }
    }

    /// The memory it holds, bytes.
    pub(super) fn weight(&self) -> usize {
        match &self.form {
            Form::Nothing | Form::Binary | Form::Encoded(_) => 0,
            Form::Body(body) => body.capacity(),
            Form::Stream(stream) => stream.answer.weight() + stream.splitter.held(),
        }
    }

    /// The answer is over.
    pub(super) fn close(&mut self) {
        if let Form::Stream(stream) = &mut self.form {
            let Stream { splitter, answer } = &mut **stream;
            // Some hosts leave out the last blank line, and so do broken ones: half an event
            // is no JSON and adds nothing.
            answer.tail(std::mem::replace(splitter, sse::Splitter::new(0)).finish());
        }
    }

    /// Whether there was a body.
    pub(super) fn has_bytes(&self) -> bool {
        self.bytes > 0
    }

    /// What was kept of a closed answer; `None` when it is not all of it.
    pub(super) fn kept(&self) -> Option<Kept<'_>> {
        match &self.form {
            Form::Body(body) if !self.truncated => str::from_utf8(body).ok().map(Kept::Body),
            Form::Stream(stream) if !stream.answer.truncated() => {
                Some(Kept::Events(&stream.answer))
            }
            _ => None,
        }
    }

    /// Reads what has not been read yet. The answer is over.
    pub(super) fn finish(mut self) -> Captured {
        self.close();
        if self.bytes == 0 {
            return Captured::default();
        }
        match self.form {
            Form::Nothing => Captured::default(),
            Form::Binary => Captured::unread(None, self.bytes),
            Form::Encoded(name) => Captured::unread(Some(name), self.bytes),
            Form::Body(body) if self.truncated => Captured::start(body, self.bytes),
            Form::Body(body) => Captured::body(body),
            Form::Stream(stream) => stream.answer.into(),
        }
    }
}

// === impl Form ===

impl Form {
    fn of(kind: Option<&str>, limit: usize) -> Self {
        let Some(kind) = kind else {
            return Self::Body(Vec::new());
        };
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "text/event-stream" => Self::Stream(Box::new(Stream {
                splitter: sse::Splitter::new(limit.max(EVENT)),
                answer: Answer::new(limit),
            })),
            "application/json"
            | "application/x-ndjson"
            | "application/jsonl"
            | "application/xml" => Self::Body(Vec::new()),
            kind if kind.starts_with("text/") || kind.ends_with("+json") => Self::Body(Vec::new()),
            _ => Self::Binary,
        }
    }
}

// === impl Captured ===

impl Captured {
    fn unread(encoding: Option<String>, bytes: u64) -> Self {
        Self { answer: Some(Said::Bytes { encoding, bytes }), ..Self::default() }
    }

    /// The start of a body that was too long.
    fn start(mut body: Vec<u8>, bytes: u64) -> Self {
        if let Err(error) = str::from_utf8(&body)
            && error.error_len().is_none()
        {
            // The last character was cut; nothing else is wrong.
            body.truncate(error.valid_up_to());
        }
        let answer = String::from_utf8(body).map(Said::text);
        let answer = answer.unwrap_or(Said::Bytes { encoding: None, bytes });
        Self { answer: Some(answer), truncated: true, ..Self::default() }
    }

    fn body(body: Vec<u8>) -> Self {
        let bytes = body.len() as u64;
        let Ok(text) = String::from_utf8(body) else {
            return Self::unread(None, bytes);
        };
        if let Some(captured) = whole::read(&text) {
            return captured;
        }
        let Some(read) = delta::read(text.as_bytes()) else {
            let json =
                serde_json::from_str(&text).map(|body| Said::Body { body: Body::Json(body) });
            let answer = json.unwrap_or_else(|_| Said::text(text));
            return Self { answer: Some(answer), ..Self::default() };
        };
        let mut answer = Answer::new(usize::MAX);
        answer.add(&read);
        let chosen = !read.choices.is_empty();
        let mut captured = Self::from(answer);
        if read.embeddings {
            captured.answer = Some(Said::Bytes { encoding: None, bytes });
        } else if !chosen {
            captured.answer =
                serde_json::from_str(&text).map(|body| Said::Body { body: Body::Json(body) }).ok();
        }
        captured
    }
}

impl From<Answer> for Captured {
    fn from(mut answer: Answer) -> Self {
        let usage = answer.usage.take();
        let (prompt_tokens, completion_tokens) = (answer.prompt_tokens, answer.completion_tokens);
        let truncated = answer.truncated();
        let other = answer.other.take().filter(|_| answer.choices.is_empty());
        let answer = other.map_or(Said::Choices(answer), Said::text);
        Self { answer: Some(answer), usage, prompt_tokens, completion_tokens, truncated }
    }
}

// === impl Said ===

impl Said {
    fn text(text: String) -> Self {
        Self::Body { body: Body::Text(text) }
    }
}

#[cfg(test)]
mod tests;
