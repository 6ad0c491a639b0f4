//! Limits as people write them: "100/2minutes", "60 per minute;600/hour".
//!
//! Why here: the limiter counts them, the pacer spaces by them, a refusal quotes them, and `show`
//! writes them; all read the same words. The grammar is that of the Python package `limits`, since
//! openai-forward's users have written theirs in it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// So many in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many; 0 lets nothing through.
    pub amount: u64,
    /// How many units make the period; at least one.
    pub multiple: u64,
    /// The unit of the period.
    pub unit: Unit,
}

/// A unit of time in a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// 1 second.
    Second,
    /// 60 seconds.
    Minute,
    /// 3,600 seconds.
    Hour,
    /// 86,400 seconds.
    Day,
    /// 30 days.
    Month,
    /// 360 days.
    Year,
}

/// One limit or several, which all have to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Rates(pub(super) Vec<Rate>);

/// As [`Rates`], or "inf": none, which is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct RatesOrInf(pub(super) Vec<Rate>);

/// Exactly one limit that lets something through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct One(pub(super) Rate);

/// As [`One`], or "off".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct OneOrOff(pub(super) Option<Rate>);

const UNITS: [Unit; 6] =
    [Unit::Second, Unit::Minute, Unit::Hour, Unit::Day, Unit::Month, Unit::Year];

/// The longest period, so that no sum of times overflows: 100 years.
const LONGEST: u64 = 100 * 360 * 86_400;

// === impl Rate ===

impl Rate {
    /// The period.
    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::from_secs(self.multiple * self.unit.seconds())
    }

    /// One limit; `None` when it is not one, or beyond a hundred years.
    fn parse(text: &str) -> Option<Self> {
        let (amount, rest) = number(text.trim());
        let rest = rest.trim_start();
        let rest = rest.strip_prefix('/').or_else(|| rest.strip_prefix("per"))?;
        let (multiple, rest) = number(rest.trim_start());
        let name = rest.trim_start();
        let name = name.strip_suffix('s').unwrap_or(name);
        let unit = UNITS.into_iter().find(|unit| unit.name() == name)?;
        let multiple = match multiple {
            "" => 1,
            digits => digits.parse::<u64>().ok()?.max(1),
        };
        let fits = multiple.checked_mul(unit.seconds())? <= LONGEST;
        fits.then_some(Self { amount: amount.parse().ok()?, multiple, unit })
    }
}

/// As openai-forward's refusals quote it: `100 per 2 minute`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {} {}", self.amount, self.multiple, self.unit.name())
    }
}

/// The digits at the start, and what follows them.
fn number(text: &str) -> (&str, &str) {
    let rest = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    text.split_at(text.len() - rest.len())
}

// === impl Unit ===

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Month => 30 * 86_400,
            Self::Year => 360 * 86_400,
        }
    }
}

// === impl Rates ===

impl TryFrom<String> for Rates {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parts = text.split([',', ';', '|']);
        let rates: Option<_> = parts.map(|part| Rate::parse(&part.to_ascii_lowercase())).collect();
        rates.map(Self).ok_or("not a limit")
    }
}

impl From<Rates> for String {
    fn from(Rates(rates): Rates) -> Self {
        let written = rates.iter().map(|rate| match rate.multiple {
            1 => format!("{}/{}", rate.amount, rate.unit.name()),
            many => format!("{}/{many}{}s", rate.amount, rate.unit.name()),
        });
        written.collect::<Vec<_>>().join(";")
    }
}

// === impl RatesOrInf ===

impl TryFrom<String> for RatesOrInf {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.trim().eq_ignore_ascii_case("inf") {
            true => Ok(Self(Vec::new())),
            false => Rates::try_from(text).map(|Rates(rates)| Self(rates)),
        }
    }
}

impl From<RatesOrInf> for String {
    fn from(RatesOrInf(rates): RatesOrInf) -> Self {
        if rates.is_empty() { "inf".to_owned() } else { Rates(rates).into() }
    }
}

// === impl One ===

impl TryFrom<String> for One {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let Rates(rates) = Rates::try_from(text)?;
        match rates[..] {
            [rate] if rate.amount > 0 => Ok(Self(rate)),
            _ => Err("not one limit from 1"),
        }
    }
}

impl From<One> for String {
    fn from(One(rate): One) -> Self {
        Rates(vec![rate]).into()
    }
}

// === impl OneOrOff ===

impl TryFrom<String> for OneOrOff {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "off" => Ok(Self(None)),
            _ => One::try_from(text).map(|One(rate)| Self(Some(rate))),
        }
    }
}

impl From<OneOrOff> for String {
    fn from(OneOrOff(rate): OneOrOff) -> Self {
        rate.map_or_else(|| "off".to_owned(), |rate| One(rate).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Vec<Rate>> {
        Rates::try_from(text.to_owned()).ok().map(|Rates(rates)| rates)
    }

    #[test]
    fn what_is_a_limit() {
        for (text, quoted, seconds) in [
            ("100/2minutes", "100 per 2 minute", 120),
            ("60 per minute", "60 per 1 minute", 60),
            ("60per 2 minutes", "60 per 2 minute", 120),
            ("1/10second", "1 per 10 second", 10),
            ("10/SECOND", "10 per 1 second", 1),
            ("10/0second", "10 per 1 second", 1),
            ("0/second", "0 per 1 second", 1),
            (" 2 / month ", "2 per 1 month", 30 * 86_400),
            ("2/year", "2 per 1 year", 360 * 86_400),
        ] {
            let rates = parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(rates.len(), 1);
            assert_eq!(rates[0].to_string(), quoted);
            assert_eq!(rates[0].period(), Duration::from_secs(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "10/m",
            "5/s",
            "10/min",
            "1.5/second",
            "-1/second",
            "10/week",
            "60/minute;",
            "/minute",
            "1/999999years",
            "99999999999999999999/second",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for (text, shown) in [
            ("60 per minute, 1/2day | 2/MONTH", "60/minute;1/2days;2/month"),
            ("100/2minutes", "100/2minutes"),
        ] {
            let rates = Rates::try_from(text.to_owned()).unwrap();
            assert_eq!(String::from(rates.clone()), shown);
            assert_eq!(Rates::try_from(shown.to_owned()), Ok(rates));
        }
    }

    #[test]
    fn the_words_beside_limits() {
        for (text, shown) in
            [("inf", Some("inf")), (" INF", Some("inf")), ("3/day", Some("3/day")), ("off", None)]
        {
            let rates = RatesOrInf::try_from(text.to_owned()).ok().map(String::from);
            assert_eq!(rates.as_deref(), shown, "{text}");
        }
        for (text, shown) in [
            ("off", Some("off")),
            ("1 per second", Some("1/second")),
            ("0/second", None),
            ("1/second;60/minute", None),
            ("inf", None),
        ] {
            let rate = OneOrOff::try_from(text.to_owned()).ok().map(String::from);
            assert_eq!(rate.as_deref(), shown, "{text}");
        }
    }
}
