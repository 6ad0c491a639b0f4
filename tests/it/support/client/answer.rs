//! An answer as a client got it: piece by piece, with its moment, and whether it ended clean.
//!
//! Why `Ended` is a value: a proxy that turns a cut stream into a clean end is the worst kind of
//! wrong, and most clients would not even tell the two apart.

use std::fmt::Display;

use ::h2::RecvStream;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::Instant;

use crate::support::within;

/// How an answer ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ended {
    Whole,
    /// Broken off; what the connection said.
    Cut(String),
}

/// No head came; what the connection said.
#[derive(Debug)]
pub(crate) struct NoAnswer(pub(crate) String);

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// As they came off the wire: a chunk or DATA frame each, unless the network cut it.
    pub(crate) pieces: Vec<(Instant, Bytes)>,
    pub(crate) ended: Ended,
}

/// An answer whose head is here and whose body is still to be read.
pub(crate) struct Reading {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pieces: Vec<(Instant, Bytes)>,
    ended: Option<Ended>,
    source: Source,
}

enum Source {
    Hyper(Incoming),
    H2(RecvStream),
}

// === impl Ended ===

impl Ended {
    pub(crate) fn is_cut(&self) -> bool {
        matches!(self, Self::Cut(_))
    }
}

// === impl NoAnswer ===

impl NoAnswer {
    pub(super) fn because(why: impl Display) -> Self {
        Self(why.to_string())
    }
}

// === impl Answer ===

impl Answer {
    pub(super) fn new(
        (status, headers): (u16, HeaderMap),
        pieces: Vec<(Instant, Bytes)>,
        ended: Ended,
    ) -> Self {
        let mut body = BytesMut::new();
        pieces.iter().for_each(|(_, piece)| body.extend_from_slice(piece));
        Self { status, headers, body: body.freeze(), pieces, ended }
    }

    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The payloads of the `data:` events.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.text().split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
    }
}

// === impl Reading ===

impl Reading {
    pub(super) fn hyper(response: Response<Incoming>) -> Self {
        Self::new(response.map(Source::Hyper))
    }

    pub(super) fn h2(response: Response<RecvStream>) -> Self {
        Self::new(response.map(Source::H2))
    }

    fn new(response: Response<Source>) -> Self {
        let (head, source) = response.into_parts();
        let status = head.status.as_u16();
        Self { status, headers: head.headers, pieces: Vec::new(), ended: None, source }
    }

    /// The next piece of the body; `None` at its end, clean or not.
    pub(crate) async fn next_piece(&mut self) -> Option<Bytes> {
        let next = within("the next piece of an answer", self.source.next()).await;
        match next {
            Some(Ok(piece)) => {
                self.pieces.push((Instant::now(), piece.clone()));
                Some(piece)
            }
            Some(Err(why)) => {
                self.ended = Some(Ended::Cut(why));
                None
            }
            None => {
                self.ended = Some(Ended::Whole);
                None
            }
        }
    }

    /// Reads on to the end.
    pub(crate) async fn finish(mut self) -> Answer {
        while self.ended.is_none() {
            self.next_piece().await;
        }
        let ended = self.ended.expect("set by the loop above");
        Answer::new((self.status, self.headers), self.pieces, ended)
    }
}

// === impl Source ===

impl Source {
    async fn next(&mut self) -> Option<Result<Bytes, String>> {
        loop {
            let piece = match self {
                Self::Hyper(body) => match body.frame().await? {
                    Ok(frame) => frame.into_data().unwrap_or_default(),
                    Err(why) => return Some(Err(format!("{why:?}"))),
                },
                Self::H2(body) => match body.data().await? {
                    Ok(piece) => {
                        // A stream that is over has no window to give back.
                        let _ = body.flow_control().release_capacity(piece.len());
                        piece
                    }
                    Err(why) => return Some(Err(why.to_string())),
                },
            };
            // Trailers and the empty frame that carries an END_STREAM are no pieces.
            if !piece.is_empty() {
                return Some(Ok(piece));
            }
        }
    }
}
