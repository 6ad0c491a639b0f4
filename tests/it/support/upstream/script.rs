//! What the upstream is to do with one request, as a test says it: in any order, in one breath.
//!
//! The trap: byte counts are of the body, not of the wire, so that they mean the same on HTTP/1.1
//! and HTTP/2; `cut_head_after` alone counts the wire of the head.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::gate::Gate;
use super::steps::Stop;

/// How the events of a body are laid into pieces; a piece is one write, and one chunk or DATA frame.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Chunking {
    PerEvent,
    /// Pieces of this many bytes, wherever that cuts.
    Bytes(usize),
    AllAtOnce,
    /// This many events a piece.
    Glued(usize),
}

/// How an HTTP/1.1 body shows its end; HTTP/2 only takes the content-length from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Framing {
    Chunked,
    Length,
    /// Neither length nor chunks: the close is the end. Also for a length of one's own making.
    Close,
}

/// One answer, or the refusal to give one.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(super) kind: Kind,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) interim: Vec<u16>,
    pub(super) delay: Duration,
    pub(super) gate: Option<Gate>,
    pub(super) events: Vec<Bytes>,
    pub(super) gap: Duration,
    pub(super) step_gate: Option<Gate>,
    pub(super) end_gate: Option<Gate>,
    pub(super) chunking: Chunking,
    pub(super) framing: Framing,
    pub(super) stop: Stop,
    pub(super) broken: Option<Break>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Http,
    Raw,
    WebSocket,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Break {
    Head(usize, Stop),
    Body(usize, Stop),
}

// === impl Reply ===

impl Reply {
    /// A whole JSON answer with its content-length.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, "application/json", body.to_string())
    }

    /// A whole answer of any kind with its content-length.
    pub(crate) fn bytes(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self { status, events: vec![body], ..Self::blank() }.header("content-type", content_type)
    }

    /// A chunked event stream: each payload as one `data:` event.
    pub(crate) fn sse<E: AsRef<str>>(payloads: impl IntoIterator<Item = E>) -> Self {
        let frame = |payload: E| Bytes::from(format!("data: {}\n\n", payload.as_ref()));
        Self::stream("text/event-stream", payloads.into_iter().map(frame))
    }

    /// A chunked stream of exactly these events.
    pub(crate) fn stream(content_type: &str, events: impl IntoIterator<Item = Bytes>) -> Self {
        let events = events.into_iter().collect();
        Self { framing: Framing::Chunked, events, ..Self::blank() }
            .header("content-type", content_type)
    }

    /// Exactly these bytes on the wire of HTTP/1.1 in place of an answer, then a close.
    pub(crate) fn raw(wire: impl Into<Bytes>) -> Self {
        let events = vec![wire.into()];
        Self { kind: Kind::Raw, framing: Framing::Close, events, ..Self::blank() }
    }

    /// Not a byte, ever.
    pub(crate) fn silence() -> Self {
        Self { broken: Some(Break::Head(0, Stop::Hang)), ..Self::blank() }
    }

    /// 101, then an echo of every message until the client closes (HTTP/1.1).
    pub(crate) fn websocket() -> Self {
        Self { kind: Kind::WebSocket, ..Self::blank() }
    }

    fn blank() -> Self {
        Self {
            kind: Kind::Http,
            status: 200,
            headers: Vec::new(),
            interim: Vec::new(),
            delay: Duration::ZERO,
            gate: None,
            events: Vec::new(),
            gap: Duration::ZERO,
            step_gate: None,
            end_gate: None,
            chunking: Chunking::PerEvent,
            framing: Framing::Length,
            stop: Stop::Whole,
            broken: None,
        }
    }

    /// One more header, name and (perhaps empty) value as they are to stand on the wire.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An informational head (1xx), sent at once.
    pub(crate) fn interim(mut self, status: u16) -> Self {
        self.interim.push(status);
        self
    }

    /// Waits before the head.
    pub(crate) fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Waits at a gate before the head.
    pub(crate) fn wait_for(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Waits between pieces.
    pub(crate) fn gap(mut self, gap: Duration) -> Self {
        self.gap = gap;
        self
    }

    /// Waits at a gate before each piece, and at no gate before the end.
    pub(crate) fn stepped_by(mut self, gate: &Gate) -> Self {
        self.step_gate = Some(gate.clone());
        self
    }

    /// Waits at a gate between the last piece and the end.
    pub(crate) fn end_waits_for(mut self, gate: &Gate) -> Self {
        self.end_gate = Some(gate.clone());
        self
    }

    /// How events become pieces.
    pub(crate) fn chunking(mut self, chunking: Chunking) -> Self {
        self.chunking = chunking;
        self
    }

    /// How the body shows its end.
    pub(crate) fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// FIN after so many bytes of the body, be it in the middle of a chunk.
    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.broken = Some(Break::Body(bytes, Stop::Cut));
        self
    }

    /// RST (HTTP/2: `RST_STREAM`) after so many bytes of the body.
    pub(crate) fn reset_after(mut self, bytes: usize) -> Self {
        self.broken = Some(Break::Body(bytes, Stop::Reset));
        self
    }

    /// Falls silent after so many bytes of the body, and stays.
    pub(crate) fn hang_after(mut self, bytes: usize) -> Self {
        self.broken = Some(Break::Body(bytes, Stop::Hang));
        self
    }

    /// FIN after so many bytes of the head (HTTP/2: instead of it).
    pub(crate) fn cut_head_after(mut self, bytes: usize) -> Self {
        self.broken = Some(Break::Head(bytes, Stop::Cut));
        self
    }

    /// RST (HTTP/2: `RST_STREAM`) before any byte of the answer.
    pub(crate) fn reset_at_once(mut self) -> Self {
        self.broken = Some(Break::Head(0, Stop::Reset));
        self
    }

    /// Sends everything but the end, and never ends.
    pub(crate) fn hang(mut self) -> Self {
        self.stop = Stop::Hang;
        self
    }

    /// Closes the connection after the answer without having said so, as llama.cpp does.
    pub(crate) fn close_after(mut self) -> Self {
        self.stop = Stop::Close;
        self
    }
}
