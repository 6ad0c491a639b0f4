//! Secrets: `env:NAME`, `file:PATH`, or the text itself.
//!
//! The trap: a message here must never contain the text, whatever is wrong with it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;

use crate::config::findings::Findings;
use crate::config::written::is_variable;
use crate::secret::{DOTS, Secret};

/// No secret is longer, bytes; a device or a wrong file must not be read for ever.
const LONGEST: u64 = 64 << 10;

/// A secret that goes into a header whole.
pub(super) fn header(key: &str, said: &str, findings: &mut Findings<'_>) -> Option<Secret> {
    let secret = resolve(key, said, findings)?;
    if !secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        let what = "has a space or a character that no key has";
        findings.fault(key, what, "the key alone, in one piece, without spaces or line ends");
        return None;
    }
    Some(secret)
}

/// A secret in one of its three forms, not empty.
pub(super) fn resolve(key: &str, said: &str, findings: &mut Findings<'_>) -> Option<Secret> {
    if said.contains(DOTS) {
        let what = "is a hidden secret, not a real one";
        findings.fault(key, what, "the secret itself, or \"env:NAME\" or \"file:PATH\"");
        return None;
    }
    if said.starts_with('$') {
        let what = "looks like a shell variable, which is not replaced here";
        findings.fault(key, what, "\"env:NAME\"");
        return None;
    }
    if let Some(name) = said.strip_prefix("env:") {
        return from_env(key, name, findings);
    }
    if let Some(path) = said.strip_prefix("file:") {
        return from_file(key, path, findings);
    }
    if said.is_empty() {
        findings.fault(key, "is empty", "\"env:NAME\", \"file:PATH\" or the secret itself");
        return None;
    }
    Some(Secret::new(said))
}

fn from_env(key: &str, name: &str, findings: &mut Findings<'_>) -> Option<Secret> {
    if !is_variable(name) {
        let what = "has no name of a variable after env:";
        findings.fault(key, what, "letters, digits and \"_\", like \"env:OPENAI_API_KEY\"");
        return None;
    }
    match (findings.env)(name).filter(|text| !text.is_empty()) {
        Some(text) => Some(Secret::from_origin(text, format!("env:{name}"))),
        None => {
            let what = "is not set in the environment, or empty";
            findings.fault(key, what, format!("set {name}, or write \"file:PATH\""));
            None
        }
    }
}

fn from_file(key: &str, path: &str, findings: &mut Findings<'_>) -> Option<Secret> {
    let (text, mode) = match read(path) {
        Ok(file) => file,
        Err(error) => {
            let what = format!("cannot be read: {error}");
            findings.fault(key, what, "the path of a file that this user may read");
            return None;
        }
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        findings.fault(key, "is an empty file", "put the secret into it");
        return None;
    }
    if mode & 0o004 != 0 {
        findings.notice(format!("{key}: everybody can read {path}; chmod 600 {path}"));
    }
    Some(Secret::from_origin(text, format!("file:{path}")))
}

fn read(path: &str) -> io::Result<(String, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut text = String::new();
    file.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other("it is too long to be a secret"));
    }
    Ok((text, mode))
}
