//! What is understood and not served: one sentence each, so that nothing is missed in silence.
//!
//! Why notices and no faults: openai-forward's users start with what they have, and learn what
//! is different; only what cannot be read keeps aifd from starting.

use super::forward::Forward;
use super::words::Words;

pub(super) fn tell(forward: &Forward, words: &mut Words<'_, '_, '_>) {
    keys(forward, words);
    behaviour(forward, words);
    logs(forward, words);
    cache(forward, words);
    leftovers(words);
    for unread in &words.source.unread {
        let (line, name) = (unread.line, &unread.name);
        if super::known::find(name).is_some() {
            let fix = "NAME=value on one line, or in quotes that end";
            words.findings.fault_in(&format!(".env, line {line}"), name, "cannot be read", fix);
        } else {
            words.findings.notice(format!(".env, line {line}: cannot be read and is left out"));
        }
    }
    for key in &words.source.unknown {
        words.findings.notice(format!("{key}: unknown key, left out"));
    }
}

fn say(words: &mut Words<'_, '_, '_>, name: &str, text: &str) {
    let label = words.label(name);
    words.findings.notice(format!("{label}: {text}"));
}

fn keys(forward: &Forward, words: &mut Words<'_, '_, '_>) {
    if forward.no_auth {
        let config = "OPENAI_API_KEY_CONFIG";
        let name = if words.get(config).is_some() { config } else { "OPENAI_API_KEY" };
        let text = "there are no forward keys, so whoever can reach this server uses these keys, whatever key \
            they bring; to ask for keys, write FORWARD_KEY=... and give it to your clients";
        say(words, name, text);
    }
    let leveled = forward.forward_keys.iter().any(|key| key.level > 0);
    let name =
        if words.get("FORWARD_KEY").is_some() { "FORWARD_KEY" } else { "FORWARD_KEY_CONFIG" };
    if leveled && forward.level_models.is_empty() {
        let text = "there are no LEVEL_MODELS, so keys of every level may use every model";
        say(words, name, text);
    }
}

fn behaviour(forward: &Forward, words: &mut Words<'_, '_, '_>) {
    if !forward.default_stream {
        say(words, "DEFAULT_STREAM_RESPONSE", "not served: every answer is relayed as it comes");
    }
    let paths = &forward.paths;
    for (name, path, usual) in [
        ("CHAT_COMPLETION_ROUTE", &paths.chat, "/v1/chat/completions"),
        ("COMPLETION_ROUTE", &paths.completion, "/v1/completions"),
        ("EMBEDDING_ROUTE", &paths.embedding, "/v1/embeddings"),
    ] {
        // Its own example wrote the prefix before it, which switched the log off.
        if !path.ends_with(usual) {
            say(
                words,
                name,
                &format!("another path than {usual} is not served by this version yet"),
            );
        }
    }
    let chunks = words.text("ITER_CHUNK_TYPE");
    if let Some(other) =
        chunks.filter(|it| !matches!(it.as_str(), "efficiency" | "one-by-one" | "precision"))
    {
        say(
            words,
            "ITER_CHUNK_TYPE",
            &format!("{other:?} is neither \"efficiency\" nor \"one-by-one\""),
        );
    }
    if words.get("CUSTOM_MODEL_CONFIG").is_some() {
        say(
            words,
            "CUSTOM_MODEL_CONFIG",
            "other backends than OpenAI's API are not served by this version yet",
        );
    }
}

fn logs(forward: &Forward, words: &mut Words<'_, '_, '_>) {
    if forward.log_chat {
        let name = if words.get("LOG_CHAT").is_some() { "LOG_CHAT" } else { "LOG_OPENAI" };
        let text = "chats are written to Log/chat.jsonl as JSON, not as Python dicts by this version yet; \
            aifd convert reads both";
        say(words, name, text);
    }
    if forward.log_general {
        say(
            words,
            "LOG_GENERAL",
            "general routes are relayed unread, so nothing of them is printed",
        );
    }
    if forward.print_chat {
        say(words, "PRINT_CHAT", "chats are not printed by this version; they are in the chat log");
    }
    if let Some(zone) = &forward.zone {
        let known = |name: &str| jiff::tz::TimeZone::get(name).is_ok();
        // A system may have no time zones at all.
        if known("Europe/Berlin") && !known(zone) {
            let fix = "a name like Asia/Shanghai or Europe/Berlin";
            words.findings.fault("TZ", "is not a time zone of this system", fix);
        } else if words.get("TZ").is_some_and(|given| !given.real) {
            say(
                words,
                "TZ",
                "read from the real environment only; start with TZ=... before the command",
            );
        }
    }
}

fn cache(forward: &Forward, words: &mut Words<'_, '_, '_>) {
    let cache = &forward.cache;
    for (name, on) in [
        ("CACHE_CHAT_COMPLETION", cache.chat),
        ("CACHE_EMBEDDING", cache.embedding),
        ("CACHE_OPENAI", cache.chat),
        ("CACHE_GENERAL", cache.general),
    ] {
        if on && words.get(name).is_some() {
            say(
                words,
                name,
                "the cache is not served by this version yet: every request goes upstream",
            );
        }
    }
    if cache.backend == "ROCKSDB" {
        say(
            words,
            "CACHE_BACKEND",
            "ROCKSDB was dropped by openai-forward 0.6.4; write LMDB or LEVELDB",
        );
    }
}

/// Variables of the libraries below it, and of its web page.
fn leftovers(words: &mut Words<'_, '_, '_>) {
    let given: Vec<&str> = words.source.given.iter().map(|given| given.name).collect();
    for name in given {
        if name.starts_with("RATELIMIT_") {
            say(
                words,
                name,
                "not read: the limits are REQ_RATE_LIMIT, GLOBAL_RATE_LIMIT and REQ_RATE_LIMIT_BACKEND",
            );
        } else if name.starts_with("WEBUI_") || name.starts_with("OPENAI_FORWARD_") {
            say(words, name, "not served: there is no web page");
        }
    }
    if words.flag("LOG_CACHE_DB_INFO", false) {
        say(words, "LOG_CACHE_DB_INFO", "the cache is not served by this version yet");
    }
}
