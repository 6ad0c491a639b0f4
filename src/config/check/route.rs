//! Rules of `[[route]]`.

use std::time::Duration;

use super::value;
use crate::config::findings::Findings;
use crate::config::human::{OrOff, Time};
use crate::config::{Kind, Route, raw};

pub(super) fn routes(
    raw: &[raw::Route],
    upstreams: &[raw::Upstream],
    findings: &mut Findings<'_>,
) -> Option<Vec<Route>> {
    if raw.is_empty() {
        return fallback(upstreams, findings);
    }
    let mut routes: Vec<Route> = Vec::with_capacity(raw.len());
    for (at, one) in raw.iter().enumerate() {
        let key = format!("route[{at}]");
        let prefix = prefix(&format!("{key}.prefix"), &one.prefix, findings);
        let upstream = upstream(&format!("{key}.upstream"), one, upstreams, findings);
        let keepalive = pause(&format!("{key}.keepalive"), one.kind, one.keepalive, findings);
        let hold = pause(&format!("{key}.hold"), one.kind, one.hold, findings);
        let before = format!("{key}.keepalive_before");
        if one.keepalive_before && keepalive == Some(None) {
            findings.fault(&before, "has no keepalive to begin with", "false, or a keepalive");
        }
        let (Some(prefix), Some(upstream), Some(keepalive), Some(hold)) =
            (prefix, upstream, keepalive, hold)
        else {
            continue;
        };
        if routes.iter().any(|other| other.prefix == prefix) {
            let what = "is the prefix of a route before it";
            findings.fault(
                &format!("{key}.prefix"),
                what,
                "another prefix, or drop one of the two",
            );
        }
        routes.push(Route {
            prefix,
            upstream,
            kind: one.kind,
            keepalive,
            keepalive_before: one.keepalive_before,
            hold,
        });
    }
    for (at, one) in upstreams.iter().enumerate() {
        if !routes.iter().any(|route| route.upstream == at) {
            findings.notice(format!("upstream[{at}]: no route leads to \"{}\"", one.name));
        }
    }
    (routes.len() == raw.len()).then_some(routes)
}

/// Without a route everything goes to the only upstream.
fn fallback(upstreams: &[raw::Upstream], findings: &mut Findings<'_>) -> Option<Vec<Route>> {
    match upstreams {
        [] => None,
        [_] => {
            let usual = raw::Route::default();
            Some(vec![Route {
                prefix: "/".to_owned(),
                upstream: 0,
                kind: usual.kind,
                keepalive: usual.keepalive.0,
                keepalive_before: usual.keepalive_before,
                hold: usual.hold.0,
            }])
        }
        [first, ..] => {
            let what =
                format!("is missing: there are {} upstreams to choose from", upstreams.len());
            let fix = format!("add [[route]] prefix = \"/\", upstream = \"{}\"", first.name);
            findings.fault("route", what, fix);
            None
        }
    }
}

fn upstream(
    key: &str,
    raw: &raw::Route,
    upstreams: &[raw::Upstream],
    findings: &mut Findings<'_>,
) -> Option<usize> {
    let Some(name) = &raw.upstream else {
        match upstreams {
            [] => return None,
            [_] => return Some(0),
            _ => findings.fault(key, "is missing", format!("write {}", names(upstreams))),
        }
        return None;
    };
    let at = upstreams.iter().position(|upstream| upstream.name == *name);
    if at.is_none() && !upstreams.is_empty() {
        let fix = format!("write {}, or add [[upstream]] name = {name:?}", names(upstreams));
        findings.fault(key, "no upstream has this name", fix);
    }
    at
}

/// A time in a stream; a route that is passed on as it is has none.
fn pause(
    key: &str,
    kind: Kind,
    OrOff(said): OrOff,
    findings: &mut Findings<'_>,
) -> Option<Option<Duration>> {
    let Some(said) = said else { return Some(None) };
    if kind == Kind::General {
        if findings.written.has(key) {
            let what = "is for kind \"openai\": a general route is passed on as it is";
            findings.fault(key, what, "\"off\", or drop it");
        }
        return Some(None);
    }
    if said.is_zero() {
        findings.wrong(key);
        return None;
    }
    value::grace(key, Time(said), findings).map(Some)
}

fn names(upstreams: &[raw::Upstream]) -> String {
    let names: Vec<String> = upstreams.iter().map(|one| format!("{:?}", one.name)).collect();
    names.join(" or ")
}

/// A prefix without its trailing slash.
fn prefix(key: &str, said: &str, findings: &mut Findings<'_>) -> Option<String> {
    if said.is_empty() {
        findings.missing(key);
        return None;
    }
    let dots = |segment: &str| segment == "." || segment == "..";
    let fault = if !said.starts_with('/') {
        ("does not start with \"/\"", format!("\"/{said}\""))
    } else if !said.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%\\".contains(&byte)) {
        (
            "has a character that a prefix cannot have",
            "no spaces, \"?\", \"#\", \"%\" or \"\\\"".to_owned(),
        )
    } else if said.contains("//") {
        ("has an empty segment", "one \"/\" between two names".to_owned())
    } else if said.split('/').any(dots) {
        ("has a \".\" or \"..\" segment", "the path it leads to".to_owned())
    } else {
        let prefix = said.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(said);
        if prefix != "/healthz" {
            return Some(prefix.to_owned());
        }
        ("is answered by aifd itself", "another prefix".to_owned())
    };
    findings.fault(key, fault.0, fault.1);
    None
}
