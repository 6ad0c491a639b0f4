//! Which folders become which file.
//!
//! Why by what is there: the versions of openai-forward wrote to different folders, and a folder
//! tells its version; no configuration is needed to find it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Failed, Options};

/// One file to write, of all files that fit its patterns.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) patterns: Vec<Pattern>,
    pub(super) target: PathBuf,
}

/// `FOLDER/*.log`, or with `jsonl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) folder: PathBuf,
    pub(super) kind: Kind,
}

/// How the lines of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As Python prints dicts: `*.log`.
    Python,
    /// As aifd writes them: `*.jsonl`.
    Jsonl,
}

/// What is to be done.
pub(super) fn plan(options: &Options) -> Result<Vec<Job>, Failed> {
    match (&options.folder, &options.target) {
        (Some(folder), target) => named(folder, target.clone()),
        (None, Some(_)) => Err(Failed::Asked(
            "--target_path says where to write, and nothing says what: add --log_folder FOLDER"
                .to_owned(),
        )),
        (None, None) => found(&options.root),
    }
}

fn named(folder: &Path, target: Option<PathBuf>) -> Result<Vec<Job>, Failed> {
    let patterns = patterns(folder, &[Kind::Python, Kind::Jsonl])?;
    if patterns.is_empty() {
        let folder = folder.display();
        return Err(Failed::Asked(format!("{folder}: no *.log or *.jsonl file is in this folder")));
    }
    // `Log/chat` has become `Log/chat.json` from the beginning.
    let target = target.unwrap_or_else(|| {
        let name = folder.file_name().map_or_else(|| "chat".into(), |name| name.to_string_lossy());
        folder.with_file_name(format!("{name}.json"))
    });
    Ok(vec![Job { patterns, target }])
}

/// The documented folders that are there, oldest form first, and their documented targets.
fn found(root: &Path) -> Result<Vec<Job>, Failed> {
    let mut jobs: BTreeMap<PathBuf, Vec<Pattern>> = BTreeMap::new();
    let mut add = |name: &str, found: Vec<Pattern>| {
        if !found.is_empty() {
            jobs.entry(root.join(format!("chat{name}.json"))).or_default().extend(found);
        }
    };
    let folder = root.join("chat");
    if folder.is_dir() {
        add("", patterns(&folder, &[Kind::Python])?);
        for name in folders(&folder)?.iter().filter(|name| name.starts_with('_')) {
            add(name, patterns(&folder.join(name), &[Kind::Python])?);
        }
    }
    if root.is_dir() {
        for name in folders(root)? {
            let folder = root.join(&name).join("chat");
            if folder.is_dir() {
                add(&format!("_{name}"), patterns(&folder, &[Kind::Python])?);
            }
        }
        add("", patterns(root, &[Kind::Jsonl])?);
    }
    if jobs.is_empty() {
        let root = root.display();
        return Err(Failed::Asked(format!(
            "no chat log is in {root}: looked for {root}/*/chat/*.log, {root}/chat/*.log, \
            {root}/chat/_*/*.log and {root}/*.jsonl; name another folder with --log_folder FOLDER"
        )));
    }
    Ok(jobs.into_iter().map(|(target, patterns)| Job { patterns, target }).collect())
}

/// Those patterns that any file fits.
fn patterns(folder: &Path, kinds: &[Kind]) -> io::Result<Vec<Pattern>> {
    let mut patterns = Vec::new();
    for &kind in kinds {
        let pattern = Pattern { folder: folder.to_owned(), kind };
        if !pattern.files()?.is_empty() {
            patterns.push(pattern);
        }
    }
    Ok(patterns)
}

/// The names of the folders in a folder, sorted.
fn folders(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in list(folder)? {
        if entry.path().is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}

fn list(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
    fs::read_dir(folder).map_err(named)?.map(|entry| entry.map_err(named)).collect()
}

// === impl Job ===

impl Job {
    /// What is converted, for people.
    pub(super) fn sources(&self) -> String {
        let shown = |it: &Pattern| format!("{}/*.{}", it.folder.display(), it.kind.ending());
        self.patterns.iter().map(shown).collect::<Vec<_>>().join(" and ")
    }
}

// === impl Pattern ===

impl Pattern {
    /// The files that fit, oldest first: a rotated file has its time in its name, and digits sort
    /// before the `log` of the one that grows.
    pub(super) fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files: Vec<PathBuf> = list(&self.folder)?
            .iter()
            .map(fs::DirEntry::path)
            .filter(|path| {
                path.extension().is_some_and(|found| found == self.kind.ending()) && path.is_file()
            })
            .collect();
        files.sort();
        Ok(files)
    }
}

// === impl Kind ===

impl Kind {
    fn ending(self) -> &'static str {
        match self {
            Self::Python => "log",
            Self::Jsonl => "jsonl",
        }
    }
}
