//! Rules of `[server]` and `[admin]`.

use std::thread::available_parallelism;

use super::{address, secret, value};
use crate::config::findings::Findings;
use crate::config::{Admin, Cors, Listen, Server, Tls, raw};

/// More threads than this are a slip.
const MOST_WORKERS: usize = 1024;

pub(super) fn server(raw: &raw::Server, findings: &mut Findings<'_>) -> Option<Server> {
    let listen = listeners(raw, findings);
    let workers = workers(raw.workers, findings);
    let max_body = value::memory("server.max_body", raw.max_body, findings);
    let max_upload = value::size("server.max_upload", raw.max_upload, 1, findings);
    let body_memory = value::memory("server.body_memory", raw.body_memory, findings);
    let body_held = ("server.body_memory", raw.body_memory);
    value::at_least(body_held, ("server.max_body", raw.max_body), findings);
    let body_timeout = value::time("server.body_timeout", raw.body_timeout, findings);
    let read_timeout = value::time("server.read_timeout", raw.read_timeout, findings);
    let write_timeout = value::time("server.write_timeout", raw.write_timeout, findings);
    let keepalive = value::time("server.keepalive", raw.keepalive, findings);
    let trusted = address::nets("server.trusted_proxies", &raw.trusted_proxies, findings);
    let shutdown_grace = value::grace("server.shutdown_grace", raw.shutdown_grace, findings);
    let cors = cors(&raw.cors, findings);
    Some(Server {
        listen: listen?,
        workers: workers?,
        max_body: max_body?,
        max_upload: max_upload?,
        body_memory: body_memory?,
        body_timeout: body_timeout?,
        read_timeout: read_timeout?,
        write_timeout: write_timeout?,
        keepalive: keepalive?,
        trusted_proxies: trusted?,
        tls: raw.tls.as_ref().map(|tls| certificate(tls, findings)),
        shutdown_grace: shutdown_grace?,
        merge_slashes: raw.merge_slashes,
        cors: cors?,
        refusals: raw.refusals,
        benchmark: raw.benchmark,
    })
}

pub(super) fn admin(raw: &raw::Admin, findings: &mut Findings<'_>) -> Option<Option<Admin>> {
    let token = match &raw.token {
        Some(said) => secret::header("admin.token", said, findings).map(Some),
        None => Some(None),
    };
    if raw.listen == "off" {
        return token.map(|_| None);
    }
    let listen = address::socket("admin.listen", &raw.listen, findings)?;
    if raw.token.is_none() && !listen.ip().is_loopback() {
        let fix = "add token = \"env:NAME\" to [admin], or listen on \"127.0.0.1:8001\"";
        findings.fault("admin.listen", "is open to other machines without a token", fix);
    }
    Some(Some(Admin { listen, token: token? }))
}

/// Reports an admin listener that stands where a public one does.
pub(super) fn apart(server: &Server, admin: &Admin, findings: &mut Findings<'_>) {
    let own = Listen::Plain(admin.listen);
    if let Some(at) = server.listen.iter().position(|public| address::clash(public, &own)) {
        let what = format!("is {}, where server.listen[{at}] listens", admin.listen);
        findings.fault("admin.listen", what, "another port, or \"off\"");
    }
}

fn listeners(raw: &raw::Server, findings: &mut Findings<'_>) -> Option<Vec<Listen>> {
    if raw.listen.is_empty() {
        findings.fault("server.listen", "is empty", "an address like [\"0.0.0.0:8000\"]");
        return None;
    }
    let mut listeners: Vec<Listen> = Vec::with_capacity(raw.listen.len());
    for (at, said) in raw.listen.iter().enumerate() {
        let key = format!("server.listen[{at}]");
        let Some(listen) = address::listen(&key, said, raw.tls.is_some(), findings) else {
            continue;
        };
        if listeners.iter().any(|other| address::clash(other, &listen)) {
            let what = "is taken by a listener before it";
            findings.fault(&key, what, "another port, or drop one of the two");
        }
        listeners.push(listen);
    }
    if raw.tls.is_some() && !listeners.iter().any(|listen| matches!(listen, Listen::Tls(_))) {
        findings.notice("server.tls: no listener uses it");
    }
    (listeners.len() == raw.listen.len()).then_some(listeners)
}

fn cors(said: &[String], findings: &mut Findings<'_>) -> Option<Cors> {
    let whole = said.iter().enumerate().fold(true, |whole, (at, origin)| {
        let fits = origin == "*" || is_origin(origin);
        if !fits {
            let fix = "scheme and host as a browser writes them, like \"https://chat.example.com\", or \"*\"";
            findings.fault(&format!("server.cors[{at}]"), "is no origin", fix);
        }
        whole && fits
    });
    let cors = match said {
        [] => Cors::Off,
        _ if said.iter().any(|origin| origin == "*") => Cors::Any,
        _ => Cors::These(said.to_vec()),
    };
    whole.then_some(cors)
}

/// As browsers write one: in small letters, no path, no `/` at its end.
fn is_origin(text: &str) -> bool {
    let small = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
    text.split_once("://").is_some_and(|(scheme, host)| {
        let bare = !host.is_empty() && !host.contains(['/', '?', '#', '@', '*', ',']);
        !scheme.is_empty() && bare && text.bytes().all(small)
    })
}

fn workers(said: usize, findings: &mut Findings<'_>) -> Option<usize> {
    if said > MOST_WORKERS {
        let fix = format!("0 (one per core) or a number from 1 to {MOST_WORKERS}");
        findings.fault("server.workers", "is more threads than a machine can use", fix);
        return None;
    }
    match said {
        0 => Some(available_parallelism().map_or(1, usize::from)),
        _ => Some(said),
    }
}

fn certificate(raw: &raw::Tls, findings: &mut Findings<'_>) -> Tls {
    value::pem("server.tls.cert", &raw.cert, "CERTIFICATE", findings);
    value::pem("server.tls.key", &raw.key, "PRIVATE KEY", findings);
    Tls { cert: raw.cert.clone(), key: raw.key.clone() }
}
