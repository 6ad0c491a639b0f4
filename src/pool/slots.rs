//! The places on the hosts: taken, waited for, given back by `Drop`.
//!
//! Why `Drop` everywhere: a request can vanish at any moment, also while it waits or while its slot
//! is on the way to it; whatever it holds goes to the next one. The trap: a [`Slot`] takes the lock
//! when it drops, so none may ever be dropped under it; grants are handed over outside.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::desk::{Choice, Desk, Grant};
use super::{NoHost, Outcome};
use crate::config;

/// The places of one upstream.
#[derive(Debug)]
pub(super) struct Slots {
    desk: Mutex<Desk>,
    /// When a host may become usable by itself: whoever waits looks then.
    due: watch::Sender<Option<Instant>>,
}

/// One place on one host.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    at: usize,
    epoch: u64,
    begun: Instant,
    heard: Heard,
}

/// What was reported of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    Good,
    Other,
}

/// A request in the queue.
struct Waiting {
    slots: Arc<Slots>,
    ticket: u64,
    granted: oneshot::Receiver<Slot>,
}

// === impl Slots ===

impl Slots {
    pub(super) fn of(section: &config::Upstream) -> Arc<Self> {
        let desk = Mutex::new(Desk::of(section, Instant::now()));
        Arc::new(Self { desk, due: watch::Sender::new(None) })
    }

    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock()
    }

    /// A place on a host that was not tried yet; waits for one when all are full.
    pub(super) async fn enter(self: &Arc<Self>, tried: &[usize]) -> Result<Slot, NoHost> {
        let (answer, grants, now) = {
            let mut desk = self.desk.lock();
            let now = Instant::now();
            let grants = desk.serve(now);
            let answer = self.ask(&mut desk, tried, now);
            self.note_due(&desk, now);
            (answer, grants, now)
        };
        self.hand_over(grants, now);
        answer?.wait().await
    }

    fn ask(
        self: &Arc<Self>,
        desk: &mut Desk,
        tried: &[usize],
        now: Instant,
    ) -> Result<Entry, NoHost> {
        let until = now + desk.queue.wait;
        let refused = match desk.choose(tried, now) {
            Choice::Host(at) => {
                let epoch = desk.take(at, now);
                return Ok(Entry::Slot(self.slot(at, epoch, now)));
            }
            Choice::Nobody => return Err(NoHost::NoneLeft),
            Choice::Full => NoHost::QueueFull { retry_after: desk.retry_after(now) },
            Choice::Resting(end) => {
                let refused = NoHost::Resting { retry_after: end - now };
                // Who has failed elsewhere has that answer to give.
                if !tried.is_empty() || end > until {
                    return Err(refused);
                }
                refused
            }
        };
        let (ticket, granted) = desk.join(tried).ok_or(refused)?;
        Ok(Entry::Queue(Waiting { slots: Arc::clone(self), ticket, granted }, until))
    }

    /// One more place on a host, full or not: for whoever is about to give one back.
    pub(super) fn enter_again(self: &Arc<Self>, at: usize) -> Slot {
        let mut desk = self.desk.lock();
        let now = Instant::now();
        let epoch = desk.take(at, now);
        self.slot(at, epoch, now)
    }

    /// Something changed: those who wait may have their turn.
    pub(super) fn changed<T>(self: &Arc<Self>, change: impl FnOnce(&mut Desk, Instant) -> T) -> T {
        let (given, grants, now) = {
            let mut desk = self.desk.lock();
            let now = Instant::now();
            let given = change(&mut desk, now);
            let grants = desk.serve(now);
            self.note_due(&desk, now);
            (given, grants, now)
        };
        self.hand_over(grants, now);
        given
    }

    fn note_due(&self, desk: &Desk, now: Instant) {
        let due = desk.due(now).filter(|_| desk.waiting() > 0);
        self.due.send_if_modified(|known| std::mem::replace(known, due) != due);
    }

    fn hand_over(self: &Arc<Self>, grants: Vec<Grant>, now: Instant) {
        for grant in grants {
            // One who has left in this moment gives the slot back, and so it goes to the next.
            drop(grant.tell.send(self.slot(grant.at, grant.epoch, now)));
        }
    }

    fn slot(self: &Arc<Self>, at: usize, epoch: u64, begun: Instant) -> Slot {
        Slot { slots: Arc::clone(self), at, epoch, begun, heard: Heard::Nothing }
    }
}

/// The answer to a request for a place.
enum Entry {
    Slot(Slot),
    Queue(Waiting, Instant),
}

impl Entry {
    async fn wait(self) -> Result<Slot, NoHost> {
        match self {
            Self::Slot(slot) => Ok(slot),
            Self::Queue(waiting, until) => waiting.wait(until).await,
        }
    }
}

// === impl Waiting ===

impl Waiting {
    async fn wait(mut self, until: Instant) -> Result<Slot, NoHost> {
        let mut due = self.slots.due.subscribe();
        loop {
            let look = due.borrow_and_update().unwrap_or(until);
            tokio::select! {
                biased;
                Ok(slot) = &mut self.granted => return Ok(slot),
                () = sleep_until(until) => return Err(self.too_slow()),
                () = sleep_until(look) => self.slots.changed(|_, _| ()),
                Ok(()) = due.changed() => {}
            }
        }
    }

    fn too_slow(&self) -> NoHost {
        let mut desk = self.slots.desk.lock();
        desk.quit(self.ticket);
        NoHost::QueueSlow { retry_after: desk.retry_after(Instant::now()) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.slots.desk.lock().quit(self.ticket);
    }
}

// === impl Slot ===

impl Slot {
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Takes what became of the attempt; gives the time for which its host is left out for it.
    pub(super) fn report(&mut self, outcome: Outcome) -> Option<Duration> {
        let (at, epoch, before) = (self.at, self.epoch, self.heard);
        self.heard =
            if matches!(outcome, Outcome::Good { .. }) { Heard::Good } else { Heard::Other };
        let (epoch, out) = self.slots.changed(|desk, now| {
            let peers = desk.peers(at, now);
            let host = &mut desk.hosts[at];
            if before == Heard::Nothing {
                host.speed.heard();
            }
            match outcome {
                Outcome::Good { first_byte } => {
                    host.speed.sample(first_byte, now);
                    (host.health.good(epoch, now), None)
                }
                Outcome::Failed(blame) => {
                    let after_all = before == Heard::Good;
                    (epoch, host.health.failed((epoch, after_all), blame, peers, now))
                }
                Outcome::Busy { rest } => {
                    host.health.rest(rest.unwrap_or_default(), now);
                    (epoch, None)
                }
                Outcome::Neutral => (epoch, None),
            }
        });
        self.epoch = epoch;
        out
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let (at, epoch, silent) = (self.at, self.epoch, self.heard == Heard::Nothing);
        let begun = self.begun;
        self.slots.changed(|desk, now| {
            if silent {
                desk.hosts[at].speed.heard();
            }
            desk.leave(at, epoch, now.duration_since(begun), now);
        });
    }
}
