//! Every key, once, as data: what it must be and what to write instead.
//!
//! Why a table: the words for a wrong value and the guess for a misspelt key come from one place.
//! A test holds it against `raw.rs` and `conf/aifd.toml`, so no key is in one and not in another.

/// One key that the file may have.
pub(super) struct Known {
    /// Its path without indexes: `upstream.timeouts.idle`.
    pub(super) path: &'static str,
    /// What it is, as in "is not ...".
    pub(super) is: &'static str,
    /// What to write.
    pub(super) write: &'static str,
}

const fn key(path: &'static str, is: &'static str, write: &'static str) -> Known {
    Known { path, is, write }
}

const TIME: &str = "a length of time";
const TIMES: &str = r#"a time like "30s", "10m" or "1h30m""#;
const PAUSE: &str = "a length of time or \"off\"";
const PAUSES: &str = r#"a time like "2s" or "15s", or "off""#;
/// Where answers can be kept.
pub(super) const STORES: &str =
    r#""off", "memory", "lmdb" or a URL like "redis://:password@10.0.0.5:6379/0""#;
const SIZE: &str = "a size";
const SIZES: &str = r#"a size like "64KiB", "32MiB" or "10GiB", or a number of bytes"#;
const NETS: &str = "a list of networks";
const WRITE_NETS: &str = r#"networks or addresses, like ["10.0.0.0/8", "192.168.1.7"]"#;
const NAME: &str = r#"letters, digits, "-", "_" and ".""#;
const FILE: &str = "a path";
const PEM: &str = r#"the path of a PEM file, like "/etc/aifd/cert.pem""#;
const SECRETS: &str = r#""env:NAME", "file:PATH" or the secret itself"#;
const PACES: &str = r#"one rate like "50/second""#;
const BURST: &str = "a number of pieces";
const BURSTS: &str = "a number from 1";

#[rustfmt::skip]
pub(super) const KEYS: &[Known] = &[
    key("server", "a table", "[server] on a line of its own, its keys below it"),
    key("server.listen", "a list of addresses", r#"addresses like ["0.0.0.0:8000", "unix:/run/aifd.sock"]"#),
    key("server.workers", "a number of threads", "0 (one per core) or a number from 1"),
    key("server.max_body", SIZE, SIZES),
    key("server.max_upload", SIZE, SIZES),
    key("server.body_memory", SIZE, SIZES),
    key("server.body_timeout", TIME, TIMES),
    key("server.read_timeout", TIME, TIMES),
    key("server.write_timeout", TIME, TIMES),
    key("server.keepalive", TIME, TIMES),
    key("server.trusted_proxies", NETS, WRITE_NETS),
    key("server.shutdown_grace", TIME, TIMES),
    key("server.merge_slashes", "true or false", "true or false"),
    key("server.cors", "a list of origins", r#"origins like ["https://chat.example.com"], or ["*"] for any"#),
    key("server.refusals", "a form of refusals", r#""openai" or "openai-forward""#),
    key("server.benchmark", "true or false", "true or false"),
    key("server.tls", "a table", r#"tls = { cert = "/etc/aifd/cert.pem", key = "/etc/aifd/key.pem" }"#),
    key("server.tls.cert", FILE, PEM),
    key("server.tls.key", FILE, PEM),

    key("admin", "a table", "[admin] on a line of its own, its keys below it"),
    key("admin.listen", "an address", r#""127.0.0.1:8001", or "off""#),
    key("admin.token", "a secret", SECRETS),

    key("access", "a table", "[access] on a line of its own, its keys below it"),
    key("access.unknown_keys", "an answer to unknown keys", r#""refuse", "pass" or "lend""#),
    key("access.model_paths", "a list of ends of paths", r#"ends like ["/chat/completions", "/embeddings"]"#),
    key("access.allow_ips", NETS, WRITE_NETS),
    key("access.deny_ips", NETS, WRITE_NETS),

    key("upstream", "a list of tables", "[[upstream]] with two brackets, its keys below it"),
    key("upstream.name", "a name", NAME),
    key("upstream.hosts", "a list of URLs", r#"base URLs like ["http://10.0.0.11:8000"]"#),
    key("upstream.keys", "a list of secrets", r#"secrets like ["env:NAME", { secret = "file:PATH", levels = [0, 1] }]"#),
    key("upstream.keys.secret", "a secret", SECRETS),
    key("upstream.keys.levels", "a list of levels", "numbers from 0, like [0, 1]"),
    key("upstream.http", "a version of HTTP", r#""auto", "1.1" or "2""#),
    key("upstream.ca", FILE, PEM),
    key("upstream.timeouts", "a table", r#"timeouts = { connect = "5s", first_byte = "5m", idle = "2m", total = "1h" }"#),
    key("upstream.timeouts.connect", TIME, TIMES),
    key("upstream.timeouts.first_byte", TIME, TIMES),
    key("upstream.timeouts.idle", TIME, TIMES),
    key("upstream.timeouts.total", TIME, TIMES),
    key("upstream.keepalive", "a table", r#"keepalive = { idle = "30s", max = 64 }"#),
    key("upstream.keepalive.idle", TIME, TIMES),
    key("upstream.keepalive.max", "a number of connections", "a number from 0"),
    key("upstream.balance", "a way to choose a host", r#""least-busy" or "round-robin""#),
    key("upstream.max_in_flight", "a number of requests", "0 (any number) or a number from 1"),
    key("upstream.queue", "a table", r#"queue = { size = 100, wait = "30s" }"#),
    key("upstream.queue.size", "a number of requests", "0 (nobody waits) or a number from 1"),
    key("upstream.queue.wait", TIME, TIMES),
    key("upstream.eject", "a table", r#"eject = { after = 3, first = "1s", most = "30s" }"#),
    key("upstream.eject.after", "a number of failures", "a number from 1"),
    key("upstream.eject.first", TIME, TIMES),
    key("upstream.eject.most", TIME, TIMES),
    key("upstream.health", "a table", r#"health = { path = "/health", every = "10s", fall = 3, rise = 2 }"#),
    key("upstream.health.path", "a path", r#"a path like "/health" or "/v1/models""#),
    key("upstream.health.every", TIME, TIMES),
    key("upstream.health.fall", "a number of probes", "a number from 1"),
    key("upstream.health.rise", "a number of probes", "a number from 1"),
    key("upstream.retry", "a table", r#"retry = { attempts = 3, on = ["connect", 503], backoff = "100ms" }"#),
    key("upstream.retry.attempts", "a number of attempts", "1 (never again) to 20"),
    key("upstream.retry.on", "a list of failures", r#"any of "connect", "reset", "timeout", and statuses like 503"#),
    key("upstream.retry.backoff", TIME, r#"a time like "100ms" or "1s""#),
    key("upstream.proxy", "the URL of an HTTP proxy", r#"a URL like "http://user:password@10.0.0.1:3128", "env:NAME" or "file:PATH""#),

    key("route", "a list of tables", "[[route]] with two brackets, its keys below it"),
    key("route.prefix", "a path", r#"a path like "/" or "/openai""#),
    key("route.upstream", "a name", "the name of an [[upstream]]"),
    key("route.kind", "a kind of route", r#""openai" or "general""#),
    key("route.keepalive", PAUSE, PAUSES),
    key("route.keepalive_before", "true or false", "true or false"),
    key("route.hold", PAUSE, PAUSES),

    key("limits", "a table", "[limits] on a line of its own, its keys below it"),
    key("limits.strategy", "a way to count", r#""moving-window", "fixed-window" or "fixed-window-elastic-expiry""#),
    key("limits.store", "a place to count", r#""memory", a URL like "redis://:password@10.0.0.5:6379/0", "env:NAME" or "file:PATH""#),
    key("limits.on_store_error", "an answer to a broken store", r#""allow" or "refuse""#),
    key("limits.by", "something to count by", r#""key" or "ip""#),
    key("limits.global", "a limit", r#"a limit like "100/minute;1000/hour", or "inf""#),
    key("limits.addresses", "a number of addresses", "a number from 1000"),
    key("limits.shield", "a rate", r#"one rate like "100/second", or "off""#),
    key("limits.rule", "a list of tables", "[[limits.rule]] with two brackets, its keys below it"),
    key("limits.rule.path", "a path", r#"a path like "/v1/chat/completions""#),
    key("limits.rule.level", "a level", "a number from 0"),
    key("limits.rule.requests", "a limit", r#"a limit like "60/minute;600/hour", or "inf""#),
    key("limits.rule.pace", "a pace", PACES),
    key("limits.rule.pace_burst", BURST, BURSTS),

    key("level", "a list of tables", "[[level]] with two brackets, its keys below it"),
    key("level.level", "a level", "a number from 1"),
    key("level.models", "a list of patterns", r#"patterns like ["*"] or ["llama-*", "gpt-4o"]"#),

    key("key", "a list of tables", "[[key]] with two brackets, its keys below it"),
    key("key.name", "a name", NAME),
    key("key.secret", "a secret", r#""env:NAME", "file:PATH", "sha256:HEX" or the secret itself"#),
    key("key.level", "a level", "a number from 0"),
    key("key.models", "a list of patterns", r#"patterns like ["*"] or ["llama-*", "gpt-4o"]"#),
    key("key.requests", "a limit", r#"a limit like "60/minute;600/hour""#),
    key("key.tokens", "a limit", r#"a limit like "100000/minute""#),
    key("key.in_flight", "a number of requests", "0 (any number) or a number from 1"),
    key("key.pace", "a pace", PACES),
    key("key.pace_burst", BURST, BURSTS),
    key("key.cache_group", "a name", NAME),

    key("cache", "a table", "[cache] on a line of its own, its keys below it"),
    key("cache.store", "a place to keep answers", STORES),
    key("cache.routes", "a list of ends of paths", r#"ends like ["/chat/completions", "/embeddings"]"#),
    key("cache.default", "true or false", "true or false"),
    key("cache.ttl", PAUSE, r#"a time like "1h" or "1d", or "off""#),
    key("cache.size", SIZE, SIZES),
    key("cache.answer", SIZE, SIZES),
    key("cache.path", FILE, r#"the path of a folder, like "cache""#),
    key("cache.coalesce", "true or false", "true or false"),
    key("cache.replay", "a way to send again", r#""instant" or "original""#),

    key("chat_log", "a table", "[chat_log] on a line of its own, its keys below it"),
    key("chat_log.on", "true or false", "true or false"),
    key("chat_log.dir", FILE, r#"the path of a folder, like "Log""#),
    key("chat_log.format", "a format", r#""jsonl" or "python""#),
    key("chat_log.print", "true or false", "true or false"),
    key("chat_log.chat", "a path", r#"a path like "/v1/chat/completions""#),
    key("chat_log.completion", "a path", r#"a path like "/v1/completions""#),
    key("chat_log.embedding", "a path", r#"a path like "/v1/embeddings""#),
    key("chat_log.timezone", "a time zone", r#"a name like "Asia/Shanghai" or "Europe/Berlin""#),
    key("chat_log.rotate", SIZE, SIZES),
    key("chat_log.keep", "a size or \"all\"", r#"a size like "32MiB" or "10GiB", or "all""#),
    key("chat_log.full", "a policy", r#""block" or "drop""#),
    key("chat_log.queue", SIZE, SIZES),
    key("chat_log.capture", SIZE, SIZES),
];

/// A path without its indexes: `upstream[0].name` is `upstream.name`.
pub(super) fn plain(path: &str) -> String {
    let mut inside = false;
    let keep = |&letter: &char| {
        let kept = !inside && letter != '[';
        inside = (inside || letter == '[') && letter != ']';
        kept
    };
    path.chars().filter(keep).collect()
}

/// The key at a path (with or without indexes).
pub(super) fn find(path: &str) -> Option<&'static Known> {
    let path = plain(path);
    KEYS.iter().find(|known| known.path == path)
}

/// The names of the keys directly inside a table; `""` is the whole file.
pub(super) fn inside(table: &str) -> impl Iterator<Item = &'static str> {
    let table = plain(table);
    KEYS.iter().filter_map(move |known| match known.path.rsplit_once('.') {
        Some((parent, name)) => (parent == table).then_some(name),
        None => table.is_empty().then_some(known.path),
    })
}

/// The key of a table that a misspelt one was probably meant to be.
pub(super) fn nearest(table: &str, name: &str) -> Option<&'static str> {
    let near = inside(table).map(|known| (distance(known, name), known)).min()?;
    (near.0 <= 1 + name.chars().count() / 4).then_some(near.1)
}

/// The table that does have a key of this name.
pub(super) fn home(name: &str) -> Option<&'static str> {
    let parts = KEYS.iter().filter_map(|known| known.path.rsplit_once('.'));
    parts.into_iter().find(|(_, last)| *last == name).map(|(table, _)| table)
}

/// Levenshtein's: how many letters must be put in, taken out or changed.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (at, other) in right.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_indexes() {
        for (path, expected) in [
            ("", ""),
            ("server.listen", "server.listen"),
            ("upstream[12].hosts[0]", "upstream.hosts"),
        ] {
            assert_eq!(plain(path), expected);
        }
    }

    #[test]
    fn a_misspelt_key_is_guessed() {
        for (table, name, expected) in [
            ("", "upstreams", Some("upstream")),
            ("server", "listen_on", Some("listen")),
            ("server", "worker", Some("workers")),
            ("upstream[3]", "host", Some("hosts")),
            ("upstream[3]", "temperature", None),
            ("key[0]", "secert", Some("secret")),
        ] {
            assert_eq!(nearest(table, name), expected, "{name}");
        }
        assert_eq!(home("max_body"), Some("server"));
        assert_eq!(home("temperature"), None);
    }

    #[test]
    fn distances() {
        for (left, right, expected) in
            [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("é", "e", 1)]
        {
            assert_eq!(distance(left, right), expected);
            assert_eq!(distance(right, left), expected);
        }
    }
}
