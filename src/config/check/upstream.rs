//! Rules of `[[upstream]]`.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::host::host;
use super::{pool, proxy, secret, value};
use crate::config::findings::Findings;
use crate::config::human::Time;
use crate::config::{Host, Keepalive, Key, Timeouts, Upstream, UpstreamKey, raw};

pub(super) fn upstreams(
    raw: &[raw::Upstream],
    findings: &mut Findings<'_>,
) -> Option<Vec<Upstream>> {
    if raw.is_empty() {
        let fix = "add [[upstream]] name = \"gpu\", hosts = [\"http://10.0.0.11:8000\"]";
        findings.fault("upstream", "is missing: there is nowhere to send a request", fix);
    }
    let names: Vec<&str> = raw.iter().map(|one| one.name.as_str()).collect();
    value::names("upstream", &names, findings);
    let mut upstreams = Vec::with_capacity(raw.len());
    for (at, one) in raw.iter().enumerate() {
        let key = format!("upstream[{at}]");
        upstreams.extend(upstream(&key, one, findings));
    }
    (upstreams.len() == raw.len()).then_some(upstreams)
}

fn upstream(key: &str, raw: &raw::Upstream, findings: &mut Findings<'_>) -> Option<Upstream> {
    let hosts = hosts(&format!("{key}.hosts"), &raw.hosts, findings);
    let keys = keys(&format!("{key}.keys"), &raw.keys, findings);
    let timeouts = timeouts(&format!("{key}.timeouts"), &raw.timeouts, findings);
    let idle = value::time(&format!("{key}.keepalive.idle"), raw.keepalive.idle, findings);
    let total = timeouts.map(|timeouts| timeouts.total);
    let queue = pool::queue(&format!("{key}.queue"), &raw.queue, total, findings);
    let eject = pool::eject(&format!("{key}.eject"), &raw.eject, findings);
    let health = pool::health(&format!("{key}.health"), raw.health.as_ref(), findings);
    let retry = pool::retry(&format!("{key}.retry"), &raw.retry, findings);
    let proxy = proxy::proxy(&format!("{key}.proxy"), raw.proxy.as_deref(), findings);
    if let Some(path) = &raw.ca {
        value::pem(&format!("{key}.ca"), path, "CERTIFICATE", findings);
        if hosts.iter().flatten().all(|host| !host.tls) {
            findings.notice(format!("{key}.ca: no host is https, so nothing is checked with it"));
        }
    }
    Some(Upstream {
        name: raw.name.clone(),
        hosts: hosts?,
        keys: keys?,
        timeouts: timeouts?,
        http: raw.http,
        ca: raw.ca.clone(),
        keepalive: Keepalive { idle: idle?, max: raw.keepalive.max },
        balance: raw.balance,
        max_in_flight: NonZeroUsize::new(raw.max_in_flight),
        queue: queue?,
        eject: eject?,
        health: health?,
        retry: retry?,
        proxy: proxy?,
    })
}

fn hosts(key: &str, said: &[String], findings: &mut Findings<'_>) -> Option<Vec<Host>> {
    if said.is_empty() {
        findings.fault(key, "has no host", "base URLs like [\"http://10.0.0.11:8000\"]");
        return None;
    }
    let mut hosts = Vec::with_capacity(said.len());
    for (at, url) in said.iter().enumerate() {
        let key = format!("{key}[{at}]");
        match host(url) {
            Ok(host) if hosts.contains(&host) => {
                findings.fault(&key, "is the same host as one before it", "drop one of the two");
            }
            Ok(host) => hosts.push(host),
            Err((what, fix)) => findings.fault(&key, what, fix),
        }
    }
    (hosts.len() == said.len()).then_some(hosts)
}

fn keys(
    key: &str,
    said: &[raw::UpstreamKey],
    findings: &mut Findings<'_>,
) -> Option<Vec<UpstreamKey>> {
    let mut keys = Vec::with_capacity(said.len());
    for (at, said) in said.iter().enumerate() {
        keys.extend(upstream_key(&format!("{key}[{at}]"), said, findings));
    }
    (keys.len() == said.len()).then_some(keys)
}

fn upstream_key(
    key: &str,
    said: &raw::UpstreamKey,
    findings: &mut Findings<'_>,
) -> Option<UpstreamKey> {
    let raw::ForLevels { secret, levels } = match said {
        raw::UpstreamKey::ForAll(said) => {
            let secret = secret::header(key, said, findings)?;
            return Some(UpstreamKey { secret, levels: None });
        }
        raw::UpstreamKey::ForLevels(some) => some,
    };
    let secret = secret::header(&format!("{key}.secret"), secret, findings);
    if levels.is_empty() {
        let fix = "levels = [0, 1], or the secret alone, which is for all levels";
        findings.fault(&format!("{key}.levels"), "is for no level, so it is never used", fix);
        return None;
    }
    Some(UpstreamKey { secret: secret?, levels: Some(levels.clone()) })
}

/// Tells of forward keys whose level no key of an upstream is for: their calls are refused there.
pub(super) fn leveled(upstreams: &[Upstream], keys: &[Key], findings: &mut Findings<'_>) {
    for (at, upstream) in upstreams.iter().enumerate().filter(|(_, it)| !it.keys.is_empty()) {
        let mut told: Vec<u32> = Vec::new();
        for key in keys {
            let level = key.level;
            if !told.contains(&level) && !upstream.keys.iter().any(|own| own.is_for(level)) {
                told.push(level);
                findings.notice(format!(
                    "upstream[{at}].keys: none is for level {level}, so calls with keys of that \
                    level are refused here"
                ));
            }
        }
    }
}

/// A part that was not written is never longer than the whole; one that was written must not be.
fn timeouts(key: &str, raw: &raw::Timeouts, findings: &mut Findings<'_>) -> Option<Timeouts> {
    let total = value::time(&format!("{key}.total"), raw.total, findings);
    let mut part = |name: &str, said: Time| -> Option<Duration> {
        value::part(&format!("{key}.{name}"), said, total, findings)
    };
    let connect = part("connect", raw.connect);
    let first_byte = part("first_byte", raw.first_byte);
    let idle = part("idle", raw.idle);
    Some(Timeouts { connect: connect?, first_byte: first_byte?, idle: idle?, total: total? })
}
