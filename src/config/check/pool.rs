//! Rules of how an upstream's hosts share the work: queue, ejection, probes, retries.

use std::time::Duration;

use http::uri::PathAndQuery;

use super::value;
use crate::config::findings::Findings;
use crate::config::human::Time;
use crate::config::{Eject, Health, Queue, Retry, RetryOn, raw};

/// More attempts than this are a loop, not a retry.
const ATTEMPTS: u32 = 20;

pub(super) fn queue(
    key: &str,
    raw: &raw::Queue,
    total: Option<Duration>,
    findings: &mut Findings<'_>,
) -> Option<Queue> {
    let wait = value::part(&format!("{key}.wait"), raw.wait, total, findings);
    Some(Queue { size: raw.size, wait: wait? })
}

pub(super) fn eject(key: &str, raw: &raw::Eject, findings: &mut Findings<'_>) -> Option<Eject> {
    let after = value::from_one(&format!("{key}.after"), raw.after, findings);
    let first = value::time(&format!("{key}.first"), raw.first, findings);
    let most = value::time(&format!("{key}.most"), raw.most, findings);
    let (after, first, most) = (after?, first?, most?);
    if most >= first {
        return Some(Eject { after, first, most });
    }
    let (first, most) = (String::from(Time(first)), String::from(Time(most)));
    if findings.written.has(&format!("{key}.most")) {
        let fix = format!("at least \"{first}\", or a shorter first");
        findings.fault(&format!("{key}.most"), format!("is shorter than first ({first})"), fix);
    } else {
        let fix = format!("at most \"{most}\", or a longer most");
        let what = format!("is longer than most ({most}, its default)");
        findings.fault(&format!("{key}.first"), what, fix);
    }
    None
}

/// `Some(None)` when there is nothing wrong with having none.
pub(super) fn health(
    key: &str,
    raw: Option<&raw::Health>,
    findings: &mut Findings<'_>,
) -> Option<Option<Health>> {
    let Some(raw) = raw else { return Some(None) };
    let path = path(&format!("{key}.path"), &raw.path, findings);
    let every = value::time(&format!("{key}.every"), raw.every, findings);
    let fall = value::from_one(&format!("{key}.fall"), raw.fall, findings);
    let rise = value::from_one(&format!("{key}.rise"), raw.rise, findings);
    Some(Some(Health { path: path?, every: every?, fall: fall?, rise: rise? }))
}

fn path(key: &str, said: &str, findings: &mut Findings<'_>) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if said.is_empty() {
        findings.missing(key);
    } else if !said.starts_with('/')
        || !said.bytes().all(fits)
        || PathAndQuery::try_from(said).is_err()
    {
        findings.wrong(key);
    } else {
        return Some(said.to_owned());
    }
    None
}

pub(super) fn retry(key: &str, raw: &raw::Retry, findings: &mut Findings<'_>) -> Option<Retry> {
    let attempts = format!("{key}.attempts");
    if !(1..=ATTEMPTS).contains(&raw.attempts) {
        findings.wrong(&attempts);
    }
    let backoff = value::grace(&format!("{key}.backoff"), raw.backoff, findings);
    let mut on = Vec::with_capacity(raw.on.len());
    for (at, said) in raw.on.iter().enumerate() {
        let key = format!("{key}.on[{at}]");
        match cause(said) {
            None => {
                let fix = "\"connect\", \"reset\", \"timeout\", or a status from 400 to 599";
                findings.fault(&key, "is nothing that is tried again", fix);
            }
            Some(cause) if on.contains(&cause) => {
                findings.fault(&key, "stands there already", "drop one of the two");
            }
            Some(cause) => on.push(cause),
        }
    }
    let whole = on.len() == raw.on.len() && (1..=ATTEMPTS).contains(&raw.attempts);
    whole.then_some(Retry { attempts: raw.attempts, on, backoff: backoff? })
}

fn cause(said: &raw::On) -> Option<RetryOn> {
    match said {
        raw::On::Word(word) => match word.as_str() {
            "connect" => Some(RetryOn::Connect),
            "reset" => Some(RetryOn::Reset),
            "timeout" => Some(RetryOn::Timeout),
            _ => None,
        },
        raw::On::Status(status) => {
            let status = u16::try_from(*status).ok();
            status.filter(|status| (400..=599).contains(status)).map(RetryOn::Status)
        }
    }
}
