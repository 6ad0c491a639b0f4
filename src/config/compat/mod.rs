//! The configuration of an openai-forward, of any version, as aifd's own.
//!
//! Why: who stops openai-forward and types `aifd run` in the same folder is served as before. Three
//! surfaces say the same things in other words: comma lists until 0.6, JSON from 0.7 to 0.8, and
//! the YAML file of 0.8.2; the first two in the environment or in a `.env` below it.
//!
//! ```text
//! .env ─► dotenv ─┐
//! environment ────┼─► source (by variable) ─► read ─► Forward ─► place ─► Raw ─► check ─► Config
//! YAML ───────────┘
//! ```
//!
//! The trap: nothing may be dropped in silence. What cannot be read is a fault that names its
//! variable, what is understood and not served a notice that does.

use std::path::Path;

use super::Config;
use super::error::Faults;
use super::findings::Findings;
use super::written::Written;

mod dotenv;
mod escape;
mod forward;
mod known;
mod limits;
mod origins;
mod place;
mod read;
mod secrets;
mod shown;
mod source;
mod targets;
#[cfg(test)]
mod tests;
mod tree;
mod unserved;
mod words;

pub use forward::{Cache, Forward, ForwardKey, Limits, Paths, Rule, Shown, Target, UpstreamKey};

/// What was found, in both forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where: `.env`, `the environment`, or the name of the YAML file.
    pub source: String,
    /// All that it says.
    pub forward: Forward,
    /// What of it has a place in the configuration, checked.
    pub config: Config,
}

// === impl Found ===

impl Found {
    /// What has to be set before the configuration as TOML says the same: its secrets are not in
    /// it. One line of a comment for each variable.
    #[must_use]
    pub fn to_set(&self) -> String {
        let forward = &self.forward;
        let one = |there: bool| usize::from(there);
        let mut lines = String::new();
        for (name, count) in [
            ("OPENAI_API_KEY", forward.upstream_keys.len()),
            ("FORWARD_KEY", forward.forward_keys.len()),
            ("PROXY", one(forward.proxy.is_some())),
            ("REQ_RATE_LIMIT_BACKEND", one(forward.limits.store.is_some())),
        ] {
            let source = &self.source;
            lines += &match count {
                0 => String::new(),
                1 => {
                    format!("# {name}: to be set in the environment, with its value of {source}\n")
                }
                _ => format!(
                    "# {name}_1 to {name}_{count}: to be set in the environment, with the keys of {source} in their order\n"
                ),
            };
        }
        lines
    }
}

/// Reads what the `.env` and the YAML file of a folder say, and `env` above them; nothing when
/// neither speaks openai-forward's words.
#[must_use]
pub fn find(folder: &Path, env: &dyn Fn(&str) -> Option<String>) -> Option<Result<Found, Faults>> {
    let source = match source::find(folder, env)? {
        Ok(source) => source,
        Err(faults) => return Some(Err(faults)),
    };
    let places = source.given.iter().map(|given| (given.label.clone(), given.shown()));
    let mut findings = Findings::new(Written::of(places), env);
    let forward = read::forward(&source, &mut findings);
    let (faults, mut notices) = findings.split();
    if !faults.is_empty() {
        return Some(Err(Faults { source: source.name, faults }));
    }
    Some(place::config(&forward, &source, env).map(|mut config| {
        notices.append(&mut config.notices);
        config.notices = notices;
        Found { source: source.name, forward, config }
    }))
}
