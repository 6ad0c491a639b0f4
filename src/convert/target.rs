//! The file that is written: an array, item by item.
//!
//! Why beside it first: what was converted before stays whole until the new one is.
//! The trap: `/dev/stdout` is a target too, and must not be replaced by a file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::json;
use super::layout::Item;

pub(super) struct Target {
    path: PathBuf,
    /// What is written until it is whole; the file itself when it cannot be replaced.
    beside: Option<PathBuf>,
    to: BufWriter<File>,
    indent: usize,
    items: usize,
    text: String,
}

// === impl Target ===

impl Target {
    pub(super) fn create(path: &Path, indent: usize) -> io::Result<Self> {
        // A link stays a link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let special = path.metadata().is_ok_and(|there| !there.is_file());
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let part = format!(".{}.{}.part", name.unwrap_or_default(), std::process::id());
        let beside = (!special).then(|| path.with_file_name(part));
        let written = beside.as_ref().unwrap_or(&path);
        let file =
            if special { File::options().write(true).open(written) } else { File::create(written) };
        let file = file.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: cannot be written: {error}", path.display()))
        })?;
        let to = BufWriter::with_capacity(256 << 10, file);
        Ok(Self { path, beside, to, indent, items: 0, text: String::new() })
    }

    pub(super) fn item(&mut self, item: &Item) -> io::Result<()> {
        self.text.clear();
        self.text.push_str(if self.items > 0 { "," } else { "[" });
        json::line(self.indent, &mut self.text);
        json::item(item, self.indent, &mut self.text);
        self.items += 1;
        self.to.write_all(self.text.as_bytes())
    }

    /// Ends the array and puts the file in its place; how many items it has.
    pub(super) fn finish(mut self) -> io::Result<usize> {
        self.to.write_all(if self.items > 0 { b"\n]" } else { b"[]" })?;
        self.to.flush()?;
        if let Some(beside) = &self.beside {
            fs::rename(beside, &self.path)?;
            self.beside = None;
        }
        Ok(self.items)
    }
}

/// What is not whole is not left lying about.
impl Drop for Target {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _ = fs::remove_file(beside);
        }
    }
}
