//! `aifd convert`: chat logs become the JSON that openai-forward's users know.
//!
//! Why a room beside the server: it runs by itself, on files, and its logs may be older than aifd.
//! It reads what every version of openai-forward wrote, and aifd's own JSONL.
//!
//! ```text
//! jobs (which folders, which target) ─► files ─► line ─► join (request and answer) ─► layout ─► json
//! ```
//!
//! The trap: the array is in the order of the requests, and an answer may come hours after its
//! request, or never. So the files are read twice: once to learn what never finds its partner,
//! and once to write. What is held in memory are the pairs that are open at the time.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::ValueEnum;

mod bar;
mod files;
mod jobs;
mod join;
mod json;
mod layout;
mod line;
mod target;
#[cfg(test)]
mod tests;

use self::bar::Bar;
use self::files::Files;
use self::jobs::Job;
use self::join::Tally;
use self::target::Target;

/// What to convert, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where folders of logs are looked for when none is named: `./Log`.
    pub root: PathBuf,
    /// The folder to convert, instead of all below `root`.
    pub folder: Option<PathBuf>,
    /// The file to write, instead of the documented one.
    pub target: Option<PathBuf>,
    /// The fields of an item.
    pub layout: Layout,
    /// Spaces of one step of indentation.
    pub indent: usize,
}

/// The fields of an item, by the one that tells the layout from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// Of each call, as the openai-forward that logged it converted it
    Auto,
    /// datetime, forwarded-for, model, messages, assistant (openai-forward to 0.5.0)
    ForwardedFor,
    /// datetime, ip, model, messages, assistant (0.5.1 to 0.6.0)
    Ip,
    /// datetime, ip, model, temperature, messages, functions, is_function_call, assistant (0.6.1 to 0.6.7)
    Functions,
    /// The same with tools and is_tool_calls (from 0.6.8)
    Tools,
}

/// Why nothing, or not everything, was converted.
#[derive(Debug)]
pub enum Failed {
    /// What was asked for makes no sense.
    Asked(String),
    /// A file or a folder could not be read or written; the message names it.
    File(io::Error),
}

/// Converts; says on `out` what openai-forward says, and on `err` what it had to leave out.
///
/// # Errors
/// Nothing to convert, or a file that cannot be read or written.
pub fn run(options: &Options, out: &mut dyn Write, err: &mut dyn Write) -> Result<(), Failed> {
    let jobs = jobs::plan(options)?;
    writeln!(out, "{DASHES}")?;
    for job in jobs {
        convert(&job, options, out, err)?;
        writeln!(out, "{DASHES}")?;
    }
    Ok(())
}

const DASHES: &str = "------------------------------------------------------------";

fn convert(
    job: &Job,
    options: &Options,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), Failed> {
    writeln!(out, "Convert {} to {}", job.sources(), job.target.display())?;
    let files = Files::list(&job.patterns)?;
    let bar = Bar::new(2 * files.bytes());
    let mut tally = Tally::default();
    for file in files.each() {
        let before = tally.counts();
        file.read(&bar, Some(&mut |text| bar.aside(|| writeln!(err, "{text}"))), |said| {
            tally.add(&said);
            Ok(())
        })?;
        let (requests, answers) = tally.counts();
        let here = (requests - before.0, answers - before.1);
        bar.aside(|| mismatch(&format!("{}: ", file.path().display()), here, out))?;
    }
    let unpaired = tally.finish();
    bar.aside(|| mismatch("", unpaired.counts(), out))?;
    let mut target = Target::create(&job.target, options.indent)?;
    let mut pairs = join::Pairs::new(&unpaired, options.layout);
    for file in files.each() {
        file.read(&bar, None, |said| pairs.add(said, &mut target))?;
    }
    pairs.finish(&mut target)?;
    let written = target.finish()?;
    bar.finish();
    let (requests, answers) = unpaired.counts();
    let missing = requests.max(answers).saturating_sub(written);
    if missing > 0 {
        writeln!(out, "There are {missing} mismatched items")?;
    }
    writeln!(out, "Converted successfully")?;
    Ok(writeln!(out, "File saved to {}", job.target.display())?)
}

/// The line about requests and answers that are not equally many; the blank at its end is theirs.
fn mismatch(
    place: &str,
    (requests, answers): (usize, usize),
    out: &mut dyn Write,
) -> io::Result<()> {
    if requests == answers {
        return Ok(());
    }
    writeln!(out, "{place}Length mismatch between message({requests}) and assistant({answers}) ")
}

// === impl Failed ===

impl std::error::Error for Failed {}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(what) => f.write_str(what),
            Self::File(error) => write!(f, "{error}"),
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}
