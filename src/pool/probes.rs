//! What the active probes of a host say: down after so many failures, back after so many answers.
//!
//! Why not the whole of its health: a host may answer its probes and hang on everything else.

use tokio::time::Instant;

/// The last probes.
#[derive(Debug, Default)]
pub(super) struct Probes {
    down: Option<Instant>,
    bad: u32,
    good: u32,
}

// === impl Probes ===

impl Probes {
    /// Since when they fail.
    pub(super) fn down(&self) -> Option<Instant> {
        self.down
    }

    /// Another one failed.
    pub(super) fn bad(&mut self, fall: u32, now: Instant) {
        self.good = 0;
        self.bad = self.bad.saturating_add(1);
        if self.bad >= fall {
            self.down.get_or_insert(now);
        }
    }

    /// Another one came back well; whether these are enough by now.
    pub(super) fn good(&mut self, rise: u32) -> bool {
        self.bad = 0;
        self.good = self.good.saturating_add(1);
        self.good >= rise
    }

    /// Ends the time down; whether there was one.
    pub(super) fn recover(&mut self) -> bool {
        self.down.take().is_some()
    }

    /// Good ones from before do not count any more.
    pub(super) fn begin_anew(&mut self) {
        self.good = 0;
    }
}
