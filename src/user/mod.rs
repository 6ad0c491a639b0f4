//! Who calls: forward keys, found by their digest, and what their owners may use.
//!
//! Why digests: aifd never keeps the keys of its clients, and a lookup by SHA-256 followed by a
//! constant-time comparison tells a guesser nothing through time.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Key, Pace};
use crate::secret::KeyDigest;

mod mean;

pub use mean::Mean;

/// Everybody who has a forward key.
#[derive(Debug)]
pub struct Users(HashMap<KeyDigest, Arc<User>>);

/// The owner of one forward key.
#[derive(Debug)]
pub struct User {
    /// Name in logs and status.
    pub name: String,
    /// Level, 0 for all rights.
    pub level: u32,
    /// Its place among the keys of the configuration.
    pub place: u32,
    /// Whether there is a limit to its tokens.
    pub tokens_limited: bool,
    /// How fast its streams go, if not as they come.
    pub pace: Option<Pace>,
    /// The tokens of its recent answers.
    pub mean: Mean,
    models: Vec<String>,
}

// === impl Users ===

impl Users {
    /// Takes the keys of the configuration.
    #[must_use]
    pub fn build(keys: &[Key]) -> Self {
        let users = keys.iter().zip(0..);
        Self(users.map(|(key, place)| (key.digest, Arc::new(User::new(key, place)))).collect())
    }

    /// The owner of a key as it came over the wire.
    #[must_use]
    pub fn find(&self, presented: &[u8]) -> Option<Arc<User>> {
        let digest = KeyDigest::of(presented);
        self.0.get(&digest).cloned()
    }

    /// All of them, in no order.
    pub fn each(&self) -> impl Iterator<Item = &User> {
        self.0.values().map(|user| &**user)
    }

    /// All names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.values().map(|user| user.name.clone()).collect();
        names.sort_unstable();
        names
    }
}

// === impl User ===

impl User {
    fn new(key: &Key, place: u32) -> Self {
        Self {
            name: key.name.clone(),
            level: key.level,
            place,
            tokens_limited: !key.tokens.is_empty(),
            pace: key.pace,
            mean: Mean::default(),
            models: key.models.clone(),
        }
    }

    /// Whether there is any model it may not use.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        !self.models.iter().any(|pattern| pattern == "*")
    }

    /// Whether it may use this model.
    #[must_use]
    pub fn may_use(&self, model: &str) -> bool {
        self.models.iter().any(|pattern| matches(pattern, model))
    }
}

/// `*` stands for any run of characters, also none; everything else for itself.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut rest) = text.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<&str> = tail.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        // The leftmost place is as good as any later one, so no backtracking is needed.
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, secret: &str, models: &[&str]) -> Key {
        Key {
            name: name.into(),
            digest: KeyDigest::of(secret.as_bytes()),
            origin: String::new(),
            level: 0,
            requests: Vec::new(),
            tokens: Vec::new(),
            in_flight: None,
            pace: None,
            models: models.iter().map(|model| (*model).to_owned()).collect(),
        }
    }

    #[test]
    fn a_key_finds_its_owner_and_nobody_else() {
        let users = Users::build(&[key("ann", "fk-a", &["*"]), key("bob", "fk-b", &["*"])]);
        assert_eq!(users.find(b"fk-a").unwrap().name, "ann");
        for wrong in ["", "fk-", "fk-a ", "FK-A", "fk-a,fk-b"] {
            assert!(users.find(wrong.as_bytes()).is_none(), "{wrong}");
        }
        assert_eq!(users.names(), ["ann", "bob"]);
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("gpt-4", "gpt-4", true),
            ("gpt-4", "gpt-4o", false),
            ("qwen*", "qwen2.5-7b", true),
            ("qwen*", "Qwen", false),
            ("*-mini", "gpt-4o-mini", true),
            ("*-mini", "mini", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*ab*ab", "ab", false),
            ("*ab*ab", "abab", true),
            ("ö*ü", "öxü", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        let users = Users::build(&[key("ann", "fk-a", &["qwen*", "llama"])]);
        let ann = users.find(b"fk-a").unwrap();
        assert!(ann.is_limited() && ann.may_use("llama") && !ann.may_use("gpt-4"));
    }
}
