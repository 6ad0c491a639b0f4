//! Rules of `[limits]`, and of the limits that keys have.

use super::{store, value};
use crate::config::findings::Findings;
use crate::config::rate::{One, OneOrOff, Rate, Rates, RatesOrInf, Unit};
use crate::config::{LimitRule, Limits, Pace, Route, UnknownKeys, raw};

/// Fewer addresses are forgotten while they are still being counted.
const ADDRESSES: usize = 1_000;

/// What an address may send without a known key, where one is asked for.
const SHIELD: Rate = Rate { amount: 100, multiple: 1, unit: Unit::Second };

pub(super) fn limits(
    raw: &raw::Limits,
    unknown: UnknownKeys,
    findings: &mut Findings<'_>,
) -> Option<Limits> {
    let store = store::store("limits.store", &raw.store, findings);
    let global = raw.global.clone().map_or_else(Vec::new, |RatesOrInf(rates)| rates);
    shut("limits.global", &global, findings);
    if raw.addresses < ADDRESSES {
        findings.fault("limits.addresses", "is too few to count with", "a number from 1000");
    }
    let usual = (unknown == UnknownKeys::Refuse).then_some(SHIELD);
    let shield = raw.shield.map_or(usual, |OneOrOff(rate)| rate);
    let rules = rules(&raw.rule, findings);
    Some(Limits {
        strategy: raw.strategy,
        store: store?,
        on_store_error: raw.on_store_error,
        by: raw.by,
        global,
        rules: rules?,
        addresses: raw.addresses,
        shield,
    })
}

fn rules(raw: &[raw::Rule], findings: &mut Findings<'_>) -> Option<Vec<LimitRule>> {
    let mut rules: Vec<LimitRule> = Vec::with_capacity(raw.len());
    for (at, one) in raw.iter().enumerate() {
        let key = format!("limits.rule[{at}]");
        let Some(rule) = rule(&key, one, findings) else {
            continue;
        };
        // A level that was no good has its own fault.
        let level = rule.level.is_some() || !findings.written.has(&format!("{key}.level"));
        if level && rules.iter().any(|other| (&other.path, other.level) == (&rule.path, rule.level))
        {
            let what = match rule.level {
                Some(level) => format!("has a rule for level {level} before this one"),
                None => "has a rule for all levels before this one".to_owned(),
            };
            let fix = "another path or level, or drop one of the two";
            findings.fault(&format!("{key}.path"), what, fix);
        }
        rules.push(rule);
    }
    (rules.len() == raw.len()).then_some(rules)
}

fn rule(key: &str, raw: &raw::Rule, findings: &mut Findings<'_>) -> Option<LimitRule> {
    let path = path(&format!("{key}.path"), &raw.path, findings);
    let requests = raw.requests.clone().map(|RatesOrInf(rates)| rates);
    shut(&format!("{key}.requests"), requests.as_deref().unwrap_or_default(), findings);
    let pace = pace(key, raw.pace, raw.pace_burst, findings);
    if requests.is_none() && pace == Some(None) && !faulty(key, findings) {
        let fix = "requests = \"60/minute\", pace = \"50/second\", or drop the rule";
        findings.fault(key, "limits nothing", fix);
    }
    Some(LimitRule { path: path?, level: raw.level, requests, pace: pace? })
}

/// Whether one of the limits was written; it was no good then, and has its own fault.
fn faulty(key: &str, findings: &Findings<'_>) -> bool {
    ["requests", "pace"].iter().any(|name| findings.written.has(&format!("{key}.{name}")))
}

fn path(key: &str, said: &str, findings: &mut Findings<'_>) -> Option<String> {
    if said.is_empty() {
        findings.missing(key);
        return None;
    }
    let fault = if !said.starts_with('/') {
        ("does not start with \"/\"", format!("\"/{said}\""))
    } else if said.contains('*') {
        ("has a \"*\", which is not for any path here", "the path itself".to_owned())
    } else if !said.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte)) {
        ("has a character that a path cannot have", "no spaces, \"?\", \"#\" or \"\\\"".to_owned())
    } else {
        return Some(said.to_owned());
    };
    findings.fault(key, fault.0, fault.1);
    None
}

/// A pace, with the key of its table; `Some(None)` when there is nothing wrong with having none.
pub(super) fn pace(
    table: &str,
    said: Option<One>,
    burst: Option<u32>,
    findings: &mut Findings<'_>,
) -> Option<Option<Pace>> {
    let key = format!("{table}.pace_burst");
    let burst = burst.map_or(Some(1), |burst| value::from_one(&key, burst, findings))?;
    if said.is_none()
        && findings.written.has(&key)
        && !findings.written.has(&format!("{table}.pace"))
    {
        findings.notice(format!("{key}: there is no pace that it could belong to"));
    }
    Some(said.map(|One(rate)| Pace { rate, burst }))
}

/// Tells of a limit that lets nothing through: it may be meant, to close something for a while.
pub(super) fn shut(key: &str, rates: &[Rate], findings: &mut Findings<'_>) {
    if let Some(rate) = rates.iter().find(|rate| rate.amount == 0) {
        let rate = String::from(Rates(vec![*rate]));
        findings.notice(format!("{key}: \"{rate}\" lets nothing through"));
    }
}

/// Tells of rules that no request can meet.
pub(super) fn reached(rules: &[LimitRule], routes: &[Route], findings: &mut Findings<'_>) {
    let leads = |path: &str| {
        routes.iter().any(|route| below(path, &route.prefix) || below(&route.prefix, path))
    };
    for (at, rule) in rules.iter().enumerate() {
        if !leads(&rule.path) {
            let what = format!("limits.rule[{at}].path: no route leads to {:?}", rule.path);
            findings.notice(what);
        }
    }
}

/// Whether a path is another one or lies inside it.
fn below(path: &str, outer: &str) -> bool {
    let outer = outer.trim_end_matches('/');
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
