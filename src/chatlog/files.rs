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

use super::names::{Closed, Names};
use super::writer::{Short, Sink};

/// Where the files of one log are, and how much of them.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) names: Names,
    /// A file is closed when it would grow beyond this, bytes.
    pub(super) rotate: u64,
    /// All of them together, bytes.
    pub(super) keep: u64,
}

/// The files of one log.
#[derive(Debug)]
pub(super) struct Files {
    place: Place,
    current: Option<Current>,
    /// The directory has been looked through.
    swept: bool,
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

// === impl Files ===

impl Files {
    /// Opens nothing before there is something to write.
    pub(super) fn at(place: Place) -> Self {
        Self { place, current: None, swept: false, closed: 0, last: None }
    }

    /// Opens the directory, which is made if need be, and deletes what is beyond the total.
    pub(super) fn open(place: Place) -> io::Result<Self> {
        let mut files = Self::at(place);
        files.current = Some(files.place.open()?);
        files.sweep(files.current.as_ref().map_or(0, |current| current.size))?;
        Ok(files)
    }

    /// Everything that has to be in order before `bytes` bytes are written.
    fn prepare(&mut self, bytes: u64) -> io::Result<()> {
        let path = self.place.path();
        let present = fs::metadata(&path).ok();
        let ours = self.current.take().filter(|current| {
            present.as_ref().is_some_and(|there| (there.dev(), there.ino()) == current.which)
        });
        let mut current = match (ours, present) {
            (Some(ours), Some(there)) => Current { size: there.len(), ..ours },
            _ => self.place.open()?,
        };
        if !self.swept {
            self.sweep(current.size)?;
        }
        if current.size > 0 && current.grown(bytes) > self.place.rotate {
            self.close(&path)?;
            self.closed += current.size;
            current = self.place.open()?;
        }
        let size = current.grown(bytes);
        self.current = Some(current);
        if self.closed + size > self.place.keep { self.sweep(size) } else { Ok(()) }
    }

    /// Gives the current file its final name, one that sorts after all others.
    fn close(&mut self, path: &Path) -> io::Result<()> {
        loop {
            let name = self.place.names.next(self.last.as_ref());
            let target = self.place.dir.join(self.place.names.of(&name));
            self.last = Some(name);
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
        for entry in named(fs::read_dir(&self.place.dir), &self.place.dir)? {
            let entry = entry?;
            let name = entry.file_name().to_str().and_then(|name| self.place.names.read(name));
            if let (Some(name), Ok(there)) = (name, entry.metadata()) {
                files.push((name, there.len()));
            }
        }
        files.sort();
        self.swept = true;
        self.closed = files.iter().map(|(_, size)| size).sum();
        self.last = self.last.take().max(files.last().map(|(name, _)| name.clone()));
        for (name, size) in files {
            if self.closed + current <= self.place.keep {
                break;
            }
            let path = self.place.dir.join(self.place.names.of(&name));
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
        size + bytes as u64 <= self.place.rotate
    }

    fn append(&mut self, lines: &[u8]) -> Result<(), Short> {
        self.prepare(lines.len() as u64).map_err(|cause| Short { written: 0, cause })?;
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        current.append(lines).map_err(|Short { written, cause }| {
            // Opening it again finds out whether a torn line is left.
            self.current = None;
            Short { written, cause: about(&cause, &self.place.path()) }
        })
    }
}

// === impl Place ===

impl Place {
    /// The file that grows.
    fn path(&self) -> PathBuf {
        self.dir.join(self.names.current())
    }

    fn open(&self) -> io::Result<Current> {
        named(DirBuilder::new().recursive(true).mode(0o700).create(&self.dir), &self.dir)?;
        let path = self.path();
        named(Current::open(&path), &path)
    }
}

// === impl Current ===

impl Current {
    fn open(path: &Path) -> io::Result<Self> {
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

#[cfg(test)]
mod tests;
