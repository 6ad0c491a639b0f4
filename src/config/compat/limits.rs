//! Limits of requests and paces of streams, in the three forms that they had.

use super::forward::{Limits, Rule};
use super::source::Said;
use super::tree::Tree;
use super::words::Words;
use crate::config::Strategy;
use crate::config::rate::Rate;
use crate::secret::Secret;

const RULES: &str = "limits by path: {\"/v1/chat/completions\": \"100/2minutes\"}, or with levels {\"/v1/chat/completions\": [{\"level\": 0, \"limit\": \"100/2minutes\"}]}";

/// A rule as it is written: path, level, limit.
type Written = (String, Option<u32>, Vec<Rate>);

pub(super) fn limits(words: &mut Words<'_, '_, '_>) -> Limits {
    // The name of 0.5.0.
    let name =
        if words.get("REQ_RATE_LIMIT").is_some() { "REQ_RATE_LIMIT" } else { "ROUTE_RATE_LIMIT" };
    let mut rules: Vec<Rule> = Vec::new();
    let requests = written(words, name);
    // Levels came with 0.8, and there keys were counted and no longer addresses.
    let levels = requests.iter().any(|(_, level, _)| level.is_some());
    for (path, level, rates) in requests {
        rule(&mut rules, path, level).requests = Some(rates);
    }
    paces(words, &mut rules);
    let global = words.text("GLOBAL_RATE_LIMIT").and_then(|text| {
        let label = words.label("GLOBAL_RATE_LIMIT");
        words.rates(&label, "", &text)
    });
    Limits {
        strategy: strategy(words),
        store: words.text("REQ_RATE_LIMIT_BACKEND").filter(|it| !is_memory(it)).map(Secret::new),
        by_key: words.source.is_json() && (levels || words.get(name).is_none()),
        global: global.unwrap_or_default(),
        rules,
    }
}

fn is_memory(store: &str) -> bool {
    matches!(store, "memory" | "memory://")
}

fn strategy(words: &mut Words<'_, '_, '_>) -> Strategy {
    match words.text("RATE_LIMIT_STRATEGY").as_deref() {
        None | Some("fixed-window") => Strategy::FixedWindow,
        Some("fixed-window-elastic-expiry") => Strategy::FixedWindowElasticExpiry,
        Some("moving-window") => Strategy::MovingWindow,
        Some(_) => {
            let label = words.label("RATE_LIMIT_STRATEGY");
            let fix = "fixed-window, fixed-window-elastic-expiry or moving-window";
            words.findings.fault(&label, "is no way to count", fix);
            Strategy::FixedWindow
        }
    }
}

/// The rules of a variable.
fn written(words: &mut Words<'_, '_, '_>, name: &str) -> Vec<Written> {
    let Some(tree) = words.tree(name) else { return Vec::new() };
    let label = words.label(name);
    let paths = match tree {
        Tree::Map(paths) => paths,
        // The YAML file has a list: each with its route and its value.
        Tree::List(items) => {
            let path =
                |item: &Tree| Some((item.get("route")?.scalar()?, item.get("value")?.clone()));
            let paths: Option<Vec<_>> = items.iter().map(path).collect();
            if paths.is_none() {
                words.findings.fault(&label, "has an item without a route and a value", RULES);
            }
            paths.unwrap_or_default()
        }
        _ => {
            words.findings.fault(&label, "is not a map of paths to limits", RULES);
            Vec::new()
        }
    };
    let mut rules = Vec::new();
    for (path, value) in paths {
        by_level(words, &label, &path, &value, &mut rules);
    }
    rules
}

/// The rules of one path: a limit for all, or one for each level.
fn by_level(
    words: &mut Words<'_, '_, '_>,
    label: &str,
    path: &str,
    value: &Tree,
    rules: &mut Vec<Written>,
) {
    let Tree::List(items) = value else {
        match value.scalar() {
            Some(limit) => {
                let rates = words.rates(label, path, &limit);
                rules.extend(rates.map(|rates| (path.to_owned(), None, rates)));
            }
            None => words.wrong(label, path, "has no limit", RULES),
        }
        return;
    };
    for item in items {
        let level = item.get("level").and_then(Tree::number);
        let limit = item.get("limit").and_then(Tree::scalar);
        let (Some(level), Some(limit)) = (level, limit) else {
            words.wrong(label, path, "has an item without a level and a limit", RULES);
            continue;
        };
        let rates = words.rates(label, path, &limit);
        rules.extend(rates.map(|rates| (path.to_owned(), Some(level), rates)));
    }
}

/// `TOKEN_RATE_LIMIT`: the pace of streams, by path; of all of them in 0.5.0.
fn paces(words: &mut Words<'_, '_, '_>, rules: &mut Vec<Rule>) {
    let name = "TOKEN_RATE_LIMIT";
    let label = words.label(name);
    let bare = words.get(name).and_then(|given| match &given.said {
        Said::Text(text) if !text.starts_with(['{', '[']) => Some(text.clone()),
        _ => None,
    });
    let is_bare = bare.is_some();
    let paces = match bare {
        Some(text) => words.rates(&label, "", &text).map_or_else(Vec::new, |rates| {
            // A rule of a path hides that of the root, so each gets it.
            let paths = rules.iter().map(|rule| (rule.path.clone(), rule.level));
            let paths = paths.chain([("/".to_owned(), None)]);
            paths.map(|(path, level)| (path, level, rates.clone())).collect()
        }),
        None => written(words, name),
    };
    for (path, level, rates) in paces {
        match rates[..] {
            // No limit is no pace.
            [] => {}
            [rate, ..] if rate.amount > 0 => rule(rules, path, level).pace = Some(rate),
            [..] => words.wrong(
                &label,
                if is_bare { "" } else { &path },
                "lets nothing through",
                "a pace like \"60/second\"",
            ),
        }
    }
}

/// The rule of a path and a level, a new one if there is none.
fn rule(rules: &mut Vec<Rule>, path: String, level: Option<u32>) -> &mut Rule {
    let at = rules.iter().position(|rule| (&rule.path, rule.level) == (&path, level));
    let at = at.unwrap_or_else(|| {
        rules.push(Rule { path, level, requests: None, pace: None });
        rules.len() - 1
    });
    &mut rules[at]
}
