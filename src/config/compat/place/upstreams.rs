//! Base URLs as upstreams, and the routes to them.
//!
//! Why so patient and so strict: openai-forward ended no answer that was slow and tried no answer
//! again, whatever its status; only broken connections.

use std::time::Duration;

use super::Place;
use crate::config::compat::forward::{Forward, Target};
use crate::config::human::Time;
use crate::config::{Kind, raw};

/// Nothing ended an answer that was slow, so what must be an end is far away.
const SLOW: Time = Time::minutes(60);
const LONGEST: Time = Time::minutes(24 * 60);

impl Place<'_> {
    /// One upstream for each base URL and kind, and the routes to them.
    pub(super) fn targets(&mut self, forward: &Forward) -> (Vec<raw::Upstream>, Vec<raw::Route>) {
        let keys = self.upstream_keys(forward);
        let mut upstreams: Vec<(&Target, raw::Upstream)> = Vec::new();
        let mut routes = Vec::new();
        for (at, target) in forward.targets.iter().enumerate() {
            let same =
                |other: &Target| (&other.base_url, other.kind) == (&target.base_url, target.kind);
            let known =
                upstreams.iter().find(|(other, _)| same(other)).map(|(_, it)| it.name.clone());
            let name = known.unwrap_or_else(|| {
                let name = unused(&target.base_url, &upstreams);
                let keys = if target.kind == Kind::Openai || forward.general_keys {
                    keys.clone()
                } else {
                    Vec::new()
                };
                let upstream = self.upstream(upstreams.len(), forward, target, keys);
                upstreams.push((target, raw::Upstream { name: name.clone(), ..upstream }));
                name
            });
            let lists = if target.kind == Kind::Openai {
                "OPENAI_ROUTE_PREFIX"
            } else {
                "EXTRA_ROUTE_PREFIX"
            };
            self.origins.add(format!("route[{at}]"), &["FORWARD_CONFIG", lists]);
            let prefix = target.prefix.clone();
            routes.push(raw::Route {
                prefix,
                upstream: Some(name),
                kind: target.kind,
                ..Default::default()
            });
        }
        (upstreams.into_iter().map(|(_, upstream)| upstream).collect(), routes)
    }

    fn upstream(
        &mut self,
        at: usize,
        forward: &Forward,
        target: &Target,
        keys: Vec<raw::UpstreamKey>,
    ) -> raw::Upstream {
        let path = format!("upstream[{at}]");
        let lists = if target.kind == Kind::Openai { "OPENAI_BASE_URL" } else { "EXTRA_BASE_URL" };
        self.origins.add(path.clone(), &["FORWARD_CONFIG", lists]);
        self.origins.add(format!("{path}.timeouts.connect"), &["TIMEOUT"]);
        self.origins.add(format!("{path}.proxy"), &["PROXY"]);
        self.origins.add(format!("{path}.keys"), &["OPENAI_API_KEY_CONFIG", "OPENAI_API_KEY"]);
        for number in 0..keys.len() {
            self.origins.add_key(
                format!("{path}.keys[{number}]"),
                number,
                &["OPENAI_API_KEY_CONFIG", "OPENAI_API_KEY"],
            );
        }
        let proxy = forward.proxy.as_ref().map(|proxy| self.put("PROXY".to_owned(), proxy));
        let word = |word: &str| raw::On::Word(word.to_owned());
        raw::Upstream {
            hosts: vec![target.base_url.clone()],
            keys,
            proxy,
            timeouts: raw::Timeouts {
                connect: Time(forward.timeout),
                first_byte: SLOW,
                idle: SLOW,
                total: LONGEST,
            },
            // An answer is an answer, whatever its status; a broken connection is tried again.
            retry: raw::Retry {
                attempts: 4,
                on: vec![word("connect"), word("reset")],
                backoff: Time(Duration::from_millis(200)),
            },
            ..Default::default()
        }
    }
}

/// A name for an upstream that no other has: its host.
fn unused(base_url: &str, upstreams: &[(&Target, raw::Upstream)]) -> String {
    let host = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let fits =
        |letter: char| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' };
    let host: String = host.trim_matches(['[', ']']).chars().map(fits).collect();
    let host = if host.is_empty() { "upstream".to_owned() } else { host };
    let taken = |name: &str| upstreams.iter().any(|(_, upstream)| upstream.name == name);
    let numbered = (2..).map(|number| format!("{host}-{number}"));
    let free = std::iter::once(host.clone()).chain(numbered).find(|name| !taken(name));
    free.unwrap_or(host)
}
