//! How soon places come free: what a client that is refused is told.
//!
//! Why two measures: while all places are taken the rate at which they come free can be counted; of
//! a rush that has just begun only the time that a request usually holds its place is known.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The places that came free last.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When, and after how many seconds in use.
    freed: VecDeque<(Instant, f64)>,
    /// How many of them, at the end, while all places were taken.
    in_rush: usize,
}

/// Places remembered.
const REMEMBERED: usize = 64;

/// From so many on the count is better than the guess.
const COUNTED: usize = 32;

// === impl Pace ===

impl Pace {
    /// A place comes free; `rush` when all were taken.
    pub(super) fn freed(&mut self, held: Duration, rush: bool, now: Instant) {
        if self.freed.len() == REMEMBERED {
            self.freed.pop_front();
        }
        self.freed.push_back((now, held.as_secs_f64()));
        self.in_rush = if rush { (self.in_rush + 1).min(REMEMBERED) } else { 0 };
    }

    /// How long it will take until `wanted` places of `places` have come free; `None` when none
    /// ever did.
    pub(super) fn until(&self, wanted: usize, places: usize, now: Instant) -> Option<Duration> {
        let each = match self.in_rush {
            COUNTED.. => self.counted(now)?,
            _ => self.held()? / count(places.max(1)),
        };
        Duration::try_from_secs_f64(each * count(wanted)).ok()
    }

    /// Seconds from one place to the next, as counted; a standstill makes them longer.
    fn counted(&self, now: Instant) -> Option<f64> {
        let (first, _) = self.freed.iter().rev().nth(self.in_rush - 1)?;
        Some(now.duration_since(*first).as_secs_f64() / count(self.in_rush - 1))
    }

    fn held(&self) -> Option<f64> {
        let sum: f64 = self.freed.iter().map(|(_, held)| held).sum();
        (!self.freed.is_empty()).then(|| sum / count(self.freed.len()))
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What is told for eight of four places, seconds, after so many came free, one each quarter
    /// of a second after having been held for two.
    fn told(freed: u32, rush: bool, standstill: Duration) -> Option<f64> {
        let start = Instant::now();
        let mut pace = Pace::default();
        for step in 0..freed {
            pace.freed(2 * SECOND, rush, start + step * SECOND / 4);
        }
        let last = start + freed.saturating_sub(1) * SECOND / 4;
        pace.until(8, 4, last + standstill).map(|wait| wait.as_secs_f64())
    }

    #[test]
    fn it_is_counted_in_a_rush_and_guessed_before() {
        for (freed, rush, expected) in [
            (0, true, None),
            (1, true, Some(4.0)),
            (31, true, Some(4.0)),
            (32, true, Some(2.0)),
            (500, true, Some(2.0)),
            (500, false, Some(4.0)),
        ] {
            assert_eq!(told(freed, rush, Duration::ZERO), expected, "{freed} {rush}");
        }
        let slower = told(64, true, 16 * SECOND).unwrap();
        assert!(slower > 4.0, "a standstill is seen: {slower}");
    }
}
