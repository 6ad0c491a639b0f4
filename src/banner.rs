//! What is served where: printed once, when the house is open.

use std::fmt::Write;
use std::path::Path;

use aifd::config::{Config, Kind, UnknownKeys};
use aifd::server::House;

/// The banner.
pub(crate) fn text(config: &Config, house: &House, source: &Path) -> String {
    let mut text = format!("aifd {} ({})\n", env!("CARGO_PKG_VERSION"), source.display());
    line(&mut text, "listening", &house.addresses().join(", "));
    let admin = house.admin_address().map_or_else(|| "off".into(), |at| format!("http://{at}"));
    line(&mut text, "admin", &admin);
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
        line(&mut text, "route", &to);
    }
    let others = match config.access.unknown_keys {
        UnknownKeys::Refuse => "others refused",
        UnknownKeys::Pass => "others passed on",
        UnknownKeys::Lend => "all others lent one",
    };
    line(&mut text, "keys", &format!("{}, {others}", config.keys.len()));
    let log = match config.chat_log.on {
        true => config.chat_log.dir.join("chat.jsonl").display().to_string(),
        false => "off".into(),
    };
    line(&mut text, "chat log", &log);
    line(&mut text, "workers", &config.server.workers.to_string());
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {name:<10} {value}");
}
