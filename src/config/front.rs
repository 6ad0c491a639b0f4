//! What stands between a client and everything else: pages of other origins, and the words of a no.
//!
//! Why words are configured: who comes from openai-forward has programs that read its bodies.

use serde::{Deserialize, Serialize};

/// `cors`: the origins whose pages may call (Fetch standard, "CORS protocol").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cors {
    /// No word about it: what the upstream says passes.
    #[default]
    Off,
    /// Any of them.
    Any,
    /// These, as browsers write them: `https://chat.example.com`.
    These(Vec<String>),
}

/// `refusals`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusals {
    /// OpenAI's error object.
    Openai,
    /// The bodies of openai-forward where it had one, and its order: limits before addresses.
    OpenaiForward,
}

// === impl Cors ===

impl Cors {
    /// Whether a page of this origin may call.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Off => false,
            Self::Any => true,
            Self::These(origins) => origins.iter().any(|known| known == origin),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn origins(&self) -> Vec<String> {
        match self {
            Self::Off => Vec::new(),
            Self::Any => vec!["*".to_owned()],
            Self::These(origins) => origins.clone(),
        }
    }
}
