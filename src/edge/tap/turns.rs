//! A paced stream on its way to the client: each event is written when its turn has come.
//!
//! Why in the tap: a hook sees pieces and not writes, and while it sleeps nobody sees the client
//! leave. Here the client is watched from one event to the next, and until the last one of a piece
//! is out nothing more is taken from the host: that is the backpressure.

use pingora::protocols::http::custom::server::Session as SessionCustom;
use pingora::{Error, ErrorType, Result};
use tokio::time::{Instant, sleep_until};

use super::Tap;
use super::pulse::Cause;

// === impl Tap ===

impl Tap {
    /// Writes a paced stream, one event at a time.
    pub(super) async fn write_in_turn(&mut self) -> Result<bool> {
        let mut over = false;
        self.pulse.unsent(true);
        while let Some(due) = self.flow.turn() {
            self.until(due).await?;
            let tasks = self.flow.take_turn(Instant::now());
            over = self.real_mut().response_duplex_vec(tasks).await?;
            self.pulse.beat();
        }
        self.pulse.unsent(false);
        Ok(over)
    }

    /// Waits, and fills a long silence with comments.
    async fn until(&mut self, due: Instant) -> Result<()> {
        while Instant::now() < due {
            let last = self.pulse.last_resort();
            let wake = self.flow.due().map_or(due, |comment| comment.min(due)).min(last);
            self.unless_left(wake).await?;
            if Instant::now() >= last {
                self.pulse.note(Cause::Total);
                let late = Error::explain(ErrorType::HTTPStatus(504), Cause::Total.words());
                return Err(late.into_up());
            }
            if let Some(overdue) = self.flow.overdue(Instant::now()) {
                self.outbox.put(overdue);
                self.catch_up().await?;
            }
        }
        Ok(())
    }

    /// Waits, unless the client leaves. One that still sends its body cannot be watched.
    async fn unless_left(&mut self, wake: Instant) -> Result<()> {
        if !self.is_body_done() {
            sleep_until(wake).await;
            return Ok(());
        }
        let real = self.real_mut();
        let read = tokio::select! {
            biased;
            read = real.read_body_or_idle(true) => read,
            () = sleep_until(wake) => return Ok(()),
        };
        self.noted(read).map(|_| ())
    }
}
