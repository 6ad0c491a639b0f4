//! The house's own building law: who may import whom, and how much a hook may hold.
//!
//! Why a test: a wrong import looks harmless in a diff, and the one after it looks normal.
//! The trap: a path can hide (`super::super`, a glob, a room under another name), so whatever hides
//! one is refused as well.

use std::fs;
use std::path::Path;

use source::{Said, Source};

mod blank;
mod hooks;
mod samples;
mod source;

type Names = &'static [&'static str];

const GROUND: Names = &["wire", "refusal", "metrics", "secret", "drain", "clock", "link", "pyrepr"];
const CONFIG: Names = &["config"];
const ROOMS: Names =
    &["user", "limit", "route", "retry", "provider", "pace", "pool", "cache", "chatlog"];
const DOORS: Names = &["edge", "admin"];
const SERVER: Names = &["server"];
const DEMO: Names = &["demo"];
const CONSOLE: Names = &["console"];
const CONVERT: Names = &["convert"];
const MAIN: Names = &["main", "cli", "begin", "banner"];

/// A floor, the rooms on it, what they may import, and what to do instead of anything else.
const HOUSE: [(u8, Names, &[Names], &str); 9] = [
    (1, GROUND, &[], "the ground imports nothing of ours; what two floors need lives here"),
    (2, CONFIG, &[&["secret"]], "config/ imports secret alone; let the room convert"),
    (3, ROOMS, &[GROUND, CONFIG], "pass the value in from edge/"),
    (4, DOORS, &[GROUND, CONFIG, ROOMS], "let both read the same room"),
    (5, SERVER, &[GROUND, CONFIG, ROOMS, DOORS], "main.rs calls the server"),
    (6, DEMO, &[CONFIG, SERVER], "the demo sees what a user sees: server and config"),
    (6, CONSOLE, &[GROUND], "the log of the process needs no room of ours"),
    (6, CONVERT, &[GROUND], "converting runs by itself, on files: no server, no configuration"),
    (
        6,
        MAIN,
        &[GROUND, CONFIG, ROOMS, DOORS, SERVER, DEMO, CONSOLE, CONVERT],
        "nothing lies above it",
    ),
];

/// Those who may see the whole Config.
const SEES_CONFIG: Names = &["config", "server", "main", "banner", "demo"];
/// Those who may speak of Pingora.
const SPEAKS_PINGORA: Names = &["edge", "admin", "server", "cache"];
/// Names that say nothing, so that anything may go in.
const EMPTY_NAMES: Names = &["utils", "common", "types", "helpers", "core"];

#[test]
fn no_import_climbs_or_goes_sideways() {
    let files = tree();
    assert!(files.iter().any(|(path, _)| path == "src/main.rs"), "read from the wrong place");
    let files: Vec<_> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
    let found = faults(&files);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn the_hooks_are_one_screen() {
    let found = hooks::faults("src/edge/mod.rs", &read("src/edge/mod.rs"));
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// All that is wrong with these files (path and text), each fault once.
fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    for &(path, text) in files {
        found.extend(file_faults(path, text, files));
    }
    found.dedup();
    found
}

fn file_faults(path: &str, text: &str, files: &[(&str, &str)]) -> Vec<String> {
    let source = Source::read(path, text);
    let mut found = Vec::new();
    for name in source.modules.iter().filter(|name| EMPTY_NAMES.contains(&&***name)) {
        found.push(format!("{path} calls a module {name}: nobody can say what may not go in"));
    }
    let room = source.room();
    // The map of the house names every room and imports none.
    if room == "lib" {
        return found;
    }
    if floor(room).is_none() {
        found.push(format!("{path}: {room} stands on no floor; give it one in tests/it/floors.rs"));
        return found;
    }
    if source.names_pingora && !SPEAKS_PINGORA.contains(&room) {
        let who = SPEAKS_PINGORA.join(", ");
        found
            .push(format!("{path} names pingora: only {who} may; pass plain http types and Bytes"));
    }
    for said in &source.said {
        let fault =
            hidden(said).or_else(|| forbidden(room, said)).or_else(|| dialect(path, said, files));
        found.extend(fault.map(|fault| format!("{path} {fault}")));
    }
    found
}

fn floor(room: &str) -> Option<&'static (u8, Names, &'static [Names], &'static str)> {
    HOUSE.iter().find(|(_, rooms, ..)| rooms.contains(&room))
}

/// Ways to import without saying what.
fn hidden(said: &Said) -> Option<String> {
    let path = said.written.join("::");
    let renames = said.renamed && matches!(&said.resolved.as_deref(), Some([_]));
    match &said.written[..] {
        [a, b, ..] if a == "super" && b == "super" => {
            Some(format!("says {path}: no path hides behind super::super; begin at crate::"))
        }
        [a, b] if a == "super" && b == "*" && !said.in_tests => {
            Some("says use super::*: name what you use (a mod tests may)".to_owned())
        }
        [a, b] if a == "crate" && b == "*" => Some("says use crate::*: name the room".to_owned()),
        _ if renames => Some(format!("renames {path}: a room keeps its name")),
        _ => None,
    }
}

/// What a room may not import.
fn forbidden(room: &str, said: &Said) -> Option<String> {
    let shows_config = |path: &[String]| {
        path.windows(2).any(|two| two[0] == "config" && matches!(&*two[1], "Config" | "*"))
    };
    let resolved = said.resolved.as_deref().unwrap_or_default();
    if (shows_config(&said.written) || shows_config(resolved)) && !SEES_CONFIG.contains(&room) {
        return Some(
            "names config::Config: take your own section; server.rs hands it in".to_owned(),
        );
    }
    let other = resolved.first()?;
    let &(number, rooms, allowed, instead) = floor(room)?;
    if other == room || allowed.iter().any(|names| names.contains(&&**other)) {
        return None;
    }
    let law = match floor(other) {
        None => format!("{other} stands on no floor"),
        Some(_) if rooms.contains(&&**other) => {
            format!("rooms of floor {number} do not know each other; {instead}")
        }
        Some(&(higher, ..)) if higher > number => {
            format!("floor {higher} lies above floor {number}; {instead}")
        }
        Some(_) => instead.to_owned(),
    };
    Some(format!("imports {other}: {law}"))
}

/// `provider/x.rs` never imports `provider/y.rs`; `x_to_y.rs` knows both.
fn dialect(path: &str, said: &Said, files: &[(&str, &str)]) -> Option<String> {
    let file = |name: &str| format!("src/provider/{name}.rs");
    let mine = path.strip_prefix("src/provider/")?.strip_suffix(".rs")?;
    let [provider, other, ..] = said.resolved.as_deref()? else {
        return None;
    };
    let knows = mine == "mod" || mine.split("_to_").any(|end| end == other);
    let is_file = files.iter().any(|&(path, _)| path == file(other));
    (provider == "provider" && is_file && !knows).then(|| {
        format!(
            "imports provider::{other}: a dialect knows itself alone; write {mine}_to_{other}.rs"
        )
    })
}

fn read(path: &str) -> String {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&whole).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// Every source file of the house: path from the package's root, and text.
fn tree() -> Vec<(String, String)> {
    let mut folders = vec!["src".to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder));
        for entry in entries.expect("a folder just listed").flatten() {
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.ends_with(".rs") {
                let text = read(&path);
                files.push((path, text));
            }
        }
    }
    files.sort();
    files
}
