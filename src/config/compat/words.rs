//! A variable as what it must be: a flag, a list, a number, JSON.
//!
//! Why here: each says the same of a value that it cannot read, and names where it stands.

use super::source::{Given, Said, Source};
use super::tree::Tree;
use crate::config::findings::Findings;
use crate::config::rate::{Rate, RatesOrInf};
use crate::config::written::join;
use crate::secret::DOTS;

/// Reads variables, and tells of what it cannot read.
pub(super) struct Words<'s, 'f, 'e> {
    pub(super) source: &'s Source,
    pub(super) findings: &'f mut Findings<'e>,
}

const LIMIT: &str = "a limit like \"100/2minutes\" or \"60/minute;600/hour\", or \"inf\"";

// === impl Words ===

impl<'s> Words<'s, '_, '_> {
    pub(super) fn get(&self, name: &str) -> Option<&'s Given> {
        self.source.get(name)
    }

    /// Where a variable stands; its own name when it stands nowhere.
    pub(super) fn label(&self, name: &str) -> String {
        self.get(name).map_or_else(|| name.to_owned(), |given| given.label.clone())
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        let given = self.get(name)?;
        let text = match &given.said {
            Said::Text(text) => Some(text.clone()),
            Said::Tree(tree) => tree.scalar(),
        };
        if text.is_none() {
            self.findings.fault(&given.label, "is not a text", "a text on one line");
        }
        text.filter(|text| !text.is_empty())
    }

    /// `true`, and all else is false; what is not `false` either is told.
    pub(super) fn flag(&mut self, name: &str, usual: bool) -> bool {
        let Some(text) = self.text(name) else { return usual };
        let yaml = self.source.yaml;
        match text.to_ascii_lowercase().as_str() {
            "true" => true,
            "yes" | "on" | "y" if yaml => true,
            "false" => false,
            "no" | "off" | "n" if yaml => false,
            _ => {
                let label = self.label(name);
                let text =
                    format!("{label}: {text:?} counts as false; write \"true\" or \"false\"");
                self.findings.notice(text);
                false
            }
        }
    }

    /// Texts with commas between them (blanks, if there is no comma), or a list.
    pub(super) fn list(&mut self, name: &str) -> Vec<String> {
        let Some(given) = self.get(name) else { return Vec::new() };
        let parts = |text: &str| -> Vec<String> {
            // The first versions had blanks between keys; with commas a part may have blanks in it.
            let comma = text.contains(',');
            let between = |letter: char| if comma { letter == ',' } else { letter.is_whitespace() };
            let parts = text.split(between).map(str::trim);
            parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        match &given.said {
            Said::Text(text) if text.starts_with('[') => match self.tree(name) {
                Some(tree) => self.items(&given.label, &tree),
                None => Vec::new(),
            },
            Said::Text(text) => parts(text),
            Said::Tree(tree @ Tree::List(_)) => self.items(&given.label, tree),
            Said::Tree(tree @ Tree::Map(_)) => self.items(&given.label, tree),
            Said::Tree(tree) => tree.scalar().map_or_else(Vec::new, |text| parts(&text)),
        }
    }

    /// The texts of a list.
    pub(super) fn items(&mut self, label: &str, tree: &Tree) -> Vec<String> {
        let items = match tree {
            Tree::List(items) => items.iter().map(Tree::scalar).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        if items.is_none() {
            self.findings.fault(label, "is not a list of texts", "a list like [\"one\", \"two\"]");
        }
        items.unwrap_or_default()
    }

    /// JSON, or what the YAML file says.
    pub(super) fn tree(&mut self, name: &str) -> Option<Tree> {
        let given = self.get(name)?;
        match &given.said {
            Said::Tree(tree) => Some(tree.clone()),
            Said::Text(text) => match Tree::json(text) {
                Ok(tree) => Some(tree),
                Err(error) => {
                    // Its own words may quote a key.
                    let (line, column) = (error.line(), error.column());
                    let what = format!("is not JSON at line {line}, column {column}");
                    let fix = "JSON, in single quotes if it stands in .env over several lines";
                    self.findings.fault(&given.label, what, fix);
                    None
                }
            },
        }
    }

    /// A map, `{...}`.
    pub(super) fn map(&mut self, name: &str, fix: &str) -> Vec<(String, Tree)> {
        let Some(tree) = self.tree(name) else { return Vec::new() };
        match tree {
            Tree::Map(members) => members,
            _ => {
                let label = self.label(name);
                self.findings.fault(&label, "is not a map of names to values", fix);
                Vec::new()
            }
        }
    }

    /// A limit inside a value; `None` when it is none, and that is told.
    pub(super) fn rates(&mut self, label: &str, member: &str, text: &str) -> Option<Vec<Rate>> {
        // All that begins with it was no limit.
        let text = if text.trim().starts_with("inf") { "inf" } else { text };
        let rates = RatesOrInf::try_from(text.to_owned()).ok().map(|RatesOrInf(rates)| rates);
        if rates.is_none() {
            let key = if member.is_empty() { label.to_owned() } else { join(label, member) };
            self.findings.fault_in(&key, &format!("{text:?}"), "is not a limit", LIMIT);
        }
        rates
    }

    /// Tells of a member of a value that is not what it must be; secrets have no name here.
    pub(super) fn wrong(&mut self, label: &str, member: &str, what: &str, fix: &str) {
        let key = if member.is_empty() { label.to_owned() } else { join(label, member) };
        self.findings.fault_in(&key, "", what, fix);
    }

    /// The same of a member whose name is a secret.
    pub(super) fn wrong_secret(&mut self, label: &str, what: &str, fix: &str) {
        self.findings.fault_in(label, DOTS, what, fix);
    }
}
