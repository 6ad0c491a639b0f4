//! Every rule: `Raw` becomes a [`Config`], or the findings say why not.
//!
//! Why `Option` everywhere: a rule reports its fault and gives `None`, its neighbours still speak.
//! The trap: never `?` before all rules of a table have spoken.

use super::findings::Findings;
use super::raw::{self, Raw};
use super::{Access, ChatLog, Config};

mod address;
mod cache;
mod host;
mod key;
mod level;
mod limits;
mod pool;
mod proxy;
mod route;
mod secret;
mod server;
mod store;
mod upstream;
mod value;

/// Applies every rule.
pub(super) fn check(raw: &Raw, findings: &mut Findings<'_>) -> Option<Config> {
    let server = server::server(&raw.server, findings);
    let admin = server::admin(&raw.admin, findings);
    if let (Some(server), Some(Some(admin))) = (&server, &admin) {
        server::apart(server, admin, findings);
    }
    let access = access(&raw.access, findings);
    let upstreams = upstream::upstreams(&raw.upstream, findings);
    let routes = route::routes(&raw.route, &raw.upstream, findings);
    let limits = limits::limits(&raw.limits, raw.access.unknown_keys, findings);
    if let (Some(limits), Some(routes)) = (&limits, &routes) {
        limits::reached(&limits.rules, routes, findings);
    }
    let levels = level::levels(&raw.level, findings);
    let keys = key::keys(&raw.key, &levels, raw.access.unknown_keys, findings);
    if let (Some(upstreams), Some(keys)) = (&upstreams, &keys) {
        upstream::leveled(upstreams, keys, findings);
    }
    let cache = cache::cache(&raw.cache, raw.access.unknown_keys, findings);
    let chat_log = chat_log(&raw.chat_log, findings);
    Some(Config {
        server: server?,
        admin: admin?,
        access: access?,
        upstreams: upstreams?,
        routes: routes?,
        limits: limits?,
        keys: keys?,
        cache: cache?,
        chat_log: chat_log?,
        notices: Vec::new(),
    })
}

fn access(raw: &raw::Access, findings: &mut Findings<'_>) -> Option<Access> {
    let model_paths = model_paths(&raw.model_paths, findings);
    let allow_ips = address::nets("access.allow_ips", &raw.allow_ips, findings);
    let deny_ips = address::nets("access.deny_ips", &raw.deny_ips, findings);
    Some(Access {
        unknown_keys: raw.unknown_keys,
        model_paths: model_paths?,
        allow_ips: allow_ips?,
        deny_ips: deny_ips?,
    })
}

fn model_paths(said: &[String], findings: &mut Findings<'_>) -> Option<Vec<String>> {
    let mut whole = true;
    for (at, path) in said.iter().enumerate() {
        if !path.starts_with('/') || path.contains(['?', '#', '*', '%', ' ']) {
            let key = format!("access.model_paths[{at}]");
            findings.fault(&key, "is no end of a path", "an end like \"/chat/completions\"");
            whole = false;
        }
    }
    whole.then(|| said.to_vec())
}

fn chat_log(raw: &raw::ChatLog, findings: &mut Findings<'_>) -> Option<ChatLog> {
    if raw.dir.as_os_str().is_empty() {
        findings.fault("chat_log.dir", "is empty", "the path of a folder, like \"Log\"");
    }
    if raw.format == raw::Format::Python {
        let what = "is not written by this version yet";
        findings.fault("chat_log.format", what, "\"jsonl\"");
    }
    let rotate = value::size("chat_log.rotate", raw.rotate, 64 << 10, findings);
    let keep = value::size("chat_log.keep", raw.keep, 1, findings);
    let queue = value::memory("chat_log.queue", raw.queue, findings);
    let capture = value::memory("chat_log.capture", raw.capture, findings);
    value::at_least(("chat_log.keep", raw.keep), ("chat_log.rotate", raw.rotate), findings);
    value::at_least(("chat_log.queue", raw.queue), ("chat_log.capture", raw.capture), findings);
    Some(ChatLog {
        on: raw.on,
        dir: raw.dir.clone(),
        rotate: rotate?,
        keep: keep?,
        full: raw.full,
        queue: queue?,
        capture: capture?,
    })
}
