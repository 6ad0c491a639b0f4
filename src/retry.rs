//! Which failure may be tried again, where, and after how long. Pure: facts in, a verdict out.
//!
//! Why one machine: where retry and failover are two systems, each counts its own attempts and
//! neither sees the clock; here every failure of every phase asks the same question.
//! The trap: after the first content has gone to the client nothing is ever tried again, since a
//! second answer behind half of a first one is worse than an error.

use std::time::Duration;

/// What went wrong with one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection: refused, unreachable, timed out.
    Connect,
    /// A connection, but no TLS over it.
    Tls,
    /// The connection broke before any byte of the answer.
    Reset,
    /// The same on a connection from the pool: the host had closed it before the request came.
    Stale,
    /// No first byte in time.
    Timeout,
    /// An answer with this status.
    Status(u16),
    /// A 200 whose stream died, ended or told of an error before any content.
    Empty,
}

/// What may be tried again, as an operator says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// [`Failure::Connect`] and [`Failure::Tls`].
    Connect,
    /// [`Failure::Reset`], [`Failure::Empty`], and [`Failure::Stale`] beyond the free ones.
    Reset,
    /// [`Failure::Timeout`].
    Timeout,
    /// [`Failure::Status`]: 429 or 500 and above. Any other status is the client's own affair, and
    /// naming it here changes nothing.
    Status(u16),
}

/// How an upstream is to be retried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Attempts in all, the first one included.
    pub attempts: u32,
    /// What may be tried again.
    pub on: Vec<On>,
    /// The longest wait before the second attempt; it doubles with each one more.
    pub backoff: Duration,
}

/// The facts of one failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// What went wrong.
    pub failure: Failure,
    /// Some content (for an answer that is no stream: any byte) has gone to the client.
    pub committed: bool,
    /// Some of the request may have reached the host. Without a connection it never did.
    pub sent: bool,
    /// The body can be sent again, byte for byte.
    pub replayable: bool,
    /// Attempts made, this one included; those on stale connections not.
    pub attempts: u32,
    /// Free retries already spent on stale connections.
    pub stale: u32,
    /// What is left of the whole call.
    pub left: Duration,
    /// Hosts that could take the request and were not yet tried.
    pub hosts_left: usize,
    /// Hosts that could take it, tried or not.
    pub hosts: usize,
    /// Keys of this upstream that do not rest, that of this attempt left out.
    pub keys_left: usize,
    /// How long the host asked to wait.
    pub wanted: Option<Duration>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send it again to the same host.
    SameHost {
        /// Not before this long.
        after: Duration,
    },
    /// Let the pool choose again, best a host that was not tried.
    OtherHost {
        /// Not before this long.
        after: Duration,
    },
    /// Tell the client: the host's own answer, untouched, if there is one.
    GiveUp,
}

/// Stale connections that one request may meet for free: more than any pool of idle connections
/// that died together needs, as each one met is gone from the pool.
pub const STALE_MOST: u32 = 4;

/// The longest wait that one retry is worth. A host that asks for more is given up, since coming
/// back sooner than it asked would only be refused again.
pub const WAIT_MOST: Duration = Duration::from_secs(10);

/// Decides. `chance` is a random number from the whole range of its type.
#[must_use]
pub fn decide(policy: &Policy, attempt: &Attempt, chance: u32) -> Verdict {
    let at_once = Duration::ZERO;
    if attempt.committed || attempt.left.is_zero() || !attempt.can_be_sent() {
        return Verdict::GiveUp;
    }
    if attempt.is_free() {
        return Verdict::SameHost { after: at_once };
    }
    if attempt.attempts >= policy.attempts || !policy.covers(attempt.failure) {
        return Verdict::GiveUp;
    }
    if attempt.hosts_left > 0 {
        return Verdict::OtherHost { after: at_once };
    }
    if attempt.failure == Failure::Status(429) && attempt.keys_left > 0 {
        return Verdict::SameHost { after: at_once };
    }
    match attempt.wait(policy, chance) {
        None => Verdict::GiveUp,
        Some(after) if attempt.hosts > 1 => Verdict::OtherHost { after },
        Some(after) => Verdict::SameHost { after },
    }
}

// === impl Policy ===

impl Policy {
    fn covers(&self, failure: Failure) -> bool {
        match failure {
            Failure::Connect | Failure::Tls => self.on.contains(&On::Connect),
            Failure::Reset | Failure::Stale | Failure::Empty => self.on.contains(&On::Reset),
            Failure::Timeout => self.on.contains(&On::Timeout),
            Failure::Status(status) => {
                (status == 429 || status >= 500) && self.on.contains(&On::Status(status))
            }
        }
    }

    /// Exponential with full jitter: anything between nothing and the step's longest wait, so that
    /// clients that failed together do not come back together.
    fn backoff(&self, attempts: u32, chance: u32) -> Duration {
        let doubled = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        self.backoff.saturating_mul(doubled).min(WAIT_MOST) * chance / u32::MAX
    }
}

// === impl Attempt ===

impl Attempt {
    /// Whether another attempt costs nothing: it counts as [`Attempt::stale`] and not as one of
    /// [`Attempt::attempts`].
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.failure == Failure::Stale && self.stale < STALE_MOST
    }

    fn can_be_sent(&self) -> bool {
        let unsent = !self.sent || matches!(self.failure, Failure::Connect | Failure::Tls);
        unsent || self.replayable
    }

    /// The wait before the next attempt; `None` if it is not worth it or leaves no time for one.
    fn wait(&self, policy: &Policy, chance: u32) -> Option<Duration> {
        let wanted = self.wanted.unwrap_or_default();
        let wait = wanted.checked_add(policy.backoff(self.attempts, chance))?;
        (wanted <= WAIT_MOST && wait < self.left).then_some(wait)
    }
}

#[cfg(test)]
mod tests;
