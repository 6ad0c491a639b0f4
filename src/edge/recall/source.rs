//! Where a follower's answer comes from: one that is kept, or one on its way.

use std::sync::Arc;
use std::time::Duration;
use std::vec::IntoIter;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use tokio::time::{Instant, sleep_until};

use crate::cache::fill::{End, Head, Next, Piece, Reader, Via};
use crate::cache::{Chunk, Entry};
use crate::config::Replay;
use crate::refusal::Refusal;

/// One answer for one follower.
pub(super) enum Source {
    Kept(Kept),
    Coming { reader: Reader, joined: bool },
}

/// An answer that was kept.
pub(super) struct Kept {
    head: Option<Head>,
    /// Who is told to have given it.
    from: &'static str,
    stream: bool,
    chunks: IntoIter<Chunk>,
    /// When the first piece went out, where the pauses are kept.
    begun: Option<Instant>,
}

const CACHE: &str = "cache";

// === impl Source ===

impl Source {
    pub(super) fn kept(entry: Entry, replay: Replay) -> Self {
        let Entry { status, mut headers, stream, chunks, .. } = entry;
        if !stream {
            let length: usize = chunks.iter().map(|chunk| chunk.data.len()).sum();
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let status = StatusCode::from_u16(status).unwrap_or_default();
        let begun = (stream && replay == Replay::Original).then(Instant::now);
        let head = Some(Head { status, headers });
        Self::Kept(Kept { head, from: CACHE, stream, chunks: chunks.into_iter(), begun })
    }

    /// One that no host has ever given.
    pub(super) fn canned(headers: HeaderMap, stream: bool, body: Bytes) -> Self {
        let head = Some(Head { status: StatusCode::OK, headers });
        let chunks = vec![Chunk { at: 0, data: body }].into_iter();
        Self::Kept(Kept { head, from: "benchmark", stream, chunks, begun: None })
    }

    pub(super) fn begun(reader: Reader) -> Self {
        Self::Coming { reader, joined: false }
    }

    pub(super) fn joined(reader: Reader) -> Self {
        Self::Coming { reader, joined: true }
    }

    /// `x-cache`, where the cache was asked.
    pub(super) fn x_cache(&self) -> Option<&'static str> {
        let canned = matches!(self, Self::Kept(kept) if kept.from != CACHE);
        (!canned).then(|| self.label())
    }

    /// What came of asking.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Kept(_) => "hit",
            Self::Coming { joined: true, .. } => "coalesced",
            Self::Coming { joined: false, .. } => "miss",
        }
    }

    /// Whether somebody else asked for it.
    pub(super) fn is_anothers(&self) -> bool {
        matches!(self, Self::Coming { joined: true, .. })
    }

    /// Whether it is, or was asked for as, a stream.
    pub(super) fn is_stream(&self) -> bool {
        match self {
            Self::Kept(kept) => kept.stream,
            Self::Coming { reader, .. } => reader.is_stream(),
        }
    }

    pub(super) fn via(&self) -> Via {
        match self {
            Self::Kept(kept) => Via { host: Some(Arc::from(kept.from)), attempts: 0 },
            Self::Coming { reader, .. } => reader.via(),
        }
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Kept(_) => None,
            Self::Coming { reader, .. } => reader.refusal(),
        }
    }

    /// Waits for what comes next. Dropping this future loses nothing.
    pub(super) async fn next(&mut self) -> Next {
        match self {
            Self::Coming { reader, .. } => reader.next().await,
            Self::Kept(kept) => {
                if let Some(due) = kept.due() {
                    sleep_until(due).await;
                }
                kept.take()
            }
        }
    }

    /// What comes next, if its time has come.
    pub(super) fn ready(&mut self) -> Option<Next> {
        match self {
            Self::Coming { reader, .. } => reader.ready(),
            Self::Kept(kept) => {
                let waits = kept.due().is_some_and(|due| due > Instant::now());
                (!waits).then(|| kept.take())
            }
        }
    }
}

// === impl Kept ===

impl Kept {
    fn due(&self) -> Option<Instant> {
        let chunk = self.chunks.as_slice().first().filter(|_| self.head.is_none())?;
        Some(self.begun? + Duration::from_millis(chunk.at.into()))
    }

    fn take(&mut self) -> Next {
        if let Some(head) = self.head.take() {
            return Next::Head(head);
        }
        let piece = |chunk: Chunk| Next::Piece(Piece { at: Instant::now(), data: chunk.data });
        self.chunks.next().map_or(Next::End(End::Whole), piece)
    }
}
