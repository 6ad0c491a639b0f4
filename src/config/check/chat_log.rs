//! Rules of `[chat_log]`.

use jiff::tz::TimeZone;

use super::value;
use crate::config::findings::Findings;
use crate::config::human::Size;
use crate::config::{Cache, CacheStore, ChatLog, ChatPaths, Kind, Route, Zone, raw};

pub(super) fn chat_log(raw: &raw::ChatLog, findings: &mut Findings<'_>) -> Option<ChatLog> {
    if raw.dir.as_os_str().is_empty() {
        findings.fault("chat_log.dir", "is empty", "the path of a folder, like \"Log\"");
    }
    let keep = Size(raw.keep.0);
    let paths = paths(raw, findings);
    let timezone = raw.timezone.as_deref().map(|name| zone(name, findings));
    let rotate = value::size("chat_log.rotate", raw.rotate, 64 << 10, findings);
    let kept = value::size("chat_log.keep", keep, 1, findings);
    let queue = value::memory("chat_log.queue", raw.queue, findings);
    let capture = value::memory("chat_log.capture", raw.capture, findings);
    value::at_least(("chat_log.keep", keep), ("chat_log.rotate", raw.rotate), findings);
    value::at_least(("chat_log.queue", raw.queue), ("chat_log.capture", raw.capture), findings);
    Some(ChatLog {
        on: raw.on,
        dir: raw.dir.clone(),
        format: raw.format,
        print: raw.print,
        paths: paths?,
        timezone: match timezone {
            Some(zone) => Some(zone?),
            None => None,
        },
        rotate: rotate?,
        keep: kept?,
        full: raw.full,
        queue: queue?,
        capture: capture?,
        caching: false,
        prefixes: Vec::new(),
    })
}

fn paths(raw: &raw::ChatLog, findings: &mut Findings<'_>) -> Option<ChatPaths> {
    let mut path = |name: &str, said: &str| {
        let key = format!("chat_log.{name}");
        let plain = said.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
        if !said.starts_with('/') || !plain {
            findings.wrong(&key);
            return None;
        }
        Some(said.to_owned())
    };
    let chat = path("chat", &raw.chat);
    let completion = path("completion", &raw.completion);
    let embedding = path("embedding", &raw.embedding);
    Some(ChatPaths { chat: chat?, completion: completion?, embedding: embedding? })
}

/// A zone by its name, or by a rule of POSIX.
fn zone(name: &str, findings: &mut Findings<'_>) -> Option<Zone> {
    let known = TimeZone::get(name).or_else(|_| TimeZone::posix(name));
    if known.is_err() {
        findings.wrong("chat_log.timezone");
    }
    known.ok().map(|zone| Zone { name: name.to_owned(), zone })
}

// === impl ChatLog ===

impl ChatLog {
    /// Takes over what other tables say.
    pub(super) fn beside(mut self, cache: &Cache, routes: &[Route]) -> Self {
        self.caching = cache.default && cache.store != CacheStore::Off;
        let logged = routes.iter().filter(|route| route.kind == Kind::Openai);
        self.prefixes = logged.map(|route| route.prefix.clone()).collect();
        self
    }
}
