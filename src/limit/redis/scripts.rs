//! What Redis runs: the strategies a second time, in Lua.
//!
//! Why there: between a look at a counter and its charge nobody else can come.

use redis::Script;

use crate::config::Strategy;

/// What Redis runs.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) admit: Script,
    pub(super) settle: Script,
}

/// The clock of the scripts.
const CLOCK: &str = "redis.call('TIME')";

/// What the scripts call a strategy.
pub(super) fn word(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::FixedWindow => "fixed",
        Strategy::FixedWindowElasticExpiry => "elastic",
        Strategy::MovingWindow => "moving",
    }
}

// === impl Scripts ===

impl Scripts {
    /// Those that ask `clock` for the time: seconds, and microseconds.
    pub(super) fn by(clock: &str) -> Self {
        let counters = include_str!("counters.lua").replace(CLOCK, clock);
        let script = |rest: &str| Script::new(&format!("{counters}{rest}"));
        Self {
            admit: script(include_str!("admit.lua")),
            settle: script(include_str!("settle.lua")),
        }
    }
}

impl Default for Scripts {
    fn default() -> Self {
        Self::by(CLOCK)
    }
}
