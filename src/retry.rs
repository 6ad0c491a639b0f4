//! Which failure may be tried again, and where. Pure: facts in, a verdict out.
//!
//! Why so careful: after the first byte of the answer has gone to the client nothing is ever tried
//! again, and a request that may already have been worked on is tried again in one case only, a
//! pooled connection that had been closed by the host before the request reached it.

/// What went wrong with one attempt, before any byte of an answer reached the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection: refused, unreachable, timed out, TLS.
    Connect,
    /// The connection broke before the first byte of the answer.
    Broke,
    /// Anything else: a timeout, an answer that is no HTTP.
    Other,
}

/// The facts of one failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// What went wrong.
    pub failure: Failure,
    /// It went over a connection from the pool.
    pub reused: bool,
    /// The body can be sent again, byte for byte.
    pub replayable: bool,
    /// Some byte of an answer has gone to the client.
    pub answered: bool,
    /// Free retries already spent on stale connections.
    pub stale: u32,
    /// Hosts not yet tried.
    pub hosts_left: usize,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send it again to the same host.
    SameHost,
    /// Send it to another host.
    OtherHost,
    /// Tell the client.
    GiveUp,
}

/// Stale connections that one request may meet before it gives up: more than any pool of idle
/// connections that died together needs, as each one met is gone from the pool.
pub const STALE_MOST: u32 = 4;

/// Decides.
#[must_use]
pub fn decide(attempt: Attempt) -> Verdict {
    if attempt.answered {
        return Verdict::GiveUp;
    }
    match attempt.failure {
        Failure::Connect if attempt.hosts_left > 0 => Verdict::OtherHost,
        Failure::Broke if attempt.reused && attempt.replayable && attempt.stale < STALE_MOST => {
            Verdict::SameHost
        }
        _ => Verdict::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::Failure::{Broke, Connect, Other};
    use super::Verdict::{GiveUp, OtherHost, SameHost};
    use super::*;

    #[test]
    fn the_table() {
        let base = Attempt {
            failure: Broke,
            reused: true,
            replayable: true,
            answered: false,
            stale: 0,
            hosts_left: 1,
        };
        for (attempt, verdict) in [
            (base, SameHost),
            (Attempt { stale: STALE_MOST, ..base }, GiveUp),
            (Attempt { reused: false, ..base }, GiveUp),
            (Attempt { replayable: false, ..base }, GiveUp),
            (Attempt { answered: true, ..base }, GiveUp),
            (Attempt { failure: Other, ..base }, GiveUp),
            (Attempt { failure: Connect, ..base }, OtherHost),
            (Attempt { failure: Connect, reused: false, replayable: false, ..base }, OtherHost),
            (Attempt { failure: Connect, hosts_left: 0, ..base }, GiveUp),
            (Attempt { failure: Connect, answered: true, ..base }, GiveUp),
        ] {
            assert_eq!(decide(attempt), verdict, "{attempt:?}");
        }
    }
}
