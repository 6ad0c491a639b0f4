//! Every dialect, and text that is none.

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

/// 1994-11-06 08:49:07 UTC: thirty seconds before the dates of RFC 9110.
fn now() -> Timestamp {
    "1994-11-06T08:49:07Z".parse().unwrap()
}

fn millis_asked(headers: &[(&str, &str)]) -> Option<u128> {
    let pairs = headers.iter().map(|(name, value)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
    });
    asked(&pairs.collect(), now()).map(|wait| wait.as_millis())
}

#[test]
fn one_header() {
    for (name, value, expected) in [
        ("retry-after", "7", Some(7_000)),
        ("Retry-After", " 0 ", Some(0)),
        ("retry-after", "1.5", Some(1_500)),
        ("retry-after", "99999999999999999999", Some(3_600_000)),
        ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", Some(30_000)),
        ("retry-after", "Sunday, 06-Nov-94 08:49:37 GMT", Some(30_000)),
        ("retry-after", "Sun Nov  6 08:49:37 1994", Some(30_000)),
        ("retry-after", "Sun, 06 Nov 1994 08:48:00 GMT", Some(0)),
        ("retry-after", "Sat, 06-Nov-44 08:49:37 GMT", Some(3_600_000)),
        ("retry-after", "Sat, 06-Nov-45 08:49:37 GMT", Some(0)),
        ("retry-after", "Sat, 31 Dec 1994 23:59:60 GMT", Some(3_600_000)),
        ("retry-after", "Sun, 06 Nov 1994 08:49:37 CET", None),
        ("retry-after", "Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("retry-after", "Sun, 06 Nov 1994 8:49 GMT", None),
        ("retry-after", "Sun, 06 nov 1994 08:49:37 GMT", None),
        ("retry-after", "-5", None),
        ("retry-after", "1e9", None),
        ("retry-after", "inf", None),
        ("retry-after", "1.2.3", None),
        ("retry-after", ".", None),
        ("retry-after", "", None),
        ("retry-after", "soon", None),
        ("retry-after-ms", "250", Some(250)),
        ("retry-after-ms", "1500.5", Some(1_500)),
        ("retry-after-ms", "1s", None),
        ("x-ratelimit-reset-requests", "1s", Some(1_000)),
        ("x-ratelimit-reset-tokens", "6m0s", Some(360_000)),
        ("x-ratelimit-reset-tokens", "1h2m3.5s", Some(3_600_000)),
        ("x-ratelimit-reset-tokens", "20ms", Some(20)),
        ("x-ratelimit-reset-tokens", "7.66s", Some(7_660)),
        ("x-ratelimit-reset-tokens", "1d", Some(3_600_000)),
        ("x-ratelimit-reset-tokens", "2", Some(2_000)),
        ("x-ratelimit-reset-tokens", "5s3", None),
        ("x-ratelimit-reset-tokens", "s", None),
        ("x-ratelimit-reset-tokens", "5 s", None),
        ("x-ratelimit-reset-tokens", "5y", None),
        ("x-ratelimit-reset-tokens", "", None),
        ("x-ratelimit-reset", "12.5", Some(12_500)),
        ("x-ratelimit-reset", "784111777000000", Some(3_600_000)),
        ("x-ratelimit-reset-day", "5", None),
        ("anthropic-ratelimit-requests-reset", "1994-11-06T08:49:12Z", Some(5_000)),
        ("anthropic-ratelimit-output-tokens-reset", "1994-11-06T09:49:07.5+01:00", Some(500)),
        ("anthropic-ratelimit-tokens-reset", "1994-11-06T08:00:00Z", Some(0)),
        ("anthropic-ratelimit-tokens-reset", "5", None),
        ("x-other-reset", "5", None),
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT", None),
    ] {
        assert_eq!(millis_asked(&[(name, value)]), expected, "{name}: {value}");
    }
}

#[test]
fn an_epoch_is_told_from_a_length() {
    let now: Timestamp = "2025-03-07T00:00:00Z".parse().unwrap();
    for (value, expected) in [
        ("1741305610", 10),
        ("1741305610.0", 10),
        ("1741305610000", 10),
        ("1741305000", 0),
        ("999", 999),
        ("9999999999", 3600),
    ] {
        let headers = [("x-ratelimit-reset", value)]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let wait = asked(&HeaderMap::from_iter(headers), now);
        assert_eq!(wait, Some(Duration::from_secs(expected)), "{value}");
    }
}

#[test]
fn the_longest_that_applies() {
    let requests = ("x-ratelimit-reset-requests", "3s");
    let tokens = ("x-ratelimit-reset-tokens", "9s");
    for (headers, expected) in [
        (&[][..], None),
        (&[requests, tokens], Some(9_000)),
        (&[requests, tokens, ("x-ratelimit-remaining-tokens", "120")], Some(3_000)),
        (&[requests, tokens, ("x-ratelimit-remaining-requests", "0")], Some(9_000)),
        (&[tokens, ("x-ratelimit-remaining-tokens", "odd")], Some(9_000)),
        (&[tokens, ("x-ratelimit-remaining-tokens", "1"), ("retry-after", "2")], Some(2_000)),
        (&[("retry-after", "odd"), ("retry-after-ms", "40")], Some(40)),
        (&[("retry-after", "1"), ("retry-after-ms", "40")], Some(1_000)),
        (&[("x-ratelimit-reset", "5"), ("x-ratelimit-remaining", "2")], None),
        (
            &[
                ("anthropic-ratelimit-tokens-reset", "1994-11-06T08:49:12Z"),
                ("anthropic-ratelimit-tokens-remaining", "7"),
                ("anthropic-ratelimit-requests-reset", "1994-11-06T08:49:08Z"),
                ("anthropic-ratelimit-requests-remaining", "0"),
            ],
            Some(1_000),
        ),
    ] {
        assert_eq!(millis_asked(headers), expected, "{headers:?}");
    }
}

#[test]
fn a_value_that_is_no_text_is_none() {
    let value = HeaderValue::from_bytes(b"5\xff").unwrap();
    assert_eq!(asked(&HeaderMap::from_iter([(RETRY_AFTER, value)]), now()), None);
}

const NAMES: [&str; 5] = [
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-reset",
    "x-ratelimit-reset-tokens",
    "anthropic-ratelimit-tokens-reset",
];

proptest! {
    #[test]
    fn nothing_panics_and_all_is_capped(
        name in prop::sample::select(&NAMES[..]),
        value in prop_oneof![
            ".*",
            "[0-9.:dhmsnu -]{0,40}",
            "[A-Z][a-z]{2}, [0-9]{2}[ -](Jan|Feb|Nov)[ -][0-9]{2,4} [0-9:]{5,9} GMT",
            "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,12}Z",
        ],
        seconds in -60_000_000_000_i64..200_000_000_000,
    ) {
        let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) else { return Ok(()) };
        let headers = HeaderMap::from_iter([(HeaderName::from_static(name), value)]);
        let wait = asked(&headers, Timestamp::from_second(seconds).unwrap());
        prop_assert!(wait.is_none_or(|wait| wait <= MOST));
    }

    #[test]
    fn lengths_are_read_back(seconds in 0..59_u64, minutes in 0..59_u64, millis in 0..999_u64) {
        let text = format!("{minutes}m{seconds}.{millis:03}s");
        let expected = u128::from((minutes * 60 + seconds) * 1000 + millis);
        let wait = length(&text).unwrap();
        prop_assert_eq!((wait + Duration::from_micros(1)).as_millis(), expected, "{}", text);
    }
}
