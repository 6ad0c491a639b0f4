//! Which variable each path of the configuration came from.
//!
//! Why: the rules of the configuration speak of its paths, and who wrote a variable must read that.

use super::source::Source;

pub(super) struct Origins<'s> {
    source: &'s Source,
    paths: Vec<(String, Origin)>,
}

struct Origin {
    label: String,
    shown: String,
}

// === impl Origins ===

impl<'s> Origins<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Self { source, paths: Vec::new() }
    }

    /// Remembers that a path came from the first of these variables that is there.
    pub(super) fn add(&mut self, path: impl Into<String>, names: &[&str]) {
        let given = names.iter().find_map(|name| self.source.get(name));
        let origin = match given {
            Some(given) => Origin { label: given.label.clone(), shown: given.shown() },
            None => Origin { label: names.join(" or "), shown: String::new() },
        };
        self.paths.push((path.into(), origin));
    }

    /// The same for one of several keys in a variable.
    pub(super) fn add_key(&mut self, path: String, at: usize, names: &[&str]) {
        self.add(path, names);
        if let Some((_, origin)) = self.paths.last_mut() {
            origin.label = format!("{}, key {}", origin.label, at + 1);
        }
    }

    /// Each path with how the value of its variable may be shown.
    pub(super) fn places(&self) -> impl Iterator<Item = (String, String)> {
        self.paths.iter().map(|(path, origin)| (path.clone(), origin.shown.clone()))
    }

    /// The variable of a path, or of the nearest table around it.
    pub(super) fn name(&self, path: &str) -> String {
        self.nearest(path).map_or_else(|| path.to_owned(), |origin| origin.label.clone())
    }

    /// How its value may be shown.
    pub(super) fn shown(&self, path: &str) -> String {
        self.nearest(path).map_or_else(String::new, |origin| origin.shown.clone())
    }

    fn nearest(&self, path: &str) -> Option<&Origin> {
        let within = |outer: &str| {
            let rest = path.strip_prefix(outer);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let found = self.paths.iter().filter(|(outer, _)| within(outer));
        found.max_by_key(|(outer, _)| outer.len()).map(|(_, origin)| origin)
    }
}
