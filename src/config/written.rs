//! What stands in the file, by path: on which line, and how it may be shown.
//!
//! Why: a fault names what was found, and serde's values remember neither place nor text.
//! The trap: secrets pass here, also in keys that are misspelt; only what is known is shown.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys;
use crate::secret::DOTS;

/// The paths of a file.
#[derive(Default)]
pub(super) struct Written(HashMap<String, Place>);

struct Place {
    position: (usize, usize),
    shown: String,
}

struct Walk<'t> {
    text: &'t str,
    places: HashMap<String, Place>,
}

/// Longest value that is shown whole, characters.
const LONGEST: usize = 60;

/// The keys whose value may begin with a login, whatever is wrong with the rest.
const LOGINS: [&str; 3] = ["upstream.proxy", "limits.store", "cache.store"];

/// The keys whose value is a secret.
const SECRETS: [&str; 4] = ["admin.token", "key.secret", "upstream.keys", "upstream.keys.secret"];

// === impl Written ===

impl Written {
    pub(super) fn new(text: &str, table: &DeTable<'_>) -> Self {
        let mut walk = Walk { text, places: HashMap::new() };
        walk.table("", table);
        Self(walk.places)
    }

    /// The paths of another source: each with how its value may be shown, in their order.
    pub(super) fn of(places: impl IntoIterator<Item = (String, String)>) -> Self {
        let place = |(at, (path, shown))| (path, Place { position: (at + 1, 1), shown });
        Self(places.into_iter().enumerate().map(place).collect())
    }

    /// Whether the file has this key.
    pub(super) fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// What was written there, secrets as dots; empty when nothing was.
    pub(super) fn shown(&self, path: &str) -> String {
        self.0.get(path).map(|place| place.shown.clone()).unwrap_or_default()
    }

    /// Line and column of a key, or of the nearest table around it.
    pub(super) fn position(&self, path: &str) -> Option<(usize, usize)> {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(place.position);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}

// === impl Walk ===

impl Walk<'_> {
    fn table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = join(path, key.get_ref());
            self.value(path, key.span().start, value.get_ref());
        }
    }

    fn value(&mut self, path: String, at: usize, value: &DeValue<'_>) {
        let place = Place { position: position(self.text, at), shown: shown(&path, value) };
        // Below an unknown key nothing is ever named, and its depth is the writer's choice.
        if keys::find(&path).is_some() {
            match value {
                DeValue::Table(table) => self.table(&path, table),
                DeValue::Array(items) => self.array(&path, items),
                _ => {}
            }
        }
        self.places.insert(path, place);
    }

    fn array(&mut self, path: &str, items: &[Spanned<DeValue<'_>>]) {
        for (index, item) in items.iter().enumerate() {
            self.value(format!("{path}[{index}]"), item.span().start, item.get_ref());
        }
    }
}

/// The path of a key inside a table.
pub(super) fn join(table: &str, key: &str) -> String {
    let bare = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    let key = match !key.is_empty() && key.chars().all(bare) {
        true => key.to_owned(),
        false => format!("{key:?}"),
    };
    if table.is_empty() { key } else { format!("{table}.{key}") }
}

/// Line and column of a byte, both from 1.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// How a value is shown: secrets as dots, long ones cut.
fn shown(path: &str, value: &DeValue<'_>) -> String {
    let Some(known) = keys::find(path) else {
        return String::new();
    };
    let text = match value {
        DeValue::String(text) if LOGINS.contains(&known.path) => format!("{:?}", mask_any(text)),
        value => whole(SECRETS.contains(&known.path), value),
    };
    cut(&text)
}

/// A text, cut where it gets too long to be shown.
pub(super) fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

fn whole(secret: bool, value: &DeValue<'_>) -> String {
    match value {
        DeValue::Table(_) => "{…}".to_owned(),
        DeValue::Array(items) => {
            let items: Vec<String> =
                items.iter().map(|item| whole(secret, item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::String(text) if secret => format!("{:?}", mask_secret(text)),
        DeValue::String(text) => format!("{:?}", mask_login(text)),
        _ if secret => DOTS.to_owned(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(time) => time.to_string(),
    }
}

/// Where a secret comes from may be shown; the secret itself may not.
fn mask_secret(text: &str) -> &str {
    let shown = match text.split_once(':') {
        Some(("env", name)) => is_variable(name),
        Some(("file", _)) => true,
        _ => text.is_empty(),
    };
    if shown { text } else { DOTS }
}

/// Whether a text can be the name of an environment variable (a pasted key cannot, mostly).
pub(super) fn is_variable(name: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    !name.is_empty() && name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// `http://user:word@host` without the user and the word.
fn mask_login(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}{DOTS}{}", &text[..scheme + 3], &text[at..])
        }
        _ => text.to_owned(),
    }
}

/// As `mask_login`, also without a scheme.
pub(super) fn mask_any(text: &str) -> String {
    let masked = mask_login(text);
    match masked.rfind('@') {
        Some(at) if masked == text => format!("{DOTS}{}", &text[at..]),
        _ => masked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[server]\nworkers = -1\n\n[[upstream]]\nname = 'a'\n[[upstream]]\n\
        hosts = ['http://me:word@h/']\nkeys = ['sk-1', 'env:KEY', 'env:sk-1', 'file:/k', 7]\n\
        temperature = 'sk-2'\n[[upstream]]\nproxy = 'me:word@h'\n";

    #[test]
    fn values_are_shown_and_secrets_are_not() {
        let table = DeTable::parse(TEXT).unwrap();
        let written = Written::new(TEXT, table.get_ref());
        for (path, shown, line) in [
            ("server.workers", "-1", Some(2)),
            ("upstream[0].name", "\"a\"", Some(5)),
            ("upstream[1].hosts[0]", "\"http://••••@h/\"", Some(7)),
            ("upstream[1].keys[0]", "\"••••\"", Some(8)),
            ("upstream[1].keys[1]", "\"env:KEY\"", Some(8)),
            ("upstream[1].keys[2]", "\"••••\"", Some(8)),
            ("upstream[1].keys[3]", "\"file:/k\"", Some(8)),
            ("upstream[1].keys[4]", "••••", Some(8)),
            ("upstream[1].temperature", "", Some(9)),
            ("upstream[2].proxy", "\"••••@h\"", Some(11)),
            ("upstream[1].name", "", Some(6)),
            ("server.max_body", "", Some(1)),
            ("admin.listen", "", None),
        ] {
            assert_eq!(written.shown(path), shown, "{path}");
            assert_eq!(written.position(path).map(|(line, _)| line), line, "{path}");
        }
    }

    #[test]
    fn positions_count_characters_from_one() {
        for (at, expected) in [(0, (1, 1)), (2, (1, 2)), (3, (2, 1)), (99, (2, 2))] {
            assert_eq!(position("é\nb", at), expected);
        }
    }
}
