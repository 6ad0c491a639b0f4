//! Rules of `[[route]]`.

use crate::config::findings::Findings;
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
        let (Some(prefix), Some(upstream)) = (prefix, upstream) else {
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
        routes.push(Route { prefix, upstream, kind: one.kind });
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
        [_] => Some(vec![Route { prefix: "/".to_owned(), upstream: 0, kind: Kind::Openai }]),
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
