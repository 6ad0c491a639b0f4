//! Rules that many keys share: times, sizes, paths, names, PEM files.

use std::path::Path;
use std::time::Duration;

use crate::config::findings::Findings;
use crate::config::human::{Size, Time};

/// Times beyond this are a slip, and clocks overflow on them.
const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

/// A time that is not zero.
pub(super) fn time(key: &str, Time(time): Time, findings: &mut Findings<'_>) -> Option<Duration> {
    if time.is_zero() {
        findings.fault(key, "leaves no time at all", "a time like \"30s\" or \"10m\"");
        return None;
    }
    grace(key, Time(time), findings)
}

/// A time that is part of a whole call: one that was written must fit into its total, one that was
/// not is never longer.
pub(super) fn part(
    key: &str,
    said: Time,
    total: Option<Duration>,
    findings: &mut Findings<'_>,
) -> Option<Duration> {
    let time = time(key, said, findings)?;
    let Some(total) = total.filter(|total| time > *total) else {
        return Some(time);
    };
    if findings.written.has(key) {
        let total = String::from(Time(total));
        let fix = format!("at most \"{total}\", or a longer total");
        findings.fault(key, format!("is longer than total ({total})"), fix);
    }
    Some(total)
}

/// A number that is not zero.
pub(super) fn from_one(key: &str, number: u32, findings: &mut Findings<'_>) -> Option<u32> {
    if number == 0 {
        findings.wrong(key);
        return None;
    }
    Some(number)
}

/// A time that may be zero.
pub(super) fn grace(key: &str, Time(time): Time, findings: &mut Findings<'_>) -> Option<Duration> {
    if time > YEAR {
        findings.fault(key, "is longer than a year", "a time like \"30s\", \"10m\" or \"24h\"");
        return None;
    }
    Some(time)
}

/// A size of at least so many bytes.
pub(super) fn size(
    key: &str,
    Size(bytes): Size,
    least: u64,
    findings: &mut Findings<'_>,
) -> Option<u64> {
    if bytes < least {
        let least = String::from(Size(least));
        findings.fault(key, "is too small", format!("a size from {least}, like \"32MiB\""));
        return None;
    }
    Some(bytes)
}

/// A size from one byte that is held in memory.
pub(super) fn memory(key: &str, held: Size, findings: &mut Findings<'_>) -> Option<usize> {
    let bytes = size(key, held, 1, findings)?;
    let fits = usize::try_from(bytes).ok();
    if fits.is_none() {
        findings.fault(key, "is more than this machine can address", "a smaller size");
    }
    fits
}

/// Reports a size that is below another that must fit into it.
pub(super) fn at_least(
    (key, held): (&str, Size),
    (inner, needed): (&str, Size),
    findings: &mut Findings<'_>,
) {
    if held.0 >= needed.0 {
        return;
    }
    let (held, needed) = (String::from(held), String::from(needed));
    if findings.written.has(key) {
        let fix = format!("at least \"{needed}\", or a smaller {inner}");
        findings.fault(key, format!("is less than {inner} ({needed})"), fix);
    } else {
        let fix = format!("at most \"{held}\", or {key} = \"{needed}\"");
        findings.fault(inner, format!("is more than {key} ({held}, its default)"), fix);
    }
}

/// A path that is met by other paths letter by letter.
pub(super) fn path(key: &str, said: &str, findings: &mut Findings<'_>) -> Option<String> {
    if said.is_empty() {
        findings.missing(key);
        return None;
    }
    let fault = if !said.starts_with('/') {
        ("does not start with \"/\"", format!("\"/{said}\""))
    } else if said.contains('*') {
        ("has a \"*\", which is not for any path here", "the path itself".to_owned())
    } else if !said.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte)) {
        ("has a character that a path cannot have", "no spaces, \"?\", \"#\" or \"\\\"".to_owned())
    } else {
        return Some(said.to_owned());
    };
    findings.fault(key, fault.0, fault.1);
    None
}

/// The names of a list of tables: unique, and each stands in a log line without quotes.
pub(super) fn names(table: &str, names: &[&str], findings: &mut Findings<'_>) {
    for (at, name) in names.iter().enumerate() {
        let key = format!("{table}[{at}].name");
        if name.is_empty() {
            findings.missing(&key);
        } else if !is_name(name) {
            findings.wrong(&key);
        } else if let Some(first) = names[..at].iter().position(|other| other == name) {
            let what = format!("is also the name of {table}[{first}]");
            findings.fault(&key, what, "another name");
        }
    }
}

/// Whether it stands in a log line without quotes.
pub(super) fn is_name(name: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    !name.is_empty() && name.chars().all(fits)
}

/// Reports a file that cannot be read or has no such PEM block.
pub(super) fn pem(key: &str, path: &Path, block: &str, findings: &mut Findings<'_>) {
    if path.as_os_str().is_empty() {
        findings.missing(key);
        return;
    }
    match std::fs::read(path) {
        Err(error) => {
            let what = format!("cannot be read: {error}");
            findings.fault(key, what, "the path of a PEM file that this user may read");
        }
        Ok(text) if !has_block(&text, block) => {
            let what = format!("has no PEM block \"{block}\"");
            findings.fault(key, what, format!("a file with -----BEGIN ...{block}-----"));
        }
        Ok(_) => {}
    }
}

fn has_block(text: &[u8], block: &str) -> bool {
    String::from_utf8_lossy(text)
        .lines()
        .filter_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
        .any(|label| label.ends_with(block))
}
