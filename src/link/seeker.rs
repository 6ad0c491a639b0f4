//! The one in the background who tries until Redis is reached.
//!
//! Why it holds the link weakly: who has no link any more needs nobody to reach for it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Link, Live, Opening, State};

/// Sets the state back if the background ends before it has reached Redis: with its runtime.
pub(super) struct Seeker<O: Opening>(Weak<Link<O>>);

/// Between two attempts to connect, at first and at most.
pub(super) const BACKOFF: (Duration, Duration) =
    (Duration::from_millis(50), Duration::from_secs(1));

// === impl Seeker ===

impl<O: Opening> Seeker<O> {
    pub(super) fn over(link: &Arc<Link<O>>) -> Self {
        Self(Arc::downgrade(link))
    }

    pub(super) async fn reach(mut self, number: u64, mut wait: Duration) {
        loop {
            if !wait.is_zero() {
                sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            }
            let Some(link) = self.0.upgrade() else { return };
            match link.opening.open(&link.client).await {
                Ok(line) => {
                    self.0 = Weak::new();
                    return link.is_reached(Live { number, line, since: Instant::now(), wait });
                }
                Err(why) => link.is_missed(&why),
            }
            wait = longer(wait);
        }
    }
}

impl<O: Opening> Drop for Seeker<O> {
    fn drop(&mut self) {
        if let Some(link) = self.0.upgrade() {
            link.state.send_replace(State::New);
        }
    }
}

/// The wait after this one.
pub(super) fn longer(wait: Duration) -> Duration {
    let (first, longest) = BACKOFF;
    (2 * wait).clamp(first, longest)
}
