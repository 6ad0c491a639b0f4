//! Which rule is whose.

use super::*;
use crate::config::LimitRule;
use crate::limit::tests::{caller, key, rate, section};
use crate::limit::{Ask, KeyId};

fn rule(path: &str, level: Option<u32>, amount: u64) -> LimitRule {
    let requests = Some(vec![rate(amount, 60)]);
    LimitRule { path: path.to_owned(), level, requests, pace: None }
}

fn amounts(rules: &Rules, path: &str, level: u32) -> Vec<u64> {
    let ask = Ask { caller: Caller { level, ..caller(Some(0), "10.0.0.1") }, path, tokens: 0 };
    rules.plan(&ask).0[0].limits.iter().map(|limit| limit.rate.amount).collect()
}

#[test]
fn the_longest_path_wins_then_the_level_of_the_caller() {
    let mut section = section(Strategy::MovingWindow, &[rate(1, 60), rate(2, 3600)]);
    section.rules = vec![
        rule("/v1", None, 10),
        rule("/v1", Some(1), 11),
        rule("/v1/models", Some(1), 21),
        rule("/v1/chat/", None, 30),
        LimitRule { requests: Some(Vec::new()), ..rule("/free", None, 0) },
        LimitRule { requests: None, ..rule("/v1/chat/completions", None, 0) },
    ];
    let rules = Rules::build(&section, &[key(&[], &[], 0)]);
    for (path, level, expected) in [
        ("/v1/models", 1, &[21_u64] as &[u64]),
        ("/v1/models/gpt-4", 1, &[21]),
        ("/v1/modelsxyz", 1, &[11]),
        ("/v1/models", 2, &[10]),
        ("/v1", 0, &[10]),
        ("/v1x", 0, &[1, 2]),
        ("/v1/chat", 1, &[30]),
        ("/v1/chat/completions", 1, &[30]),
        ("/", 0, &[1, 2]),
        ("/free", 0, &[]),
        ("/free/at/all", 7, &[]),
        ("/freedom", 7, &[1, 2]),
    ] {
        assert_eq!(amounts(&rules, path, level), expected, "{path} at level {level}");
    }
}

#[test]
fn a_rule_for_the_root_is_for_every_path() {
    let mut section = section(Strategy::MovingWindow, &[rate(1, 60)]);
    section.rules = vec![rule("/", None, 5), rule("/", Some(3), 6)];
    let rules = Rules::build(&section, &[]);
    for (path, level, expected) in [("/", 0, 5), ("/v1/models", 0, 5), ("/x", 3, 6)] {
        assert_eq!(amounts(&rules, path, level), [expected], "{path} at level {level}");
    }
}

#[test]
fn keys_with_the_same_limits_share_them() {
    let section = section(Strategy::MovingWindow, &[]);
    let keys = [
        key(&[rate(5, 60)], &[], 0),
        key(&[rate(5, 60)], &[], 0),
        key(&[rate(5, 60)], &[rate(5, 60)], 0),
    ];
    let rules = Rules::build(&section, &keys);
    assert_eq!(rules.periods().len(), 3);
    let limits = |key: u32| {
        let caller = Caller { key: Some(KeyId(key)), client: None, level: 0 };
        let plan = rules.plan(&Ask { caller, path: "/", tokens: 7 });
        plan.limits().map(|(group, limit)| (group.cost, limit.number)).collect::<Vec<_>>()
    };
    assert_eq!(limits(0), limits(1));
    assert_eq!(limits(2).iter().map(|(cost, _)| *cost).collect::<Vec<_>>(), [1, 7]);
    assert_eq!(limits(3), []);
}
