//! What a counter is held to, and the words it is told in.
//!
//! Why apart: both kinds of window need them, and neither needs the other.

use crate::config::Strategy;

/// Nanoseconds since the limiter was built.
pub(super) type Ticks = u64;

/// A wait that never ends: the cost is greater than the limit.
pub(super) const NEVER: Ticks = Ticks::MAX;

/// The most that an amount or a cost can be, so that no sum of them overflows, nor loses a digit in
/// a double (Redis): 2^48.
pub(super) const MOST: u64 = 1 << 48;

/// What a counter is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) strategy: Strategy,
    pub(super) amount: u64,
    pub(super) period: Ticks,
}

/// Where a charge was booked, for its settlement.
pub(super) type Booked = Ticks;

// === impl Terms ===

impl Terms {
    pub(super) fn is_elastic(&self) -> bool {
        self.strategy == Strategy::FixedWindowElasticExpiry
    }
}
