//! What one attempt holds of a host, and what it tells of it.
//!
//! Why one value: the place in the count, the slot and the report belong to the same attempt, and
//! all of them end with it. One that ends without a report has said nothing about its host.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::host::Host;
use super::slots::Slot;

/// A place at a host, held by one attempt.
#[derive(Debug)]
pub struct Load {
    host: Arc<Host>,
    slot: Slot,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer began, with any status below 500 but 429: what a client does wrong never counts.
    Good {
        /// From sending the request to the answer's first byte.
        first_byte: Duration,
    },
    /// The host failed. After `Good`: it broke off in the middle.
    Failed(Blame),
    /// 429: the host is well, and left alone for a while if it asked for that.
    Busy {
        /// For how long.
        rest: Option<Duration>,
    },
    /// It says nothing of the host: the client left, or a connection of the pool was stale.
    Neutral,
}

/// Who is to blame for a failed attempt, as far as health goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// No connection: refused, unreachable, TLS. It alone is reason enough to leave a host out.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection broke, before the answer or inside it.
    Reset,
    /// An answer with a status from 500.
    Status,
}

// === impl Load ===

impl Load {
    pub(super) fn new(host: &Arc<Host>, slot: Slot) -> Self {
        Self { host: Arc::clone(host), slot }
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Tells what became of the attempt: as soon as it is known, and again if it changes.
    pub fn report(&mut self, outcome: Outcome) {
        let Some(out) = self.slot.report(outcome) else { return };
        let out = humantime::format_duration(out);
        match outcome {
            Outcome::Failed(blame) => {
                log::warn!("{}: {blame}, left out for {out}", self.host.label);
            }
            _ => log::warn!("{}: left out for {out}", self.host.label),
        }
    }
}

// === impl Blame ===

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::Timeout => "no answer in time",
            Self::Reset => "the connection broke",
            Self::Status => "an answer with a status from 500",
        })
    }
}
