//! A `Reply` as the list of `Step`s that a protocol plays from top to bottom.
//!
//! Why a list: gates, gaps and breaks are settled here once, and HTTP/1.1 and HTTP/2 decide nothing.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::gate::Gate;
use super::script::{Break, Chunking, Framing, Kind, Reply};

/// One thing for the upstream to do.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Wait(Duration),
    Pass(Gate),
    Interim(u16),
    Head,
    /// The first so many bytes of the head, and never the rest.
    HeadCut(usize),
    /// Bytes of the body; `declared` is the size of the piece that they begin.
    Piece {
        declared: usize,
        bytes: Bytes,
    },
    WebSocket,
    Stop(Stop),
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stop {
    /// Properly; the connection lives on.
    Whole,
    /// Properly; then the connection is closed.
    Close,
    /// FIN.
    Cut,
    /// RST on HTTP/1.1, `RST_STREAM` on HTTP/2.
    Reset,
    /// Never.
    Hang,
}

// === impl Reply ===

impl Reply {
    /// The size of the whole body.
    pub(super) fn length(&self) -> usize {
        self.events.iter().map(Bytes::len).sum()
    }

    /// Whether this answer may have a body, given the request's method.
    pub(super) fn has_body(&self, method: &str) -> bool {
        method != "HEAD" && !matches!(self.status, 204 | 304)
    }

    /// What to do, from top to bottom; the last step is always a `Stop` or a `WebSocket`.
    pub(super) fn steps(&self, method: &str) -> Vec<Step> {
        let mut steps: Vec<Step> =
            self.interim.iter().map(|&status| Step::Interim(status)).collect();
        if !self.delay.is_zero() {
            steps.push(Step::Wait(self.delay));
        }
        steps.extend(self.gate.clone().map(Step::Pass));
        match (self.kind, self.broken) {
            (Kind::WebSocket, _) => steps.push(Step::WebSocket),
            (_, Some(Break::Head(bytes, how))) => {
                steps.extend([Step::HeadCut(bytes), Step::Stop(how)]);
            }
            (kind, _) => {
                steps.extend((kind == Kind::Http).then_some(Step::Head));
                self.body_steps(&mut steps, method);
            }
        }
        steps
    }

    fn body_steps(&self, steps: &mut Vec<Step>, method: &str) {
        let (mut left, broken) = match self.broken {
            Some(Break::Body(bytes, how)) => (bytes, Some(how)),
            _ => (usize::MAX, None),
        };
        let pieces = if self.has_body(method) { self.pieces() } else { Vec::new() };
        for (nth, piece) in pieces.iter().enumerate() {
            if left == 0 {
                break;
            }
            if nth > 0 && !self.gap.is_zero() {
                steps.push(Step::Wait(self.gap));
            }
            steps.extend(self.step_gate.clone().map(Step::Pass));
            let bytes = piece.slice(..piece.len().min(left));
            left -= bytes.len();
            steps.push(Step::Piece { declared: piece.len(), bytes });
        }
        steps.extend(self.end_gate.clone().map(Step::Pass));
        steps.push(Step::Stop(broken.unwrap_or_else(|| self.proper_stop())));
    }

    fn proper_stop(&self) -> Stop {
        match (self.stop, self.framing) {
            (Stop::Whole, Framing::Close) => Stop::Close,
            (stop, _) => stop,
        }
    }

    fn pieces(&self) -> Vec<Bytes> {
        let events = self.events.iter().filter(|event| !event.is_empty());
        match self.chunking {
            Chunking::PerEvent => events.cloned().collect(),
            Chunking::Bytes(size) => {
                joined(&self.events).chunks(size).map(Bytes::copy_from_slice).collect()
            }
            Chunking::AllAtOnce => events.take(1).map(|_| joined(&self.events)).collect(),
            Chunking::Glued(count) => self.events.chunks(count).map(joined).collect(),
        }
    }
}

fn joined(events: &[Bytes]) -> Bytes {
    let mut all = BytesMut::new();
    events.iter().for_each(|event| all.extend_from_slice(event));
    all.freeze()
}
