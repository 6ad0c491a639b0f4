//! The log as openai-forward writes it: dicts as Python prints them, one line of what was asked and
//! one of what came of it, in a folder for each prefix.
//!
//! Why to the letter: people's scripts read these files, with `ast.literal_eval` and by their names.
//! The form is that of 0.6.6 and later.
//! The trap: both lines are written when the call ends, and next to each other. A call without a
//! whole answer has the first line only; one whose request cannot be read has none.

use std::io;
use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::api::Api;
use super::capture::Kept;
use super::files::{Files, Place};
use super::first::{self, value};
use super::names::Names;
use super::record::Record;
use super::writer::{Form, Sink};
use crate::config;
use crate::pyrepr::{self, Value};
use crate::wire::fields::members;

mod fields;

use self::fields::Facts;

/// The folders of the log.
pub(super) struct Python {
    dir: PathBuf,
    rotate: u64,
    keep: u64,
    zone: TimeZone,
    /// What a call without `caching` means.
    caching: bool,
    folders: Vec<Folder>,
    line: String,
}

/// What one prefix, or several that look alike, has.
struct Folder {
    name: String,
    /// By [`Api`].
    files: [Files; 4],
}

// === impl Python ===

impl Python {
    /// Opens the files of the chats, so that what cannot be written is known at once. The others
    /// are made when there is something to write.
    pub(super) fn open(conf: &config::ChatLog, zone: TimeZone) -> io::Result<Self> {
        let mut log = Self::new(conf, zone);
        for prefix in &conf.prefixes {
            let folder = log.folder(prefix);
            let place = log.place(&log.folders[folder].name, Api::Chat);
            log.folders[folder].files[Api::Chat as usize] = Files::open(place)?;
        }
        Ok(log)
    }

    fn new(conf: &config::ChatLog, zone: TimeZone) -> Self {
        Self {
            dir: conf.dir.clone(),
            rotate: conf.rotate,
            keep: conf.keep,
            zone,
            caching: conf.caching,
            folders: Vec::new(),
            line: String::new(),
        }
    }

    fn folder(&mut self, prefix: &str) -> usize {
        let name = folder_name(prefix);
        if let Some(at) = self.folders.iter().position(|folder| folder.name == name) {
            return at;
        }
        let files = Api::ALL.map(|api| Files::at(self.place(&name, api)));
        self.folders.push(Folder { name, files });
        self.folders.len() - 1
    }

    fn place(&self, folder: &str, api: Api) -> Place {
        let (name, rotate) = match api {
            Api::Chat => ("chat", self.rotate),
            Api::Completion => ("completion", self.rotate),
            // As 100 MB and 30 MB are to 50 MB.
            Api::Embedding => ("embedding", self.rotate.saturating_mul(2)),
            Api::Audio => ("whisper", self.rotate / 5 * 3),
        };
        Place {
            dir: self.dir.join(folder).join(name),
            names: Names::python(name, self.zone.clone()),
            rotate,
            keep: self.keep,
        }
    }

    /// What was asked; `None` when it lacks what makes it such a call.
    fn request(&self, record: &Record, api: Api) -> Option<Value> {
        let body = str::from_utf8(record.body.as_deref()?).ok()?;
        let facts = Facts {
            ip: record.call.client.map_or_else(String::new, |client| client.to_string()),
            uid: record.uid(),
            caching: self.caching,
            datetime: record.call.time.to_zoned(self.zone.clone()),
        };
        match api {
            Api::Chat => facts.of(body, &fields::CHAT),
            Api::Completion => facts.of(body, &fields::COMPLETION),
            Api::Embedding => facts.of(body, &fields::EMBEDDING),
            Api::Audio => None,
        }
    }

    fn add(&mut self, line: &Value, lines: &mut Vec<u8>) {
        self.line.clear();
        pyrepr::write(line, &mut self.line);
        self.line.push('\n');
        lines.extend_from_slice(self.line.as_bytes());
        self.line.shrink_to(LINE);
    }
}

/// This much of the buffer of a line is kept, bytes.
const LINE: usize = 64 * 1024;

/// A prefix as a folder: `/` is `_`, and the root is called `openai`.
fn folder_name(prefix: &str) -> String {
    let name = prefix.replace('/', "_");
    let name = name.trim_matches('_');
    if name.is_empty() { "openai".to_owned() } else { name.to_owned() }
}

impl Form for Python {
    fn file(&mut self, record: &Record) -> usize {
        let api = record.api.unwrap_or(Api::Chat);
        self.folder(&record.call.route) * Api::ALL.len() + api as usize
    }

    fn write(&mut self, record: Record, lines: &mut Vec<u8>) {
        let Some(api) = record.api else { return };
        let kept = record.capture.kept().filter(|_| record.succeeded());
        if api == Api::Audio {
            // The text as it came.
            if let Some(Kept::Body(text)) = kept.filter(|_| record.capture.has_bytes()) {
                lines.extend_from_slice(text.as_bytes());
                lines.push(b'\n');
            }
            return;
        }
        let Some(request) = self.request(&record, api) else { return };
        self.add(&request, lines);
        let result = kept.and_then(|kept| result(kept, api));
        if let Some(Value::Dict(mut members)) = result {
            members.push(("uid".into(), record.uid().into()));
            self.add(&Value::Dict(members), lines);
        }
    }

    fn sink(&mut self, file: usize) -> &mut dyn Sink {
        let count = Api::ALL.len();
        &mut self.folders[file / count].files[file % count]
    }
}

/// What came of it, without the uid.
fn result(kept: Kept<'_>, api: Api) -> Option<Value> {
    let members: Vec<(&str, Value)> = match api {
        Api::Chat => {
            let first = first::of_chat(kept)?;
            vec![("assistant", first.said), ("is_tool_calls", Value::Bool(first.is_calls))]
        }
        Api::Completion => vec![("text", first::of_completion(kept)?)],
        Api::Embedding => {
            let Kept::Body(body) = kept else { return None };
            let names = ["object", "usage", "model"];
            let found = members(body, &names)?.into_iter().collect::<Option<Vec<_>>>()?;
            let values = found.into_iter().map(value).collect::<Option<Vec<_>>>()?;
            names.into_iter().zip(values).collect()
        }
        Api::Audio => return None,
    };
    Some(Value::Dict(members.into_iter().map(|(name, value)| (name.into(), value)).collect()))
}
