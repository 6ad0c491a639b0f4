//! Tokens of a text, estimated: four bytes of ASCII are one, any other character is one.
//!
//! Why no tokenizer: every model has its own, and a limit needs the order of size until the host
//! tells the number. Only whole texts are rounded, so the cuts of a stream change nothing.

/// A count that texts are added to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    ascii: u64,
    tokens: u64,
}

/// Bytes of ASCII in one token.
const ASCII: u64 = 4;

// === impl Tally ===

impl Tally {
    /// Adds a text, or a piece of one: UTF-8, cut anywhere.
    pub fn text(&mut self, utf8: &[u8]) {
        let ascii = utf8.iter().filter(|byte| byte.is_ascii()).count();
        self.ascii += ascii as u64;
        if ascii < utf8.len() {
            // Each character beyond ASCII begins with one such byte.
            self.tokens += utf8.iter().filter(|byte| **byte >= 0xc0).count() as u64;
        }
    }

    /// Adds tokens that are known to be so many.
    pub fn add(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    /// Adds what another one counted.
    pub fn join(&mut self, other: Self) {
        self.ascii += other.ascii;
        self.add(other.tokens);
    }

    /// The tokens so far.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens.saturating_add(self.ascii.div_ceil(ASCII))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(text: &str) -> u64 {
        let mut tally = Tally::default();
        tally.text(text.as_bytes());
        tally.tokens()
    }

    #[test]
    fn texts() {
        for (text, expected) in
            [("", 0), ("a", 1), ("four", 1), ("fives", 2), ("é", 1), ("你好", 2), ("ab😀", 2)]
        {
            assert_eq!(tokens(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_cut_changes_nothing(text in ".*", at in any::<prop::sample::Index>()) {
            let (left, right) = text.as_bytes().split_at(at.index(text.len() + 1));
            let mut tally = Tally::default();
            tally.text(left);
            tally.text(right);
            prop_assert_eq!(tally.tokens(), tokens(&text));
        }
    }
}
