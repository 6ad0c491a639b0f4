//! JSON as it goes by, in pieces cut anywhere: its texts are counted, its `usage` is kept.
//!
//! Why not a parser: a body comes in pieces of any size, may be gigabytes, and nothing of it may be
//! held. What is broken is counted as far as it can be; nothing here fails.
//! The trap: a name may be written with escapes (`"mess\u0061ges"`) and in other letters, and some
//! hosts read it all the same; so names are decoded and compared in lower case.

use super::tally::Tally;
use letters::{Letters, Name};

mod letters;

/// Whether the value of a member counts: by what it lies in, and its name in lower case.
pub(super) type Grammar = fn(Within, &[u8]) -> Within;

/// How a value is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// It is the document; its members are judged by the grammar.
    Root,
    /// Not at all, nor anything in it.
    Skip,
    /// Texts, and numbers, which are tokens; members of objects are judged by the grammar.
    Said,
    /// As it stands, brackets and all, but for white space between the values.
    Raw,
    /// A text as a text, anything else as it stands.
    Call,
    /// An image or the like: by the piece.
    Media,
    /// Not at all, but its members are judged by the grammar.
    Envelope,
    /// Not at all; an object is kept.
    Usage,
}

/// One walk over one document, or over several that follow each other.
#[derive(Debug)]
pub(super) struct Scan {
    grammar: Grammar,
    tally: Tally,
    items: u64,
    frames: Vec<Frame>,
    /// Brackets that are open beyond the frames.
    deeper: usize,
    /// How the next value of the innermost object counts.
    member: Within,
    wants_name: bool,
    inside: Inside,
    /// The text that is being read counts.
    speaks: bool,
    /// The text that is being read is a name.
    naming: bool,
    name: Name,
    letters: Letters,
    usage: Vec<u8>,
    found: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    object: bool,
    within: Within,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Between,
    Word,
    Text,
}

/// Brackets beyond this hold nothing that a host would read as a text.
const FRAMES: usize = 24;

/// Longest `usage` that is kept, bytes.
const USAGE: usize = 16 * 1024;

/// An image: what OpenAI takes for one in low detail.
const MEDIA: u64 = 85;

// === impl Scan ===

impl Scan {
    pub(super) fn new(grammar: Grammar) -> Self {
        Self {
            grammar,
            tally: Tally::default(),
            items: 0,
            frames: Vec::new(),
            deeper: 0,
            member: Within::Skip,
            wants_name: false,
            inside: Inside::Between,
            speaks: false,
            naming: false,
            name: Name::default(),
            letters: Letters::default(),
            usage: Vec::new(),
            found: None,
        }
    }

    /// What was counted so far.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// How many objects were said in lists of the document itself: messages, choices.
    pub(super) fn items(&self) -> u64 {
        self.items
    }

    /// The last `usage` that has gone by whole since this was asked.
    pub(super) fn usage(&mut self) -> Option<Vec<u8>> {
        self.found.take()
    }

    /// Reads the next piece.
    pub(super) fn push(&mut self, mut rest: &[u8]) {
        while !rest.is_empty() {
            let before = self.keeps();
            let used = match self.inside {
                Inside::Between => self.between(rest[0]),
                Inside::Word => self.word(rest),
                Inside::Text => self.text(rest),
            };
            self.keep(&rest[..used], before);
            rest = &rest[used..];
        }
    }

    /// How a value that begins here counts.
    fn value(&self) -> Within {
        let Some(frame) = self.frames.last() else {
            return Within::Root;
        };
        match frame.within {
            Within::Raw | Within::Usage => frame.within,
            _ if self.deeper > 0 => Within::Skip,
            Within::Root | Within::Said | Within::Envelope if frame.object => self.member,
            within => within,
        }
    }

    fn between(&mut self, byte: u8) -> usize {
        match byte {
            b'"' => self.begin_text(),
            b'{' | b'[' => self.open(byte == b'{'),
            b'}' | b']' => self.close(),
            b',' | b':' => {
                self.structure();
                self.wants_name = byte == b',' && self.frames.last().is_some_and(|top| top.object);
            }
            byte if byte.is_ascii_whitespace() => {}
            byte => self.begin_word(byte),
        }
        1
    }

    fn begin_text(&mut self) {
        self.inside = Inside::Text;
        let value = self.value();
        self.naming = self.wants_name
            && self.deeper == 0
            && self.frames.last().is_some_and(|top| top.within.is_judged());
        self.speaks = !self.naming && matches!(value, Within::Said | Within::Raw | Within::Call);
        match value {
            _ if self.naming => self.name.clear(),
            Within::Raw => self.tally.text(b"\"\""),
            Within::Media => self.tally.add(MEDIA),
            _ => {}
        }
    }

    fn begin_word(&mut self, byte: u8) {
        self.inside = Inside::Word;
        if byte == b'n' {
            // A member that is null is as good as absent.
            self.member = Within::Skip;
        }
        match self.value() {
            Within::Raw | Within::Call => self.tally.text(&[byte]),
            Within::Said if byte.is_ascii_digit() || byte == b'-' => self.tally.add(1),
            Within::Media => self.tally.add(MEDIA),
            _ => {}
        }
    }

    fn open(&mut self, object: bool) {
        let within = match self.value() {
            Within::Call => Within::Raw,
            Within::Usage if !object && !self.keeps() => Within::Skip,
            Within::Media => {
                self.tally.add(MEDIA);
                Within::Skip
            }
            within => within,
        };
        if within == Within::Said && object && self.frames.len() == 2 {
            self.items += 1;
        }
        if self.frames.len() < FRAMES {
            self.frames.push(Frame { object, within });
            self.wants_name = object;
        } else {
            self.deeper += 1;
        }
        self.structure();
    }

    fn close(&mut self) {
        self.structure();
        if self.deeper > 0 {
            self.deeper -= 1;
        } else {
            self.frames.pop();
        }
        self.wants_name = false;
    }

    /// Counts a byte that is neither text nor word.
    fn structure(&mut self) {
        if self.frames.last().is_some_and(|top| top.within == Within::Raw) {
            self.tally.text(b",");
        }
    }

    fn word(&mut self, rest: &[u8]) -> usize {
        let ends = |byte: &u8| {
            matches!(byte, b',' | b':' | b'"' | b'[' | b']' | b'{' | b'}' | b' ' | b'\t'..=b'\r')
        };
        let end = rest.iter().position(ends);
        if matches!(self.value(), Within::Raw | Within::Call) {
            self.tally.text(&rest[..end.unwrap_or(rest.len())]);
        }
        if end.is_some() {
            self.inside = Inside::Between;
        }
        end.unwrap_or(rest.len())
    }

    fn text(&mut self, rest: &[u8]) -> usize {
        let Self { naming, speaks, name, tally, letters, .. } = self;
        let (used, ended) = letters.read(rest, |said| match (*naming, *speaks) {
            (true, _) => name.push(said),
            (false, true) => tally.text(said),
            (false, false) => {}
        });
        if ended {
            self.end_text();
        }
        used
    }

    fn end_text(&mut self) {
        self.inside = Inside::Between;
        if std::mem::take(&mut self.naming)
            && let Some(frame) = self.frames.last()
        {
            self.member = (self.grammar)(frame.within, self.name.get());
            self.wants_name = false;
        }
    }

    fn keeps(&self) -> bool {
        self.frames.last().is_some_and(|top| top.within == Within::Usage)
    }

    fn keep(&mut self, bytes: &[u8], before: bool) {
        let after = self.keeps();
        if !before && !after {
            return;
        }
        if !before {
            self.usage.clear();
        }
        // One byte beyond the limit tells that it was too long.
        let room = (USAGE + 1).saturating_sub(self.usage.len());
        self.usage.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if !after && self.usage.len() <= USAGE {
            self.found = Some(std::mem::take(&mut self.usage));
        }
    }
}

// === impl Within ===

impl Within {
    /// Whether the grammar judges the members of such an object.
    fn is_judged(self) -> bool {
        matches!(self, Self::Root | Self::Said | Self::Envelope)
    }
}

#[cfg(test)]
mod tests;
