//! What the reading and the checks find on their way: faults, notices, and what was written where.
//!
//! Why one value: every rule adds to it and goes on, so all faults come out at once.

use super::error::{Fault, Faults};
use super::written::{Written, cut, join};
use super::{Config, keys};

/// The environment, as a lookup: tests bring their own.
pub(super) type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

pub(super) struct Findings<'e> {
    pub(super) written: Written,
    pub(super) env: Env<'e>,
    faults: Vec<Fault>,
    notices: Vec<String>,
    /// Keys that were meant by a misspelt one: that they are missing is no second fault.
    meant: Vec<String>,
}

impl<'e> Findings<'e> {
    pub(super) fn new(written: Written, env: Env<'e>) -> Self {
        Self { written, env, faults: Vec::new(), notices: Vec::new(), meant: Vec::new() }
    }

    /// Adds a fault, unless the same key (or the table around it) already has one.
    pub(super) fn fault(&mut self, key: &str, what: impl Into<String>, fix: impl Into<String>) {
        let meant = !self.written.has(key) && self.meant.iter().any(|meant| touches(meant, key));
        if meant || self.faults.iter().any(|fault| touches(&fault.key, key)) {
            return;
        }
        let found = self.written.shown(key);
        self.faults.push(Fault { key: key.to_owned(), found, what: what.into(), fix: fix.into() });
    }

    /// Adds the fault of a part of a value, with what was found there.
    pub(super) fn fault_in(&mut self, key: &str, found: &str, what: &str, fix: &str) {
        let fault = Fault {
            key: key.to_owned(),
            found: cut(found),
            what: what.to_owned(),
            fix: fix.to_owned(),
        };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// Adds the fault "is not what this key must be", in the words of the table of keys.
    pub(super) fn wrong(&mut self, key: &str) {
        if let Some(known) = keys::find(key) {
            self.fault(key, format!("is not {}", known.is), known.write);
        }
    }

    /// Adds the fault "is missing", in the words of the table of keys.
    pub(super) fn missing(&mut self, key: &str) {
        if let Some(known) = keys::find(key) {
            self.fault(key, "is missing", known.write);
        }
    }

    /// Adds the fault of a key that does not exist, with the one that was probably meant.
    pub(super) fn unknown(&mut self, table: &str, name: &str) {
        let key = join(table, name);
        let what = match self.written.position(&key) {
            Some((line, _)) => format!("unknown key on line {line}"),
            None => "unknown key".to_owned(),
        };
        let fix = if let Some(meant) = keys::nearest(table, name) {
            self.meant.push(join(table, meant));
            format!("did you mean \"{meant}\"?")
        } else if let Some(home) = keys::home(name) {
            format!("drop it here; \"{name}\" is a key of \"{home}\"")
        } else {
            let known: Vec<&str> = keys::inside(table).collect();
            format!("drop it; the keys here are {}", known.join(", "))
        };
        self.fault(&key, what, fix);
    }

    /// Adds a sentence that the operator should read although nothing is wrong.
    pub(super) fn notice(&mut self, text: impl Into<String>) {
        self.notices.push(text.into());
    }

    /// The configuration with its notices, or all faults in the order of the file.
    pub(super) fn conclude(self, config: Option<Config>, source: &str) -> Result<Config, Faults> {
        let (faults, notices) = self.split();
        match config {
            Some(config) if faults.is_empty() => Ok(Config { notices, ..config }),
            _ => Err(Faults { source: source.to_owned(), faults }),
        }
    }

    /// The faults in the order of the file, and the notices.
    pub(super) fn split(mut self) -> (Vec<Fault>, Vec<String>) {
        let end = (usize::MAX, 0);
        let place = |fault: &Fault| self.written.position(&fault.key).unwrap_or(end);
        self.faults.sort_by_key(place);
        (self.faults, self.notices)
    }
}

/// Whether one path is the other, or lies inside it.
fn touches(left: &str, right: &str) -> bool {
    let inside = |outer: &str, inner: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    inside(left, right) || inside(right, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_fault() {
        let mut findings = Findings::new(Written::default(), &|_| None);
        for key in ["route[1].upstream", "route[1].upstream", "route[1]", "route[10].upstream"] {
            findings.fault(key, "is wrong", "write another");
        }
        let faults = findings.conclude(None, "a").unwrap_err().faults;
        let keys: Vec<String> = faults.into_iter().map(|fault| fault.key).collect();
        assert_eq!(keys, ["route[1].upstream", "route[10].upstream"]);
    }

    #[test]
    fn what_was_meant_is_not_missing_too() {
        let mut findings = Findings::new(Written::default(), &|_| None);
        findings.unknown("key[0]", "secert");
        findings.missing("key[0].secret");
        assert_eq!(findings.conclude(None, "a").unwrap_err().faults.len(), 1);
    }
}
