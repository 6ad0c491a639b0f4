//! A [`Forward`] in aifd's own configuration, under the same rules as a file.
//!
//! Why through `Raw`: what a TOML file may not say, no variable may say either, and `aifd config`
//! writes it down. Each path of the configuration remembers the variable that it came from, and
//! faults are told with that.
//! The trap: secrets go in as `env:NAME` of variables that only this reading knows, so that they
//! are never in a text that could be shown.

use std::collections::HashMap;

use super::forward::{Forward, UpstreamKey};
use super::origins::Origins;
use super::source::Source;
use crate::config::error::Faults;
use crate::config::findings::{Env, Findings};
use crate::config::human::{Size, SizeOrAll};
use crate::config::rate::{One, RatesOrInf};
use crate::config::raw::{self, Raw};
use crate::config::written::Written;
use crate::config::{Config, CountBy, Format, Refusals, UnknownKeys, check};
use crate::secret::Secret;

mod cache;
mod upstreams;

/// Who stands before openai-forward and says where a request came from: it believed everybody,
/// this believes what is on the same machine or network.
const NEAR: [&str; 6] =
    ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"];

/// The configuration, or its faults by variable.
pub(super) fn config(forward: &Forward, source: &Source, env: Env<'_>) -> Result<Config, Faults> {
    let mut place = Place::new(source);
    let raw = place.raw(forward);
    let Place { origins, secrets } = place;
    let lookup = |name: &str| secrets.get(name).cloned().or_else(|| env(name));
    let mut findings = Findings::new(Written::of(origins.places()), &lookup);
    let config = check::check(&raw, &mut findings);
    match findings.conclude(config, &source.name) {
        Ok(mut config) => {
            // `unserved` says the same in the words of the environment.
            config.notices.retain(|notice| !notice.starts_with("cache.default: "));
            for notice in &mut config.notices {
                if let Some((path, rest)) = notice.split_once(": ") {
                    *notice = format!("{}: {rest}", origins.name(path));
                }
            }
            Ok(config)
        }
        Err(mut faults) => {
            for fault in &mut faults.faults {
                if fault.found.is_empty() {
                    fault.found = origins.shown(&fault.key);
                }
                fault.key = origins.name(&fault.key);
            }
            // One variable may be in several places.
            let all = std::mem::take(&mut faults.faults);
            for fault in all {
                if !faults.faults.contains(&fault) {
                    faults.faults.push(fault);
                }
            }
            Err(faults)
        }
    }
}

/// Where openai-forward looked at the model, whatever prefix a path has: only if there are levels.
fn model_paths(forward: &Forward) -> Vec<String> {
    if forward.level_models.is_empty() {
        return Vec::new();
    }
    let paths = &forward.paths;
    let usual = [&paths.chat, &paths.completion, &paths.embedding];
    let mut ends: Vec<String> = Vec::new();
    for path in usual.into_iter().chain(&paths.custom_general) {
        // With or without the version, so that no base URL with a version in it is a way around.
        let path = path.trim_end_matches('/');
        let end = path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        let end = if end.starts_with('/') { end.to_owned() } else { format!("/{end}") };
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    ends
}

struct Place<'s> {
    origins: Origins<'s>,
    /// What the variables hold that only this reading knows.
    secrets: HashMap<String, String>,
}

// === impl Place ===

impl<'s> Place<'s> {
    fn new(source: &'s Source) -> Self {
        Self { origins: Origins::new(source), secrets: HashMap::new() }
    }

    /// Puts a secret away, and gives what the configuration says in its place.
    fn put(&mut self, name: String, secret: &Secret) -> String {
        let said = format!("env:{name}");
        self.secrets.insert(name, secret.expose().to_owned());
        said
    }

    fn raw(&mut self, forward: &Forward) -> Raw {
        let (upstream, route) = self.targets(forward);
        self.origins.add("access.allow_ips", &["IP_WHITELIST"]);
        self.origins.add("access.deny_ips", &["IP_BLACKLIST"]);
        Raw {
            server: self.server(forward),
            // Several of them run on one machine, and this port is the same for all.
            admin: raw::Admin { listen: "off".to_owned(), token: None },
            access: raw::Access {
                unknown_keys: if forward.no_auth { UnknownKeys::Lend } else { UnknownKeys::Pass },
                model_paths: model_paths(forward),
                allow_ips: forward.allow_ips.clone(),
                deny_ips: forward.deny_ips.clone(),
            },
            upstream,
            route,
            limits: self.limits(forward),
            level: self.levels(forward),
            key: self.keys(forward),
            cache: self.cache(forward),
            chat_log: self.chat_log(forward),
        }
    }

    /// As openai-forward writes it, which never deletes a file.
    fn chat_log(&mut self, forward: &Forward) -> raw::ChatLog {
        let paths = &forward.paths;
        for (key, name) in [
            ("chat", "CHAT_COMPLETION_ROUTE"),
            ("completion", "COMPLETION_ROUTE"),
            ("embedding", "EMBEDDING_ROUTE"),
            ("timezone", "TZ"),
        ] {
            self.origins.add(format!("chat_log.{key}"), &[name]);
        }
        raw::ChatLog {
            on: forward.log_chat,
            format: Format::Python,
            print: forward.print_chat,
            chat: paths.chat.clone(),
            completion: paths.completion.clone(),
            embedding: paths.embedding.clone(),
            timezone: forward.zone.clone(),
            rotate: Size(50_000_000),
            keep: SizeOrAll::ALL,
            ..Default::default()
        }
    }

    fn server(&mut self, forward: &Forward) -> raw::Server {
        self.origins.add("server.tls.cert", &["ssl_certfile"]);
        self.origins.add("server.tls.key", &["ssl_keyfile"]);
        let tls = forward.tls.clone().map(|(cert, key)| raw::Tls { cert, key });
        let trusted_proxies = NEAR.map(str::to_owned).to_vec();
        raw::Server {
            trusted_proxies,
            tls,
            merge_slashes: true,
            cors: vec!["*".to_owned()],
            refusals: Refusals::OpenaiForward,
            benchmark: forward.benchmark,
            ..Default::default()
        }
    }

    fn upstream_keys(&mut self, forward: &Forward) -> Vec<raw::UpstreamKey> {
        let secrets: Vec<&Secret> = forward.upstream_keys.iter().map(|key| &key.secret).collect();
        let names = self.names("OPENAI_API_KEY", &secrets);
        let keys = forward.upstream_keys.iter().zip(names);
        let key = |(key, secret): (&UpstreamKey, String)| match &key.levels[..] {
            // Nobody has a level where nobody has a key.
            [..] if forward.no_auth => raw::UpstreamKey::ForAll(secret),
            [] => raw::UpstreamKey::ForAll(secret),
            levels => {
                let levels = levels.to_vec();
                raw::UpstreamKey::ForLevels(raw::ForLevels { secret, levels })
            }
        };
        keys.map(key).collect()
    }

    fn keys(&mut self, forward: &Forward) -> Vec<raw::Key> {
        let secrets: Vec<&Secret> = forward.forward_keys.iter().map(|key| &key.secret).collect();
        let names = self.names("FORWARD_KEY", &secrets);
        let mut keys = Vec::new();
        for (at, (key, secret)) in forward.forward_keys.iter().zip(names).enumerate() {
            self.origins.add_key(format!("key[{at}]"), at, &["FORWARD_KEY_CONFIG", "FORWARD_KEY"]);
            let name = format!("forward-{}", at + 1);
            let cache_group = Self::cache_group(forward);
            keys.push(raw::Key {
                name,
                secret,
                level: key.level,
                cache_group,
                ..Default::default()
            });
        }
        keys
    }

    /// What the configuration says in place of secrets: `env:NAME`, with numbers if they are several.
    fn names(&mut self, name: &str, secrets: &[&Secret]) -> Vec<String> {
        let numbered = secrets.iter().enumerate().map(|(at, secret)| match secrets.len() {
            1 => (name.to_owned(), secret),
            _ => (format!("{name}_{}", at + 1), secret),
        });
        numbered.map(|(name, secret)| self.put(name, secret)).collect()
    }

    fn levels(&mut self, forward: &Forward) -> Vec<raw::Level> {
        let mut levels = Vec::new();
        for (at, (level, models)) in forward.level_models.iter().enumerate() {
            for part in ["level", "models"] {
                self.origins.add(format!("level[{at}].{part}"), &["LEVEL_MODELS"]);
            }
            levels.push(raw::Level { level: *level, models: models.clone() });
        }
        levels
    }

    fn limits(&mut self, forward: &Forward) -> raw::Limits {
        let said = &forward.limits;
        self.origins.add("limits.store", &["REQ_RATE_LIMIT_BACKEND"]);
        self.origins.add("limits.global", &["GLOBAL_RATE_LIMIT"]);
        let store = said.store.as_ref();
        let store = store.map(|url| self.put("REQ_RATE_LIMIT_BACKEND".to_owned(), url));
        let mut rules = Vec::new();
        for (at, rule) in said.rules.iter().enumerate() {
            let names: &[&str] = match &rule.requests {
                Some(_) => &["REQ_RATE_LIMIT", "ROUTE_RATE_LIMIT"],
                None => &["TOKEN_RATE_LIMIT"],
            };
            self.origins.add(format!("limits.rule[{at}]"), names);
            rules.push(raw::Rule {
                path: rule.path.clone(),
                level: rule.level,
                requests: rule.requests.clone().map(RatesOrInf),
                pace: rule.pace.map(One),
                pace_burst: None,
            });
        }
        raw::Limits {
            strategy: said.strategy,
            store: store.unwrap_or_else(|| "memory".to_owned()),
            by: if said.by_key { CountBy::Key } else { CountBy::Ip },
            global: Some(RatesOrInf(said.global.clone())),
            rule: rules,
            ..Default::default()
        }
    }
}
