//! How quick a host answers: its time to the first byte, smoothed, and how long it has been silent.
//!
//! Why both: an average knows nothing of the requests that still wait, and these are what a host
//! that hangs is made of. The trap: who is slow is not asked any more, so nobody would learn that it
//! is quick again; [`Speed::wants_a_look`] says when one request may find out.

use std::time::Duration;

use tokio::time::Instant;

/// A sample loses two thirds of its weight in this time.
const MEMORY: Duration = Duration::from_millis(1500);

/// A figure older than this may be wrong by now.
const STALE: Duration = Duration::from_secs(4);

/// Requests that must have gone elsewhere before one is risked: a share of a fortieth at most.
const PASSED: u32 = 40;

/// The figures of one host.
#[derive(Debug, Default)]
pub(super) struct Speed {
    /// Seconds, and when the last sample came.
    first_byte: Option<(f64, Instant)>,
    /// Attempts of which nothing was heard yet.
    waiting: usize,
    /// The last sign of life, while some wait.
    heard: Option<Instant>,
    /// Requests that went elsewhere since the last one came here.
    passed: u32,
    asked: bool,
}

// === impl Speed ===

impl Speed {
    /// An attempt begins here.
    pub(super) fn begin(&mut self, now: Instant) {
        self.asked = true;
        self.passed = 0;
        self.waiting += 1;
        self.heard.get_or_insert(now);
    }

    /// A request went elsewhere although it could have come here.
    pub(super) fn pass(&mut self) {
        self.passed = self.passed.saturating_add(1);
    }

    /// Something was heard of an attempt, or it is gone.
    pub(super) fn heard(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
        if self.waiting == 0 {
            self.heard = None;
        }
    }

    /// An answer began.
    pub(super) fn sample(&mut self, first_byte: Duration, now: Instant) {
        let sample = first_byte.as_secs_f64();
        let smooth = self.first_byte.map_or(sample, |(old, at)| {
            let kept = (-now.duration_since(at).as_secs_f64() / MEMORY.as_secs_f64()).exp();
            // Many samples in one moment count as a few, never as none.
            let kept = kept.min(0.9);
            kept * old + (1.0 - kept) * sample
        });
        self.first_byte = Some((smooth, now));
        if self.heard.is_some() {
            self.heard = Some(now);
        }
    }

    /// The smoothed time to the first byte, seconds; `None` before the first answer.
    pub(super) fn first_byte(&self) -> Option<f64> {
        self.first_byte.map(|(seconds, _)| seconds)
    }

    /// For how long, seconds, those who wait have heard nothing.
    pub(super) fn silence(&self, now: Instant) -> f64 {
        self.heard.map_or(0.0, |heard| now.duration_since(heard).as_secs_f64())
    }

    /// Whether nobody knows how quick it is now, and one request may find out.
    pub(super) fn wants_a_look(&self, now: Instant) -> bool {
        let old = self.first_byte.is_none_or(|(_, at)| now.duration_since(at) >= STALE);
        !self.asked || (old && self.waiting == 0 && self.passed >= PASSED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn old_figures_give_way_to_new_ones() {
        let start = Instant::now();
        for (apart, least, most) in [(0, 0.85, 0.95), (1500, 0.35, 0.45), (6000, 0.1, 0.12)] {
            let mut speed = Speed::default();
            speed.sample(ms(1000), start);
            speed.sample(ms(100), start + ms(apart));
            let found = speed.first_byte().unwrap();
            assert!((least..most).contains(&found), "{apart} ms apart: {found}");
        }
    }

    #[test]
    fn silence_counts_while_somebody_waits() {
        let start = Instant::now();
        let mut speed = Speed::default();
        assert_eq!(speed.silence(start + ms(500)), 0.0);
        speed.begin(start);
        speed.begin(start + ms(100));
        assert_eq!(speed.silence(start + ms(500)), 0.5);
        speed.heard();
        speed.sample(ms(300), start + ms(300));
        assert_eq!(speed.silence(start + ms(500)), 0.2);
        speed.heard();
        assert_eq!(speed.silence(start + ms(500)), 0.0);
    }

    #[test]
    fn a_look_is_rare() {
        let start = Instant::now();
        let mut speed = Speed::default();
        assert!(speed.wants_a_look(start), "never asked");
        speed.begin(start);
        assert!(!speed.wants_a_look(start), "the first look is under way");
        speed.heard();
        speed.sample(ms(10), start);
        for passed in 0..PASSED {
            assert!(!speed.wants_a_look(start + STALE), "only {passed} went elsewhere");
            speed.pass();
        }
        assert!(!speed.wants_a_look(start + STALE - ms(1)), "the figure is fresh");
        assert!(speed.wants_a_look(start + STALE));
    }
}
