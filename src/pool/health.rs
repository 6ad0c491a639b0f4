//! Whether a host may be used: what failed, when it is left out, how it comes back.
//!
//! Why apart from load: who is ill keeps its count of attempts, and who is busy is not ill. Pure:
//! every step is a function of what happened and of the moment it is given. The trap: a report may
//! come long after its attempt began; one from another [`Health::epoch`] tells nothing of this one.

use std::time::Duration;

use tokio::time::Instant;

use super::doubt::Doubt;
use super::load::Blame;
use super::probes::Probes;
use super::window::{Tally, Window};
use crate::config::{self, Eject};

/// The health of one host.
#[derive(Debug)]
pub(super) struct Health {
    rules: Rules,
    phase: Phase,
    /// When it came into the phase it is in.
    since: Instant,
    /// Which phase this is, counted from the start.
    epoch: u64,
    in_a_row: u32,
    window: Window,
    /// Ejections since all was well.
    level: u32,
    doubt: Doubt,
    rest: Option<Rest>,
    probes: Probes,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) eject: Eject,
    /// Failed probes in a row, and good ones.
    pub(super) fall: u32,
    pub(super) rise: u32,
}

#[derive(Debug)]
enum Phase {
    Up,
    Ejected { until: Instant, passed: u32, trials: usize },
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    since: Instant,
    until: Instant,
}

/// What can be said of a host now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may be used.
    Up,
    /// It is left out no longer: one request may try it.
    Due,
    /// One request tries it.
    Trial,
    /// It failed, and is left out.
    Ejected,
    /// Its probes fail.
    Down,
    /// It asked to be left alone until then.
    Resting(Instant),
}

/// What the judgement of one host must know of the others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Peers {
    /// Another one may be used.
    pub(super) usable: bool,
    /// What became of their last attempts.
    pub(super) tally: Tally,
}

/// An ejection ends early when so many requests have gone elsewhere and it has lasted so long: one
/// in forty is cheap, and a host that is well again is back soon.
const PASSED: u32 = 40;
const EARLY: Duration = Duration::from_secs(7);

/// Nobody means a longer rest than this, and clocks overflow on it.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

// === impl Rules ===

impl Rules {
    pub(super) fn of(section: &config::Upstream) -> Self {
        let (fall, rise) = section.health.as_ref().map_or((1, 1), |it| (it.fall, it.rise));
        Self { eject: section.eject, fall, rise }
    }
}

// === impl Health ===

impl Health {
    pub(super) fn new(rules: Rules, now: Instant) -> Self {
        Self {
            rules,
            phase: Phase::Up,
            since: now,
            epoch: 0,
            in_a_row: 0,
            window: Window::default(),
            level: 0,
            doubt: Doubt::none(now),
            rest: None,
            probes: Probes::default(),
        }
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        if let Some(rest) = self.rest.filter(|rest| rest.until > now) {
            return Standing::Resting(rest.until);
        }
        if self.probes.down().is_some() {
            return Standing::Down;
        }
        match self.phase {
            Phase::Up => Standing::Up,
            Phase::Ejected { trials: 1.., .. } => Standing::Trial,
            Phase::Ejected { until, passed, .. } => {
                let early = passed >= PASSED && now.duration_since(self.since) >= EARLY;
                if until <= now || early { Standing::Due } else { Standing::Ejected }
            }
        }
    }

    /// When time alone will make it usable, if it is not so already.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        match (self.standing(now), &self.phase) {
            (Standing::Resting(until), _) => Some(until),
            (Standing::Ejected, Phase::Ejected { until, .. }) => Some(*until),
            _ => None,
        }
    }

    /// When it came into the state it is in.
    pub(super) fn since(&self, now: Instant) -> Instant {
        match (self.standing(now), self.rest) {
            (Standing::Resting(_), Some(rest)) => rest.since,
            _ => self.probes.down().unwrap_or(self.since),
        }
    }

    /// Whether it is left out for its failures, whatever else is wrong with it.
    pub(super) fn is_ejected(&self) -> bool {
        matches!(self.phase, Phase::Ejected { .. })
    }

    /// How much the last attempts speak against it, from 0 to 1: it may fail, and is not out.
    pub(super) fn doubt(&self, now: Instant) -> f64 {
        self.doubt.at(now)
    }

    pub(super) fn tally(&self) -> Tally {
        self.window.tally()
    }

    /// A request goes elsewhere.
    pub(super) fn pass(&mut self) {
        if let Phase::Ejected { passed, .. } = &mut self.phase {
            *passed = passed.saturating_add(1);
        }
    }

    /// An attempt begins: a trial, when the host is ejected. Gives the epoch for its reports.
    pub(super) fn begin(&mut self) -> u64 {
        if let Phase::Ejected { trials, .. } = &mut self.phase {
            *trials += 1;
        }
        self.epoch
    }

    /// An attempt is gone; one that never reported has tried nothing.
    pub(super) fn end(&mut self, epoch: u64) {
        if epoch == self.epoch
            && let Phase::Ejected { trials, .. } = &mut self.phase
        {
            *trials = trials.saturating_sub(1);
        }
    }

    /// An answer began. Gives the epoch for what else the attempt will report.
    pub(super) fn good(&mut self, epoch: u64, now: Instant) -> u64 {
        if epoch != self.epoch {
            return epoch;
        }
        self.in_a_row = 0;
        self.doubt.learn(true, now);
        self.window.push(true);
        if self.window.tally().failed == 0 {
            self.level = 0;
        }
        if self.is_ejected() {
            self.doubt.rise(self.window.tally().part(), now);
            self.enter(Phase::Up, now);
        }
        self.epoch
    }

    /// An attempt failed; `after_all` when it had been reported good. Gives the time for which the
    /// host is left out now, if it is because of this.
    pub(super) fn failed(
        &mut self,
        (epoch, after_all): (u64, bool),
        blame: Blame,
        peers: Peers,
        now: Instant,
    ) -> Option<Duration> {
        if epoch != self.epoch {
            return None;
        }
        self.doubt.learn(false, now);
        match after_all {
            true => self.window.turn(),
            false => self.window.push(false),
        }
        self.in_a_row = match blame {
            Blame::Connect => self.rules.eject.after,
            Blame::Timeout | Blame::Reset | Blame::Status => self.in_a_row + 1,
        };
        let worse = self.window.tally().is_worse_than(peers.tally);
        let ill = self.in_a_row >= self.rules.eject.after || worse;
        (self.is_ejected() || (ill && peers.usable)).then(|| self.eject(now))
    }

    fn eject(&mut self, now: Instant) -> Duration {
        let Eject { first, most, .. } = self.rules.eject;
        let out = first.saturating_mul(1 << self.level.min(30)).min(most);
        self.level = self.level.saturating_add(1);
        self.in_a_row = 0;
        self.probes.begin_anew();
        self.enter(Phase::Ejected { until: now + out, passed: 0, trials: 0 }, now);
        out
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.since = now;
        self.epoch += 1;
    }

    /// The host asked to be left alone.
    pub(super) fn rest(&mut self, time: Duration, now: Instant) {
        let time = time.min(LONGEST);
        let before = self.rest.filter(|rest| rest.until > now);
        self.rest = Some(Rest {
            since: before.map_or(now, |rest| rest.since),
            until: before.map_or(now, |rest| rest.until).max(now + time),
        });
    }

    /// A probe came back. Good ones do not close an ejection, as a host may answer its probes and
    /// hang on everything else; they bring its trial forward.
    pub(super) fn probed(&mut self, good: bool, now: Instant) {
        if !good {
            self.probes.bad(self.rules.fall, now);
        } else if self.probes.good(self.rules.rise) {
            if self.probes.recover() {
                self.since = now;
            }
            if let Phase::Ejected { until, .. } = &mut self.phase {
                *until = now.min(*until);
            }
        }
    }
}

#[cfg(test)]
mod tests;
