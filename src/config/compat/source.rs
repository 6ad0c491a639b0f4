//! What was said, by variable, wherever it was said: in the environment, the `.env`, the YAML file.
//!
//! Why one form: the three surfaces say the same things, so one reading serves them all.
//! The trap: secrets pass here; what a fault may show is decided before anything can go wrong.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::dotenv::{self, Unread};
use super::known::{self, KNOWN, Shows, Tells};
use super::tree::Tree;
use crate::config::error::{Fault, Faults};
use crate::config::findings::Env;
use crate::config::written::{cut, mask_any};
use crate::secret::DOTS;

/// The YAML file of 0.8.2.
const YAML: &str = "openai-forward-config.yaml";

/// Everything that was said.
pub(super) struct Source {
    /// What it is called in messages.
    pub(super) name: String,
    /// Whether it is the YAML file.
    pub(super) yaml: bool,
    pub(super) given: Vec<Given>,
    /// Lines of the `.env` that are no variables.
    pub(super) unread: Vec<Unread>,
    /// Keys of the YAML file that nobody knows.
    pub(super) unknown: Vec<String>,
}

/// One variable that has a value.
pub(super) struct Given {
    /// The variable.
    pub(super) name: &'static str,
    /// Where it stands, as a message names it: the variable, or the path in the YAML file.
    pub(super) label: String,
    pub(super) said: Said,
}

pub(super) enum Said {
    Text(String),
    Tree(Tree),
}

/// Finds what a folder and an environment say, if they say anything in openai-forward's words.
pub(super) fn find(folder: &Path, env: Env<'_>) -> Option<Result<Source, Faults>> {
    match (yaml(folder), variables(folder, env)) {
        (Err(faults), _) | (Ok(None), Err(faults)) => Some(Err(faults)),
        (Ok(None), Ok(variables)) => variables.map(Ok),
        (Ok(Some(mut source)), variables) => {
            // What the file has no words for is in the environment still.
            let beside = ["ssl_keyfile", "ssl_certfile", "TZ"];
            let others = variables.ok().flatten().map_or_else(Vec::new, |it| it.given);
            source.given.extend(others.into_iter().filter(|it| beside.contains(&it.name)));
            Some(Ok(source))
        }
    }
}

fn variables(folder: &Path, env: Env<'_>) -> Result<Option<Source>, Faults> {
    let text = read(folder, ".env")?;
    let file = dotenv::read(text.as_deref().unwrap_or_default(), env);
    let mut given = Vec::new();
    let (mut in_file, mut is_there) = (false, false);
    for known in KNOWN {
        let written = file.variables.iter().rfind(|variable| variable.name == known.name);
        let written = written.and_then(|variable| variable.value.clone());
        let real = env(known.name);
        in_file |= written.is_some() && known.tells != Tells::Nothing;
        is_there |= real.is_some() && matches!(known.tells, Tells::Presence | Tells::Json);
        let Some(value) = real.or(written).filter(|value| !value.trim().is_empty()) else {
            continue;
        };
        let said = Said::Text(value.trim().to_owned());
        given.push(Given { name: known.name, label: known.name.to_owned(), said });
    }
    let name = if in_file { ".env" } else { "the environment" };
    let source = Source {
        name: name.to_owned(),
        yaml: false,
        given,
        unread: file.unread,
        unknown: Vec::new(),
    };
    Ok((in_file || is_there).then_some(source))
}

fn yaml(folder: &Path) -> Result<Option<Source>, Faults> {
    let Some(text) = read(folder, YAML)? else { return Ok(None) };
    let tree = Tree::yaml(&text).map_err(|error| {
        // The error itself may quote what stands there.
        let place = error.marker();
        broken(YAML, format!("line {}", place.line()), "is not YAML", "correct the YAML there")
    })?;
    let Tree::Map(members) = &tree else {
        let empty = tree == Tree::Null;
        let fault = || {
            broken(YAML, "the file".to_owned(), "is no map of keys", "lines like \"timeout: 10\"")
        };
        return if empty { Ok(None) } else { Err(fault()) };
    };
    let mut given = Vec::new();
    for known in KNOWN {
        let at = |path: &&&str| {
            path.split('.')
                .try_fold(&tree, |tree, name| tree.get(name))
                .is_some_and(|it| *it != Tree::Null)
        };
        if let Some(path) = known.yaml.iter().find(at) {
            let value =
                path.split('.').fold(&tree, |tree, name| tree.get(name).unwrap_or(&Tree::Null));
            given.push(Given {
                name: known.name,
                label: (*path).to_owned(),
                said: Said::Tree(value.clone()),
            });
        }
    }
    let unknown = unknown(members, "");
    Ok(Some(Source { name: YAML.to_owned(), yaml: true, given, unread: Vec::new(), unknown }))
}

/// Keys that are neither known nor lead to any.
fn unknown(members: &[(String, Tree)], inside: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in members {
        let path = format!("{inside}{name}");
        let paths = || KNOWN.iter().flat_map(|known| known.yaml);
        let deeper = format!("{path}.");
        match value {
            _ if paths().any(|known| **known == path) => {}
            Tree::Map(members) if paths().any(|known| known.starts_with(&deeper)) => {
                found.extend(unknown(members, &deeper));
            }
            // A key of the file may be a key for a host that slipped out of its place.
            _ if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => {
                found.push(path);
            }
            _ => found.push(format!("{inside}{DOTS}")),
        }
    }
    found
}

/// The text of a file; nothing when there is none.
fn read(folder: &Path, name: &str) -> Result<Option<String>, Faults> {
    let path = folder.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        // A folder of this name is somebody else's.
        Err(_) if path.is_dir() => Ok(None),
        Err(error) => {
            let what = format!("cannot be read: {error}");
            Err(broken(
                name,
                "the file".to_owned(),
                &what,
                "a text in UTF-8 that this user may read",
            ))
        }
    }
}

fn broken(source: &str, key: String, what: &str, fix: &str) -> Faults {
    let [what, fix] = [what, fix].map(str::to_owned);
    let fault = Fault { key, found: String::new(), what, fix };
    Faults { source: source.to_owned(), faults: vec![fault] }
}

// === impl Source ===

impl Source {
    pub(super) fn get(&self, name: &str) -> Option<&Given> {
        self.given.iter().find(|given| given.name == name)
    }

    /// Whether it is one of 0.7 or later.
    pub(super) fn is_json(&self) -> bool {
        let tells = |given: &Given| {
            let opens = matches!(&given.said, Said::Text(text) if text.starts_with('{'));
            let keys = matches!(given.name, "OPENAI_API_KEY" | "FORWARD_KEY");
            known::find(given.name).is_some_and(|known| known.tells == Tells::Json)
                || (keys && opens)
        };
        self.yaml || self.given.iter().any(tells)
    }
}

// === impl Given ===

impl Given {
    /// How it may be shown.
    pub(super) fn shown(&self) -> String {
        let shows = known::find(self.name).map_or(Shows::Nothing, |known| known.shows);
        match &self.said {
            _ if shows == Shows::Nothing => DOTS.to_owned(),
            Said::Text(text) if text.starts_with('{') => "{…}".to_owned(),
            Said::Text(text) if text.starts_with('[') => "[…]".to_owned(),
            Said::Text(text) if shows == Shows::NoLogin => cut(&format!("{:?}", mask_any(text))),
            Said::Text(text) => cut(&format!("{text:?}")),
            Said::Tree(Tree::List(_)) => "[…]".to_owned(),
            Said::Tree(Tree::Map(_)) => "{…}".to_owned(),
            Said::Tree(tree) => {
                let text = tree.scalar().unwrap_or_default();
                cut(&format!("{:?}", if shows == Shows::NoLogin { mask_any(&text) } else { text }))
            }
        }
    }
}
