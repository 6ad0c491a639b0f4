//! Which limits a request has to keep.
//!
//! Why numbers: every limit that is written somewhere gets one, and a counter is a number and a
//! caller; keys with the same limits share theirs. The trap: the longest path decides, not the
//! strictest limit: a rule for `/v1/models` is there to allow more, too.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use super::keys::{Door, Keys};
use super::terms::{MOST, Terms, Ticks};
use super::{Ask, Caller, Who};
use crate::config::{CountBy, Key, LimitRule, Limits, Rate, Strategy};

/// One limit, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) number: u32,
    pub(super) rate: Rate,
    pub(super) terms: Terms,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Requests,
    Tokens,
}

/// All limits.
#[derive(Debug)]
pub(super) struct Rules {
    by: CountBy,
    /// The longest path first, and with a level before without.
    rules: Vec<Rule>,
    global: Box<[Limit]>,
    /// What keys have to keep; most of them the same.
    own: Vec<Own>,
    keys: Keys,
    numbered: Numbered,
}

/// What one admission has to keep: limits of requests by rule and by key, and those of tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan<'a>(pub(super) [Group<'a>; 3]);

/// Limits that one caller has to keep for one cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group<'a> {
    pub(super) kind: Kind,
    pub(super) who: Who,
    pub(super) cost: u64,
    pub(super) limits: &'a [Limit],
}

#[derive(Debug)]
struct Rule {
    written: LimitRule,
    limits: Box<[Limit]>,
}

/// What a key has to keep wherever it goes.
#[derive(Debug, Default)]
struct Own {
    requests: Box<[Limit]>,
    tokens: Box<[Limit]>,
    in_flight: Option<NonZeroUsize>,
}

#[derive(Debug)]
struct Numbered {
    strategy: Strategy,
    periods: Vec<Ticks>,
    /// What each of them is called where several nodes have to mean the same one.
    labels: Vec<String>,
}

// === impl Rules ===

impl Rules {
    pub(super) fn build(section: &Limits, keys: &[Key]) -> Self {
        let mut numbered = Numbered::of(section.strategy);
        let speaks = |rule: &&LimitRule| rule.requests.is_some();
        let mut rules: Vec<Rule> = section
            .rules
            .iter()
            .filter(speaks)
            .map(|rule| Rule {
                written: rule.clone(),
                limits: numbered.all(&label(rule), rule.requests.as_deref().unwrap_or_default()),
            })
            .collect();
        rules.sort_by_key(|rule| rule.written.rank());
        let global = numbered.all("global", &section.global);
        let (mut own, mut known) = (Vec::new(), HashMap::new());
        let keys = keys.iter().map(|key| {
            *known.entry((&*key.requests, &*key.tokens, key.in_flight)).or_insert_with(|| {
                own.push(Own::of(key, &mut numbered));
                u32::try_from(own.len() - 1).expect("no file holds so many keys")
            })
        });
        let keys = Keys::of(keys);
        Self { by: section.by, rules, global, own, keys, numbered }
    }

    /// What this request has to keep.
    pub(super) fn plan(&self, ask: &Ask<'_>) -> Plan<'_> {
        let caller = &ask.caller;
        let own = self.own(caller);
        let limits = |of: fn(&Own) -> &[Limit]| own.map(of).unwrap_or_default();
        let key = caller.key.map_or(Who::NOBODY, Who::key);
        let group = |kind, who, cost, limits| Group { kind, who, cost, limits };
        Plan([
            group(Kind::Requests, self.who(caller), 1, self.of_path(ask.path, caller.level)),
            group(Kind::Requests, key, 1, limits(|own| &own.requests)),
            group(Kind::Tokens, key, ask.tokens.min(MOST + 1), limits(|own| &own.tokens)),
        ])
    }

    /// The limits of tokens of a key.
    pub(super) fn tokens(&self, caller: &Caller) -> Option<Group<'_>> {
        let limits = &self.own(caller)?.tokens;
        Some(Group { kind: Kind::Tokens, who: Who::key(caller.key?), cost: 0, limits })
    }

    /// Where a key goes in that may not have any number of requests under way.
    pub(super) fn door(&self, caller: &Caller) -> Option<Door<'_>> {
        Some(self.keys.door(caller.key?, self.own(caller)?.in_flight?))
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The period of each limit, by its number.
    pub(super) fn periods(&self) -> &[Ticks] {
        &self.numbered.periods
    }

    /// What each limit is called on every node, by its number; it holds for one caller.
    pub(super) fn labels(&self) -> &[String] {
        &self.numbered.labels
    }

    /// How many limits one rule sets, at most.
    pub(super) fn longest(&self) -> usize {
        let rules = self.rules.iter().map(|rule| rule.limits.len());
        rules.chain([self.global.len(), 1]).max().unwrap_or(1)
    }

    fn own(&self, caller: &Caller) -> Option<&Own> {
        self.own.get(self.keys.own(caller.key?)?)
    }

    fn who(&self, caller: &Caller) -> Who {
        match (self.by, caller.key) {
            (CountBy::Key, Some(key)) => Who::key(key),
            (CountBy::Key, None) | (CountBy::Ip, _) => {
                caller.client.map_or(Who::NOBODY, Who::address)
            }
        }
    }

    fn of_path(&self, path: &str, level: u32) -> &[Limit] {
        let rule = self.rules.iter().find(|rule| rule.written.applies(path, level));
        rule.map_or(&self.global, |rule| &rule.limits)
    }
}

// === impl Plan ===

impl<'a> Plan<'a> {
    /// Every limit that there is to keep, with its group.
    pub(super) fn limits(&self) -> impl Iterator<Item = (Group<'a>, &'a Limit)> + use<'a> {
        let groups = self.0.into_iter();
        groups.flat_map(|group| group.limits.iter().map(move |limit| (group, limit)))
    }

    /// Those who are counted.
    pub(super) fn callers(&self) -> [Who; 2] {
        let [by_rule, by_key, tokens] = self.0;
        let key =
            if by_key.limits.is_empty() && tokens.limits.is_empty() { by_rule } else { by_key };
        if by_rule.limits.is_empty() { [key.who; 2] } else { [by_rule.who, key.who] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|group| group.limits.is_empty())
    }
}

// === impl Own ===

impl Own {
    fn of(key: &Key, numbered: &mut Numbered) -> Self {
        let (requests, tokens) =
            (numbered.all("requests", &key.requests), numbered.all("tokens", &key.tokens));
        Self { requests, tokens, in_flight: key.in_flight }
    }
}

// === impl Numbered ===

impl Numbered {
    fn of(strategy: Strategy) -> Self {
        Self { strategy, periods: Vec::new(), labels: Vec::new() }
    }

    /// The limits of one rule; one that is written twice is one.
    fn all(&mut self, scope: &str, rates: &[Rate]) -> Box<[Limit]> {
        let mut limits: Vec<Limit> = Vec::new();
        for rate in rates {
            let limit = self.next(*rate);
            if limits.iter().all(|known| known.terms != limit.terms) {
                let seconds = rate.period().as_secs();
                self.periods.push(limit.terms.period);
                self.labels.push(format!("{scope}:{}/{seconds}s", rate.amount));
                limits.push(limit);
            }
        }
        limits.into()
    }

    fn next(&self, rate: Rate) -> Limit {
        let number = u32::try_from(self.periods.len()).expect("no file holds so many limits");
        // A period is at most a hundred years, so its nanoseconds fit, twice.
        let period = Ticks::try_from(rate.period().as_nanos()).unwrap_or(Ticks::MAX / 4);
        let terms = Terms { strategy: self.strategy, amount: rate.amount.min(MOST), period };
        Limit { number, rate, terms }
    }
}

fn label(rule: &LimitRule) -> String {
    match rule.level {
        Some(level) => format!("rule:{}@{level}", rule.path),
        None => format!("rule:{}", rule.path),
    }
}

#[cfg(test)]
mod tests;
