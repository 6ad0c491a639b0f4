//! Times and sizes as people write them: "1h30m", "32MiB".
//!
//! Why here: both directions stand side by side, so what `show` writes is what the file may say.

use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Time(pub(super) Duration);

/// A length of time, or "off".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct OrOff(pub(super) Option<Duration>);

/// A number of bytes: "32MiB" (binary), "32MB" (decimal) or a plain integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "SizeForm", into = "String")]
pub(super) struct Size(pub(super) u64);

/// A number of bytes, or "all" for any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "SizeForm", into = "String")]
pub(super) struct SizeOrAll(pub(super) u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum SizeForm {
    Bytes(u64),
    Text(String),
}

const UNITS: [(u64, &str); 4] =
    [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

// === impl Time ===

impl Time {
    pub(super) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub(super) const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    pub(super) const fn minutes(minutes: u64) -> Self {
        Self::seconds(60 * minutes)
    }
}

impl TryFrom<String> for Time {
    type Error = humantime::DurationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        humantime::parse_duration(&text).map(Self)
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        humantime::format_duration(time.0).to_string().replace(' ', "")
    }
}

// === impl OrOff ===

impl TryFrom<String> for OrOff {
    type Error = humantime::DurationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "off" => Ok(Self(None)),
            _ => Time::try_from(text).map(|Time(time)| Self(Some(time))),
        }
    }
}

impl From<OrOff> for String {
    fn from(OrOff(time): OrOff) -> Self {
        time.map_or_else(|| "off".to_owned(), |time| Time(time).into())
    }
}

// === impl Size ===

impl Size {
    pub(super) const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    pub(super) const fn gib(count: u64) -> Self {
        Self(count << 30)
    }
}

impl TryFrom<SizeForm> for Size {
    type Error = String;

    fn try_from(form: SizeForm) -> Result<Self, Self::Error> {
        let bytes = match form {
            SizeForm::Bytes(bytes) => bytes,
            SizeForm::Text(text) => text.parse::<ByteSize>()?.as_u64(),
        };
        // The parser saturates: what is beyond a TOML integer was never meant.
        i64::try_from(bytes).map(|_| Self(bytes)).map_err(|error| error.to_string())
    }
}

impl From<Size> for String {
    fn from(Size(bytes): Size) -> Self {
        let exact = |&&(unit, _): &&(u64, &str)| bytes > 0 && bytes.is_multiple_of(unit);
        match UNITS.iter().find(exact) {
            Some((unit, name)) => format!("{}{name}", bytes / unit),
            None => bytes.to_string(),
        }
    }
}

// === impl SizeOrAll ===

impl SizeOrAll {
    /// Any number of bytes.
    pub(super) const ALL: Self = Self(u64::MAX);

    pub(super) const fn gib(count: u64) -> Self {
        Self(count << 30)
    }
}

impl TryFrom<SizeForm> for SizeOrAll {
    type Error = String;

    fn try_from(form: SizeForm) -> Result<Self, Self::Error> {
        match form {
            SizeForm::Text(text) if text == "all" => Ok(Self::ALL),
            form => Size::try_from(form).map(|Size(bytes)| Self(bytes)),
        }
    }
}

impl From<SizeOrAll> for String {
    fn from(size: SizeOrAll) -> Self {
        if size == SizeOrAll::ALL { "all".to_owned() } else { Size(size.0).into() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn size(text: &str) -> Option<u64> {
        SizeForm::Text(text.to_owned()).try_into().ok().map(|Size(bytes)| bytes)
    }

    fn time(text: &str) -> Option<u64> {
        Time::try_from(text.to_owned()).ok().map(|Time(time)| time.as_secs())
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("32MiB", Some(32 << 20)),
            ("10GiB", Some(10 << 30)),
            ("5MB", Some(5_000_000)),
            ("1.5 KiB", Some(1536)),
            ("7", Some(7)),
            ("", None),
            ("MiB", None),
            ("-1MiB", None),
            ("99999999EiB", None),
            ("3 apples", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, seconds) in [
            ("30s", Some(30)),
            ("10m", Some(600)),
            ("1h30m", Some(5400)),
            ("1h 30m", Some(5400)),
            ("30", None),
            ("-3s", None),
            ("", None),
        ] {
            assert_eq!(time(text), seconds, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(
            bytes in 0..=i64::MAX.cast_unsigned(),
            millis in 0..u64::from(u32::MAX),
        ) {
            prop_assert_eq!(size(&String::from(Size(bytes))), Some(bytes));
            for size in [SizeOrAll(bytes), SizeOrAll::ALL] {
                let form = SizeForm::Text(size.into());
                prop_assert_eq!(SizeOrAll::try_from(form), Ok(size));
            }
            let time = Time(Duration::from_millis(millis));
            prop_assert_eq!(Time::try_from(String::from(time)), Ok(time));
            for pause in [OrOff(Some(time.0)), OrOff(None)] {
                prop_assert_eq!(OrOff::try_from(String::from(pause)), Ok(pause));
            }
        }
    }
}
