//! Who comes next, and where to: the state of all hosts of one upstream and of those who wait.
//!
//! Why in one place: a slot that comes free, a host that comes back and a request that arrives are
//! one decision, taken under one lock (`slots`), so that no slot is lost and no turn is jumped.
//! Nothing here waits or knows a clock.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::balance::{self, Candidate};
use super::health::{Health, Peers, Rules, Standing};
use super::pace::Pace;
use super::slots::Slot;
use super::speed::Speed;
use super::window::Tally;
use crate::config::{self, Balance, Queue};

/// All that is known of one upstream.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) hosts: Vec<Place>,
    pub(super) queue: Queue,
    balance: Balance,
    most: Option<NonZeroUsize>,
    /// Whose turn it is, in a round.
    turn: usize,
    waiting: VecDeque<Waiter>,
    tickets: u64,
    pace: Pace,
}

/// One host.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) in_flight: usize,
    pub(super) health: Health,
    pub(super) speed: Speed,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    tried: Vec<usize>,
    tell: oneshot::Sender<Slot>,
}

/// A slot that was taken for somebody who waits: handed over once the lock is open.
pub(super) struct Grant {
    pub(super) tell: oneshot::Sender<Slot>,
    pub(super) at: usize,
    pub(super) epoch: u64,
}

/// What there is for a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This host.
    Host(usize),
    /// Every host that it may use is full.
    Full,
    /// Every host that is left rests, at least until then.
    Resting(Instant),
    /// It has tried them all.
    Nobody,
}

// === impl Desk ===

impl Desk {
    pub(super) fn of(section: &config::Upstream, now: Instant) -> Self {
        let rules = Rules::of(section);
        let place =
            |_| Place { in_flight: 0, health: Health::new(rules, now), speed: Speed::default() };
        Self {
            hosts: section.hosts.iter().map(place).collect(),
            queue: section.queue,
            balance: section.balance,
            most: section.max_in_flight,
            turn: 0,
            waiting: VecDeque::new(),
            tickets: 0,
            pace: Pace::default(),
        }
    }

    /// The host for a request that has tried these. One that has failed already is no trial.
    pub(super) fn choose(&self, tried: &[usize], now: Instant) -> Choice {
        let left = || {
            let left = self.hosts.iter().enumerate().filter(|(at, _)| !tried.contains(at));
            left.map(|(at, host)| (at, host, host.health.standing(now)))
        };
        let fresh = tried.is_empty();
        let due = left().find(|(at, _, is)| fresh && *is == Standing::Due && !self.is_full(*at));
        if let Some((at, ..)) = due {
            return Choice::Host(at);
        }
        let of = |wanted: Standing| left().filter(move |(_, _, is)| *is == wanted);
        for standing in [Standing::Up, Standing::Down] {
            if of(standing).next().is_some() {
                return self.balanced(of(standing).map(|(at, ..)| at), fresh, now);
            }
        }
        let rests = |is: Standing| matches!(is, Standing::Resting(_));
        if left().any(|(_, _, is)| !rests(is)) {
            let open = left().filter(|(at, _, is)| !rests(*is) && !self.is_full(*at));
            let last_resort = open.min_by_key(|(_, host, _)| host.health.since(now));
            return last_resort.map_or(Choice::Full, |(at, ..)| Choice::Host(at));
        }
        let ends = left().filter_map(|(_, host, _)| host.health.due(now));
        ends.min().map_or(Choice::Nobody, Choice::Resting)
    }

    fn balanced(&self, hosts: impl Iterator<Item = usize>, fresh: bool, now: Instant) -> Choice {
        let open = hosts.filter(|at| !self.is_full(*at));
        let open: Vec<Candidate> = open.map(|at| self.hosts[at].candidate(at, now)).collect();
        let chosen = match self.balance {
            Balance::RoundRobin => balance::round_robin(&open, self.turn, self.hosts.len()),
            Balance::LeastBusy => balance::least_busy(&open, fresh),
        };
        chosen.map_or(Choice::Full, Choice::Host)
    }

    fn is_full(&self, at: usize) -> bool {
        self.most.is_some_and(|most| self.hosts[at].in_flight >= most.get())
    }

    /// Takes a place on a host; gives the epoch of its health.
    pub(super) fn take(&mut self, at: usize, now: Instant) -> u64 {
        self.turn = at + 1;
        for (other, host) in self.hosts.iter_mut().enumerate() {
            if other != at {
                host.speed.pass();
                host.health.pass();
            }
        }
        let host = &mut self.hosts[at];
        host.in_flight += 1;
        host.speed.begin(now);
        host.health.begin()
    }

    /// Gives a place back.
    pub(super) fn leave(&mut self, at: usize, epoch: u64, held: Duration, now: Instant) {
        let rush = !self.waiting.is_empty() || (0..self.hosts.len()).all(|at| self.is_full(at));
        self.pace.freed(held, rush, now);
        let host = &mut self.hosts[at];
        host.in_flight = host.in_flight.saturating_sub(1);
        host.health.end(epoch);
    }

    /// What the others of a host are like.
    pub(super) fn peers(&self, at: usize, now: Instant) -> Peers {
        let others = self.hosts.iter().enumerate().filter(|(other, _)| *other != at);
        others.fold(Peers::default(), |peers, (_, host)| Peers {
            usable: peers.usable || host.health.standing(now) == Standing::Up,
            tally: Tally::and(peers.tally, host.health.tally()),
        })
    }

    /// Puts a request at the end of the queue, unless the queue is full; gives its ticket.
    pub(super) fn join(&mut self, tried: &[usize]) -> Option<(u64, oneshot::Receiver<Slot>)> {
        if self.waiting.len() >= self.queue.size {
            return None;
        }
        let (tell, told) = oneshot::channel();
        self.tickets += 1;
        self.waiting.push_back(Waiter { ticket: self.tickets, tried: tried.to_vec(), tell });
        Some((self.tickets, told))
    }

    /// Takes a request out of the queue, if it is still there.
    pub(super) fn quit(&mut self, ticket: u64) {
        self.waiting.retain(|waiter| waiter.ticket != ticket);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Gives every place that can be had to those who wait, the first come first.
    pub(super) fn serve(&mut self, now: Instant) -> Vec<Grant> {
        let mut grants = Vec::new();
        let mut next = 0;
        while next < self.waiting.len() && self.is_open(now) {
            match self.choose(&self.waiting[next].tried, now) {
                Choice::Host(at) => {
                    let waiter = self.waiting.remove(next);
                    let epoch = self.take(at, now);
                    grants.extend(waiter.map(|waiter| Grant { tell: waiter.tell, at, epoch }));
                }
                _ => next += 1,
            }
        }
        grants
    }

    /// Whether some host could take a request, whoever's it is.
    fn is_open(&self, now: Instant) -> bool {
        let rests = |at: usize| matches!(self.hosts[at].health.standing(now), Standing::Resting(_));
        (0..self.hosts.len()).any(|at| !self.is_full(at) && !rests(at))
    }

    /// When time alone will make a host usable, the next time.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.hosts.iter().filter_map(|host| host.health.due(now)).min()
    }

    /// When a request that is sent away now would have its turn.
    pub(super) fn retry_after(&self, now: Instant) -> Duration {
        let up = self.hosts.iter().filter(|host| host.health.standing(now) == Standing::Up);
        let usable = up.count();
        let opens = self.due(now).filter(|_| usable == 0).map_or(Duration::ZERO, |due| due - now);
        let Some(most) = self.most else { return opens };
        let places = most.get().saturating_mul(usable.max(1));
        let turn = self.pace.until(self.waiting.len() + 1, places, now);
        turn.unwrap_or(self.queue.wait).max(opens)
    }
}

// === impl Place ===

impl Place {
    fn candidate(&self, at: usize, now: Instant) -> Candidate {
        Candidate {
            at,
            in_flight: self.in_flight,
            first_byte: self.speed.first_byte(),
            silence: self.speed.silence(now),
            doubt: self.health.doubt(now),
            wants_a_look: self.speed.wants_a_look(now),
        }
    }
}
