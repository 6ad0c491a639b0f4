//! The files of a job, line by line.
//!
//! Why the length is taken first: a log that still grows must be the same at the second reading.
//! The trap: a file may hold anything. A line that is torn, or too long to be a call, is left out
//! and told; nothing is ever held but one line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::bar::Bar;
use super::jobs::{Kind, Pattern};
use super::line::{self, Said};

/// No call is longer, bytes.
const LONGEST: u64 = 256 << 20;

/// So many lines of a file are told one by one.
const TOLD: usize = 20;

/// The files, oldest first.
pub(super) struct Files(Vec<LogFile>);

pub(super) struct LogFile {
    path: PathBuf,
    kind: Kind,
    bytes: u64,
}

/// Who is told what was left out.
pub(super) type Tell<'t> = &'t mut dyn FnMut(String) -> io::Result<()>;

// === impl Files ===

impl Files {
    pub(super) fn list(patterns: &[Pattern]) -> io::Result<Self> {
        let mut files = Vec::new();
        for pattern in patterns {
            for path in pattern.files()? {
                let bytes = path.metadata().map_err(|error| named(&path, &error))?.len();
                files.push(LogFile { path, kind: pattern.kind, bytes });
            }
        }
        Ok(Self(files))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|file| file.bytes).sum()
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &LogFile> {
        self.0.iter()
    }
}

// === impl LogFile ===

impl LogFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Hands over what each line says, and tells of those that say nothing.
    pub(super) fn read(
        &self,
        bar: &Bar,
        mut tell: Option<Tell<'_>>,
        mut take: impl FnMut(Said) -> io::Result<()>,
    ) -> io::Result<()> {
        let file = File::open(&self.path).map_err(|error| named(&self.path, &error))?;
        let mut from = BufReader::with_capacity(256 << 10, file.take(self.bytes));
        let mut bytes = Vec::new();
        let (mut number, mut left_out) = (0, 0);
        loop {
            let read = next(&mut from, &mut bytes).map_err(|error| named(&self.path, &error))?;
            if read == 0 {
                break;
            }
            bar.add(read);
            number += 1;
            let said = if read > LONGEST {
                Err("too long".to_owned())
            } else {
                line::read(&bytes, self.kind)
            };
            match said {
                Ok(Some(said)) => take(said)?,
                Ok(None) => {}
                Err(why) => {
                    left_out += 1;
                    if let Some(tell) = tell.as_mut().filter(|_| left_out <= TOLD) {
                        tell(format!("{}:{number}: left out: {why}", self.path.display()))?;
                    }
                }
            }
        }
        if let Some(tell) = tell.as_mut().filter(|_| left_out > TOLD) {
            tell(format!("{}: {} more lines left out", self.path.display(), left_out - TOLD))?;
        }
        Ok(())
    }
}

/// Reads the next line without its end, and no more than a call can be; how long it was.
fn next(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<u64> {
    line.clear();
    let mut read = from.by_ref().take(LONGEST).read_until(b'\n', line)? as u64;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if read == LONGEST {
        line.clear();
        line.shrink_to_fit();
        read += 1 + from.skip_until(b'\n')? as u64;
    }
    Ok(read)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
