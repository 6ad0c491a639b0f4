//! One admission on its way to Redis and back, and what it charged there.
//!
//! Why a charge gives itself back: whoever asked may have gone, or was told after 50 ms that Redis is
//! away; then nobody else knows of it.

use std::sync::Arc;
use std::time::Duration;

use super::Verdict;
use super::scripts::{self, Link, word};
use crate::config::Strategy;
use crate::limit::rules::{Group, Kind, Limit};
use crate::limit::terms::NEVER;
use crate::limit::window::Change;
use crate::limit::{Level, Standing, What};
use crate::link::{Away, spawn};

/// What is asked of Redis.
#[derive(Debug)]
pub(super) struct Question {
    link: Arc<Link>,
    strategy: Strategy,
    items: Vec<Item>,
}

/// What an admission charged. It is given back when this drops; see [`Charge::keep`].
#[derive(Debug)]
pub(in crate::limit) struct Charge(Question);

/// The tokens of an admission, which stay charged unless they are settled.
#[derive(Debug)]
pub(in crate::limit) struct Tokens(Question);

/// One limit.
#[derive(Debug)]
pub(super) struct Item {
    name: String,
    kind: Kind,
    limit: Limit,
    cost: u64,
    /// Where it was booked, in microseconds.
    booked: i64,
}

/// What Redis says of a limit, in microseconds; [`WORDS`] of them.
struct Said {
    /// -1 for ever.
    wait: i64,
    used: u64,
    /// From now on.
    reset: u64,
    booked: i64,
}

const WORDS: usize = 4;

/// Nanoseconds.
const MICROSECOND: u64 = 1_000;

// === impl Question ===

impl Question {
    pub(super) fn of(link: Arc<Link>, strategy: Strategy, items: Vec<Item>) -> Self {
        Self { link, strategy, items }
    }

    pub(super) async fn ask(self) -> Result<Verdict, Away> {
        let mut arguments = vec![word(self.strategy).to_owned()];
        for Item { limit, cost, .. } in &self.items {
            let numbers = [limit.terms.amount, limit.terms.period / MICROSECOND, *cost];
            arguments.extend(numbers.map(|number| number.to_string()));
        }
        let answer = scripts::admit(&self.link, &self.names(), &arguments).await?;
        self.read(&answer).ok_or(Away)
    }

    /// Books changes.
    async fn tell(&self, change: impl Fn(&Item) -> Change) -> Result<(), Away> {
        let mut arguments = vec![word(self.strategy).to_owned()];
        for item in &self.items {
            let (more, less) = match change(item) {
                Change::More(cost) => (cost, 0),
                Change::Less(cost) => (0, cost),
            };
            let period = item.limit.terms.period / MICROSECOND;
            arguments.extend([period, more, less].map(|number| number.to_string()));
            arguments.push(item.booked.to_string());
        }
        scripts::settle(&self.link, &self.names(), &arguments).await
    }

    fn names(&self) -> Vec<&str> {
        self.items.iter().map(|item| &*item.name).collect()
    }

    fn take(&mut self) -> Self {
        let items = std::mem::take(&mut self.items);
        Self { link: self.link.clone(), strategy: self.strategy, items }
    }

    /// `None` for an answer that is not one of ours.
    fn read(mut self, answer: &[i64]) -> Option<Verdict> {
        let [is_admitted, now, said @ ..] = answer else {
            return None;
        };
        let (mut standing, mut worst) = (Standing::default(), None::<(u64, What)>);
        for (item, words) in self.items.iter_mut().zip(said.chunks_exact(WORDS)) {
            let said = Said::read(words, *now)?;
            item.booked = said.booked;
            standing.note(item.kind, Level::of(&item.limit, said.used, said.reset * MICROSECOND));
            let wait = said.wait();
            if wait > worst.map_or(0, |(longest, _)| longest) {
                worst = Some((wait, What::refused(item.kind, &item.limit, wait)));
            }
        }
        let charge = match worst {
            None if *is_admitted == 1 => Ok(Charge(self)),
            None => return None,
            Some((NEVER, what)) => Err((what, None)),
            Some((wait, what)) => Err((what, Some(Duration::from_nanos(wait)))),
        };
        Some(Verdict { charge, standing })
    }
}

// === impl Charge ===

impl Charge {
    /// Leaves it as it is; what of it is tokens can be settled.
    pub(in crate::limit) fn keep(mut self) -> Option<Tokens> {
        let mut tokens = self.0.take();
        tokens.items.retain(|item| item.kind == Kind::Tokens);
        (!tokens.items.is_empty()).then_some(Tokens(tokens))
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let back = self.0.take();
        if !back.items.is_empty() {
            // What cannot be given back stays charged until its window ends.
            let _ = spawn(async move {
                let _ = back.tell(|item| Change::Less(item.cost)).await;
            });
        }
    }
}

// === impl Tokens ===

impl Tokens {
    /// Changes all limits behind the caller's back. `lost` is called when Redis could not be told.
    pub(in crate::limit) fn settle(self, change: Change, lost: impl FnOnce() + Send + 'static) {
        // Without a runtime the process is about to end.
        let _ = spawn(async move {
            if self.0.tell(|_| change).await.is_err() {
                lost();
            }
        });
    }
}

// === impl Item ===

impl Item {
    pub(super) fn of(name: String, group: &Group<'_>, limit: &Limit) -> Self {
        Self { name, kind: group.kind, limit: *limit, cost: group.cost, booked: 0 }
    }
}

// === impl Said ===

impl Said {
    fn read(words: &[i64], now: i64) -> Option<Self> {
        let [wait, used, ends, booked] = *words else {
            return None;
        };
        let from_zero = |number: i64| u64::try_from(number.max(0)).unwrap_or_default();
        Some(Self { wait, used: from_zero(used), reset: from_zero(ends - now), booked })
    }

    /// In nanoseconds, as the store in memory has it.
    fn wait(&self) -> u64 {
        u64::try_from(self.wait).map_or(NEVER, |wait| wait * MICROSECOND)
    }
}
