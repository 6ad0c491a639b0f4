//! The file as it is written: one struct a table, every default in one place.
//!
//! Why apart from the checked types: here anything may be said that TOML can say; `check` decides.
//! Nothing is required here: a missing key is a rule's fault, so it is reported beside the others.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::human::{OrOff, Size, Time};
use super::rate::{One, Rates};
use super::{Balance, HttpVersion, Kind, Refusals, UnknownKeys};

mod cache;
mod chat_log;
mod limits;

pub(super) use cache::Cache;
pub(super) use chat_log::ChatLog;
pub(super) use limits::{Limits, Rule};

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) server: Server,
    pub(super) admin: Admin,
    pub(super) access: Access,
    pub(super) upstream: Vec<Upstream>,
    pub(super) route: Vec<Route>,
    pub(super) limits: Limits,
    /// Shown with its keys' models instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) level: Vec<Level>,
    pub(super) key: Vec<Key>,
    pub(super) cache: Cache,
    pub(super) chat_log: ChatLog,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Server {
    pub(super) listen: Vec<String>,
    pub(super) workers: usize,
    pub(super) max_body: Size,
    pub(super) max_upload: Size,
    pub(super) body_memory: Size,
    pub(super) body_timeout: Time,
    pub(super) read_timeout: Time,
    pub(super) write_timeout: Time,
    pub(super) keepalive: Time,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) shutdown_grace: Time,
    pub(super) merge_slashes: bool,
    pub(super) cors: Vec<String>,
    pub(super) refusals: Refusals,
    pub(super) benchmark: bool,
    pub(super) tls: Option<Tls>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Admin {
    pub(super) listen: String,
    pub(super) token: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Access {
    pub(super) unknown_keys: UnknownKeys,
    pub(super) model_paths: Vec<String>,
    pub(super) allow_ips: Vec<String>,
    pub(super) deny_ips: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) hosts: Vec<String>,
    pub(super) keys: Vec<UpstreamKey>,
    pub(super) http: HttpVersion,
    pub(super) ca: Option<PathBuf>,
    pub(super) proxy: Option<String>,
    pub(super) balance: Balance,
    pub(super) max_in_flight: usize,
    pub(super) timeouts: Timeouts,
    pub(super) keepalive: Keepalive,
    pub(super) queue: Queue,
    pub(super) eject: Eject,
    pub(super) retry: Retry,
    pub(super) health: Option<Health>,
}

/// A secret for every level, or one for some.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum UpstreamKey {
    ForAll(String),
    ForLevels(ForLevels),
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ForLevels {
    pub(super) secret: String,
    pub(super) levels: Vec<u32>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Timeouts {
    pub(super) connect: Time,
    pub(super) first_byte: Time,
    pub(super) idle: Time,
    pub(super) total: Time,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Keepalive {
    pub(super) idle: Time,
    pub(super) max: usize,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Queue {
    pub(super) size: usize,
    pub(super) wait: Time,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Eject {
    pub(super) after: u32,
    pub(super) first: Time,
    pub(super) most: Time,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Retry {
    pub(super) attempts: u32,
    pub(super) on: Vec<On>,
    pub(super) backoff: Time,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub(super) enum On {
    Status(u64),
    Word(String),
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Health {
    pub(super) path: String,
    pub(super) every: Time,
    pub(super) fall: u32,
    pub(super) rise: u32,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Route {
    pub(super) prefix: String,
    pub(super) upstream: Option<String>,
    pub(super) kind: Kind,
    pub(super) keepalive: OrOff,
    pub(super) keepalive_before: bool,
    pub(super) hold: OrOff,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) secret: String,
    pub(super) level: u32,
    pub(super) models: Vec<String>,
    pub(super) requests: Option<Rates>,
    pub(super) tokens: Option<Rates>,
    pub(super) in_flight: usize,
    pub(super) pace: Option<One>,
    pub(super) pace_burst: Option<u32>,
    pub(super) cache_group: Option<String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Level {
    pub(super) level: u32,
    pub(super) models: Vec<String>,
}

// === the defaults ===

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: vec!["0.0.0.0:8000".to_owned()],
            workers: 0,
            max_body: Size::mib(32),
            max_upload: Size::gib(1),
            body_memory: Size::gib(1),
            body_timeout: Time::minutes(5),
            read_timeout: Time::seconds(30),
            write_timeout: Time::seconds(30),
            keepalive: Time::seconds(75),
            trusted_proxies: Vec::new(),
            shutdown_grace: Time::minutes(10),
            merge_slashes: false,
            cors: Vec::new(),
            refusals: Refusals::Openai,
            benchmark: false,
            tls: None,
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8001".to_owned(), token: None }
    }
}

impl Default for Access {
    fn default() -> Self {
        Self {
            unknown_keys: UnknownKeys::Refuse,
            model_paths: Vec::new(),
            allow_ips: Vec::new(),
            deny_ips: Vec::new(),
        }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            name: String::new(),
            hosts: Vec::new(),
            keys: Vec::new(),
            http: HttpVersion::Auto,
            ca: None,
            proxy: None,
            balance: Balance::LeastBusy,
            max_in_flight: 0,
            timeouts: Timeouts::default(),
            keepalive: Keepalive::default(),
            queue: Queue::default(),
            eject: Eject::default(),
            retry: Retry::default(),
            health: None,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Time::seconds(5),
            first_byte: Time::minutes(5),
            idle: Time::minutes(2),
            total: Time::minutes(60),
        }
    }
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { idle: Time::seconds(30), max: 64 }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self { size: 100, wait: Time::seconds(30) }
    }
}

impl Default for Eject {
    fn default() -> Self {
        Self { after: 3, first: Time::seconds(1), most: Time::seconds(30) }
    }
}

impl Default for Retry {
    fn default() -> Self {
        let words = ["connect", "reset", "timeout"].map(|word| On::Word(word.to_owned()));
        let statuses = [429, 500, 502, 503, 504].map(On::Status);
        Self {
            attempts: 3,
            on: words.into_iter().chain(statuses).collect(),
            backoff: Time::millis(100),
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self { path: String::new(), every: Time::seconds(10), fall: 3, rise: 2 }
    }
}

impl Default for Route {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            upstream: None,
            kind: Kind::Openai,
            keepalive: OrOff(Some(Duration::from_secs(15))),
            keepalive_before: false,
            hold: OrOff(Some(Duration::from_secs(2))),
        }
    }
}

impl Default for Key {
    fn default() -> Self {
        Self {
            name: String::new(),
            secret: String::new(),
            level: 0,
            models: vec!["*".to_owned()],
            requests: None,
            tokens: None,
            in_flight: 0,
            pace: None,
            pace_burst: None,
            cache_group: None,
        }
    }
}
