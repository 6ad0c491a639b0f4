//! `[cache]` as it is written, and its defaults.
//!
//! Why apart: what the cache shares between keys stands with the key; this is what holds for all.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::cache::Replay;
use crate::config::human::{OrOff, Size};

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Cache {
    pub(in crate::config) store: String,
    pub(in crate::config) routes: Vec<String>,
    pub(in crate::config) default: bool,
    pub(in crate::config) ttl: OrOff,
    pub(in crate::config) size: Size,
    pub(in crate::config) answer: Size,
    pub(in crate::config) path: PathBuf,
    pub(in crate::config) coalesce: bool,
    pub(in crate::config) replay: Replay,
}

// === the defaults ===

impl Default for Cache {
    fn default() -> Self {
        let routes = ["/chat/completions", "/completions", "/embeddings"];
        Self {
            store: "off".to_owned(),
            routes: routes.map(str::to_owned).to_vec(),
            default: false,
            ttl: OrOff(Some(Duration::from_secs(24 * 3600))),
            size: Size::mib(256),
            answer: Size::mib(8),
            path: "cache".into(),
            coalesce: true,
            replay: Replay::Instant,
        }
    }
}
