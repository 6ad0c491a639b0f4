//! The effective configuration as TOML that can be read again, secrets hidden.
//!
//! Why through `Raw`: a key that the file knows cannot be forgotten here, the compiler asks for it.
//! The trap: a secret that was written out is shown as dots, which the reader refuses.

use std::num::NonZeroUsize;

use crate::secret::Secret;

use super::cache::{Cache, CacheStore};
use super::human::{OrOff, Size, SizeOrAll, Time};
use super::limits::{LimitRule, LimitStore, Limits, Pace};
use super::rate::{One, OneOrOff, Rate, Rates, RatesOrInf};
use super::raw::{self, Raw};
use super::{
    Admin, ChatLog, Config, Key, Listen, Retry, RetryOn, Server, Tls, Upstream, UpstreamKey,
};

/// Writes every key with its value in force.
#[must_use]
pub fn show(config: &Config) -> String {
    let raw = Raw {
        server: server(&config.server),
        admin: admin(config.admin.as_ref()),
        access: raw::Access {
            unknown_keys: config.access.unknown_keys,
            model_paths: config.access.model_paths.clone(),
            allow_ips: texts(&config.access.allow_ips),
            deny_ips: texts(&config.access.deny_ips),
        },
        upstream: config.upstreams.iter().map(upstream).collect(),
        route: config
            .routes
            .iter()
            .map(|route| raw::Route {
                prefix: route.prefix.clone(),
                upstream: Some(config.upstreams[route.upstream].name.clone()),
                kind: route.kind,
                keepalive: OrOff(route.keepalive),
                keepalive_before: route.keepalive_before,
                hold: OrOff(route.hold),
            })
            .collect(),
        limits: limits(&config.limits),
        // Each key has its models.
        level: Vec::new(),
        key: config.keys.iter().map(key).collect(),
        cache: cache(&config.cache),
        chat_log: chat_log(&config.chat_log),
    };
    toml::to_string(&raw).expect("Raw came from TOML text, so all of it can be said in TOML")
}

fn server(server: &Server) -> raw::Server {
    let tls = |tls: &Tls| raw::Tls { cert: tls.cert.clone(), key: tls.key.clone() };
    let listen = |listen| address(listen, server.tls.is_some());
    raw::Server {
        listen: server.listen.iter().map(listen).collect(),
        workers: server.workers,
        max_body: size(server.max_body),
        max_upload: Size(server.max_upload),
        body_memory: size(server.body_memory),
        body_timeout: Time(server.body_timeout),
        read_timeout: Time(server.read_timeout),
        write_timeout: Time(server.write_timeout),
        keepalive: Time(server.keepalive),
        trusted_proxies: texts(&server.trusted_proxies),
        shutdown_grace: Time(server.shutdown_grace),
        merge_slashes: server.merge_slashes,
        cors: server.cors.origins(),
        refusals: server.refusals,
        benchmark: server.benchmark,
        tls: server.tls.as_ref().map(tls),
    }
}

/// A clear-text address is bare only where bare means clear text.
fn address(listen: &Listen, tls: bool) -> String {
    match listen {
        Listen::Plain(address) if tls => format!("http://{address}"),
        Listen::Plain(address) => address.to_string(),
        Listen::Tls(address) => format!("https://{address}"),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn admin(admin: Option<&Admin>) -> raw::Admin {
    match admin {
        None => raw::Admin { listen: "off".to_owned(), token: None },
        Some(admin) => {
            raw::Admin { listen: admin.listen.to_string(), token: admin.token.as_ref().map(origin) }
        }
    }
}

fn upstream(upstream: &Upstream) -> raw::Upstream {
    let timeouts = &upstream.timeouts;
    raw::Upstream {
        name: upstream.name.clone(),
        hosts: texts(&upstream.hosts),
        keys: upstream.keys.iter().map(upstream_key).collect(),
        http: upstream.http,
        ca: upstream.ca.clone(),
        proxy: upstream.proxy.as_ref().map(|proxy| proxy.shown.clone()),
        balance: upstream.balance,
        max_in_flight: upstream.max_in_flight.map_or(0, NonZeroUsize::get),
        timeouts: raw::Timeouts {
            connect: Time(timeouts.connect),
            first_byte: Time(timeouts.first_byte),
            idle: Time(timeouts.idle),
            total: Time(timeouts.total),
        },
        keepalive: raw::Keepalive {
            idle: Time(upstream.keepalive.idle),
            max: upstream.keepalive.max,
        },
        queue: raw::Queue { size: upstream.queue.size, wait: Time(upstream.queue.wait) },
        eject: raw::Eject {
            after: upstream.eject.after,
            first: Time(upstream.eject.first),
            most: Time(upstream.eject.most),
        },
        retry: retry(&upstream.retry),
        health: upstream.health.as_ref().map(|health| raw::Health {
            path: health.path.clone(),
            every: Time(health.every),
            fall: health.fall,
            rise: health.rise,
        }),
    }
}

fn upstream_key(key: &UpstreamKey) -> raw::UpstreamKey {
    let secret = origin(&key.secret);
    match &key.levels {
        None => raw::UpstreamKey::ForAll(secret),
        Some(levels) => {
            raw::UpstreamKey::ForLevels(raw::ForLevels { secret, levels: levels.clone() })
        }
    }
}

fn retry(retry: &Retry) -> raw::Retry {
    let on = |on: &RetryOn| match on {
        RetryOn::Connect => raw::On::Word("connect".to_owned()),
        RetryOn::Reset => raw::On::Word("reset".to_owned()),
        RetryOn::Timeout => raw::On::Word("timeout".to_owned()),
        RetryOn::Status(status) => raw::On::Status(u64::from(*status)),
    };
    raw::Retry {
        attempts: retry.attempts,
        on: retry.on.iter().map(on).collect(),
        backoff: Time(retry.backoff),
    }
}

fn limits(limits: &Limits) -> raw::Limits {
    let store = match &limits.store {
        LimitStore::Memory => "memory".to_owned(),
        LimitStore::Redis(url) => origin(url),
    };
    raw::Limits {
        strategy: limits.strategy,
        store,
        on_store_error: limits.on_store_error,
        by: limits.by,
        global: Some(RatesOrInf(limits.global.clone())),
        addresses: limits.addresses,
        shield: Some(OneOrOff(limits.shield)),
        rule: limits.rules.iter().map(rule).collect(),
    }
}

fn rule(rule: &LimitRule) -> raw::Rule {
    raw::Rule {
        path: rule.path.clone(),
        level: rule.level,
        requests: rule.requests.clone().map(RatesOrInf),
        pace: rule.pace.map(|Pace { rate, .. }| One(rate)),
        pace_burst: rule.pace.map(|pace| pace.burst),
    }
}

fn key(key: &Key) -> raw::Key {
    raw::Key {
        name: key.name.clone(),
        secret: key.origin.clone(),
        level: key.level,
        models: key.models.clone(),
        requests: rates(&key.requests),
        tokens: rates(&key.tokens),
        in_flight: key.in_flight.map_or(0, NonZeroUsize::get),
        pace: key.pace.map(|pace| One(pace.rate)),
        pace_burst: key.pace.map(|pace| pace.burst),
        cache_group: key.cache_group.clone(),
    }
}

fn rates(rates: &[Rate]) -> Option<Rates> {
    (!rates.is_empty()).then(|| Rates(rates.to_vec()))
}

fn cache(cache: &Cache) -> raw::Cache {
    let store = match &cache.store {
        CacheStore::Off => "off".to_owned(),
        CacheStore::Memory => "memory".to_owned(),
        CacheStore::Lmdb(_) => "lmdb".to_owned(),
        CacheStore::Redis(url) => origin(url),
    };
    let path = match &cache.store {
        CacheStore::Lmdb(path) => path.clone(),
        _ => raw::Cache::default().path,
    };
    raw::Cache {
        store,
        routes: cache.routes.clone(),
        default: cache.default,
        ttl: OrOff(cache.ttl),
        size: Size(cache.size),
        answer: size(cache.answer),
        path,
        coalesce: cache.coalesce,
        replay: cache.replay,
    }
}

fn chat_log(log: &ChatLog) -> raw::ChatLog {
    raw::ChatLog {
        on: log.on,
        dir: log.dir.clone(),
        format: log.format,
        print: log.print,
        chat: log.paths.chat.clone(),
        completion: log.paths.completion.clone(),
        embedding: log.paths.embedding.clone(),
        timezone: log.timezone.as_ref().map(|zone| zone.name.clone()),
        rotate: Size(log.rotate),
        keep: SizeOrAll(log.keep),
        full: log.full,
        queue: size(log.queue),
        capture: size(log.capture),
    }
}

fn origin(secret: &Secret) -> String {
    secret.origin().to_owned()
}

fn size(bytes: usize) -> Size {
    Size(bytes as u64)
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
