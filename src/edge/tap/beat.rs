//! Keep-alive comments: when one may go out into a stream that has fallen silent.
//!
//! Why: idle timers on the way (load balancers, browsers) cut a long prefill; an SSE comment holds
//! them off and means nothing to a client.
//! The trap: a comment inside an event would be part of it. A blank line that ends in a CR may have
//! an LF still to come, so that is no border yet.

use std::time::Duration;

use tokio::time::Instant;

/// The comment.
pub(super) const COMMENT: &[u8] = b": keep-alive\n\n";

/// The silence of one stream.
#[derive(Debug)]
pub(super) struct Beat {
    every: Duration,
    last: Instant,
    place: Place,
}

/// Where the last byte stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the start, or behind a blank line.
    Border,
    /// In a line.
    Line,
    /// Behind a line that ended in an LF.
    Lf,
    /// Behind a line that ended in a CR; an LF may follow that belongs to it.
    Cr,
    /// Behind a blank line that ended in a CR; an LF may follow that belongs to it.
    BlankCr,
}

// === impl Beat ===

impl Beat {
    /// For a stream that has nothing out yet and is silent since `now`.
    pub(super) fn new(every: Duration, now: Instant) -> Self {
        Self { every, last: now, place: Place::Border }
    }

    /// A piece of the stream went out.
    pub(super) fn push(&mut self, piece: &[u8], now: Instant) {
        if piece.is_empty() {
            return;
        }
        self.last = now;
        // What came before the last text byte decides nothing.
        let text = piece.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
        for byte in &piece[text.unwrap_or(0)..] {
            self.place = self.place.then(*byte);
        }
    }

    /// The comment went out.
    pub(super) fn sent(&mut self, now: Instant) {
        self.last = now;
    }

    /// When a comment is due if nothing more comes; `None` while an event is half out.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.place == Place::Border).then(|| self.last + self.every)
    }
}

// === impl Place ===

impl Place {
    /// The place behind one more byte.
    fn then(self, byte: u8) -> Self {
        match (byte, self) {
            (b'\r', Self::Line) => Self::Cr,
            // Lines end in a CR alone here, so the blank one does too.
            (b'\r', Self::Cr) => Self::Border,
            (b'\r', Self::Border | Self::Lf | Self::BlankCr) => Self::BlankCr,
            (b'\n', Self::Line | Self::Cr) => Self::Lf,
            (b'\n', Self::Border | Self::Lf | Self::BlankCr) => Self::Border,
            _ => Self::Line,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::sse::{Splitter, data, name};

    const EVERY: Duration = Duration::from_secs(15);

    fn beat(pieces: &[&[u8]]) -> Beat {
        let now = Instant::now();
        let mut beat = Beat::new(EVERY, now);
        for piece in pieces {
            beat.push(piece, now);
        }
        beat
    }

    #[tokio::test]
    async fn a_border_in_any_cut() {
        for (pieces, expected) in [
            (&[][..], true),
            (&["data: 1\n\n"], true),
            (&["data: 1\n", "\n"], true),
            (&["data: 1\r\n\r\n"], true),
            (&["data: 1\r\n\r", "\n"], true),
            (&["data: 1\r", "\n", "\r", "\n"], true),
            (&["data: 1\r\r"], true),
            (&["data: 1\n\n", "\n"], true),
            (&[": hm\n\n"], true),
            (&["data: 1\r\n\r"], false),
            (&["data: 1\n\r"], false),
            (&["data: 1\r", "\n"], false),
            (&["data: 1\r"], false),
            (&["data: 1\n"], false),
            (&["data: 1"], false),
            (&["data: 1\n\n", "d"], false),
            (&["data: 1\n\n", "", "\r"], false),
        ] {
            let bytes: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
            assert_eq!(beat(&bytes).due().is_some(), expected, "{pieces:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_the_last_byte_either_way() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut beat = Beat::new(EVERY, start);
        assert_eq!(beat.due(), Some(after(15)));
        beat.push(b"data: 1\n\n", after(4));
        assert_eq!(beat.due(), Some(after(19)));
        beat.push(b"", after(8));
        assert_eq!(beat.due(), Some(after(19)));
        beat.sent(after(19));
        assert_eq!(beat.due(), Some(after(34)));
        beat.push(b"data: 2\n", after(20));
        assert_eq!(beat.due(), None);
        beat.push(b"\n", after(30));
        assert_eq!(beat.due(), Some(after(45)));
    }

    /// What a client makes of a stream: name and data of each event that has any.
    fn heard(stream: &[u8]) -> Vec<[Option<Vec<u8>>; 2]> {
        let mut events = Vec::new();
        Splitter::new(usize::MAX - 1).push(&stream.to_vec().into(), |event| {
            let data = data(&event.raw).map(|data| data.to_vec());
            events.push([name(&event.raw).map(<[u8]>::to_vec), data]);
        });
        events.retain(|event| *event != [None, None]);
        events
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let word =
            prop_oneof!["\n", "\r", "\r\n", "\n\n", "\r\n\r\n", "data: a", "event: x", ": c"];
        prop::collection::vec(word, 0..12).prop_map(|words| words.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn a_comment_at_a_border_changes_nothing(before in text(), behind in text(), cut in any::<usize>()) {
            let (one, two) = before.split_at(cut % (before.len() + 1));
            let (whole, cut) = (beat(&[&before]), beat(&[one, two]));
            prop_assert_eq!(whole.place, cut.place);
            if whole.due().is_some() {
                let plain = [&before[..], &behind].concat();
                let commented = [&before[..], COMMENT, &behind].concat();
                prop_assert_eq!(heard(&commented), heard(&plain));
            }
        }

        #[test]
        fn behind_a_whole_event_is_a_border(before in text()) {
            let stream = [&before[..], b"data: a\n\n"].concat();
            prop_assert!(beat(&[&stream]).due().is_some());
        }
    }
}
