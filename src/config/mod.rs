//! The configuration, checked: what the file said, in types that cannot be wrong.
//!
//! Why two steps: `raw` mirrors the file (serde), `check` holds every rule and reports every fault
//! at once; what comes out here needs no further check anywhere. Each room takes its own section;
//! only `server.rs` sees the whole [`Config`].

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::secret::{KeyDigest, Secret};

mod cache;
mod chat_log;
mod check;
pub mod compat;
mod error;
mod findings;
mod front;
mod human;
mod keys;
mod limits;
mod load;
mod rate;
mod raw;
mod read;
mod show;
#[cfg(test)]
mod tests;
mod written;

pub use cache::{Cache, CacheStore, Replay};
pub use chat_log::{ChatLog, ChatPaths, Format, WhenFull, Zone};
pub use error::{Fault, Faults};
pub use front::{Cors, Refusals};
pub use limits::{CountBy, LimitRule, LimitStore, Limits, OnStoreError, Pace, Strategy};
pub use load::{load, parse, parse_with};
pub use rate::{Rate, Unit};
pub use show::show;

/// A whole configuration in which the invalid cannot be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The public side: listeners, client limits.
    pub server: Server,
    /// The admin listener; `None` when it is off.
    pub admin: Option<Admin>,
    /// Who may come in.
    pub access: Access,
    /// Where requests can go; at least one.
    pub upstreams: Vec<Upstream>,
    /// Which path goes to which upstream; prefixes are unique.
    pub routes: Vec<Route>,
    /// What holds for all keys and addresses.
    pub limits: Limits,
    /// The forward keys; names and secrets are unique.
    pub keys: Vec<Key>,
    /// The answer cache.
    pub cache: Cache,
    /// The chat log.
    pub chat_log: ChatLog,
    /// What the operator should know although nothing is wrong (shown at start).
    pub notices: Vec<String>,
}

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where to listen; at least one.
    pub listen: Vec<Listen>,
    /// Worker threads; at least one (`workers = 0` has become the number of cores).
    pub workers: usize,
    /// Largest body that is held for inspection and replay, bytes.
    pub max_body: usize,
    /// Largest body that is streamed through (uploads, general routes), bytes.
    pub max_upload: u64,
    /// All held bodies together, bytes.
    pub body_memory: usize,
    /// How long a whole held body may take to arrive.
    pub body_timeout: Duration,
    /// How long a client may stay silent in the middle of sending a head or a body.
    pub read_timeout: Duration,
    /// How long one write to a client may stall.
    pub write_timeout: Duration,
    /// How long an idle client connection is kept open.
    pub keepalive: Duration,
    /// Addresses whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Certificate and key of the TLS listeners.
    pub tls: Option<Tls>,
    /// How long live streams may go on after SIGTERM.
    pub shutdown_grace: Duration,
    /// A run of `/` in a path is one, and one at its end none, before anything is decided.
    pub merge_slashes: bool,
    /// From which origins a page may call.
    pub cors: Cors,
    /// In whose words a request is refused.
    pub refusals: Refusals,
    /// Whether `/benchmark/v1/chat/completions` is answered, without any upstream.
    pub benchmark: bool,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// HTTP/1.1 and h2c in clear text.
    Plain(SocketAddr),
    /// HTTP/1.1 and h2 over TLS; [`Server::tls`] is set.
    Tls(SocketAddr),
    /// A unix socket, clear text.
    Unix(PathBuf),
}

/// `tls = { cert, key }`, both PEM files that were readable when checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where the admin listener listens.
    pub listen: SocketAddr,
    /// Bearer token asked of callers, if any.
    pub token: Option<Secret>,
}

/// `[access]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// What happens to a request without a known forward key.
    pub unknown_keys: UnknownKeys,
    /// Ends of the paths, on routes of any kind, on which the model is checked; when empty, every
    /// call on routes of kind `openai` is.
    pub model_paths: Vec<String>,
    /// When not empty, only these addresses may come in.
    pub allow_ips: Vec<IpNet>,
    /// These addresses may not come in.
    pub deny_ips: Vec<IpNet>,
}

/// `unknown_keys`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownKeys {
    /// 401.
    Refuse,
    /// Passed on to the upstream unchanged.
    Pass,
    /// Let in with a key of the upstream's, whatever key it brings.
    Lend,
}

/// `[[upstream]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its name, unique.
    pub name: String,
    /// Its hosts; at least one.
    pub hosts: Vec<Host>,
    /// Keys put in for the client's; may be empty.
    pub keys: Vec<UpstreamKey>,
    /// How long each phase may take.
    pub timeouts: Timeouts,
    /// Which HTTP is spoken.
    pub http: HttpVersion,
    /// CA file (PEM) instead of the platform's roots, for https hosts.
    pub ca: Option<PathBuf>,
    /// The connections to a host that nobody uses at the moment.
    pub keepalive: Keepalive,
    /// How a host is chosen.
    pub balance: Balance,
    /// Attempts that one host may have under way; `None` for any number.
    pub max_in_flight: Option<NonZeroUsize>,
    /// Who may wait while every host is full.
    pub queue: Queue,
    /// When a host that fails is left out, and for how long.
    pub eject: Eject,
    /// Active probes; `None` when hosts are judged by the requests alone.
    pub health: Option<Health>,
    /// What is tried again.
    pub retry: Retry,
    /// The HTTP proxy on the way to every host, if any.
    pub proxy: Option<Proxy>,
}

/// One of an upstream's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamKey {
    /// The key.
    pub secret: Secret,
    /// The levels of the forward keys that it stands in for; `None` for all of them.
    pub levels: Option<Vec<u32>>,
}

/// One host of an upstream, from its base URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// https.
    pub tls: bool,
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// Port, the scheme's own when none was written.
    pub port: u16,
    /// Path of the base URL without its trailing `/`; empty for none.
    pub base_path: String,
}

/// `timeouts = { connect, first_byte, idle, total }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP, the tunnel through a proxy, and TLS together.
    pub connect: Duration,
    /// From sending the request to the first byte of the answer's head.
    pub first_byte: Duration,
    /// Longest silence inside an answer.
    pub idle: Duration,
    /// The whole call, from its arrival to its last byte.
    pub total: Duration,
}

/// `keepalive = { idle, max }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// How long an idle connection to a host is kept.
    pub idle: Duration,
    /// Idle connections kept for each host; 0 for none.
    pub max: usize,
}

/// `balance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// The less busy and quicker one of two hosts drawn at random.
    LeastBusy,
    /// One after the other.
    RoundRobin,
}

/// `queue = { size, wait }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Requests that may wait; 0 for none.
    pub size: usize,
    /// How long each of them may wait; at most [`Timeouts::total`].
    pub wait: Duration,
}

/// `eject = { after, first, most }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eject {
    /// Failures in a row; at least one.
    pub after: u32,
    /// The first time out; each further one is twice as long.
    pub first: Duration,
    /// The longest time out; at least [`Eject::first`].
    pub most: Duration,
}

/// `health = { path, every, fall, rise }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What is asked of each host; from its root, not below the path of its base URL.
    pub path: String,
    /// From one probe to the next.
    pub every: Duration,
    /// Failed probes in a row that take a host out; at least one.
    pub fall: u32,
    /// Good probes in a row that bring it back; at least one.
    pub rise: u32,
}

/// `retry = { attempts, on, backoff }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts of one request, the first one included; at least one.
    pub attempts: u32,
    /// After what another one follows; nothing stands there twice.
    pub on: Vec<RetryOn>,
    /// The longest wait before the second attempt; it doubles with each further one.
    pub backoff: Duration,
}

/// One item of `on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// No connection.
    Connect,
    /// The connection broke before the answer.
    Reset,
    /// No first byte in time.
    Timeout,
    /// An answer with this status, 400 to 599.
    Status(u16),
}

/// `proxy`, an HTTP proxy that is spoken to in clear text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `user:password`, decoded, as Basic authentication wants it (before base64).
    pub login: Option<Secret>,
    /// How it was written, fit to be shown: the login as dots.
    pub shown: String,
}

/// `http`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum HttpVersion {
    /// https: h2 when the host offers it, else HTTP/1.1; http: HTTP/1.1.
    #[serde(rename = "auto")]
    Auto,
    /// HTTP/1.1 only.
    #[serde(rename = "1.1")]
    Http1,
    /// h2 only (with prior knowledge on http).
    #[serde(rename = "2")]
    Http2,
}

/// `[[route]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Starts with `/`, no trailing `/` except for the root.
    pub prefix: String,
    /// Index into [`Config::upstreams`].
    pub upstream: usize,
    /// How it is treated.
    pub kind: Kind,
    /// After how much silence of a stream a comment goes out; `None` for never.
    pub keepalive: Option<Duration>,
    /// Whether comments may go out before the stream has begun; it begins with them then.
    pub keepalive_before: bool,
    /// How long the frames of a stream without content are held back; `None` for not at all.
    pub hold: Option<Duration>,
}

/// `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Inspected, logged, key-swapped.
    Openai,
    /// Relayed: never parsed, never logged.
    General,
}

/// `[[key]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name in logs and status; unique.
    pub name: String,
    /// SHA-256 of the secret; unique.
    pub digest: KeyDigest,
    /// How the secret was written: `env:NAME`, `file:PATH` or `sha256:HEX`; dots for a literal.
    pub origin: String,
    /// Level of its owner.
    pub level: u32,
    /// Patterns of the models it may use; `*` stands for any run of characters.
    pub models: Vec<String>,
    /// Its requests; none for any number.
    pub requests: Vec<Rate>,
    /// Its tokens, of prompts and answers together; none for any number.
    pub tokens: Vec<Rate>,
    /// Requests that it may have under way; `None` for any number.
    pub in_flight: Option<NonZeroUsize>,
    /// How fast each of its streams may go.
    pub pace: Option<Pace>,
    /// The group of keys that it shares cached answers with; `None` for its own alone.
    pub cache_group: Option<String>,
}

// === impl Access ===

impl Access {
    /// Whether the model of a call is checked; `path`: behind the prefix, in its plain form.
    #[must_use]
    pub fn checks_model(&self, kind: Kind, path: &str) -> bool {
        if self.model_paths.is_empty() {
            return kind == Kind::Openai;
        }
        let path = path.trim_end_matches('/');
        let ends = |end: &String| {
            let at = path.len().checked_sub(end.len());
            at.and_then(|at| path.get(at..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
        };
        self.model_paths.iter().any(ends)
    }
}

// === impl UpstreamKey ===

impl UpstreamKey {
    /// Whether it stands in for keys of this level.
    #[must_use]
    pub fn is_for(&self, level: u32) -> bool {
        self.levels.as_ref().is_none_or(|levels| levels.contains(&level))
    }
}
