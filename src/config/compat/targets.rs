//! Base URLs and prefixes: parallel lists until 0.6, one list of objects from 0.7 on.

use super::forward::Target;
use super::tree::Tree;
use super::words::Words;
use crate::config::Kind;

const USUAL: &str = "https://api.openai.com";

const ITEM: &str =
    "items like {\"base_url\": \"https://api.openai.com\", \"route\": \"/\", \"type\": \"openai\"}";

pub(super) fn targets(words: &mut Words<'_, '_, '_>) -> Vec<Target> {
    if words.get("FORWARD_CONFIG").is_some() {
        for name in
            ["OPENAI_BASE_URL", "OPENAI_ROUTE_PREFIX", "EXTRA_BASE_URL", "EXTRA_ROUTE_PREFIX"]
        {
            if words.get(name).is_some() {
                let text =
                    format!("{name}: not read beside FORWARD_CONFIG; drop it, or add it there");
                words.findings.notice(text);
            }
        }
        return items(words);
    }
    let mut targets = pairs(words, "OPENAI_BASE_URL", "OPENAI_ROUTE_PREFIX", Kind::Openai);
    targets.extend(pairs(words, "EXTRA_BASE_URL", "EXTRA_ROUTE_PREFIX", Kind::General));
    targets
}

/// Two lists, by place.
fn pairs(words: &mut Words<'_, '_, '_>, urls: &str, prefixes: &str, kind: Kind) -> Vec<Target> {
    let mut bases = words.list(urls);
    let mut routes = words.list(prefixes);
    if kind == Kind::Openai {
        if bases.is_empty() {
            bases.push(USUAL.to_owned());
        }
        if routes.is_empty() {
            // The name of the first versions.
            routes.push(words.text("ROUTE_PREFIX").unwrap_or_else(|| "/".to_owned()));
        }
    }
    if bases.len() != routes.len() {
        let longer = if bases.len() > routes.len() { urls } else { prefixes };
        let (label, count) = (words.label(longer), bases.len().min(routes.len()));
        words.findings.notice(format!(
            "{label}: only its first {count} are used: {urls} and {prefixes} go in pairs, and are \
            not equally many"
        ));
    }
    let target =
        |(base_url, route): (String, String)| Target { base_url, prefix: prefix(&route), kind };
    bases.into_iter().zip(routes).map(target).collect()
}

/// The objects of `FORWARD_CONFIG`.
fn items(words: &mut Words<'_, '_, '_>) -> Vec<Target> {
    let label = words.label("FORWARD_CONFIG");
    let Some(tree) = words.tree("FORWARD_CONFIG") else { return Vec::new() };
    let Tree::List(items) = tree else {
        words.findings.fault(&label, "is not a list of targets", format!("a list with {ITEM}"));
        return Vec::new();
    };
    let mut targets = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let member = |name: &str| item.get(name).and_then(Tree::scalar);
        let place = format!("{label}[{at}]");
        let kind = match member("type").as_deref() {
            Some("openai") => Kind::Openai,
            Some("general") => Kind::General,
            other => {
                let other = other.map_or_else(|| "no type".to_owned(), |it| format!("type {it:?}"));
                words.findings.notice(format!(
                    "{place}: has {other} and is left out; write \"openai\" or \"general\""
                ));
                continue;
            }
        };
        let Some(base_url) = member("base_url").filter(|url| !url.is_empty()) else {
            words.wrong(&place, "", "has no base_url", ITEM);
            continue;
        };
        let prefix = prefix(&member("route").unwrap_or_default());
        targets.push(Target { base_url, prefix, kind });
    }
    if targets.is_empty() {
        words.findings.fault(&label, "has no target", format!("a list with {ITEM}"));
    }
    targets
}

/// A prefix with one `/` before it and none behind it.
fn prefix(route: &str) -> String {
    let route = route.strip_suffix('/').unwrap_or(route);
    if route.starts_with('/') { route.to_owned() } else { format!("/{route}") }
}
