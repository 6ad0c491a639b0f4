//! `[chat_log]`, as it is written.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::human::{Size, SizeOrAll};
use crate::config::{Format, WhenFull};

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct ChatLog {
    pub(in crate::config) on: bool,
    pub(in crate::config) dir: PathBuf,
    pub(in crate::config) format: Format,
    pub(in crate::config) print: bool,
    pub(in crate::config) chat: String,
    pub(in crate::config) completion: String,
    pub(in crate::config) embedding: String,
    pub(in crate::config) timezone: Option<String>,
    pub(in crate::config) rotate: Size,
    pub(in crate::config) keep: SizeOrAll,
    pub(in crate::config) full: WhenFull,
    pub(in crate::config) queue: Size,
    pub(in crate::config) capture: Size,
}

impl Default for ChatLog {
    fn default() -> Self {
        Self {
            on: true,
            dir: "Log".into(),
            format: Format::Jsonl,
            print: false,
            chat: "/v1/chat/completions".to_owned(),
            completion: "/v1/completions".to_owned(),
            embedding: "/v1/embeddings".to_owned(),
            timezone: None,
            rotate: Size::mib(50),
            keep: SizeOrAll::gib(10),
            full: WhenFull::Block,
            queue: Size::mib(64),
            capture: Size::mib(8),
        }
    }
}
