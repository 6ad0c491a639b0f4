//! The tokens of an answer, counted as it goes by, for a caller whose tokens are limited.
//!
//! Why the host is asked for usage: of a stream it tells none by itself, and an estimate is one. The
//! chunk that comes for our asking goes no further; the client gets the stream it asked for.
//! The trap: to take an event out, the stream must be cut into events; so for these callers the
//! last bytes of an unfinished event wait for the rest of it.

use bytes::{Bytes, BytesMut};

use crate::wire::meter::{Meter, Spent};
use crate::wire::sse::Splitter;
use crate::wire::usage;

/// The longest event that is gathered, bytes; longer ones go as they come.
const EVENT_MOST: usize = 64 * 1024;

/// One answer.
pub(in crate::edge) struct Metered {
    meter: Meter,
    /// Cuts the stream whose usage is ours alone.
    without_usage: Option<Splitter>,
}

// === impl Metered ===

impl Metered {
    /// `ours`: the chunk of usage comes for our asking.
    pub(in crate::edge) fn new(stream: bool, ours: bool) -> Self {
        let meter = if stream { Meter::stream() } else { Meter::body() };
        Self { meter, without_usage: (stream && ours).then(|| Splitter::new(EVENT_MOST)) }
    }

    /// Counts a piece, and leaves of it what the client shall see.
    pub(in crate::edge) fn pass(&mut self, body: &mut Option<Bytes>, end: bool) {
        if let Some(piece) = &body {
            self.meter.push(piece);
        }
        let Some(splitter) = &mut self.without_usage else { return };
        let mut kept = Vec::new();
        if let Some(piece) = body.take() {
            splitter.push(&piece, |event| {
                if !event.whole || !usage::is_only_usage(&event.raw) {
                    kept.push(event.raw);
                }
            });
        }
        if end && let Some(splitter) = self.without_usage.take() {
            let tail = splitter.finish();
            if !usage::is_only_usage(&tail) {
                kept.push(tail);
            }
        }
        *body = joined(kept);
    }

    pub(super) fn finish(self) -> Spent {
        self.meter.finish()
    }
}

/// One piece of many; `None` of nothing.
fn joined(mut pieces: Vec<Bytes>) -> Option<Bytes> {
    pieces.retain(|piece| !piece.is_empty());
    if pieces.len() < 2 {
        return pieces.pop();
    }
    let mut all = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        all.extend_from_slice(&piece);
    }
    Some(all.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n";
    const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    fn passed(ours: bool, stream: &str, size: usize) -> (String, u64) {
        let mut metered = Metered::new(true, ours);
        let mut out = Vec::new();
        for piece in stream.as_bytes().chunks(size) {
            let mut body = Some(Bytes::copy_from_slice(piece));
            metered.pass(&mut body, false);
            out.extend(body.unwrap_or_default());
        }
        let mut rest = None;
        metered.pass(&mut rest, true);
        out.extend(rest.unwrap_or_default());
        (String::from_utf8(out).unwrap(), metered.finish().total(0))
    }

    #[test]
    fn the_chunk_of_usage_goes_to_who_asked_for_it() {
        let stream = [WORD, WORD, USAGE, DONE].concat();
        for size in [1, 7, 50, 1000] {
            assert_eq!(passed(false, &stream, size), (stream.clone(), 7));
            assert_eq!(passed(true, &stream, size), ([WORD, WORD, DONE].concat(), 7));
        }
    }

    #[test]
    fn what_is_not_ours_stays_as_it_came() {
        let both = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{\"total_tokens\":9}}\n\n";
        for stream in [both, ": hm\n\n", "data: {\"cho", "\u{feff}data: 1\r\n\r\n", "\n\n\n"] {
            assert_eq!(passed(true, stream, 3).0, stream);
        }
    }
}
