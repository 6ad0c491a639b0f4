//! What holds for the configuration as a whole: the table of keys, the shown form, the defaults.
//!
//! The rules, one by one, are golden files: `tests/golden/config/`.

use std::collections::BTreeSet;

use proptest::prelude::*;
use toml::{Table, Value};

use super::raw::Raw;
use super::{CacheStore, Config, keys, parse_with, show};
use crate::secret::Secret;

/// Every key with its default, as it is given to the operator.
const EVERY_KEY: &str = include_str!("../../conf/aifd.toml");

const SMALLEST: &str = r#"
    upstream = [{ name = "gpu", hosts = ["http://10.0.0.11:8000"] }]
    key = [{ name = "alice", secret = "env:AIFD_KEY_ALICE" }]
"#;

/// Most keys with another value than their default.
const FULL: &str = r#"
    [server]
    listen = ["0.0.0.0:8000", "unix:/run/aifd.sock", "http://[::1]:0"]
    workers = 3
    max_body = 12345
    shutdown_grace = "1h30m5s"
    merge_slashes = true
    cors = ["https://chat.example.com", "http://localhost:3000"]
    refusals = "openai-forward"
    benchmark = true
    trusted_proxies = ["10.1.2.3/8", "::1"]
    [admin]
    listen = "0.0.0.0:9000"
    token = "env:TOKEN"
    [access]
    unknown_keys = "lend"
    model_paths = ["/chat/completions"]
    deny_ips = ["192.168.1.7"]
    [[upstream]]
    name = "a"
    hosts = ["https://API.example.com/v1/", "http://[::1]:80"]
    keys = ["env:ONE", { secret = "env:TWO", levels = [0, 2] }]
    http = "2"
    timeouts = { total = "30s" }
    balance = "round-robin"
    max_in_flight = 4
    queue = { size = 0, wait = "1500ms" }
    health = { path = "/health?deep=1", rise = 1 }
    eject = { after = 1, first = "250ms", most = "250ms" }
    retry = { attempts = 1, on = [503, "reset"], backoff = "0s" }
    keepalive = { idle = "5s", max = 0 }
    proxy = "env:PROXY_URL"
    [[upstream]]
    name = "b"
    hosts = ["http://b"]
    retry.on = []
    proxy = "http://10.0.0.1:3128/"
    [[route]]
    prefix = "/c"
    upstream = "b"
    keepalive = "1m"
    keepalive_before = true
    hold = "off"
    [[route]]
    prefix = "/b/"
    upstream = "b"
    kind = "general"
    [[route]]
    prefix = "/"
    upstream = "a"
    [limits]
    strategy = "fixed-window-elastic-expiry"
    store = "env:REDIS_URL"
    on_store_error = "refuse"
    by = "ip"
    global = "100/minute; 5 per 2 days"
    addresses = 1000
    shield = "5/second"
    [[limits.rule]]
    path = "/v1/chat/completions"
    level = 0
    requests = "inf"
    [[limits.rule]]
    path = "/v1/chat/completions"
    pace = "50/second"
    [[limits.rule]]
    path = "/c/"
    requests = "0/day"
    pace = "3/10seconds"
    pace_burst = 5
    [[key]]
    name = "k"
    secret = "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    level = 2
    models = ["gpt-*"]
    requests = "60/minute"
    tokens = "100000/minute|1000000/day"
    in_flight = 8
    pace = "50/second"
    pace_burst = 2
    cache_group = "team-a"
    [cache]
    store = "memory"
    routes = ["/v1/messages"]
    default = true
    ttl = "off"
    size = "1MiB"
    answer = 1000000
    coalesce = false
    replay = "original"
    [chat_log]
    full = "drop"
    dir = "/var/log/ai \"fd\""
    format = "python"
    print = true
    chat = "/openai/api/chat"
    completion = "/c"
    embedding = "/e"
    timezone = "Asia/Kolkata"
    keep = "all"
"#;

fn parse(text: &str) -> Config {
    let env = |name: &str| match name {
        "PROXY_URL" => Some("http://alice:pass%20word@proxy:3128".to_owned()),
        "REDIS_URL" => Some("rediss://:word@redis".to_owned()),
        _ => Some(format!("secret-of-{name}")),
    };
    parse_with(text, "text", &env).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A commented key (`# token = ...`) as a key, a commented table as a table.
fn uncommented(text: &str) -> String {
    let line = |line: &str| {
        let bare = line.strip_prefix("# ").filter(|bare| {
            let key = bare.split_once(" = ").map(|(key, _)| key);
            bare.starts_with("[[") || key.is_some_and(|key| !key.contains(' '))
        });
        format!("{}\n", bare.unwrap_or(line))
    };
    text.lines().map(line).collect()
}

/// The paths of every key in a table, without indexes.
fn paths(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                paths(value, &path, into);
                into.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, path, into)),
        _ => {}
    }
}

fn paths_of(table: Table) -> BTreeSet<String> {
    let mut into = BTreeSet::new();
    paths(&Value::Table(table), "", &mut into);
    into
}

#[test]
fn the_table_the_structs_and_the_file_have_the_same_keys() {
    let table: BTreeSet<String> = keys::KEYS.iter().map(|key| key.path.to_owned()).collect();
    assert_eq!(table.len(), keys::KEYS.len(), "a key stands twice in the table");
    let text = uncommented(EVERY_KEY);
    assert_eq!(paths_of(text.parse().unwrap()), table, "conf/aifd.toml");
    let raw: Raw = toml::from_str(&text).unwrap();
    assert_eq!(paths_of(Table::try_from(&raw).unwrap()), table, "raw.rs");
}

#[test]
fn every_default_in_the_file_is_the_default() {
    assert_eq!(parse(EVERY_KEY), parse(SMALLEST));
}

#[test]
fn what_is_shown_is_read_again() {
    for text in [EVERY_KEY, SMALLEST, FULL] {
        let config = parse(text);
        let shown = show(&config);
        assert_eq!(parse(&shown), config, "{shown}");
    }
}

#[test]
fn the_chat_log_knows_what_a_call_without_caching_means() {
    for (keys, caching) in [
        ("", false),
        ("cache.default = true", false),
        ("cache.store = 'memory'", false),
        ("cache.store = 'memory'\ncache.default = true", true),
    ] {
        assert_eq!(parse(&format!("{SMALLEST}\n{keys}")).chat_log.caching, caching, "{keys}");
    }
}

#[test]
fn what_is_off_stays_off() {
    let config = parse(&format!("{SMALLEST}\nadmin.listen = 'off'\nchat_log.on = false"));
    assert!(config.admin.is_none() && !config.chat_log.on);
    assert_eq!(parse(&show(&config)), config);
}

#[test]
fn a_literal_secret_is_not_shown_and_its_dots_are_refused() {
    let text = "admin.token = 'literal-1'\n\
        upstream = [{ name = 'a', hosts = ['http://a'], keys = ['literal-2'], \
        proxy = 'http://literal-4:literal-5@h:1' }]\n\
        limits.store = 'redis://:literal-6@h'\n\
        key = [{ name = 'k', secret = 'literal-3' }]";
    let config = parse(text);
    let shown = show(&config);
    assert!(!shown.contains("literal") && !format!("{config:?}").contains("literal"), "{shown}");
    let faults = parse_with(&shown, "shown", &|_| None).unwrap_err();
    assert!(!faults.to_string().contains("literal"), "{faults}");
    let mut keys: Vec<&str> = faults.faults.iter().map(|fault| fault.key.as_str()).collect();
    keys.sort_unstable();
    let expected = [
        "admin.token",
        "key[0].secret",
        "limits.store",
        "upstream[0].keys[0]",
        "upstream[0].proxy",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn every_store_is_shown_as_it_is_written() {
    let mut config = parse(SMALLEST);
    for (store, store_shown, path_shown) in [
        (CacheStore::Off, "off", "cache"),
        (CacheStore::Memory, "memory", "cache"),
        (CacheStore::Lmdb("/var/answers".into()), "lmdb", "/var/answers"),
        (CacheStore::Redis(Secret::from_origin("redis://h", "env:REDIS")), "env:REDIS", "cache"),
    ] {
        config.cache.store = store;
        let shown: Table = show(&config).parse().unwrap();
        assert_eq!(shown["cache"]["store"].as_str(), Some(store_shown));
        assert_eq!(shown["cache"]["path"].as_str(), Some(path_shown));
    }
}

#[test]
fn a_cached_path_ends_at_a_segment_border() {
    let cache = parse(SMALLEST).cache;
    for (path, applies) in [
        ("/chat/completions", true),
        ("/v1/chat/completions", true),
        ("/openai/v1/completions", true),
        ("/v1/embeddings", true),
        ("/v1/xembeddings", false),
        ("/v1/embeddings/1", false),
        ("embeddings", false),
        ("/v1/models", false),
        ("/", false),
    ] {
        assert_eq!(cache.applies(path), applies, "{path}");
    }
}

#[test]
fn a_timeout_that_was_not_written_fits_into_the_total() {
    let usual = parse(SMALLEST).upstreams[0].timeouts;
    assert!(usual.first_byte.as_secs() == 300 && usual.total.as_secs() == 3600);
    let short = "[[upstream]]\nname = 'a'\nhosts = ['http://a']\ntimeouts.total = '30s'\n\
        [access]\nunknown_keys = 'pass'";
    let short = &parse(&short.replace("30s", "20s")).upstreams[0];
    let timeouts = short.timeouts;
    assert_eq!((timeouts.connect.as_secs(), timeouts.first_byte.as_secs()), (5, 20));
    assert_eq!(short.queue.wait.as_secs(), 20);
}

#[test]
fn the_shield_is_up_where_a_key_is_asked_for() {
    let shield = |text: &str| parse(&format!("{SMALLEST}\n{text}")).limits.shield;
    let usual = shield("").expect("it is up");
    assert_eq!(usual.to_string(), "100 per 1 second");
    assert_eq!(shield("limits.shield = 'off'"), None);
    assert_eq!(shield("access.unknown_keys = 'pass'"), None);
    let written = "access.unknown_keys = 'pass'\nlimits.shield = '100/second'";
    assert_eq!(shield(written), Some(usual));
}

#[test]
fn a_key_has_the_models_of_its_level_unless_it_names_its_own() {
    let key = |name: &str, more: &str| {
        format!("[[key]]\nname = '{name}'\nsecret = 'secret-{name}'\n{more}\n")
    };
    let keys = [
        key("all", ""),
        key("some", "level = 1"),
        key("own", "level = 1\nmodels = ['c']"),
        key("none", "level = 2\nmodels = ['*']"),
    ];
    let levels = "[[level]]\nlevel = 1\nmodels = ['a', 'b*']\n";
    let upstream = "[[upstream]]\nname = 'gpu'\nhosts = ['http://10.0.0.11:8000']\n";
    let config = parse(&format!("{upstream}{levels}{}", keys.concat()));
    let models = config.keys.iter().map(|key| key.models.join(" "));
    assert_eq!(models.collect::<Vec<_>>(), ["*", "a b*", "c", "*"]);
}

#[test]
fn a_rule_may_lift_the_limit_or_leave_it_alone() {
    let rules = parse(FULL).limits.rules;
    let said: Vec<_> = rules.iter().map(|rule| rule.requests.as_ref().map(Vec::len)).collect();
    assert_eq!(said, [Some(0), None, Some(1)]);
}

proptest! {
    /// Whatever is cut out of a good file: no panic, and a refusal names at least one fault.
    #[test]
    fn no_text_panics(
        from in 0..EVERY_KEY.len(),
        length in 0..200_usize,
        put in "[\\[\\]={}\"'\n.a0-]{0,4}",
    ) {
        let kept = |range: std::ops::Range<usize>| EVERY_KEY.get(range).unwrap_or_default();
        let to = (from + length).min(EVERY_KEY.len());
        let text = format!("{}{put}{}", kept(0..from), kept(to..EVERY_KEY.len()));
        match parse_with(&text, "text", &|_| Some("long enough".to_owned())) {
            Ok(config) => prop_assert!(!config.upstreams.is_empty()),
            Err(faults) => prop_assert!(!faults.faults.is_empty()),
        }
    }
}
