//! The counters of several nodes together, in Redis.
//!
//! Why scripts: one of them looks at all limits of a request and charges all or none, in one trip and
//! with nobody between, by the clock of Redis. The strategies are those of `window.rs` and
//! `moving.rs`, in the same exactness; `redis/counters.lua` has them a second time.
//! The trap: an answer can come when nobody waits for it any longer, since he was told something else
//! or has gone. What it charged is given back then: see [`Charge`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use charge::{Item, Question};
use scripts::{Link, Scripts, word};

use super::rules::{Limit, Plan, Rules};
use super::who::Kind;
use super::{Standing, What, Who};
use crate::config::{Key, Strategy};
use crate::link::{Away, spawn};
use crate::secret::Secret;

mod charge;
mod scripts;
#[cfg(test)]
mod tests;

pub(super) use charge::{Charge, Tokens};

/// The counters in Redis.
#[derive(Debug)]
pub(super) struct Redis {
    link: Arc<Link>,
    strategy: Strategy,
    /// What each limit is called there, by its number.
    limits: Vec<String>,
    /// What each key is called there: its name, since numbers differ from node to node.
    keys: Vec<Box<str>>,
    /// No request waits longer.
    deadline: Duration,
}

/// What came of an admission, and what is left.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Or what would be too much, and for how long; `None` for ever.
    pub(super) charge: Result<Charge, (What, Option<Duration>)>,
    pub(super) standing: Standing,
}

/// How long a request may wait for Redis.
const DEADLINE: Duration = Duration::from_millis(50);

// === impl Redis ===

impl Redis {
    /// # Errors
    /// What is wrong with the URL.
    pub(super) fn build(
        url: &Secret,
        strategy: Strategy,
        rules: &Rules,
        keys: &[Key],
    ) -> Result<Self, String> {
        let what = format!("the limits in {}", url.origin());
        let link = Arc::new(Link::to(url.expose(), what, Scripts::default())?);
        let keys = keys.iter().map(|key| (*key.name).into()).collect();
        let limits = rules.labels().to_vec();
        Ok(Self { link, strategy, limits, keys, deadline: DEADLINE })
    }

    /// Charges every limit of the plan, or none.
    ///
    /// # Errors
    /// Redis did not say within 50 ms.
    pub(super) async fn admit(&self, plan: &Plan<'_>) -> Result<Verdict, Away> {
        let items = plan.limits().map(|(group, limit)| {
            let name = self.name(group.who, limit);
            Item::of(name, &group, limit)
        });
        let question = Question::of(self.link.clone(), self.strategy, items.collect());
        let (tell, told) = oneshot::channel();
        if self.link.is_down() {
            return Err(Away);
        }
        spawn(async move {
            // Nobody there: the verdict drops, and what it charged is given back.
            let _ = tell.send(question.ask().await);
        })?;
        match timeout(self.deadline, told).await {
            Ok(verdict) => verdict.unwrap_or(Err(Away)),
            Err(_) => {
                self.link.strike();
                Err(Away)
            }
        }
    }

    fn name(&self, who: Who, limit: &Limit) -> String {
        let strategy = word(self.strategy);
        let label = &self.limits[limit.number as usize];
        let Who { kind, value } = who;
        match kind {
            Kind::Key => {
                let name = usize::try_from(value).ok().and_then(|key| self.keys.get(key));
                let name = name.map_or("?", |name| &**name);
                format!("aifd:{strategy}:{label}:key:{name}")
            }
            Kind::V4 => format!("aifd:{strategy}:{label}:v4:{value:08x}"),
            Kind::V6 => format!("aifd:{strategy}:{label}:v6:{value:016x}"),
            Kind::Nobody | Kind::Shared => format!("aifd:{strategy}:{label}:nobody"),
        }
    }
}
