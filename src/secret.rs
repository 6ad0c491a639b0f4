//! Secrets: values that never show themselves, and keys that are compared in constant time.
//!
//! Why types: a key that is a `String` ends up in a log line sooner or later.

use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What is shown in place of a secret.
pub const DOTS: &str = "••••";

/// A secret text. `Debug` and `Display` show dots; only [`Secret::expose`] gives it away.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    origin: Option<String>,
}

/// The SHA-256 of a key: what aifd keeps of the keys of its clients.
#[derive(Clone, Copy, Eq)]
pub struct KeyDigest([u8; 32]);

// === impl Secret ===

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), origin: None }
    }

    /// Wraps a text that came from `origin` (`env:NAME`, `file:PATH`), which may be shown.
    pub fn from_origin(text: impl Into<String>, origin: impl Into<String>) -> Self {
        Self { text: text.into(), origin: Some(origin.into()) }
    }

    /// Where the text came from, fit to be shown; dots for one that was written out.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.origin.as_deref().unwrap_or(DOTS)
    }

    /// The text itself: call it where it is put on the wire and nowhere else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Eight hex digits of its SHA-256: enough to tell two keys apart in a log.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        KeyDigest::of(self.text.as_bytes()).to_hex()[..8].to_owned()
    }

    /// Equality in constant time, for a text that came from outside.
    #[must_use]
    pub fn matches(&self, presented: &[u8]) -> bool {
        KeyDigest::of(self.text.as_bytes()) == KeyDigest::of(presented)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DOTS)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DOTS)
    }
}

// === impl KeyDigest ===

impl KeyDigest {
    /// The digest of a key as it came over the wire.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Reads 64 hex digits; `None` for anything else.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut digest = [0; 32];
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self(digest))
    }

    /// The 64 hex digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for KeyDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:••••")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_dots() {
        let secret = Secret::new("sk-very-secret");
        assert_eq!(format!("{secret} {secret:?}"), "•••• ••••");
        assert!(!format!("{:?}", KeyDigest::of(b"x")).contains("2d"));
    }

    #[test]
    fn a_secret_tells_where_it_came_from() {
        assert_eq!(Secret::new("sk-very-secret").origin(), DOTS);
        assert_eq!(Secret::from_origin("sk-very-secret", "env:KEY").origin(), "env:KEY");
    }

    #[test]
    fn hex_is_read_strictly() {
        let digest = KeyDigest::of(b"fk-1");
        assert_eq!(KeyDigest::from_hex(&digest.to_hex()), Some(digest));
        for bad in ["", "zz", &"g".repeat(64), &"é".repeat(32), &"+1".repeat(32)] {
            assert_eq!(KeyDigest::from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn matches_is_equality() {
        let secret = Secret::new("token");
        assert!(secret.matches(b"token"));
        assert!(!secret.matches(b"toke") && !secret.matches(b"token "));
    }
}
