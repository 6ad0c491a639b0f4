//! Every rule: `Raw` becomes a [`Config`], or the findings say why not.
//!
//! Why `Option` everywhere: a rule reports its fault and gives `None`, its neighbours still speak.
//! The trap: never `?` before all rules of a table have spoken.

use super::findings::Findings;
use super::raw::{self, Raw};
use super::{Access, Config};

mod address;
mod cache;
mod chat_log;
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
    let cache = cache::cache(&raw.cache, findings);
    let chat_log = chat_log::chat_log(&raw.chat_log, findings);
    let (cache, routes) = (cache?, routes?);
    let chat_log = chat_log?.beside(&cache, &routes);
    Some(Config {
        server: server?,
        admin: admin?,
        access: access?,
        upstreams: upstreams?,
        routes,
        limits: limits?,
        keys: keys?,
        cache,
        chat_log,
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
