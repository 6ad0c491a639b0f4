//! The clock of one request: which deadline comes next, and what ended it.
//!
//! Why shared: the hooks start attempts, say what answer comes and read the cause; the tap waits and
//! notes it. Deadlines
//! are absolute, since Pingora drops and remakes the tap's wait at every event.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::cork::Cork;
use super::flow::Opening;
use crate::config::Timeouts;
use crate::retry::Failure;

/// What ended a request that did not end by itself; the first one noted stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::edge) enum Cause {
    /// The client closed its connection or reset its stream.
    ClientLeft,
    /// The client stopped sending its body.
    SlowBody,
    /// The client sent more than it may.
    TooLarge,
    /// No first byte in time.
    FirstByte,
    /// Silence inside the answer.
    Idle,
    /// The call as a whole.
    Total,
    /// A stream that came to nothing before it said anything.
    Hollow(Failure),
}

/// The next deadline.
#[derive(Debug, Clone, Copy)]
pub(in crate::edge) struct Due {
    pub(in crate::edge) at: Instant,
    pub(in crate::edge) cause: Cause,
}

/// The clock.
#[derive(Debug)]
pub(in crate::edge) struct Pulse {
    limits: Timeouts,
    total_by: Instant,
    state: Mutex<State>,
    /// Of the attempt under way.
    pub(in crate::edge) cork: Cork,
}

#[derive(Debug)]
struct State {
    last: Instant,
    /// No attempt is under way: the request waits for a place or for its next turn.
    waiting: bool,
    cause: Option<Cause>,
    /// An attempt is over since somebody asked.
    anew: bool,
    opening: Option<Opening>,
    /// A head of our own is out, and comments; another answer can still follow.
    comments_only: bool,
    /// Of what came from the host, not all is out.
    unsent: bool,
}

// === impl Cause ===

impl Cause {
    /// A half sentence for people.
    pub(in crate::edge) fn words(self) -> &'static str {
        match self {
            Self::ClientLeft => "the client left",
            Self::SlowBody => "the body of the request stopped coming",
            Self::TooLarge => "the body of the request is too large",
            Self::FirstByte => "no answer began within its first-byte timeout",
            Self::Idle => "its answer fell silent for longer than its idle timeout",
            Self::Total => "the call exceeded its total timeout",
            Self::Hollow(_) => "its stream came to nothing",
        }
    }
}

// === impl Due ===

impl Due {
    pub(in crate::edge) fn is_over(&self) -> bool {
        self.at <= Instant::now()
    }
}

// === impl Pulse ===

impl Pulse {
    /// A clock for a request that arrived at `arrived`.
    pub(in crate::edge) fn new(limits: Timeouts, arrived: Instant) -> Self {
        let state = State {
            last: Instant::now(),
            waiting: false,
            cause: None,
            anew: false,
            opening: None,
            comments_only: false,
            unsent: false,
        };
        let total_by = arrived + limits.total;
        Self { limits, total_by, state: Mutex::new(state), cork: Cork::out() }
    }

    /// When the request is over whatever happens.
    pub(in crate::edge) fn last_resort(&self) -> Instant {
        self.total_by
    }

    /// Time left of the whole call.
    pub(in crate::edge) fn left(&self) -> Duration {
        self.total_by.saturating_duration_since(Instant::now())
    }

    /// Something moved: an attempt began, a piece of the body or of the answer went on.
    pub(in crate::edge) fn beat(&self) {
        let mut state = self.state.lock();
        state.last = Instant::now();
        state.waiting = false;
    }

    /// No attempt is under way until the next beat: only the whole call is timed.
    pub(in crate::edge) fn wait(&self) {
        self.cork.forget();
        let mut state = self.state.lock();
        state.waiting = true;
        state.anew = true;
    }

    /// Whether an attempt has ended since this was asked last.
    pub(in crate::edge) fn begins_anew(&self) -> bool {
        std::mem::take(&mut self.state.lock().anew)
    }

    /// The deadline in force. `sent`: the request has been read to its end; `answered`: the head
    /// of the answer is out.
    pub(in crate::edge) fn due(&self, sent: bool, answered: bool) -> Due {
        let State { last, waiting, .. } = *self.state.lock();
        let (at, cause) = match (sent, answered) {
            _ if waiting => (self.total_by, Cause::Total),
            (_, true) => (last + self.limits.idle, Cause::Idle),
            (true, false) => (last + self.limits.first_byte, Cause::FirstByte),
            (false, false) => (self.total_by, Cause::Total),
        };
        match at < self.total_by {
            true => Due { at, cause },
            false => Due { at: self.total_by, cause: Cause::Total },
        }
    }

    /// The head that comes next is that of a stream.
    pub(in crate::edge) fn open(&self, opening: Opening) {
        self.state.lock().opening = Some(opening);
    }

    /// What was said of the stream whose head comes now.
    pub(in crate::edge) fn opening(&self) -> Option<Opening> {
        self.state.lock().opening.take()
    }

    /// Notes whether all that is out of an answer is a head of our own and comments.
    pub(in crate::edge) fn comments_only(&self, so: bool) {
        self.state.lock().comments_only = so;
    }

    /// Whether that is all.
    pub(in crate::edge) fn has_comments_only(&self) -> bool {
        self.state.lock().comments_only
    }

    /// Notes whether something of the answer still waits for its turn.
    pub(in crate::edge) fn unsent(&self, so: bool) {
        self.state.lock().unsent = so;
    }

    /// Whether something does.
    pub(in crate::edge) fn has_unsent(&self) -> bool {
        self.state.lock().unsent
    }

    /// Notes why the request ends.
    pub(in crate::edge) fn note(&self, cause: Cause) {
        self.state.lock().cause.get_or_insert(cause);
    }

    /// What ended one attempt does not end the next.
    pub(in crate::edge) fn forgive(&self) {
        self.state.lock().cause = None;
    }

    /// Why the request ended, if it did not end by itself.
    pub(in crate::edge) fn cause(&self) -> Option<Cause> {
        self.state.lock().cause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Timeouts = Timeouts {
        connect: Duration::from_secs(1),
        first_byte: Duration::from_secs(10),
        idle: Duration::from_secs(3),
        total: Duration::from_secs(20),
    };

    #[tokio::test(start_paused = true)]
    async fn the_next_deadline() {
        let start = Instant::now();
        let pulse = Pulse::new(LIMITS, start);
        for (sent, answered, seconds, cause) in [
            (true, false, 10, Cause::FirstByte),
            (true, true, 3, Cause::Idle),
            (false, false, 20, Cause::Total),
            (false, true, 3, Cause::Idle),
        ] {
            let due = pulse.due(sent, answered);
            assert_eq!((due.at - start, due.cause), (Duration::from_secs(seconds), cause));
        }
        tokio::time::advance(Duration::from_secs(12)).await;
        assert!(pulse.due(true, false).is_over());
        pulse.beat();
        let due = pulse.due(true, false);
        assert_eq!((due.at - start, due.cause), (Duration::from_secs(20), Cause::Total));
        assert_eq!(pulse.left(), Duration::from_secs(8));
    }

    #[tokio::test]
    async fn the_first_cause_stays() {
        let pulse = Pulse::new(LIMITS, Instant::now());
        assert_eq!(pulse.cause(), None);
        pulse.note(Cause::ClientLeft);
        pulse.note(Cause::Idle);
        assert_eq!(pulse.cause(), Some(Cause::ClientLeft));
    }
}
