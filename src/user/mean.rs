//! How many tokens the answers of a key have, lately.
//!
//! Why: a request that does not bound its answer has to be taken for something before it goes out,
//! and what its owner got lately is the best guess there is.

use std::sync::atomic::{AtomicU64, Ordering};

/// A mean over the last answers, about eight of them; a thousand requests may add to it at once.
#[derive(Debug)]
pub struct Mean(AtomicU64);

/// What nobody has asked for yet, tokens.
const FIRST: u64 = 256;

/// A new answer counts for one in so many.
const WEIGHT: u64 = 8;

/// Fractions of a token in a token, so that small changes add up.
const PARTS: u64 = 256;

/// No answer counts for more tokens: a host that tells nonsense once must not shut its client out.
const MOST: u64 = 1 << 20;

// === impl Mean ===

impl Mean {
    /// The mean, tokens; at least 1.
    #[must_use]
    pub fn get(&self) -> u64 {
        ((self.0.load(Ordering::Relaxed) + PARTS / 2) / PARTS).max(1)
    }

    /// Adds an answer that ended by itself. One without a text, like that of embeddings, is none.
    pub fn add(&self, tokens: u64) {
        let new = tokens.min(MOST) * PARTS;
        let mixed = |old: u64| Some(old - old / WEIGHT + new / WEIGHT);
        // The closure always gives a value, so this cannot fail.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, mixed);
    }
}

impl Default for Mean {
    fn default() -> Self {
        Self(AtomicU64::new(FIRST * PARTS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_to_what_comes() {
        let mean = Mean::default();
        assert_eq!(mean.get(), 256);
        mean.add(1056);
        assert_eq!(mean.get(), 356);
        for (tokens, times, expected) in [(100, 80, 100), (1, 100, 1), (50, 200, 50), (0, 200, 1)] {
            (0..times).for_each(|_| mean.add(tokens));
            assert_eq!(mean.get(), expected, "after {times} of {tokens}");
        }
    }

    #[test]
    fn one_answer_out_of_the_way_is_forgotten() {
        let mean = Mean::default();
        mean.add(u64::MAX);
        assert_eq!(mean.get(), 256 - 32 + (1 << 17));
        (0..150).for_each(|_| mean.add(10));
        assert_eq!(mean.get(), 10);
    }
}
