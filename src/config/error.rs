//! What is wrong with a configuration: each fault with its key, what was found, and its fix.
//!
//! Why one form: an operator reads it at three in the morning, so every line says what to write.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key, as a path: `route[1].upstream`; a place for a syntax error: `line 3, column 7`.
    pub key: String,
    /// What was written, secrets as dots; empty when nothing was.
    pub found: String,
    /// What is wrong with it.
    pub what: String,
    /// What to write instead.
    pub fix: String,
}

/// Everything that is wrong with one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// The name of the file, or of where the text came from.
    pub source: String,
    /// At least one, in the order of the file.
    pub faults: Vec<Fault>,
}

/// A left column wider than this does not push the others to the right.
const WIDEST: usize = 48;

// === impl Fault ===

impl Fault {
    fn left(&self) -> String {
        if self.found.is_empty() {
            return self.key.clone();
        }
        format!("{} = {}", self.key, self.found)
    }
}

// === impl Faults ===

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        write!(f, "{}: {count} fault{}", self.source, if count == 1 { "" } else { "s" })?;
        let width = |fault: &Fault| fault.left().chars().count();
        let column = self.faults.iter().map(width).filter(|&wide| wide <= WIDEST).max();
        let column = column.unwrap_or(0);
        for fault in &self.faults {
            write!(f, "\n  {:column$}    {}", fault.left(), fault.what)?;
            write!(f, "\n      fix: {}", fault.fix)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(key: &str, found: &str, what: &str, fix: &str) -> Fault {
        let [key, found, what, fix] = [key, found, what, fix].map(str::to_owned);
        Fault { key, found, what, fix }
    }

    #[test]
    fn the_form_is_the_one_in_the_handbook() {
        let faults = vec![
            fault(
                "route[1].upstream",
                "\"opnai\"",
                "no upstream has this name",
                "write \"openai\" or \"claude\", or add [[upstream]] name = \"opnai\"",
            ),
            fault(
                "server.workers",
                "-1",
                "is not a number of threads",
                "0 (one per core) or a number from 1",
            ),
        ];
        let text = Faults { source: "conf/aifd.toml".to_owned(), faults }.to_string();
        let expected = r#"conf/aifd.toml: 2 faults
  route[1].upstream = "opnai"    no upstream has this name
      fix: write "openai" or "claude", or add [[upstream]] name = "opnai"
  server.workers = -1            is not a number of threads
      fix: 0 (one per core) or a number from 1"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn one_long_line_does_not_push_the_others() {
        let long = fault(&"k".repeat(60), "", "is missing", "write it");
        let short = fault("key", "1", "is wrong", "write 2");
        let text = Faults { source: "a".to_owned(), faults: vec![long, short] }.to_string();
        assert!(text.contains("\n  key = 1    is wrong\n"), "{text}");
    }
}
