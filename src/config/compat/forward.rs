//! Everything that an openai-forward configuration says, whichever surface says it.
//!
//! Why a type of its own: not all of it has a key in aifd's configuration. What has one goes there
//! (`place`); this keeps the rest for whoever serves it.
//!
//! Without a home in the configuration: `log_general`, `default_stream`, and what the boxes show.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::rate::Rate;
use crate::config::{Kind, Strategy};
use crate::secret::Secret;

/// An openai-forward configuration, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Where requests go, in their order.
    pub targets: Vec<Target>,
    /// The keys that upstreams take, in their order.
    pub upstream_keys: Vec<UpstreamKey>,
    /// The keys that clients have.
    pub forward_keys: Vec<ForwardKey>,
    /// Without forward keys every request gets an upstream key.
    pub no_auth: bool,
    /// General targets get upstream keys, too (from 0.8 on).
    pub general_keys: bool,
    /// The models of the levels from 1 on.
    pub level_models: Vec<(u32, Vec<String>)>,
    /// Requests and paces.
    pub limits: Limits,
    /// How long a connection may take to come about.
    pub timeout: Duration,
    /// The HTTP proxy on the way to every target.
    pub proxy: Option<Secret>,
    /// When not empty, only these addresses may come in.
    pub allow_ips: Vec<String>,
    /// These addresses may not come in.
    pub deny_ips: Vec<String>,
    /// Certificate and private key, both PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The chat log is written.
    pub log_chat: bool,
    /// Payloads of general routes are printed.
    pub log_general: bool,
    /// Chats are printed.
    pub print_chat: bool,
    /// What is cached, and where.
    pub cache: Cache,
    /// Paths, without the prefix, that are treated as what they are called.
    pub paths: Paths,
    /// An answer is relayed as it comes (`true`) or, if its kind is unknown, whole.
    pub default_stream: bool,
    /// Canned answers at `/benchmark/v1/chat/completions`.
    pub benchmark: bool,
    /// The time zone of the log.
    pub zone: Option<String>,
    /// What its banner shows as it was written.
    pub shown: Shown,
}

/// What its banner shows as it was written, no secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Limits: what is limited (or how they are counted), and the limit.
    pub limits: Vec<(String, String)>,
    /// The proxy, its login as dots.
    pub proxy: Option<String>,
    /// Whether it is said in the words of 0.7 or later.
    pub json: bool,
}

/// One base URL and the prefix that leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The base URL.
    pub base_url: String,
    /// The prefix, `/` for the root.
    pub prefix: String,
    /// How it is treated.
    pub kind: Kind,
}

/// A key that upstreams take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamKey {
    /// The key.
    pub secret: Secret,
    /// The levels of the forward keys that it stands in for; none for all.
    pub levels: Vec<u32>,
}

/// A key that a client has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardKey {
    /// The key.
    pub secret: Secret,
    /// Its level; 0 may use every model.
    pub level: u32,
}

/// Requests and paces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How windows of time are laid.
    pub strategy: Strategy,
    /// The URL of the store; `None` for this process.
    pub store: Option<Secret>,
    /// Keys are counted (from 0.8 on), not addresses.
    pub by_key: bool,
    /// The limit of requests that no rule speaks of; none for any number.
    pub global: Vec<Rate>,
    /// The rules; a path stands once with a level.
    pub rules: Vec<Rule>,
}

/// What holds for one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The path, with its prefix.
    pub path: String,
    /// Only for keys of this level.
    pub level: Option<u32>,
    /// Requests; `Some` of none for any number.
    pub requests: Option<Vec<Rate>>,
    /// Pieces of a stream.
    pub pace: Option<Rate>,
}

/// What is cached, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cache {
    /// Answers of chats and completions.
    pub chat: bool,
    /// Embeddings.
    pub embedding: bool,
    /// Answers of general routes.
    pub general: bool,
    /// Paths, without the prefix, that are cached.
    pub routes: Vec<String>,
    /// Where, as it is written: `MEMORY`, `LMDB`, `LEVELDB` or `ROCKSDB` in any case.
    pub backend: String,
    /// The folder of the last three.
    pub root: String,
    /// What a request without `caching` means.
    pub default_caching: bool,
}

/// Paths, without the prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Logged, cached, and its model checked.
    pub chat: String,
    /// The same for completions.
    pub completion: String,
    /// The same for embeddings.
    pub embedding: String,
    /// One more whose model is checked on general routes.
    pub custom_general: Option<String>,
}

// === impl Cache ===

impl Cache {
    /// Whether anything is kept; of general routes nothing ever was.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.chat || self.embedding
    }

    /// Whether it is kept in this process, and nowhere else.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        self.backend.eq_ignore_ascii_case("MEMORY")
    }
}

// === impl Paths ===

impl Paths {
    /// Where chats go, if nobody says.
    pub const CHAT: &'static str = "/v1/chat/completions";
    /// Where completions go.
    pub const COMPLETION: &'static str = "/v1/completions";
    /// Where embeddings go.
    pub const EMBEDDING: &'static str = "/v1/embeddings";
}
