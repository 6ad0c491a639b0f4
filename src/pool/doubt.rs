//! How much the last attempts at a host speak against it: it may fail, and is not out.
//!
//! Why beside ejection: a host that fails a third of the time is found out after a dozen requests;
//! with doubt most of these go elsewhere. One failure among many answers is forgotten with them.

use std::time::Duration;

use tokio::time::Instant;

/// From 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubt {
    was: f64,
    at: Instant,
}

/// What one attempt weighs.
const WEIGHT: f64 = 0.4;

/// Without attempts it fades to a third in this time.
const FADES: Duration = Duration::from_secs(3);

// === impl Doubt ===

impl Doubt {
    pub(super) fn none(now: Instant) -> Self {
        Self { was: 0.0, at: now }
    }

    pub(super) fn at(self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at).as_secs_f64();
        self.was * (-age / FADES.as_secs_f64()).exp()
    }

    /// An attempt became known.
    pub(super) fn learn(&mut self, good: bool, now: Instant) {
        let before = self.at(now);
        let aim = if good { 0.0 } else { 1.0 };
        *self = Self { was: before + WEIGHT * (aim - before), at: now };
    }

    /// Who comes back is watched: it begins with at least as much as it failed.
    pub(super) fn rise(&mut self, least: f64, now: Instant) {
        *self = Self { was: self.at(now).max(least), at: now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A digit for seconds that pass, `.` for an answer, anything else for a failure.
    fn after(story: &str) -> f64 {
        let mut now = Instant::now();
        let mut doubt = Doubt::none(now);
        for step in story.chars() {
            match step.to_digit(10) {
                Some(seconds) => now += Duration::from_secs(u64::from(seconds)),
                None => doubt.learn(step == '.', now),
            }
        }
        doubt.at(now)
    }

    #[test]
    fn it_comes_with_failures_and_goes_with_answers_and_time() {
        for (story, least, most) in [
            ("", 0.0, 0.0),
            ("....", 0.0, 0.0),
            ("x", 0.4, 0.4),
            ("xx", 0.63, 0.65),
            ("xxxxxxxxxx", 0.99, 1.0),
            ("x3", 0.14, 0.15),
            ("x......", 0.0, 0.02),
            ("x99", 0.0, 0.001),
        ] {
            let doubt = after(story);
            assert!((least..=most).contains(&doubt), "{story:?}: {doubt}");
        }
    }

    #[test]
    fn who_comes_back_begins_with_what_is_known() {
        let now = Instant::now();
        let mut doubt = Doubt::none(now);
        doubt.rise(0.7, now);
        doubt.rise(0.2, now);
        assert_eq!(doubt.at(now), 0.7);
    }
}
