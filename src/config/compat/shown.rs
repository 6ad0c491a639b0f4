//! What openai-forward's banner shows as it was written.
//!
//! Why kept apart: a limit that is read has one form, and who compares two banners wants his own.

use super::forward::Shown;
use super::source::Said;
use super::tree::Tree;
use super::words::Words;
use crate::config::written::mask_any;

/// Reads it; what cannot be read is told elsewhere.
pub(super) fn shown(words: &mut Words<'_, '_, '_>) -> Shown {
    let text = |name: &str, usual: &str| plain(words, name).unwrap_or_else(|| usual.to_owned());
    let mut limits = vec![
        ("backend".to_owned(), mask_any(&text("REQ_RATE_LIMIT_BACKEND", "memory"))),
        ("strategy".to_owned(), text("RATE_LIMIT_STRATEGY", "fixed-window")),
        ("global rate limit".to_owned(), format!("{} (req)", text("GLOBAL_RATE_LIMIT", "inf"))),
    ];
    let requests =
        if words.get("REQ_RATE_LIMIT").is_some() { "REQ_RATE_LIMIT" } else { "ROUTE_RATE_LIMIT" };
    for (name, unit) in [(requests, "req"), ("TOKEN_RATE_LIMIT", "token")] {
        let rules = rules(words, name).into_iter();
        limits.extend(rules.map(|(path, limit)| (path, format!("{limit} ({unit})"))));
    }
    let proxy = plain(words, "PROXY").map(|url| mask_any(&url));
    Shown { limits, proxy, json: words.source.is_json() }
}

fn plain(words: &Words<'_, '_, '_>, name: &str) -> Option<String> {
    match &words.get(name)?.said {
        Said::Text(text) => Some(text.clone()),
        Said::Tree(tree) => tree.scalar(),
    }
}

/// Paths and their limits.
fn rules(words: &Words<'_, '_, '_>, name: &str) -> Vec<(String, String)> {
    let Some(given) = words.get(name) else { return Vec::new() };
    let tree = match &given.said {
        // One limit for all, as 0.5.0 had it.
        Said::Text(text) if !text.starts_with(['{', '[']) => {
            return vec![("token rate limit".to_owned(), text.clone())];
        }
        Said::Text(text) => Tree::json(text).ok(),
        Said::Tree(tree) => Some(tree.clone()),
    };
    match tree {
        Some(Tree::Map(paths)) => {
            paths.into_iter().map(|(path, limit)| (path, limit_of(&limit))).collect()
        }
        Some(Tree::List(items)) => {
            let rule =
                |item: &Tree| Some((item.get("route")?.scalar()?, limit_of(item.get("value")?)));
            items.iter().filter_map(rule).collect()
        }
        _ => Vec::new(),
    }
}

fn limit_of(tree: &Tree) -> String {
    tree.scalar().unwrap_or_else(|| python(tree))
}

/// As Python prints it.
fn python(tree: &Tree) -> String {
    let all = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
    match tree {
        Tree::Null => "None".to_owned(),
        Tree::Bool(true) => "True".to_owned(),
        Tree::Bool(false) => "False".to_owned(),
        Tree::Number(text) => text.clone(),
        Tree::Text(text) => quoted(text),
        Tree::List(items) => format!("[{}]", all(&mut items.iter().map(python))),
        Tree::Map(members) => {
            let member =
                |(name, value): &(String, Tree)| format!("{}: {}", quoted(name), python(value));
            format!("{{{}}}", all(&mut members.iter().map(member)))
        }
    }
}

/// No limit and no path has a quote in it, so Python's choice between two is not made here.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
