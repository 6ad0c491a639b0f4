//! From variables to a [`Forward`], every fault and everything that is not served named.
//!
//! Why by variable and not by version: the versions share most of them, and a value tells its own
//! form (a comma list, JSON, one of two ways round).

use std::time::Duration;

use super::forward::{Cache, Forward, Paths};
use super::source::Source;
use super::words::Words;
use super::{limits, secrets, shown, targets, unserved};
use crate::config::findings::Findings;
use crate::secret::Secret;

/// Reads everything; the findings say what was wrong with it.
pub(super) fn forward(source: &Source, findings: &mut Findings<'_>) -> Forward {
    let words = &mut Words { source, findings };
    let targets = targets::targets(words);
    let upstream_keys = secrets::upstream_keys(words);
    let level_models = secrets::level_models(words);
    let forward_keys = secrets::forward_keys(words);
    let forward_keys = secrets::apart(forward_keys, &level_models, words);
    let forward = Forward {
        targets,
        // Gone from 0.7.1 on, and asked for ever since.
        no_auth: !upstream_keys.is_empty() && forward_keys.is_empty(),
        upstream_keys,
        forward_keys,
        level_models,
        // So it is from 0.8 on, and the key's new name came with 0.8.1.
        general_keys: source.yaml || source.get("OPENAI_API_KEY_CONFIG").is_some(),
        limits: limits::limits(words),
        timeout: timeout(words),
        proxy: words.text("PROXY").map(Secret::new),
        allow_ips: words.list("IP_WHITELIST"),
        deny_ips: words.list("IP_BLACKLIST"),
        tls: tls(words),
        log_chat: words.flag("LOG_CHAT", false) | words.flag("LOG_OPENAI", false),
        log_general: words.flag("LOG_GENERAL", false),
        print_chat: words.flag("PRINT_CHAT", false),
        cache: cache(words),
        paths: paths(words),
        default_stream: words.flag("DEFAULT_STREAM_RESPONSE", true),
        benchmark: words.flag("BENCHMARK_MODE", false),
        zone: zone(words),
        shown: shown::shown(words),
    };
    unserved::tell(&forward, words);
    forward
}

/// Seconds, perhaps with a fraction.
fn timeout(words: &mut Words<'_, '_, '_>) -> Duration {
    let usual = Duration::from_secs(10);
    let Some(text) = words.text("TIMEOUT") else { return usual };
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
    // Beyond a year it is a slip, and no connection waits so long anyway.
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let time = time.filter(|time| time.as_secs() < 366 * 24 * 3600);
    if time.is_none() {
        let label = words.label("TIMEOUT");
        words.findings.fault(&label, "is not a number of seconds", "a number like 10 or 2.5");
    }
    time.unwrap_or(usual)
}

fn tls(words: &mut Words<'_, '_, '_>) -> Option<(std::path::PathBuf, std::path::PathBuf)> {
    match (words.text("ssl_certfile"), words.text("ssl_keyfile")) {
        (Some(cert), Some(key)) => Some((cert.into(), key.into())),
        (None, None) => None,
        (cert, _) => {
            let (there, missing) = match cert {
                Some(_) => ("ssl_certfile", "ssl_keyfile"),
                None => ("ssl_keyfile", "ssl_certfile"),
            };
            let fix = format!("add {missing}=/path/of/the/other.pem, or drop {there}");
            words.findings.fault(there, format!("stands without {missing}"), fix);
            None
        }
    }
}

fn cache(words: &mut Words<'_, '_, '_>) -> Cache {
    let backend = words.text("CACHE_BACKEND").unwrap_or_else(|| "MEMORY".to_owned());
    if !matches!(&*backend.to_uppercase(), "MEMORY" | "LMDB" | "LEVELDB" | "ROCKSDB") {
        let label = words.label("CACHE_BACKEND");
        words.findings.fault(&label, "is no backend of the cache", "MEMORY, LMDB or LEVELDB");
    }
    let openai = words.flag("CACHE_OPENAI", false);
    Cache {
        chat: words.flag("CACHE_CHAT_COMPLETION", false) | openai,
        embedding: words.flag("CACHE_EMBEDDING", false) | openai,
        general: words.flag("CACHE_GENERAL", false),
        routes: words.list("CACHE_ROUTES"),
        backend,
        root: cache_root(words),
        default_caching: words.flag("DEFAULT_REQUEST_CACHING_VALUE", false),
    }
}

/// The folder above that of the cache.
fn cache_root(words: &mut Words<'_, '_, '_>) -> String {
    let here = || ".".to_owned();
    let Some(root) = words.text("CACHE_ROOT_PATH_OR_URL") else { return here() };
    if root.contains("://") {
        let label = words.label("CACHE_ROOT_PATH_OR_URL");
        words.findings.notice(format!(
            "{label}: a server of FlaxKV is not spoken to, answers are kept below the working \
            directory; machines share them with cache.store = \"redis://...\" in aifd.toml"
        ));
        return here();
    }
    root
}

/// The name of a time zone. That of a file is the system's own business.
fn zone(words: &mut Words<'_, '_, '_>) -> Option<String> {
    let name = words.text("TZ")?;
    let name = name.strip_prefix(':').unwrap_or(&name);
    (!name.is_empty() && !name.starts_with('/')).then(|| name.to_owned())
}

fn paths(words: &mut Words<'_, '_, '_>) -> Paths {
    let mut path = |name: &str| {
        let path = words.text(name)?.to_lowercase();
        Some(format!("/{}", path.trim_matches('/')))
    };
    Paths {
        chat: path("CHAT_COMPLETION_ROUTE").unwrap_or_else(|| Paths::CHAT.to_owned()),
        completion: path("COMPLETION_ROUTE").unwrap_or_else(|| Paths::COMPLETION.to_owned()),
        embedding: path("EMBEDDING_ROUTE").unwrap_or_else(|| Paths::EMBEDDING.to_owned()),
        custom_general: path("CUSTOM_GENERAL_ROUTE"),
    }
}
