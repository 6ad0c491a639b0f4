//! When which part of the counters is swept.
//!
//! Why no task of its own: a counter can only be made by an admission, so admissions sweep, one part
//! at a time; where nobody comes, nothing grows.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::terms::Ticks;

/// Says when to sweep, and which part.
#[derive(Debug, Default)]
pub(super) struct Broom {
    due: AtomicU64,
    next: AtomicUsize,
}

/// From one part to the next: a quarter of a minute for all of them.
const EVERY: Ticks = 50_000_000;

/// The same while newcomers find no place.
const HURRY: Ticks = 5_000_000;

// === impl Broom ===

impl Broom {
    /// The turn of what is to be swept now, for one caller each time.
    pub(super) fn due(&self, now: Ticks, hurry: bool) -> Option<usize> {
        let due = self.due.load(Ordering::Relaxed);
        if now < due {
            return None;
        }
        let next = now + if hurry { HURRY } else { EVERY };
        let mine = self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        mine.ok().map(|_| self.next.fetch_add(1, Ordering::Relaxed))
    }
}
