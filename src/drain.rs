//! Requests under way, counted, so that a shutdown can end with the last of them.
//!
//! Why RAII: a panic in a hook skips Pingora's `logging`, but never a `Drop`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

/// The count; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Drain(Arc<State>);

#[derive(Debug, Default)]
struct State {
    under_way: AtomicUsize,
    draining: AtomicBool,
    ended: Notify,
    cut: watch::Sender<bool>,
}

/// One request under way.
#[derive(Debug)]
pub struct UnderWay(Arc<State>);

// === impl Drain ===

impl Drain {
    /// Counts one request until the guard is dropped.
    #[must_use]
    pub fn enter(&self) -> UnderWay {
        self.0.under_way.fetch_add(1, Ordering::AcqRel);
        UnderWay(Arc::clone(&self.0))
    }

    /// How many are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.0.under_way.load(Ordering::Acquire)
    }

    /// From now on the process wants to end.
    pub fn start(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// Whether it does.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }

    /// From now on what is under way has to end, too.
    pub fn cut(&self) {
        self.0.cut.send_replace(true);
    }

    /// Waits for that.
    pub async fn until_cut(&self) {
        // The sender lives as long as `self`, so this never ends in an error.
        let _ = self.0.cut.subscribe().wait_for(|cut| *cut).await;
    }

    /// Waits until no request is under way.
    pub async fn empty(&self) {
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            // Registered before the count is read, so that the last end cannot slip between.
            ended.as_mut().enable();
            if self.under_way() == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn empty_waits_for_the_last() {
        let drain = Drain::default();
        drain.empty().await;
        let guards = [drain.enter(), drain.enter()];
        let waiting = {
            let drain = drain.clone();
            async move { drain.empty().await }
        };
        tokio::pin!(waiting);
        assert!(futures_pending(waiting.as_mut()).await);
        drop(guards);
        waiting.await;
        assert_eq!(drain.under_way(), 0);
    }

    async fn futures_pending(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        tokio::select! {
            biased;
            () = future => false,
            () = std::future::ready(()) => true,
        }
    }
}
