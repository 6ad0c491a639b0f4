//! HTTP/1.1 as text: heads and bodies taken off a buffer, one at a time, by strict rules.
//!
//! Why strict: the upstream is a judge too. What a proxy must never send (two lengths, a bare line
//! feed, a folded header) is a fault here, not something to be kind about.

use bytes::{Buf, Bytes, BytesMut};

/// A start line and its headers, in order, names and values as they were on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, Bytes)>,
}

/// What is left of a body.
#[derive(Debug)]
pub(crate) enum Body {
    Length(u64),
    Chunked(Chunk),
    UntilClose,
}

/// Where in a chunked body we are.
#[derive(Debug)]
pub(crate) enum Chunk {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Over,
}

/// What the buffer held.
#[derive(Debug, PartialEq)]
pub(crate) enum Taken {
    Piece(Bytes),
    Hungry,
    Over,
}

/// Takes a whole head off the front of `inbox`; `None` when it is not all there yet.
pub(crate) fn take_head(inbox: &mut BytesMut) -> Result<Option<Head>, String> {
    let Some(end) = find(inbox, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = inbox.split_to(end + 4).freeze();
    let mut lines = head.slice(..end);
    let start = take_line(&mut lines);
    let mut headers = Vec::new();
    while !lines.is_empty() {
        headers.push(header(&take_line(&mut lines))?);
    }
    let start = String::from_utf8(start.to_vec()).map_err(|e| format!("start line: {e}"))?;
    Ok(Some(Head { start, headers }))
}

fn take_line(lines: &mut Bytes) -> Bytes {
    let end = find(lines, b"\r\n").unwrap_or(lines.len());
    let line = lines.split_to(end);
    lines.advance(lines.len().min(2));
    line
}

fn header(line: &Bytes) -> Result<(String, Bytes), String> {
    let wrong = |why: &str| format!("{why} in the header line {line:?}");
    if line.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
        return Err(wrong("a bare CR, LF or NUL"));
    }
    let colon = find(line, b":").ok_or_else(|| wrong("no colon"))?;
    let name = String::from_utf8_lossy(&line[..colon]).into_owned();
    if name.is_empty() || name.contains([' ', '\t']) {
        return Err(wrong("an empty or spaced name"));
    }
    let value = line[colon + 1..].trim_ascii();
    Ok((name, line.slice_ref(value)))
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(hay, needle)
}

// === impl Head ===

impl Head {
    /// All values of a header, whatever the case of its name.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let same = move |(n, _): &&(String, Bytes)| n.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, v)| &v[..])
    }

    /// Whether a header has this very value, whatever its case.
    pub(crate) fn says(&self, name: &str, value: &str) -> bool {
        self.values(name).any(|v| v.eq_ignore_ascii_case(value.as_bytes()))
    }
}

// === impl Body ===

impl Body {
    /// The body that follows a request's head.
    pub(crate) fn of_request(head: &Head) -> Result<Self, String> {
        Ok(Self::framed(head)?.unwrap_or(Self::Length(0)))
    }

    /// The body that follows an answer's head.
    pub(crate) fn of_answer(head: &Head, status: u16) -> Result<Self, String> {
        if matches!(status, 100..=199 | 204 | 304) {
            return Ok(Self::Length(0));
        }
        Ok(Self::framed(head)?.unwrap_or(Self::UntilClose))
    }

    fn framed(head: &Head) -> Result<Option<Self>, String> {
        let lengths: Vec<_> = head.values("content-length").collect();
        let codings: Vec<_> = head.values("transfer-encoding").collect();
        match (&lengths[..], &codings[..]) {
            ([], []) => Ok(None),
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Some(Self::Chunked(Chunk::Size)))
            }
            ([length], []) => Ok(Some(Self::Length(number(length, 10)?))),
            _ => Err(format!("a body framed twice or oddly: {:?}", head.headers)),
        }
    }

    /// Takes what there is of the body off the front of `inbox`.
    pub(crate) fn take(&mut self, inbox: &mut BytesMut) -> Result<Taken, String> {
        match self {
            Self::Length(0) => Ok(Taken::Over),
            Self::Length(left) => Ok(take_up_to(inbox, left)),
            Self::UntilClose if inbox.is_empty() => Ok(Taken::Hungry),
            Self::UntilClose => Ok(Taken::Piece(inbox.split().freeze())),
            Self::Chunked(chunk) => chunk.take(inbox),
        }
    }
}

fn take_up_to(inbox: &mut BytesMut, left: &mut u64) -> Taken {
    let now = usize::try_from(*left).unwrap_or(usize::MAX).min(inbox.len());
    *left -= now as u64;
    match now {
        0 => Taken::Hungry,
        _ => Taken::Piece(inbox.split_to(now).freeze()),
    }
}

fn number(digits: &[u8], radix: u32) -> Result<u64, String> {
    let text = String::from_utf8_lossy(digits);
    match text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        true => u64::from_str_radix(&text, radix).map_err(|e| format!("{text:?}: {e}")),
        false => Err(format!("{text:?} is no number")),
    }
}

// === impl Chunk ===

impl Chunk {
    fn take(&mut self, inbox: &mut BytesMut) -> Result<Taken, String> {
        loop {
            match self {
                Self::Over => return Ok(Taken::Over),
                Self::Data(0) => *self = Self::DataEnd,
                Self::Data(left) => return Ok(take_up_to(inbox, left)),
                Self::Size | Self::DataEnd | Self::Trailers => {
                    let Some(end) = find(inbox, b"\r\n") else {
                        return Ok(Taken::Hungry);
                    };
                    let line = inbox.split_to(end + 2);
                    *self = self.after_line(&line[..end])?;
                }
            }
        }
    }

    fn after_line(&self, line: &[u8]) -> Result<Self, String> {
        match self {
            Self::Size => match number(line, 16)? {
                0 => Ok(Self::Trailers),
                size => Ok(Self::Data(size)),
            },
            Self::DataEnd if !line.is_empty() => Err("a chunk longer than its size".into()),
            Self::DataEnd => Ok(Self::Size),
            Self::Trailers if !line.is_empty() => Ok(Self::Trailers),
            _ => Ok(Self::Over),
        }
    }
}
