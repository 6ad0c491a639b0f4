//! What the files of one log are called: the one that grows, and closed ones in their order.
//!
//! Why by time: whoever looks for a day finds it, and a name alone says which file is older.
//! The trap: a clock may be set back, or jump at the end of summer; the order of the names must not.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::config::Format;

/// The names of one log in one folder.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// Before the first point.
    stem: &'static str,
    form: Format,
    /// The zone of the times in names as openai-forward gives them.
    zone: TimeZone,
}

/// When a file was closed, and a number: the order of the files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Closed {
    pub(super) stamp: String,
    pub(super) number: u32,
}

/// `2026-08-12_10-15-00_123456`, with jiff's directives.
const MICROS: &str = "%Y-%m-%d_%H-%M-%S_%6f";

// === impl Names ===

impl Names {
    /// `chat.jsonl`.
    pub(super) fn jsonl() -> Self {
        Self { stem: "chat", form: Format::Jsonl, zone: TimeZone::UTC }
    }

    /// `chat.log`, `embedding.log`: as openai-forward calls them.
    pub(super) fn python(stem: &'static str, zone: TimeZone) -> Self {
        Self { stem, form: Format::Python, zone }
    }

    /// The file that grows.
    pub(super) fn current(&self) -> String {
        format!("{}.{}", self.stem, self.ending())
    }

    /// A closed file.
    pub(super) fn of(&self, Closed { stamp, number }: &Closed) -> String {
        let (stem, ending) = (self.stem, self.ending());
        match self.form {
            Format::Jsonl => format!("{stem}.{stamp}.{number:03}.{ending}"),
            Format::Python => format!("{stem}.{stamp}.{ending}"),
        }
    }

    /// Reads the name of a closed file; `None` for a file that is not of this log.
    pub(super) fn read(&self, name: &str) -> Option<Closed> {
        let rest = name.strip_prefix(self.stem)?.strip_prefix('.')?;
        let rest = rest.strip_suffix(self.ending())?.strip_suffix('.')?;
        match self.form {
            Format::Jsonl => numbered(rest),
            Format::Python => {
                // jiff reads more than it writes.
                let time = DateTime::strptime(MICROS, rest).ok()?;
                (time.strftime(MICROS).to_string() == rest).then(|| Closed::at(rest.to_owned()))
            }
        }
    }

    /// The name of a file that is closed now, behind `last`.
    pub(super) fn next(&self, last: Option<&Closed>) -> Closed {
        let now = Closed::at(self.now());
        match last.filter(|last| **last >= now) {
            Some(last) => self.after(last),
            None => now,
        }
    }

    fn ending(&self) -> &'static str {
        match self.form {
            Format::Jsonl => "jsonl",
            Format::Python => "log",
        }
    }

    fn now(&self) -> String {
        let now = Timestamp::now();
        match self.form {
            Format::Jsonl => now.strftime("%Y%m%d-%H%M%S").to_string(),
            Format::Python => now.to_zoned(self.zone.clone()).strftime(MICROS).to_string(),
        }
    }

    fn after(&self, last: &Closed) -> Closed {
        if self.form == Format::Jsonl {
            let number = last.number.saturating_add(1);
            return Closed { stamp: last.stamp.clone(), number };
        }
        let time = DateTime::strptime(MICROS, &last.stamp).expect("a name that was read is a time");
        let next = time.saturating_add(SignedDuration::from_micros(1));
        Closed::at(next.strftime(MICROS).to_string())
    }
}

// === impl Closed ===

impl Closed {
    fn at(stamp: String) -> Self {
        Self { stamp, number: 0 }
    }
}

/// `20260812-101500.000`.
fn numbered(name: &str) -> Option<Closed> {
    let (stamp, number) = name.split_once('.')?;
    let shape = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (day, second) = stamp.split_once('-')?;
    let ours = day.len() == 8 && second.len() == 6 && shape(day) && shape(second);
    (ours && number.len() >= 3 && shape(number)).then_some(())?;
    Some(Closed { stamp: stamp.to_owned(), number: number.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_are_ours() {
        let names = Names::jsonl();
        let ours = Closed { stamp: "20260812-101500".into(), number: 7 };
        assert_eq!(names.read(&names.of(&ours)), Some(ours));
        for name in [
            "chat.jsonl",
            "chat.x.jsonl",
            "chat.20260812-101500.jsonl",
            "chat.20260812-101500.7.jsonl",
            "chat.20260812-101500.+07.jsonl",
            "chat.20260812-10150a.007.jsonl",
            "chat.20260812-101500.007.jsonl.gz",
            "x",
        ] {
            assert_eq!(names.read(name), None, "{name}");
        }
    }

    #[test]
    fn names_as_openai_forward_gives_them() {
        let names = Names::python("embedding", TimeZone::UTC);
        let theirs = "embedding.2026-11-22_10-49-08_000120.log";
        let closed = names.read(theirs).unwrap();
        assert_eq!((names.current().as_str(), &*names.of(&closed)), ("embedding.log", theirs));
        let next = names.of(&names.after(&closed));
        assert_eq!(next, "embedding.2026-11-22_10-49-08_000121.log");
        assert!(*next > *theirs, "and it is sorted behind");
        for name in [
            "embedding.log",
            "chat.2026-11-22_10-49-08_000120.log",
            "embedding.2026-11-22_10-49-08_120.log",
            "embedding.2026-13-22_10-49-08_000120.log",
            "embedding.2026-11-22_10-49-08_000120.2.log",
            "embedding.2026-11-22_10-49-08_000120.log.gz",
        ] {
            assert_eq!(names.read(name), None, "{name}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_set_back_the_order() {
        for (names, last) in [
            (Names::jsonl(), "chat.29991231-235959.999.jsonl"),
            (Names::python("chat", TimeZone::UTC), "chat.2999-12-31_23-59-59_999999.log"),
        ] {
            let last = names.read(last).unwrap();
            let next = names.next(Some(&last));
            assert!(next > last && names.read(&names.of(&next)) == Some(next.clone()), "{next:?}");
            assert!(names.next(None) < last);
        }
    }
}
