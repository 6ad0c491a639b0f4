//! The way in: a file or a text becomes a [`Config`], or all its [`Faults`].

use std::path::Path;

use super::error::{Fault, Faults};
use super::findings::Findings;
use super::{Config, check, read};

/// Reads and checks a file.
///
/// # Errors
/// Every fault of the file; that it cannot be read is one, too.
pub fn load(path: &Path) -> Result<Config, Faults> {
    let source = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, &source),
        Err(error) => {
            let fault = Fault {
                key: "the file".to_owned(),
                found: String::new(),
                what: format!("cannot be read: {error}"),
                fix: "name a TOML file that this user may read; conf/minimal.toml is a start"
                    .to_owned(),
            };
            Err(Faults { source, faults: vec![fault] })
        }
    }
}

/// Checks a text; `source` is its name in messages.
///
/// # Errors
/// Every fault of the text.
pub fn parse(text: &str, source: &str) -> Result<Config, Faults> {
    parse_with(text, source, &|name| std::env::var(name).ok())
}

/// Like [`parse`], with another environment for `env:NAME`.
///
/// # Errors
/// Every fault of the text.
pub fn parse_with(
    text: &str,
    source: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Faults> {
    let (table, written) = read::syntax(text)
        .map_err(|fault| Faults { source: source.to_owned(), faults: vec![fault] })?;
    let mut findings = Findings::new(written, env);
    let raw = read::mirror(table, &mut findings);
    let config = check::check(&raw, &mut findings);
    findings.conclude(config, source)
}
