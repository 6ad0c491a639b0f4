//! The inside of a JSON text, decoded in pieces cut anywhere, as far as counting needs it.
//!
//! Why apart: what a text says and where it stands are two questions.
//! The trap: a character beyond the first plane is written as two escapes and is one character.

/// Reads one text after another.
#[derive(Debug, Default)]
pub(super) struct Letters {
    at: At,
    /// The last escape was the first half of a surrogate pair.
    high: bool,
}

/// A name, in lower case.
#[derive(Debug, Default)]
pub(super) struct Name {
    bytes: [u8; NAME],
    len: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Run,
    Escape,
    Hex {
        left: u8,
        code: u16,
    },
}

/// Longest name that any grammar knows, bytes.
const NAME: usize = 24;

// === impl Letters ===

impl Letters {
    /// Reads on, hands out what is said (some character for each escape), and tells how many bytes
    /// were used and whether the text has ended with them.
    pub(super) fn read(&mut self, rest: &[u8], mut say: impl FnMut(&[u8])) -> (usize, bool) {
        match self.at {
            At::Run => self.run(rest, say),
            At::Escape => {
                self.at = At::Run;
                if rest[0] == b'u' {
                    self.at = At::Hex { left: 4, code: 0 };
                } else {
                    self.high = false;
                    say(b" ");
                }
                (1, false)
            }
            At::Hex { left, code } => (self.hex(rest[0], left, code, say), false),
        }
    }

    fn run(&mut self, rest: &[u8], mut say: impl FnMut(&[u8])) -> (usize, bool) {
        let end = memchr::memchr2(b'"', b'\\', rest);
        let run = &rest[..end.unwrap_or(rest.len())];
        let ended = end.is_some_and(|end| rest[end] == b'"');
        if ended || !run.is_empty() {
            self.high = false;
        }
        if end.is_some() && !ended {
            self.at = At::Escape;
        }
        say(run);
        (run.len() + usize::from(end.is_some()), ended)
    }

    fn hex(&mut self, byte: u8, left: u8, code: u16, mut say: impl FnMut(&[u8])) -> usize {
        self.at = At::Run;
        let Some(digit) = char::from(byte).to_digit(16) else {
            return 0;
        };
        let code = code << 4 | u16::try_from(digit).unwrap_or_default();
        if left > 1 {
            self.at = At::Hex { left: left - 1, code };
            return 1;
        }
        match u8::try_from(code) {
            Ok(byte) if byte.is_ascii() => say(&[byte]),
            // The second half of a pair: the first one was counted.
            _ if self.high && (0xdc00..=0xdfff).contains(&code) => {}
            _ => say("é".as_bytes()),
        }
        self.high = (0xd800..=0xdbff).contains(&code);
        1
    }
}

// === impl Name ===

impl Name {
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn push(&mut self, run: &[u8]) {
        for byte in run {
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = byte.to_ascii_lowercase();
            }
            // What is too long stays too long.
            self.len = (self.len + 1).min(NAME + 1);
        }
    }

    /// Empty for a name that no grammar knows.
    pub(super) fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
