//! Server-sent events: cuts a byte stream into events, whatever the pieces it comes in.
//!
//! Why raw bytes: an event goes on exactly as it came, so what is handed out is a slice of the
//! input and every byte of it is in exactly one event or in the tail.
//! The trap: lines end at LF, CRLF or CR and nowhere else (U+2028 is legal inside JSON), and a CRLF
//! may be cut in two. An event that ends in a CR at the end of a piece is handed out at once; the
//! LF that may follow then opens the next event's bytes, where it means nothing.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event as it came, up to and including the blank line that ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its bytes. All events and the tail, one after another, are the input.
    pub raw: Bytes,
    /// False for a part of an event that is longer than the limit: pass it on, do not read it.
    pub whole: bool,
}

/// Cuts a stream into events; holds what is unfinished and nothing else.
///
/// An event longer than the limit is never gathered: its parts are handed out as they come, none
/// of them `whole`, and the next event begins after the blank line as usual.
#[derive(Debug)]
pub struct Splitter {
    limit: usize,
    carry: BytesMut,
    /// Bytes of the unfinished event, those handed out as parts too.
    len: usize,
    /// The line that is being read has no byte yet.
    blank: bool,
    /// The last byte was a CR: an LF right after it ends no further line.
    after_cr: bool,
}

// === impl Splitter ===

impl Splitter {
    /// A splitter that gathers events of up to `limit` bytes (the LF of a final CRLF not counted).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, carry: BytesMut::new(), len: 0, blank: true, after_cr: false }
    }

    /// Takes the next piece of the stream and hands out every event that it ends.
    pub fn push(&mut self, piece: &Bytes, mut each: impl FnMut(Event)) {
        let mut start = 0;
        while start < piece.len() {
            let Some(end) = self.scan(&piece[start..]).map(|n| start + n) else {
                return self.keep(piece.slice(start..), each);
            };
            let whole = self.len <= self.limit;
            each(Event { raw: self.with_carry(piece.slice(start..end)), whole });
            self.len = 0;
            start = end;
        }
    }

    /// The bytes of the last, unfinished event.
    #[must_use]
    pub fn finish(self) -> Bytes {
        self.carry.freeze()
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn held(&self) -> usize {
        self.carry.len()
    }

    /// Reads on to the end of the event: how many bytes of `rest` belong to it, `None` if all do.
    fn scan(&mut self, rest: &[u8]) -> Option<usize> {
        let mut at = 0;
        if std::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
            at = 1;
            // The second half of the blank line before is no byte of this event.
            self.len += usize::from(self.len > 0);
        }
        while at < rest.len() {
            let Some(n) = memchr::memchr2(b'\r', b'\n', &rest[at..]) else {
                self.blank = false;
                self.len += rest.len() - at;
                return None;
            };
            let cr = rest[at + n] == b'\r';
            let lf = cr && rest.get(at + n + 1) == Some(&b'\n');
            at += n + 1 + usize::from(lf);
            self.len += n + 1;
            self.after_cr = cr && at == rest.len() && !lf;
            if self.blank && n == 0 {
                return Some(at);
            }
            self.len += usize::from(lf);
            self.blank = true;
        }
        None
    }

    fn keep(&mut self, rest: Bytes, mut each: impl FnMut(Event)) {
        if self.len > self.limit {
            each(Event { raw: self.with_carry(rest), whole: false });
        } else {
            self.carry.extend_from_slice(&rest);
        }
    }

    fn with_carry(&mut self, rest: Bytes) -> Bytes {
        if self.carry.is_empty() {
            return rest;
        }
        self.carry.extend_from_slice(&rest);
        self.carry.split().freeze()
    }
}

// === reading an event ===

/// What an event says: its `data` lines joined by LF, `None` if it has none (a comment, say).
#[must_use]
pub fn data(event: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut values = fields(event, b"data");
    let mut data = Cow::Borrowed(values.next()?);
    for value in values {
        let joined = data.to_mut();
        joined.push(b'\n');
        joined.extend_from_slice(value);
    }
    Some(data)
}

/// The name of an event (`event: error`), `None` if it has none. The last one counts.
#[must_use]
pub fn name(event: &[u8]) -> Option<&[u8]> {
    fields(event, b"event").last().filter(|name| !name.is_empty())
}

/// The values of one field, one a line.
fn fields<'a>(event: &'a [u8], field: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    // The second half of a CRLF that was cut, see above.
    let event = event.strip_prefix(b"\n").unwrap_or(event);
    // A byte order mark stands at the start of the stream only; elsewhere it harms nobody.
    lines(event.strip_prefix(BOM).unwrap_or(event)).filter_map(move |line| {
        let rest = line.strip_prefix(field)?;
        match rest.split_first() {
            None => Some(rest),
            Some((b':', value)) => Some(value.strip_prefix(b" ").unwrap_or(value)),
            Some(_) => None,
        }
    })
}

/// The lines of an event. The empty "line" between a CR and its LF has no field either.
fn lines(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(line)
    })
}

#[cfg(test)]
mod tests;
