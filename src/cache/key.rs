//! What makes two requests equal, as one hash.
//!
//! Why a list of what does *not* count: a member that nobody knows may change the answer, so it
//! does. See [`canon`](super::canon) for which spellings of a body are one.
//! The trap: the names below are left out at the top level alone; a tool may well have a parameter
//! called `user`. And only where their meaning is known: in other APIs all but `caching` counts.

use std::fmt;

use super::canon::{self, Rules};

/// Which API a request speaks; it decides what does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// `/chat/completions`.
    Chat,
    /// `/completions`, the older one.
    Completions,
    /// `/embeddings`.
    Embeddings,
    /// Any other that takes a JSON object.
    Other,
}

/// Who shares answers. A group and a key of the same name are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tenant<'a> {
    /// The keys of one `cache_group`.
    Group(&'a str),
    /// One key that is in no group, by its name.
    Key(&'a str),
    /// Whoever brings these credentials, which only its host knows.
    Stranger(&'a str),
    /// All who are lent a key of the upstream.
    Lent,
}

/// A request, as far as it decides on its answer.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Which API it speaks.
    pub api: Api,
    /// Who may share the answer.
    pub tenant: Tenant<'a>,
    /// The route that it came by.
    pub route: &'a str,
    /// The upstream that would answer.
    pub upstream: &'a str,
    /// Path and query behind the route's prefix.
    pub path: &'a str,
    /// Its body.
    pub body: &'a [u8],
}

/// Equal for equal requests, different for all others: 256 bits of BLAKE3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

/// Names what is hashed. Change it when the same request shall have another key.
const CONTEXT: &str = "aifd answer cache, key 1";

/// Members that say how, for whom or at which price to answer, but not what.
const NEVER_COUNT: [&str; 9] = [
    // aifd's own word about the cache; it never goes upstream.
    "caching",
    // How the answer travels. Streams and whole answers serve each other.
    "stream",
    "stream_options",
    // Who asks, for the host's watch over misuse: known in tokens of abuse, not of text.
    "user",
    "safety_identifier",
    // Whether and under which labels the host keeps a copy for its own pages.
    "store",
    "metadata",
    // Where the host looks for its own prefix cache, which changes its speed alone.
    "prompt_cache_key",
    // Which queue the work waits in, and its price.
    "service_tier",
];

/// What does not count where nothing is known of the API.
const NEVER_COUNT_ELSEWHERE: [&str; 1] = ["caching"];

/// Members that OpenAI's description of chat calls "nullable and optional": null is absent.
const CHAT_NULLABLE: [&str; 17] = [
    "audio",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "modalities",
    "n",
    "prediction",
    "presence_penalty",
    "reasoning_effort",
    "seed",
    "stop",
    "temperature",
    "top_logprobs",
    "top_p",
    "verbosity",
];

/// The same for text completions.
const COMPLETIONS_NULLABLE: [&str; 13] = [
    "best_of",
    "echo",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_tokens",
    "n",
    "presence_penalty",
    "seed",
    "stop",
    "suffix",
    "temperature",
    "top_p",
];

// === impl Api ===

impl Api {
    /// The API behind a path, whatever prefix and query it has.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        let path = path.split('?').next().unwrap_or(path);
        if path.ends_with("/chat/completions") {
            Self::Chat
        } else if path.ends_with("/completions") {
            Self::Completions
        } else if path.ends_with("/embeddings") {
            Self::Embeddings
        } else {
            Self::Other
        }
    }

    fn rules(self) -> Rules {
        let (left_out, nullable): (&[_], &[_]) = match self {
            Self::Chat => (&NEVER_COUNT, &CHAT_NULLABLE),
            Self::Completions => (&NEVER_COUNT, &COMPLETIONS_NULLABLE),
            Self::Embeddings => (&NEVER_COUNT, &[]),
            Self::Other => (&NEVER_COUNT_ELSEWHERE, &[]),
        };
        Rules { left_out, nullable }
    }

    /// A number that stays the same from version to version.
    pub(super) fn tag(self) -> u8 {
        match self {
            Self::Chat => 0,
            Self::Completions => 1,
            Self::Embeddings => 2,
            Self::Other => 3,
        }
    }

    pub(super) fn of_tag(tag: u8) -> Option<Self> {
        let all = [Self::Chat, Self::Completions, Self::Embeddings, Self::Other];
        all.into_iter().find(|api| api.tag() == tag)
    }
}

// === impl Tenant ===

impl<'a> Tenant<'a> {
    /// Of a forward key.
    #[must_use]
    pub fn of_key(name: &'a str, group: Option<&'a str>) -> Self {
        group.map_or(Self::Key(name), Self::Group)
    }

    /// A name for it that no other tenant has, for stores and for purging: `key:alice`.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Group(name) => format!("group:{name}"),
            Self::Key(name) => format!("key:{name}"),
            Self::Stranger(digest) => format!("stranger:{digest}"),
            Self::Lent => "lent".to_owned(),
        }
    }
}

// === impl Key ===

impl Key {
    /// The key of a request; `None` if it cannot be cached: the body is not one JSON object, nests
    /// deeper than hosts read, or has a member twice, which two hosts could read as two requests.
    #[must_use]
    pub fn of(asked: &Asked<'_>) -> Option<Self> {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        let (kind, name) = match asked.tenant {
            Tenant::Key(name) => (0, name),
            Tenant::Group(name) => (1, name),
            Tenant::Stranger(digest) => (2, digest),
            Tenant::Lent => (3, ""),
        };
        hasher.update(&[asked.api.tag(), kind]);
        for text in [name, asked.route, asked.upstream, asked.path] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        canon::hash(asked.body, &asked.api.rules(), &mut hasher)?;
        Some(Self(hasher.finalize().into()))
    }

    /// A key that was kept somewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, to be kept somewhere.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<&[u8]> for Key {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests;
