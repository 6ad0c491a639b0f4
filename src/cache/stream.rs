//! A whole answer as the stream that the same host would have sent.
//!
//! Why one chunk at a time: chunks take fifty times the room of their text, so each is made when
//! its turn has come. Choices take turns, as in a real stream.
//! The trap: usage was counted with the answer or it was not; nobody can count it now. So there is
//! no chunk of it where the answer has none.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::wire::fields::{all, filled, items};

use super::join::quoted;
use super::parts::one_line;
use super::track::Track;

/// Longest part that stands in every chunk, bytes: a host with more is not worth its multiple.
const HEAD: usize = 4096;

/// Members of the answer that stand in every chunk; others stand in the last.
const EVERY: [&str; 5] = ["id", "created", "model", "service_tier", "system_fingerprint"];

/// The events of an answer, one by one: `data: {...}` and the blank line, `[DONE]` at the end.
#[derive(Debug)]
pub struct Stream {
    /// The beginning of each event, up to its choices.
    head: String,
    /// The end of each event, behind its choices.
    tail: &'static str,
    tracks: VecDeque<Track>,
    /// `usage`, if it was asked for and is there.
    usage: Option<String>,
    /// Members of the host's own, for the last chunk.
    more: String,
    done: bool,
}

// === impl Stream ===

impl Stream {
    /// The stream that says what `body` says; with a chunk of usage if `include_usage`. `None` if it
    /// is no chat or text completion that came to its end, or has parts that no stream can have.
    #[must_use]
    pub fn of(body: &Bytes, include_usage: bool) -> Option<Self> {
        let json = str::from_utf8(body).ok()?;
        let mut stream = Self {
            head: "data: {".to_owned(),
            tail: "}\n\n",
            tracks: VecDeque::new(),
            usage: None,
            more: String::new(),
            done: false,
        };
        for (name, raw) in all(json)? {
            match &*name {
                "choices" => stream.tracks = tracks(body, raw)?,
                "usage" if include_usage => stream.usage = Some(one_line(raw).into_owned()),
                "usage" => {}
                "error" if filled(raw) => return None,
                "object" if raw.get() == "\"chat.completion\"" => {
                    stream.head.push_str("\"object\":\"chat.completion.chunk\",");
                }
                name if name == "object" || EVERY.contains(&name) => {
                    stream.head.push_str(&format!("{}:{},", quoted(name), one_line(raw)));
                }
                name => stream.more.push_str(&format!(",{}:{}", quoted(name), one_line(raw))),
            }
        }
        stream.head.push_str("\"choices\":[");
        if stream.usage.is_some() {
            stream.tail = ",\"usage\":null}\n\n";
        }
        stream.usage = stream.usage.take_if(|usage| usage != "null");
        (stream.head.len() <= HEAD && !stream.tracks.is_empty()).then_some(stream)
    }

    /// An event with these choices; the last one has what the host said besides.
    fn event(&self, choices: &str, is_last: bool) -> Bytes {
        let more = if is_last { self.more.as_str() } else { "" };
        [&self.head, choices, "]", more, self.tail].concat().into()
    }
}

impl Iterator for Stream {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(mut track) = self.tracks.pop_front() {
            let choice = track.next();
            if !track.is_over() {
                self.tracks.push_back(track);
            }
            let is_last = self.tracks.is_empty() && self.usage.is_none();
            return Some(self.event(&choice, is_last));
        }
        if let Some(usage) = self.usage.take() {
            let (head, more) = (&self.head, &self.more);
            return Some(format!("{head}]{more},\"usage\":{usage}}}\n\n").into());
        }
        let done = std::mem::replace(&mut self.done, true);
        (!done).then_some(Bytes::from_static(b"data: [DONE]\n\n"))
    }
}

/// The choices of an answer; `None` if one has no end, or two have the same index.
fn tracks(body: &Bytes, choices: &RawValue) -> Option<VecDeque<Track>> {
    let mut tracks = Vec::new();
    for (choice, place) in items(choices).into_iter().zip(0..) {
        tracks.push(Track::of(body, choice, place)?);
    }
    tracks.sort_by_key(Track::index);
    let distinct = tracks.windows(2).all(|two| two[0].index() != two[1].index());
    distinct.then(|| tracks.into())
}

#[cfg(test)]
mod tests;
