//! Times of the day for log lines, written cheaply: consecutive ones mostly differ in their
//! milliseconds only, so the rest is kept.

use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Writes times of one time zone.
#[derive(Debug)]
pub struct Clock {
    zone: TimeZone,
    /// The second whose text is kept, from the epoch.
    second: Option<i64>,
    /// Up to the second, and what comes behind the milliseconds.
    shown: (String, String),
}

// === impl Clock ===

impl Clock {
    /// `2026-11-22T10:49:08.123Z`.
    #[must_use]
    pub fn utc() -> Self {
        Self { zone: TimeZone::UTC, second: None, shown: (String::new(), "Z".to_owned()) }
    }

    /// `2026-11-22T11:49:08.123+01:00`, in the time zone of the system (RFC 3339).
    #[must_use]
    pub fn local() -> Self {
        Self::of(TimeZone::system())
    }

    /// The same in another time zone.
    #[must_use]
    pub fn of(zone: TimeZone) -> Self {
        Self { zone, second: None, shown: Default::default() }
    }

    /// Writes `at` behind what is in `out`.
    pub fn write(&mut self, at: Timestamp, out: &mut Vec<u8>) {
        if self.second != Some(at.as_second()) {
            self.second = Some(at.as_second());
            let zoned = at.to_zoned(self.zone.clone());
            self.shown.0 = zoned.strftime("%Y-%m-%dT%H:%M:%S").to_string();
            if self.shown.1 != "Z" {
                // Clocks are put forward and back while the process runs.
                self.shown.1 = zoned.strftime("%:z").to_string();
            }
        }
        let (before, behind) = &self.shown;
        let _ = write!(out, "{before}.{:03}{behind}", at.subsec_millisecond());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(clock: &mut Clock, nanosecond: i128) -> String {
        let mut out = Vec::new();
        clock.write(Timestamp::from_nanosecond(nanosecond).unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_have_milliseconds() {
        let mut clock = Clock::utc();
        for (nanosecond, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (7_999_999, "1970-01-01T00:00:00.007Z"),
            (1_795_344_548_123_000_000, "2026-11-22T10:49:08.123Z"),
            (1_795_344_548_900_000_000, "2026-11-22T10:49:08.900Z"),
        ] {
            assert_eq!(shown(&mut clock, nanosecond), expected);
        }
    }

    #[test]
    fn an_offset_is_that_of_the_moment() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let mut clock = Clock::of(zone);
        assert_eq!(shown(&mut clock, 1_795_344_548_123_000_000), "2026-11-22T11:49:08.123+01:00");
        assert_eq!(shown(&mut clock, 1_782_000_000_000_000_000), "2026-06-21T02:00:00.000+02:00");
    }
}
