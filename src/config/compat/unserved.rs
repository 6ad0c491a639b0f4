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
    if forward.log_general {
        say(
            words,
            "LOG_GENERAL",
            "general routes are relayed unread, so nothing of them is printed",
        );
    }
}

fn cache(forward: &Forward, words: &mut Words<'_, '_, '_>) {
    let cache = &forward.cache;
    if cache.general {
        say(
            words,
            "CACHE_GENERAL",
            "general routes are relayed unread, so nothing of them is kept",
        );
    }
    if !cache.is_on() {
        return;
    }
    let backend = &cache.backend;
    if !cache.is_memory() && !backend.eq_ignore_ascii_case("LMDB") {
        let text = format!("{backend} is served by LMDB, in a folder of its own");
        say(words, "CACHE_BACKEND", &text);
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
        let text = "there is no log of the cache; an answer says x-cache: hit, miss or coalesced";
        say(words, "LOG_CACHE_DB_INFO", text);
    }
}
