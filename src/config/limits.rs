//! The limits, checked: what is counted, where, and what each rule allows.
//!
//! Why apart: the limiter and the pacer read these, and nobody else has to.
//! The trap: a rule that says "inf" lets everything through, one that says nothing of requests leaves
//! them to the limit for all.

use std::cmp::Reverse;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rate::Rate;
use crate::secret::Secret;

/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How windows of time are laid.
    pub strategy: Strategy,
    /// Where the counts are kept.
    pub store: LimitStore,
    /// What happens while the store does not answer.
    pub on_store_error: OnStoreError,
    /// Who is counted.
    pub by: CountBy,
    /// The limit of requests that no rule speaks of; none for any number.
    pub global: Vec<Rate>,
    /// The rules; each path stands once with a level, and once without.
    pub rules: Vec<LimitRule>,
    /// How many addresses are counted at most; at least 1,000.
    pub addresses: usize,
    /// What one address may send without a known key; `None` for anything. Its amount is at least 1.
    pub shield: Option<Rate>,
}

/// `strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// A window begins with its first request and ends after the period.
    FixedWindow,
    /// The same, but every request, a refused one too, lets the period begin anew.
    FixedWindowElasticExpiry,
    /// The last period, at any moment.
    MovingWindow,
}

/// `store`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitStore {
    /// In this process.
    Memory,
    /// In Redis, for several machines together: a URL `redis://` or `rediss://` (TLS), its port and
    /// its database as they were written. [`Secret::origin`] is how it may be shown.
    Redis(Secret),
}

/// `on_store_error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnStoreError {
    /// This machine counts alone.
    Allow,
    /// Requests that would have to be counted are refused.
    Refuse,
}

/// `by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CountBy {
    /// Each key.
    Key,
    /// Each address.
    Ip,
}

/// `[[limits.rule]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRule {
    /// The path, as clients write it; starts with `/`.
    pub path: String,
    /// Only for keys of this level; `None` for all.
    pub level: Option<u32>,
    /// Its requests: `Some` of none for any number ("inf"), `None` when the rule does not speak of
    /// them. The last one only with a [`LimitRule::pace`].
    pub requests: Option<Vec<Rate>>,
    /// How fast its streams may go.
    pub pace: Option<Pace>,
}

/// `pace` and `pace_burst`: how fast a stream may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Pieces in a period; the amount is at least 1.
    pub rate: Rate,
    /// How many may go out at once after a pause; at least 1.
    pub burst: u32,
}

// === impl LimitRule ===

impl LimitRule {
    /// Whether it is for a path and a level. The first one in the order of [`LimitRule::rank`] that
    /// is counts.
    #[must_use]
    pub fn applies(&self, path: &str, level: u32) -> bool {
        let rest = path.strip_prefix(self.path.trim_end_matches('/'));
        let within = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        within && self.level.is_none_or(|own| own == level)
    }

    /// The longest path first, and with a level before without.
    #[must_use]
    pub fn rank(&self) -> impl Ord + use<> {
        (Reverse(self.path.trim_end_matches('/').len()), self.level.is_none())
    }
}

// === impl Pace ===

impl Pace {
    /// From one piece to the next.
    #[must_use]
    pub fn gap(&self) -> Duration {
        // A period is at most a hundred years, so its nanoseconds fit.
        let nanos = self.rate.period().as_nanos() / u128::from(self.rate.amount.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Unit;

    #[test]
    fn the_gap_is_the_period_by_the_amount() {
        for (amount, multiple, unit, nanos) in [
            (60, 1, Unit::Second, 16_666_666),
            (30, 10, Unit::Second, 333_333_333),
            (1, 1, Unit::Minute, 60_000_000_000),
            (1, 100, Unit::Year, 100 * 360 * 86_400 * 1_000_000_000),
            (u64::MAX, 1, Unit::Second, 0),
        ] {
            let pace = Pace { rate: Rate { amount, multiple, unit }, burst: 1 };
            assert_eq!(pace.gap(), Duration::from_nanos(nanos), "{pace:?}");
        }
    }
}
