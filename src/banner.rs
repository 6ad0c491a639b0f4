//! What is served where: printed once, when the house is open.
//!
//! Why boxes before it, where openai-forward's words are the configuration: it printed them, and who
//! reads them, or has a program that does, finds them again.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::path::Path;

use aifd::config::compat::{Forward, Target};
use aifd::config::{CacheStore, Config, Kind, UnknownKeys};
use aifd::server::House;

use panel::{Panel, Row};

mod panel;

/// The banner.
pub(crate) fn text(
    config: &Config,
    house: &House,
    source: &Path,
    forward: Option<&Forward>,
) -> String {
    let mut text = forward.map_or_else(String::new, |forward| boxes(forward, config.chat_log.on));
    let _ = writeln!(text, "aifd {} ({})", env!("CARGO_PKG_VERSION"), source.display());
    line(&mut text, "listening", &house.addresses().join(", "));
    let admin = house.admin_address().map_or_else(|| "off".into(), |at| format!("http://{at}"));
    line(&mut text, "admin", &admin);
    if forward.is_none() {
        routes(&mut text, config);
    }
    let others = match config.access.unknown_keys {
        UnknownKeys::Refuse => "others refused",
        UnknownKeys::Pass => "others passed on",
        UnknownKeys::Lend => "all others lent one",
    };
    line(&mut text, "keys", &format!("{}, {others}", config.keys.len()));
    if let Some(cache) = cache(config) {
        line(&mut text, "cache", &cache);
    }
    let log = match config.chat_log.on {
        true => config.chat_log.shown(),
        false => "off".into(),
    };
    line(&mut text, "chat log", &log);
    line(&mut text, "workers", &config.server.workers.to_string());
    text
}

/// A box for each target and one for the limits, as openai-forward had them.
fn boxes(forward: &Forward, log: bool) -> String {
    let mut panels: Vec<Panel> = forward
        .targets
        .iter()
        .map(|target| Panel {
            title: "🤗 aifd is ready to serve! ",
            rows: rows(forward, target, log),
        })
        .collect();
    let limits = forward.shown.limits.iter().map(|(name, value)| Row::new(name, value)).collect();
    panels.push(Panel { title: "⏱️ Rate Limit configuration", rows: limits });
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    panel::draw(&panels, colour)
}

/// The rows of a target; those from the fifth on only where there is something to say.
fn rows(forward: &Forward, target: &Target, log: bool) -> Vec<Row> {
    let mut rows =
        vec![Row::new("base url", &target.base_url), Row::new("route prefix", &target.prefix)];
    if target.kind == Kind::General {
        rows.extend(forward.log_general.then(|| Row::new("LOG_GENERAL", "True")));
        return rows;
    }
    let (keys, forward_keys) =
        (!forward.upstream_keys.is_empty(), !forward.forward_keys.is_empty());
    rows.push(Row::new("api keys", truth(keys)));
    // Everybody may use those keys.
    rows.push(Row {
        alarm: keys && !forward_keys,
        ..Row::new("forward keys", truth(forward_keys))
    });
    let cache = &forward.cache;
    let on = |name: &str, on: bool| on.then(|| Row::new(name, "True"));
    let disk = cache.is_on() && !cache.is_memory();
    let quoted: Vec<String> = cache.routes.iter().map(|route| format!("'{route}'")).collect();
    let routes = format!("{{{}}}", quoted.join(", "));
    let log_name = if forward.shown.json { "LOG_OPENAI" } else { "log_chat" };
    let more = [
        (!quoted.is_empty()).then(|| Row::new("cache_routes", routes)),
        on("benchmark_mode", forward.benchmark),
        on(log_name, log),
        on("print_chat", forward.print_chat),
        cache.is_on().then(|| Row::new("cache_backend", &cache.backend)),
        disk.then(|| Row::new("cache_root_path_or_url", &cache.root)),
        on("default_request_caching_value", cache.is_on() && cache.default_caching),
        forward.shown.proxy.as_ref().map(|proxy| Row::new("proxy", proxy)),
    ];
    rows.extend(more.into_iter().flatten());
    rows
}

/// As Python writes it.
const fn truth(yes: bool) -> &'static str {
    if yes { "True" } else { "False" }
}

/// Where answers are kept, and how much of them; nothing when they are not.
fn cache(config: &Config) -> Option<String> {
    let place = match &config.cache.store {
        CacheStore::Off => return None,
        CacheStore::Memory => "memory".to_owned(),
        CacheStore::Lmdb(path) => format!("lmdb in {}", path.display()),
        CacheStore::Redis(url) => return Some(url.origin().to_owned()),
    };
    Some(format!("{place}, {} MiB", config.cache.size >> 20))
}

fn routes(text: &mut String, config: &Config) {
    for route in &config.routes {
        let upstream = &config.upstreams[route.upstream];
        let kind = match route.kind {
            Kind::Openai => "",
            Kind::General => " (general)",
        };
        let hosts: Vec<String> = upstream.hosts.iter().map(ToString::to_string).collect();
        let proxy = upstream.proxy.as_ref();
        let through = proxy.map_or_else(String::new, |it| format!(" through {}", it.shown));
        let hosts = hosts.join(", ");
        let to = format!("{} -> {} [{hosts}]{through}{kind}", route.prefix, upstream.name);
        line(text, "route", &to);
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {name:<10} {value}");
}
