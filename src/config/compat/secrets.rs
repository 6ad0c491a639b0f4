//! Keys and their levels, in every form they had.
//!
//! The trap: a key may be the name of a member, so no fault here repeats a name.

use super::forward::{ForwardKey, UpstreamKey};
use super::source::Said;
use super::tree::Tree;
use super::words::Words;
use crate::secret::Secret;

const LEVEL: &str = "a level is a number from 0: {\"fk-one\": 0, \"fk-two\": 1}";
const LEVELS: &str = "the levels are a list of numbers: {\"sk-one\": [0], \"sk-two\": [1, 2]}";
const MODELS: &str = "models by level: {\"1\": [\"gpt-4o\"], \"2\": [\"gpt-4o-mini\"]}";

/// The keys for upstreams: `sk-1,sk-2`, or `{"sk-1": [0], "sk-2": [1, 2]}`.
pub(super) fn upstream_keys(words: &mut Words<'_, '_, '_>) -> Vec<UpstreamKey> {
    let key = |secret: String, levels| UpstreamKey { secret: Secret::new(secret), levels };
    let Some(name) = which(words, "OPENAI_API_KEY_CONFIG", "OPENAI_API_KEY") else {
        return Vec::new();
    };
    if is_list(words, name) {
        return words.list(name).into_iter().map(|secret| key(secret, Vec::new())).collect();
    }
    let label = words.label(name);
    let mut keys = Vec::new();
    for (secret, levels) in words.map(name, LEVELS) {
        let levels = match &levels {
            Tree::List(levels) => levels.iter().map(Tree::number).collect(),
            Tree::Number(_) => levels.number().map(|level| vec![level]),
            // 0.8 wrote "0", or "1,2", from its web page.
            Tree::Text(text) => {
                let parts = text.split([',', '，']).map(str::trim).filter(|part| !part.is_empty());
                parts.map(|part| part.parse().ok()).collect()
            }
            // 0.7.0 read the names alone.
            Tree::Null | Tree::Bool(_) | Tree::Map(_) => Some(Vec::new()),
        };
        match levels {
            Some(levels) if !secret.is_empty() => keys.push(key(secret, levels)),
            Some(_) => {}
            None => words.wrong_secret(&label, "has a key with levels that are no numbers", LEVELS),
        }
    }
    keys
}

/// Tells of keys that stand twice, and of levels without models; the keys that are left.
pub(super) fn apart(
    keys: Vec<ForwardKey>,
    models: &[(u32, Vec<String>)],
    words: &mut Words<'_, '_, '_>,
) -> Vec<ForwardKey> {
    let name = if words.get("FORWARD_KEY_CONFIG").is_some() {
        "FORWARD_KEY_CONFIG"
    } else {
        "FORWARD_KEY"
    };
    let label = words.label(name);
    let mut left: Vec<ForwardKey> = Vec::with_capacity(keys.len());
    for key in keys {
        let level = key.level;
        if level > 0 && !models.is_empty() && models.iter().all(|(known, _)| *known != level) {
            let what = format!("has a key of level {level}, which LEVEL_MODELS does not have");
            words.wrong_secret(&label, &what, MODELS);
        }
        if left.contains(&key) {
            words.findings.notice(format!("{label}: has a key twice"));
        } else {
            left.push(key);
        }
    }
    left
}

/// The keys of clients: `fk-1,fk-2`, `{"fk-1": 0}`, or `{"0": ["fk-1"]}`.
pub(super) fn forward_keys(words: &mut Words<'_, '_, '_>) -> Vec<ForwardKey> {
    let key = |secret: String, level| ForwardKey { secret: Secret::new(secret), level };
    let Some(name) = which(words, "FORWARD_KEY_CONFIG", "FORWARD_KEY") else { return Vec::new() };
    if is_list(words, name) {
        return words.list(name).into_iter().map(|secret| key(secret, 0)).collect();
    }
    let label = words.label(name);
    let members = words.map(name, LEVEL);
    // Levels first, keys in lists (one key may go without): 0.8.2 turned it round.
    let level_first = |(left, right): &(String, Tree)| {
        left.trim().parse::<u32>().is_ok()
            && matches!(right, Tree::Text(_))
            && right.number().is_none()
    };
    let turned = members.iter().any(|(_, value)| matches!(value, Tree::List(_)))
        || (!members.is_empty() && members.iter().all(level_first));
    let mut keys = Vec::new();
    for (left, right) in members {
        let read = if turned {
            let secrets = match right {
                Tree::List(items) => items.iter().map(Tree::scalar).collect::<Option<Vec<_>>>(),
                other => other.scalar().map(|secret| vec![secret]),
            };
            left.trim().parse().ok().zip(secrets)
        } else {
            let level = match right {
                // 0.7.0 read the names alone.
                Tree::Null | Tree::Bool(_) => Some(0),
                Tree::Text(text) if text.trim().is_empty() => Some(0),
                other => other.number(),
            };
            level.map(|level| (level, vec![left]))
        };
        match read {
            Some((level, secrets)) => {
                let secrets = secrets.into_iter().filter(|secret| !secret.is_empty());
                keys.extend(secrets.map(|secret| key(secret, level)));
            }
            None => words.wrong_secret(&label, "has a key with a level that is no number", LEVEL),
        }
    }
    keys
}

/// The models of each level.
pub(super) fn level_models(words: &mut Words<'_, '_, '_>) -> Vec<(u32, Vec<String>)> {
    let label = words.label("LEVEL_MODELS");
    let mut levels = Vec::new();
    for (level, models) in words.map("LEVEL_MODELS", MODELS) {
        let Ok(number) = level.trim().parse::<u32>() else {
            words.wrong_secret(&label, "has a level that is no number", MODELS);
            continue;
        };
        let models = words.items(&format!("{label}.{level}"), &models);
        if number == 0 {
            let text = format!(
                "{label}: level 0 may use every model and cannot be restricted; give those keys another level"
            );
            words.findings.notice(text);
        } else {
            levels.push((number, models));
        }
    }
    levels
}

/// Which of two variables is read.
fn which(
    words: &mut Words<'_, '_, '_>,
    json: &'static str,
    either: &'static str,
) -> Option<&'static str> {
    let plain = words.get(either).is_some() && is_list(words, either);
    if words.get(json).is_some() {
        if words.get(either).is_some() {
            words.findings.notice(format!("{either}: not read beside {json}"));
        }
        return Some(json);
    }
    if plain && words.source.is_json() {
        // Other programs read a variable of this name, and it may be theirs.
        let text = format!(
            "{either}: a plain list is not read beside variables of 0.7 and later; write {json}={{\"KEY\": ...}}"
        );
        words.findings.notice(text);
        return None;
    }
    words.get(either).map(|_| either)
}

fn is_list(words: &Words<'_, '_, '_>, name: &str) -> bool {
    words
        .get(name)
        .is_some_and(|given| matches!(&given.said, Said::Text(text) if !text.starts_with('{')))
}
