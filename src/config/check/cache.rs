//! Rules of `[cache]`.

use std::time::Duration;

use super::{store, value};
use crate::config::findings::Findings;
use crate::config::human::{OrOff, Time};
use crate::config::{Cache, CacheStore, keys, raw};

/// Less is no cache, bytes.
const SMALLEST: u64 = 1 << 20;

pub(super) fn cache(raw: &raw::Cache, findings: &mut Findings<'_>) -> Option<Cache> {
    if raw.path.as_os_str().is_empty() {
        findings.fault("cache.path", "is empty", "the path of a folder, like \"cache\"");
    }
    let store = store(raw, findings);
    let routes = routes(&raw.routes, findings);
    if raw.routes.is_empty() && store.as_ref().is_some_and(|store| *store != CacheStore::Off) {
        findings.notice("cache.routes: empty, so nothing is cached");
    }
    let ttl = ttl("cache.ttl", raw.ttl, findings);
    let size = value::size("cache.size", raw.size, SMALLEST, findings);
    let answer = value::memory("cache.answer", raw.answer, findings);
    if !matches!(store, Some(CacheStore::Redis(_))) {
        value::at_least(("cache.size", raw.size), ("cache.answer", raw.answer), findings);
    } else if findings.written.has("cache.size") {
        findings.notice("cache.size: does not bound a Redis, whose own maxmemory does");
    }
    Some(Cache {
        store: store?,
        routes: routes?,
        default: raw.default,
        ttl: ttl?,
        size: size?,
        answer: answer?,
        coalesce: raw.coalesce,
        replay: raw.replay,
    })
}

fn store(raw: &raw::Cache, findings: &mut Findings<'_>) -> Option<CacheStore> {
    let no_url = ("is neither \"off\", \"memory\", \"lmdb\" nor a URL", keys::STORES);
    Some(match &*raw.store {
        "off" => CacheStore::Off,
        "memory" => CacheStore::Memory,
        "lmdb" => CacheStore::Lmdb(raw.path.clone()),
        said => CacheStore::Redis(store::redis("cache.store", said, no_url, findings)?),
    })
}

fn routes(raw: &[String], findings: &mut Findings<'_>) -> Option<Vec<String>> {
    let mut routes: Vec<String> = Vec::with_capacity(raw.len());
    for (at, said) in raw.iter().enumerate() {
        let key = format!("cache.routes[{at}]");
        let bare = said.trim_end_matches('/');
        if bare.is_empty() {
            findings.fault(&key, "is not the end of a path", "an end like \"/embeddings\"");
            continue;
        }
        let Some(end) = value::path(&key, said, findings) else {
            continue;
        };
        if bare != end {
            findings.fault(&key, "ends with a \"/\"", format!("\"{bare}\""));
        } else if routes.contains(&end) {
            findings.fault(&key, "stands there twice", "drop one of the two");
        }
        routes.push(end);
    }
    (routes.len() == raw.len()).then_some(routes)
}

fn ttl(key: &str, OrOff(said): OrOff, findings: &mut Findings<'_>) -> Option<Option<Duration>> {
    let Some(said) = said else { return Some(None) };
    if said.is_zero() {
        findings.wrong(key);
        return None;
    }
    value::grace(key, Time(said), findings).map(Some)
}
