//! Counts what `edge/mod.rs` holds: one screen of hooks, each a call or two of a named stage.
//!
//! Why so strict: the fat hook is how a proxy's phases grow into each other.

use super::blank::blank;

const SCREEN: usize = 150;
const HOOK: usize = 5;

/// All that is too long; comments do not count in a hook's body.
pub(super) fn faults(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > SCREEN {
        found.push(format!("{path} has {lines} lines: one screen of hooks is {SCREEN}"));
    }
    let hooks = bodies(&blank(text));
    if hooks.is_empty() {
        found.push(format!("{path} holds no hook: where is impl ProxyHttp?"));
    }
    for (name, lines) in hooks.into_iter().filter(|(_, lines)| *lines > HOOK) {
        found.push(format!("{path}: {name} has {lines} lines; a hook has {HOOK}, call a stage"));
    }
    found
}

/// Each hook and the lines of its body.
fn bodies(code: &str) -> Vec<(String, usize)> {
    let Some(at) = code.find("impl ProxyHttp for") else {
        return Vec::new();
    };
    let (mut rest, _) = braces(&code[at..]);
    let mut found = Vec::new();
    while let Some(at) = rest.find("fn ") {
        let name = rest[at + 3..].split(|c: char| !c.is_alphanumeric() && c != '_').next();
        let (body, after) = braces(&rest[at..]);
        let lines = body.lines().filter(|line| !line.trim().is_empty()).count();
        found.push((name.unwrap_or_default().to_owned(), lines));
        rest = after;
    }
    found
}

/// What stands in the first pair of braces, and what follows it.
fn braces(code: &str) -> (&str, &str) {
    let open = code.find('{').map_or(code.len(), |at| at + 1);
    let mut depth = 1;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (&code[open..open + at], &code[open + at + 1..]);
        }
    }
    (&code[open..], "")
}
