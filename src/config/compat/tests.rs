//! What each variable becomes; the golden files in `tests/golden/compat/` have whole configurations.

use std::fs;
use std::time::Duration;

use proptest::prelude::*;

use crate::config::compat::{Forward, Found, find, known};
use crate::config::{CacheStore, Kind, Strategy};

/// What is read of a `.env`, under real variables.
fn found(text: &str, real: &[(&str, &str)]) -> Option<Found> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".env"), text).unwrap();
    let env = |name: &str| real.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
    find(folder.path(), &env).map(|found| found.unwrap_or_else(|faults| panic!("{text}\n{faults}")))
}

fn forward(text: &str) -> Forward {
    found(&format!("LOG_CHAT=false\n{text}"), &[]).unwrap().forward
}

fn yaml(text: &str) -> Found {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("openai-forward-config.yaml"), text).unwrap();
    find(folder.path(), &|_| None).unwrap().unwrap_or_else(|faults| panic!("{faults}"))
}

/// Upstream keys with their levels, and forward keys with theirs.
type Secrets<'a> = (Vec<(&'a str, &'a [u32])>, Vec<(&'a str, u32)>);

fn secrets(forward: &Forward) -> Secrets<'_> {
    let upstream = forward.upstream_keys.iter().map(|key| (key.secret.expose(), &*key.levels));
    let keys = forward.forward_keys.iter().map(|key| (key.secret.expose(), key.level));
    (upstream.collect(), keys.collect())
}

#[test]
fn what_tells_that_there_is_a_configuration() {
    let there = |text: &str, real: &[(&str, &str)]| found(text, real).map(|found| found.source);
    let env = Some(".env".to_owned());
    let real = Some("the environment".to_owned());
    assert_eq!(there("", &[]), None);
    assert_eq!(there("OTHER=1\nTZ=UTC\nPROXY=http://h:1\n", &[]), None);
    assert_eq!(there("OPENAI_API_KEY=sk-one-key", &[]), env);
    // Its own client reads it, too.
    assert_eq!(there("", &[("OPENAI_API_KEY", "sk-one-key")]), None);
    assert_eq!(there("", &[("OPENAI_BASE_URL", "http://localhost:8080")]), real);
    assert_eq!(there("", &[("FORWARD_KEY", "fk-one-key")]), real);
    assert_eq!(there("LOG_CHAT=true", &[("FORWARD_KEY", "fk-one-key")]), env);
}

#[test]
fn real_variables_win() {
    let text = "FORWARD_KEY=fk-of-the-file\nOPENAI_BASE_URL=http://file\nTIMEOUT=1";
    let real = [("OPENAI_BASE_URL", "http://real"), ("FORWARD_KEY", ""), ("TIMEOUT", "2")];
    let forward = found(text, &real).unwrap().forward;
    assert_eq!(forward.targets[0].base_url, "http://real");
    assert_eq!(forward.timeout, Duration::from_secs(2));
    // An empty one is a value, too, and says that there is none.
    assert_eq!(forward.forward_keys, []);
}

#[test]
fn what_is_not_said_is_as_it_was() {
    let forward = forward("");
    let target = &forward.targets[0];
    assert_eq!((&*target.base_url, &*target.prefix), ("https://api.openai.com", "/"));
    assert_eq!((forward.targets.len(), target.kind), (1, Kind::Openai));
    assert_eq!(secrets(&forward), (vec![], vec![]));
    assert!(!forward.no_auth && !forward.log_chat && forward.default_stream);
    assert_eq!(forward.timeout, Duration::from_secs(10));
    assert_eq!((forward.limits.strategy, forward.limits.by_key), (Strategy::FixedWindow, false));
    assert_eq!((forward.limits.global, forward.limits.rules), (vec![], vec![]));
}

#[test]
fn keys_in_every_form() {
    let none: &[u32] = &[];
    for (text, upstream, keys) in [
        (
            "OPENAI_API_KEY=sk-1,sk-2 , ,\nFORWARD_KEY='fk-1, 2, 3'",
            vec![("sk-1", none), ("sk-2", none)],
            vec![("fk-1", 0), ("2", 0), ("3", 0)],
        ),
        (
            "OPENAI_API_KEY=sk-1 sk-2\nFORWARD_KEY=fk-1 fk-2",
            vec![("sk-1", none), ("sk-2", none)],
            vec![("fk-1", 0), ("fk-2", 0)],
        ),
        (
            "OPENAI_API_KEY={\"sk-1\": null}\nFORWARD_KEY={\"fk-1\": \"\"}",
            vec![("sk-1", none)],
            vec![("fk-1", 0)],
        ),
        (
            "OPENAI_API_KEY={\"sk-1\": [0, 1]}\nFORWARD_KEY={\"fk-1\": 0, \"fk-2\": 1}",
            vec![("sk-1", &[0, 1])],
            vec![("fk-1", 0), ("fk-2", 1)],
        ),
        (
            "OPENAI_API_KEY_CONFIG={\"sk-2\": \"1,2\", \"\": [0]}\nFORWARD_KEY_CONFIG={\"fk-1\": \"2\", \"\": 0}",
            vec![("sk-2", &[1, 2])],
            vec![("fk-1", 2)],
        ),
        (
            "FORWARD_KEY_CONFIG={\"0\": [\"fk-1\"], \"1\": [\"fk-2\", \"fk-3\"]}",
            vec![],
            vec![("fk-1", 0), ("fk-2", 1), ("fk-3", 1)],
        ),
        ("OPENAI_API_KEY=sk-1\nFORWARD_KEY_CONFIG={\"fk-1\": 0}", vec![], vec![("fk-1", 0)]),
        ("FORWARD_KEY_CONFIG={\"0\": \"fk-1\"}", vec![], vec![("fk-1", 0)]),
        ("FORWARD_KEY_CONFIG={\"123\": \"1\"}", vec![], vec![("123", 1)]),
        ("FORWARD_KEY=fk-1,fk-1", vec![], vec![("fk-1", 0)]),
    ] {
        assert_eq!(secrets(&forward(text)), (upstream, keys), "{text}");
    }
}

#[test]
fn without_forward_keys_everybody_has_one() {
    assert!(forward("OPENAI_API_KEY=sk-one-key").no_auth);
    assert!(!forward("OPENAI_API_KEY=sk-one-key\nFORWARD_KEY=fk-one-key").no_auth);
    assert!(forward("OPENAI_API_KEY_CONFIG={\"sk-one-key\": [0]}").no_auth);
    assert!(!forward("FORWARD_KEY_CONFIG={\"fk-one-key\": 0}").no_auth);
}

#[test]
fn targets_in_both_forms() {
    let lists = "OPENAI_BASE_URL=http://a/,http://b\nOPENAI_ROUTE_PREFIX=/,b/\n\
        EXTRA_BASE_URL=http://c,http://lost\nEXTRA_ROUTE_PREFIX=/c/d";
    let json = "FORWARD_CONFIG=[{\"base_url\":\"http://a/\",\"route\":\"\",\"type\":\"openai\"},\
        {\"base_url\":\"http://b\",\"route\":\"b/\",\"type\":\"openai\"},{\"base_url\":\"x\",\"route\":\"/x\"},\
        {\"base_url\":\"http://c\",\"route\":\"/c/d\",\"type\":\"general\"}]";
    let expected = [
        ("http://a/", "/", Kind::Openai),
        ("http://b", "/b", Kind::Openai),
        ("http://c", "/c/d", Kind::General),
    ];
    for text in [lists, json] {
        let found = found(&format!("LOG_CHAT=false\n{text}"), &[]).unwrap();
        let targets = &found.forward.targets;
        let read: Vec<_> = targets.iter().map(|it| (&*it.base_url, &*it.prefix, it.kind)).collect();
        assert_eq!(read, expected);
        // What was dropped in silence is told.
        assert_eq!(found.config.notices.len(), 1, "{:?}", found.config.notices);
        let routes: Vec<_> = found.config.routes.iter().map(|route| &*route.prefix).collect();
        assert_eq!(routes, ["/", "/b", "/c/d"]);
    }
}

#[test]
fn the_cache_of_every_version() {
    let lmdb = |path: &str| CacheStore::Lmdb(path.into());
    let chat = "/v1/chat/completions";
    let both = &[chat, "/v1/embeddings"][..];
    for (text, store, routes) in [
        ("CACHE_CHAT_COMPLETION=true", CacheStore::Memory, &[chat][..]),
        ("CACHE_EMBEDDING=true", CacheStore::Memory, &["/v1/embeddings"]),
        ("CACHE_OPENAI=True\nCACHE_BACKEND=Memory", CacheStore::Memory, both),
        ("CACHE_OPENAI=true\nCACHE_BACKEND=LMDB", lmdb("./CACHE_AIFD"), both),
        (
            "CACHE_OPENAI=true\nCACHE_BACKEND=LevelDB\nCACHE_ROOT_PATH_OR_URL=..",
            lmdb("../CACHE_AIFD"),
            both,
        ),
        (
            "CACHE_CHAT_COMPLETION=true\nCACHE_BACKEND=ROCKSDB\nCACHE_ROOT_PATH_OR_URL=/var/x",
            lmdb("/var/x/CACHE_AIFD"),
            &[chat],
        ),
        (
            "CACHE_OPENAI=true\nCACHE_ROUTES=[\"/v1/embeddings/\", \"/v1/moderations\"]",
            CacheStore::Memory,
            &[chat, "/v1/embeddings", "/v1/moderations"],
        ),
        (
            "CACHE_CHAT_COMPLETION=true\nCHAT_COMPLETION_ROUTE=/openai/v1/chat/completions",
            CacheStore::Memory,
            &[chat],
        ),
        (
            "CACHE_CHAT_COMPLETION=true\nCHAT_COMPLETION_ROUTE=/api/chat",
            CacheStore::Memory,
            &["/api/chat"],
        ),
    ] {
        let cache = found(&format!("FORWARD_KEY=fk-one-key\n{text}"), &[]).unwrap().config.cache;
        assert_eq!((cache.store, cache.ttl, cache.default), (store, None, false), "{text}");
        assert_eq!(cache.routes, routes, "{text}");
    }
    for off in ["CACHE_GENERAL=true", "CACHE_BACKEND=LMDB", "DEFAULT_REQUEST_CACHING_VALUE=true"] {
        let config = found(&format!("FORWARD_KEY=fk-one-key\n{off}"), &[]).unwrap().config;
        assert_eq!(config.cache.store, CacheStore::Off, "{off}");
        assert!(config.keys.iter().all(|key| key.cache_group.is_none()), "{off}");
    }
}

#[test]
fn all_forward_keys_share_what_is_kept() {
    let text = "FORWARD_KEY=fk-one-key,fk-two-key\nCACHE_CHAT_COMPLETION=true\n\
        DEFAULT_REQUEST_CACHING_VALUE=true\nCACHE_BACKEND=ROCKSDB\nCACHE_ROOT_PATH_OR_URL=http://h";
    let config = found(text, &[]).unwrap().config;
    let groups: Vec<_> = config.keys.iter().map(|key| key.cache_group.as_deref()).collect();
    assert_eq!(groups, [Some("forward"), Some("forward")]);
    assert!(config.cache.default);
    // A server of theirs is none of ours, and is told.
    assert_eq!(config.cache.store, CacheStore::Lmdb("./CACHE_AIFD".into()));
    for name in ["CACHE_BACKEND: ROCKSDB is", "CACHE_ROOT_PATH_OR_URL: "] {
        let told = config.notices.iter().filter(|notice| notice.starts_with(name)).count();
        assert_eq!(told, 1, "{name} in {:?}", config.notices);
    }
    assert_eq!(config.notices.len(), 2, "{:?}", config.notices);
}

/// The rules as `path@level requests ~ pace`.
fn rules(forward: &Forward) -> Vec<String> {
    let rule = |rule: &super::Rule| {
        let level = rule.level.map_or_else(String::new, |level| format!("@{level}"));
        let requests =
            rule.requests.as_ref().map_or_else(String::new, |rates| format!("{rates:?}"));
        let requests = requests.matches("amount").count();
        let pace = rule.pace.map_or_else(String::new, |rate| format!(" ~ {rate}"));
        let spoken = rule.requests.as_ref().map_or("-".to_owned(), |_| requests.to_string());
        format!("{}{level} {spoken}{pace}", rule.path)
    };
    forward.limits.rules.iter().map(rule).collect()
}

#[test]
fn limits_in_every_form() {
    for (text, expected, by_key) in [
        ("REQ_RATE_LIMIT={\"/b\": \"1/day;2/hour\", \"/a\": \"inf\"}", vec!["/b 2", "/a 0"], false),
        ("ROUTE_RATE_LIMIT={\"/b\": \"1/day\"}", vec!["/b 1"], false),
        (
            "REQ_RATE_LIMIT={\"/b\": [{\"level\": 0, \"limit\": \"1/day\"}, {\"level\": \"2\", \"limit\": \"inf\"}]}\nLOG_OPENAI=true",
            vec!["/b@0 1", "/b@2 0"],
            true,
        ),
        ("TOKEN_RATE_LIMIT=40/second", vec!["/ - ~ 40 per 1 second"], false),
        (
            "TOKEN_RATE_LIMIT=40/second\nREQ_RATE_LIMIT={\"/b\": \"1/day\"}",
            vec!["/b 1 ~ 40 per 1 second", "/ - ~ 40 per 1 second"],
            false,
        ),
        (
            "TOKEN_RATE_LIMIT={\"/b\": \"30/10seconds;5/hour\"}",
            vec!["/b - ~ 30 per 10 second"],
            false,
        ),
        (
            "TOKEN_RATE_LIMIT={\"/b\": [{\"level\": 1, \"limit\": \"3/second\"}]}\nLEVEL_MODELS={\"1\":[\"m\"]}",
            vec!["/b@1 - ~ 3 per 1 second"],
            true,
        ),
        ("GLOBAL_RATE_LIMIT=infinite", vec![], false),
    ] {
        let forward = forward(text);
        assert_eq!(rules(&forward), expected, "{text}");
        assert_eq!(forward.limits.by_key, by_key, "{text}");
        assert_eq!(forward.limits.global, []);
    }
}

#[test]
fn the_yaml_file_says_the_same_as_the_variables() {
    let text = "forward: [{base_url: http://a, route: /a, type: openai}]\n\
        api_key: {openai_key: {sk-one-key: [0, 1]}, forward_key: {0: fk-one-key, 1: [fk-two-key]}, level: {1: [m]}}\n\
        rate_limit: {req_rate_limit: [{route: /a, value: [{level: 0, limit: 3/day}]}]}\n\
        log: {openai: yes}\ntimeout: 2.5\nip_whitelist: [10.0.0.7]\nproxy:\n";
    let variables = "FORWARD_CONFIG=[{\"base_url\":\"http://a\",\"route\":\"/a\",\"type\":\"openai\"}]\n\
        OPENAI_API_KEY_CONFIG={\"sk-one-key\":[0,1]}\nFORWARD_KEY_CONFIG={\"fk-one-key\":0,\"fk-two-key\":1}\n\
        LEVEL_MODELS={\"1\":[\"m\"]}\nREQ_RATE_LIMIT={\"/a\":[{\"level\":0,\"limit\":\"3/day\"}]}\n\
        LOG_OPENAI=true\nTIMEOUT=2.5\nIP_WHITELIST=10.0.0.7\nPROXY=\n";
    assert_eq!(yaml(text).forward, forward(variables));
    // They had it at the top in the program and below rate_limit in its example.
    let moved = text
        .replace("rate_limit: {req_rate_limit:", "req_rate_limit:")
        .replace("}]}]}\n", "}]}]\n");
    assert_eq!(yaml(&moved).forward, forward(variables));
}

#[test]
fn an_empty_yaml_file_is_none() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("openai-forward-config.yaml"), "# nothing yet\n").unwrap();
    fs::write(folder.path().join(".env"), "LOG_CHAT=true\n").unwrap();
    let found = find(folder.path(), &|_| None).unwrap().unwrap();
    assert!(found.source == ".env" && found.forward.log_chat);
}

#[test]
fn no_secret_is_in_what_can_be_printed() {
    let text = "OPENAI_API_KEY=sk-one-key\nFORWARD_KEY=fk-one-key\nPROXY=http://me:hush@h:1\n\
        REQ_RATE_LIMIT_BACKEND=redis://:hush@h";
    let found = found(text, &[]).unwrap();
    let printed = format!("{found:?}{}", crate::config::show(&found.config));
    assert!(!printed.contains("-one-key") && !printed.contains("hush"), "{printed}");
    assert_eq!(found.config.upstreams[0].keys[0].secret.expose(), "sk-one-key");
}

#[test]
fn a_zone_that_there_is_not_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".env"), "LOG_CHAT=false\nTZ=Mars/Olympus\n").unwrap();
    // Without a database of time zones nothing can be said of any.
    let told = match find(folder.path(), &|_| None).unwrap() {
        Ok(found) => found.config.notices.join("\n"),
        Err(faults) => faults.to_string(),
    };
    assert!(told.contains("TZ"), "{told}");
}

#[test]
fn a_key_in_the_wrong_place_is_not_told() {
    let found = yaml("timeout: 5\nsk-secret-key: 1\napi_key: {fk-secret-key: 0, colour: 1}\n");
    let expected = [
        "••••: unknown key, left out",
        "api_key.••••: unknown key, left out",
        "api_key.colour: unknown key, left out",
    ];
    assert_eq!(found.config.notices, expected);
}

#[test]
fn what_is_deep_is_refused_and_nothing_falls_over() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("openai-forward-config.yaml", format!("forward: {deep}\n")),
        (".env", format!("FORWARD_CONFIG={deep}\n")),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let faults = find(folder.path(), &|_| None).unwrap().unwrap_err();
        assert_eq!(faults.faults.len(), 1, "{faults}");
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn the_table_for_who_moves_over_has_every_variable() {
    let guide = include_str!("../../../docs/from-openai-forward.md");
    let (_, table) = guide.split_once("## 3. ").unwrap();
    let (table, _) = table.split_once("## 4. ").unwrap();
    for known in known::KNOWN {
        let name = format!("`{}`", known.name);
        let rows = table.lines().filter(|row| row.starts_with('|') && row.contains(&name)).count();
        assert!(rows > 0, "{name} stands in no row");
    }
}

const SEEDS: [&str; 4] = [
    include_str!("../../../tests/golden/compat/lists.env"),
    include_str!("../../../tests/golden/compat/json.env"),
    include_str!("../../../tests/golden/compat/faults.env"),
    include_str!("../../../tests/golden/compat/yaml.yaml"),
];

proptest! {
    /// Whatever is cut out of a configuration: no panic, and a refusal names a fault.
    #[test]
    fn no_text_panics(
        seed in 0..SEEDS.len(),
        from in 0..2000_usize,
        length in 0..60_usize,
        put in "[\\[\\]{}\"':,=\n 0-9a-]{0,4}",
    ) {
        let text = SEEDS[seed];
        let kept = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
        let from = from % text.len();
        let text = format!("{}{put}{}", kept(0..from), kept((from + length).min(text.len())..text.len()));
        let folder = tempfile::tempdir().unwrap();
        let name = if seed == 3 { "openai-forward-config.yaml" } else { ".env" };
        fs::write(folder.path().join(name), &text).unwrap();
        if let Some(Err(faults)) = find(folder.path(), &|_| None) {
            prop_assert!(!faults.faults.is_empty());
        }
    }
}
