//! The files of the log: one that grows, and closed ones of which the oldest go.
//!
//! Why no rename dance for each write: lines are appended whole with one write, so whatever kills
//! the process leaves at most one torn line, and the next one starts on a line of its own.
//! The trap: others touch the directory too (logrotate, a second process during an upgrade, an
//! operator with `rm`), so before each write the name is checked to be still our file.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::config;

use super::writer::{Short, Sink};

/// The file that grows.
const NAME: &str = "chat.jsonl";

/// The directory of the log.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    rotate: u64,
    keep: u64,
    current: Option<Current>,
    /// All closed files together, bytes, as far as known.
    closed: u64,
    /// The newest closed file.
    last: Option<Closed>,
}

#[derive(Debug)]
struct Current {
    file: File,
    /// Device and inode.
    which: (u64, u64),
    size: u64,
    /// Its last line has no end.
    torn: bool,
}

/// When a file was closed, in UTC, and a number: the order of the files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Closed {
    stamp: String,
    number: u32,
}

// === impl Files ===

impl Files {
    /// Opens the directory, which is made if need be, and deletes what is beyond the total.
    pub(super) fn open(conf: &config::ChatLog) -> io::Result<Self> {
        let mut files = Self {
            dir: conf.dir.clone(),
            rotate: conf.rotate,
            keep: conf.keep,
            current: None,
            closed: 0,
            last: None,
        };
        files.current = Some(Current::open(&files.dir)?);
        files.sweep(files.current.as_ref().map_or(0, |current| current.size))?;
        Ok(files)
    }

    /// Everything that has to be in order before `bytes` bytes are written.
    fn prepare(&mut self, bytes: u64) -> io::Result<()> {
        let path = self.dir.join(NAME);
        let present = fs::metadata(&path).ok();
        let ours = self.current.take().filter(|current| {
            present.as_ref().is_some_and(|there| (there.dev(), there.ino()) == current.which)
        });
        let mut current = match (ours, present) {
            (Some(ours), Some(there)) => Current { size: there.len(), ..ours },
            _ => Current::open(&self.dir)?,
        };
        if current.size > 0 && current.grown(bytes) > self.rotate {
            self.close(&path)?;
            self.closed += current.size;
            current = Current::open(&self.dir)?;
        }
        let size = current.grown(bytes);
        self.current = Some(current);
        if self.closed + size > self.keep { self.sweep(size) } else { Ok(()) }
    }

    /// Gives the current file its final name, one that sorts after all others.
    fn close(&mut self, path: &Path) -> io::Result<()> {
        let mut name = Closed { stamp: now(), number: 0 };
        loop {
            // The clock may have been set back; the order of the names must not be.
            if let Some(last) = self.last.as_ref().filter(|last| **last >= name) {
                name = last.next();
            }
            self.last = Some(name.clone());
            let target = self.dir.join(name.file_name());
            // Taking the name first: a rename would replace a file that is there already.
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target) {
                Ok(_) => return named(fs::rename(path, &target), path),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return named(Err(error), &target),
            }
        }
    }

    /// Counts the closed files and deletes the oldest while all together would be too much.
    fn sweep(&mut self, current: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in named(fs::read_dir(&self.dir), &self.dir)? {
            let entry = entry?;
            let name = entry.file_name().to_str().and_then(Closed::read);
            if let (Some(name), Ok(there)) = (name, entry.metadata()) {
                files.push((name, there.len()));
            }
        }
        files.sort();
        self.closed = files.iter().map(|(_, size)| size).sum();
        self.last = self.last.take().max(files.last().map(|(name, _)| name.clone()));
        for (name, size) in files {
            if self.closed + current <= self.keep {
                break;
            }
            let path = self.dir.join(name.file_name());
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return named(Err(error), &path);
                }
                _ => self.closed -= size,
            }
        }
        Ok(())
    }
}

impl Sink for Files {
    fn fits(&self, bytes: usize) -> bool {
        let size = self.current.as_ref().map_or(0, |current| current.size);
        size + bytes as u64 <= self.rotate
    }

    fn append(&mut self, lines: &[u8]) -> Result<(), Short> {
        self.prepare(lines.len() as u64).map_err(|cause| Short { written: 0, cause })?;
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        current.append(lines).map_err(|Short { written, cause }| {
            // Opening it again finds out whether a torn line is left.
            self.current = None;
            Short { written, cause: about(&cause, &self.dir.join(NAME)) }
        })
    }
}

// === impl Current ===

impl Current {
    fn open(dir: &Path) -> io::Result<Self> {
        named(DirBuilder::new().recursive(true).mode(0o700).create(dir), dir)?;
        let path = dir.join(NAME);
        named(Self::open_file(&path), &path)
    }

    fn open_file(path: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let there = file.metadata()?;
        let mut last = [b'\n'];
        if let Some(end) = there.len().checked_sub(1) {
            file.read_exact_at(&mut last, end)?;
        }
        let which = (there.dev(), there.ino());
        Ok(Self { file, which, size: there.len(), torn: last != [b'\n'] })
    }

    /// Its size with so many more bytes of lines.
    fn grown(&self, bytes: u64) -> u64 {
        self.size + u64::from(self.torn) + bytes
    }

    fn append(&mut self, lines: &[u8]) -> Result<(), Short> {
        let mended: Vec<u8>;
        let (all, mend) = if self.torn {
            mended = [b"\n", lines].concat();
            (&mended[..], 1)
        } else {
            (lines, 0)
        };
        let mut written = 0;
        while written < all.len() {
            match self.file.write(&all[written..]) {
                Ok(0) => return Err(short(written, mend, ErrorKind::WriteZero.into())),
                Ok(n) => written += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(short(written, mend, error)),
            }
        }
        self.torn = false;
        self.size += written as u64;
        Ok(())
    }
}

fn short(written: usize, mend: usize, cause: io::Error) -> Short {
    Short { written: written.saturating_sub(mend), cause }
}

/// An error that says which file it is about.
fn named<T>(result: io::Result<T>, path: &Path) -> io::Result<T> {
    result.map_err(|error| about(&error, path))
}

fn about(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn now() -> String {
    Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string()
}

// === impl Closed ===

impl Closed {
    /// Reads `chat.20260812-101500.000.jsonl`; `None` for a file that is not ours.
    fn read(name: &str) -> Option<Self> {
        let (stamp, number) =
            name.strip_prefix("chat.")?.strip_suffix(".jsonl")?.split_once('.')?;
        let shape = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (day, second) = stamp.split_once('-')?;
        let ours = day.len() == 8 && second.len() == 6 && shape(day) && shape(second);
        (ours && number.len() >= 3 && shape(number)).then_some(())?;
        Some(Self { stamp: stamp.to_owned(), number: number.parse().ok()? })
    }

    fn file_name(&self) -> String {
        format!("chat.{}.{:03}.jsonl", self.stamp, self.number)
    }

    fn next(&self) -> Self {
        Self { stamp: self.stamp.clone(), number: self.number.saturating_add(1) }
    }
}

#[cfg(test)]
mod tests;
