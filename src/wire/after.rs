//! How long an upstream asks to be left alone, from the headers of its answer.
//!
//! Why here: there is a standard and four dialects of it, and each has hosts that mix them up. What
//! cannot be read is as good as absent, so a host's odd header never costs a request.
//! The trap: `x-ratelimit-reset-*` stands in good answers too and tells when a window refills, so
//! it asks for a wait only when its `remaining` twin is 0, or is not told.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// The longest wait that is ever told.
pub const MOST: Duration = Duration::from_secs(3600);

/// Beyond this a number of seconds is a moment (of the year 2001 or later), not a length.
const EPOCH_LEAST: f64 = 1e9;
/// Beyond this, in milliseconds.
const EPOCH_MILLIS_LEAST: f64 = 1e12;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Units of a length of time and their seconds.
const UNITS: [(&str, f64); 7] = [
    ("d", 86400.0),
    ("h", 3600.0),
    ("m", 60.0),
    ("s", 1.0),
    ("ms", 1e-3),
    ("us", 1e-6),
    ("ns", 1e-9),
];

/// The longest wait that these headers ask for, up to [`MOST`]; `None` if they ask for none. Zero
/// means "now", a moment that has passed.
#[must_use]
pub fn asked(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let waits = headers.iter().filter_map(|(name, value)| {
        let text = value.to_str().ok()?.trim_ascii();
        match name.as_str() {
            _ if name == RETRY_AFTER => retry_after(text, now),
            "retry-after-ms" => number(text).map(|millis| seconds(millis / 1e3)),
            name => reset(name, text, now).filter(|_| is_used_up(headers, name)),
        }
    });
    waits.max()
}

fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    match number(text) {
        Some(length) => Some(seconds(length)),
        None => http_date(text, now).map(|moment| until(moment, now)),
    }
}

fn reset(name: &str, text: &str, now: Timestamp) -> Option<Duration> {
    if name.starts_with("anthropic-ratelimit-") && name.ends_with("-reset") {
        return text.parse().ok().map(|moment| until(moment, now));
    }
    if !matches!(
        name,
        "x-ratelimit-reset" | "x-ratelimit-reset-requests" | "x-ratelimit-reset-tokens"
    ) {
        return None;
    }
    match number(text) {
        Some(millis) if millis >= EPOCH_MILLIS_LEAST => from_epoch(millis / 1e3, now),
        Some(moment) if moment >= EPOCH_LEAST => from_epoch(moment, now),
        Some(length) => Some(seconds(length)),
        None => length(text),
    }
}

/// Whether nothing remains of what `name` tells the reset of. Not told counts as nothing.
fn is_used_up(headers: &HeaderMap, name: &str) -> bool {
    let remaining = headers.get(name.replace("reset", "remaining"));
    let remaining = remaining.and_then(|value| number(value.to_str().ok()?.trim_ascii()));
    remaining.is_none_or(|remaining| remaining == 0.0)
}

/// Digits with at most one point: no sign, no exponent, no `inf`.
fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).map_or(MOST, |wait| wait.min(MOST))
}

/// `1s`, `6m0s`, `1h2m3.5s`, `20ms`.
fn length(mut text: &str) -> Option<Duration> {
    if text.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    while !text.is_empty() {
        let (digits, rest) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(end);
        let (_, each) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum += number(digits)? * each;
        text = rest;
    }
    Some(seconds(sum))
}

fn from_epoch(epoch: f64, now: Timestamp) -> Option<Duration> {
    let nanos = now.as_nanosecond();
    let ahead = Duration::try_from_secs_f64(epoch).ok()?.as_nanos();
    let ahead = i128::try_from(ahead).ok()?.saturating_sub(nanos).max(0);
    Some(u64::try_from(ahead).map_or(MOST, Duration::from_nanos).min(MOST))
}

fn until(moment: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(moment.duration_since(now)).unwrap_or_default().min(MOST)
}

/// A date in one of HTTP's three forms (RFC 9110, 5.6.7).
fn http_date(text: &str, now: Timestamp) -> Option<Timestamp> {
    let words: Vec<&str> =
        text.split([' ', '-', ',']).filter(|word| !word.is_empty()).take(7).collect();
    let (day, month, year, clock) = match words[..] {
        [_, day, month, year, clock, "GMT"] => (day, month, year, clock),
        [_, month, day, clock, year] => (day, month, year, clock),
        _ => return None,
    };
    let month = MONTHS.iter().position(|name| *name == month)?;
    let clock: Vec<i8> = clock.split(':').map(small).collect::<Option<_>>()?;
    let [hour, minute, second] = clock[..] else { return None };
    let (year, month, day) = (full_year(year, now)?, i8::try_from(month).ok()? + 1, small(day)?);
    // A leap second is taken for the one before it.
    let moment = DateTime::new(year, month, day, hour, minute, second.min(59), 0).ok()?;
    Offset::UTC.to_timestamp(moment).ok()
}

/// Two digits are the latest such year that is at most 50 years ahead.
fn full_year(text: &str, now: Timestamp) -> Option<i16> {
    let year: i16 = text.parse().ok().filter(|year| *year >= 0)?;
    if text.len() != 2 {
        return (text.len() == 4).then_some(year);
    }
    let latest = Offset::UTC.to_datetime(now).year() + 50;
    Some(latest - (latest - year).rem_euclid(100))
}

fn small(text: &str) -> Option<i8> {
    let digits = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
