//! The chat log, checked: in which form, where, how much of it.
//!
//! Why apart: the log reads these, and nobody else has to.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// `[chat_log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatLog {
    /// Whether there is one.
    pub on: bool,
    /// Where its files are.
    pub dir: PathBuf,
    /// How a line is written, and into which file.
    pub format: Format,
    /// Whether chats are printed on stdout, too.
    pub print: bool,
    /// Which paths are which.
    pub paths: ChatPaths,
    /// The time zone of its times; `None` for that of the system.
    pub timezone: Option<Zone>,
    /// A file is closed when it would grow beyond this, bytes.
    pub rotate: u64,
    /// All files of a folder together, bytes; the oldest go first. `u64::MAX` for any number.
    pub keep: u64,
    /// What happens when the disk is slower than the calls.
    pub full: WhenFull,
    /// Records that wait for the disk, bytes.
    pub queue: usize,
    /// How much of one answer is kept, bytes.
    pub capture: usize,
    /// What a call without `caching` means: the cache's own `default` while there is a cache.
    pub caching: bool,
    /// The prefixes of the routes that are logged.
    pub prefixes: Vec<String>,
}

// === impl ChatLog ===

impl ChatLog {
    /// The files of the chats, as one pattern.
    #[must_use]
    pub fn shown(&self) -> String {
        let file = match self.format {
            Format::Jsonl => "chat.jsonl",
            Format::Python => "*/chat/chat.log",
        };
        self.dir.join(file).display().to_string()
    }
}

/// `format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One line of JSON a call.
    Jsonl,
    /// As openai-forward writes it: dicts of Python, one of the request and one of the answer.
    Python,
}

/// Paths as they are behind the prefix of a route, or with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatPaths {
    /// Of chats.
    pub chat: String,
    /// Of completions.
    pub completion: String,
    /// Of embeddings.
    pub embedding: String,
}

/// A time zone and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// A name like `Asia/Shanghai`, or a rule of POSIX like `CET-1CEST,M3.5.0,M10.5.0/3`.
    pub name: String,
    /// The zone itself.
    pub zone: TimeZone,
}

/// `full`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// The connection waits before its next request; an answer never waits.
    Block,
    /// The record is dropped and counted.
    Drop,
}
