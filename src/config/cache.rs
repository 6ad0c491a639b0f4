//! The answer cache, checked: what is kept, where, and for how long.
//!
//! Why apart: the cache reads these, and nobody else has to.
//! The trap: `/completions` is an end of `/v1/chat/completions`, too.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// `[cache]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Where answers are kept.
    pub store: CacheStore,
    /// Ends of the paths whose answers are kept, see [`Cache::applies`]; each starts with `/`, none
    /// ends with one.
    pub routes: Vec<String>,
    /// Whether a request is cached that does not say.
    pub default: bool,
    /// How long an answer is served; `None` for ever.
    pub ttl: Option<Duration>,
    /// All answers together, bytes; at least 1 MiB. Nothing for a Redis, which has its own bound.
    pub size: u64,
    /// The longest answer that is kept, bytes; at most [`Cache::size`], where that counts.
    pub answer: usize,
    /// Whether equal requests under way share one call to the host.
    pub coalesce: bool,
    /// How fast a stream that was kept goes out.
    pub replay: Replay,
}

/// `store`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheStore {
    /// Nowhere: there is no cache.
    Off,
    /// In this process.
    Memory,
    /// In a file of this folder, which outlives the process.
    Lmdb(PathBuf),
    /// In Redis, for several machines together; a URL as in [`LimitStore`](super::LimitStore).
    Redis(Secret),
}

/// `replay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Replay {
    /// At once.
    Instant,
    /// With the pauses that the host made.
    Original,
}

// === impl Cache ===

impl Cache {
    /// Whether answers of a path (without query) may be kept: it is one of the ends, or ends with
    /// one behind whatever prefix and version.
    #[must_use]
    pub fn applies(&self, path: &str) -> bool {
        // Each starts with `/`, so no name is cut in two.
        self.routes.iter().any(|end| path.ends_with(end))
    }
}
