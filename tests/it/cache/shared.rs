//! A cache in Redis that several nodes share, and a Redis that goes away.
//!
//! The trap: on a machine that is busy a lookup may take longer than 50 ms, and is a miss then. So what
//! counts hits is done again, on a fresh Redis, if the status tells of such a one.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::kept::purged;
use super::{ask, told};
use crate::support::house::{Conf, House};
use crate::support::openai::{chat_answer, chat_stream};
use crate::support::redis::Redis;
use crate::support::upstream::{Reply, Upstream};
use crate::support::within;

/// Two nodes before one upstream, over one Redis.
struct Nodes {
    up: Upstream,
    redis: Redis,
    one: House,
    other: House,
}

// === impl Nodes ===

impl Nodes {
    async fn start(reply: impl Fn() -> Reply + Send + Sync + 'static, more: &str) -> Self {
        let (up, redis) = (Upstream::start(move |_: &_| reply()).await, Redis::start().await);
        let store = redis.key().replace("limits.", "cache.");
        let conf = || Conf::to(&up).with(&store).with("cache.default = true").with(more);
        let (one, other) = (House::start(conf()).await, House::start(conf()).await);
        for house in [&one, &other] {
            house.status_is("Redis is reached", |status| status["cache"]["up"] == true).await;
        }
        Self { up, redis, one, other }
    }

    /// Waits until Redis has so many answers.
    async fn written(&self, count: usize) {
        let url = self.redis.key();
        let client = redis::Client::open(url.split('"').nth(1).unwrap()).unwrap();
        within("the answers in Redis", async {
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            loop {
                let names = redis::cmd("DBSIZE").query_async(&mut connection).await;
                // One more tells what was purged.
                if names == Ok(count + 1) {
                    return;
                }
            }
        })
        .await;
    }

    /// Whether no lookup came too late.
    async fn is_calm(&self) -> bool {
        let [one, other] = [self.one.status().await, self.other.status().await];
        [one, other].iter().all(|status| status["cache"]["store_errors"]["read"] == 0)
    }
}

fn streamed() -> Reply {
    Reply::sse(chat_stream(&["a", "b", "c"])).gap(Duration::from_millis(40))
}

#[tokio::test]
async fn two_nodes_are_one_call() {
    loop {
        let nodes = Nodes::start(streamed, "").await;
        let first = nodes.one.ask(ask(true)).await;
        nodes.written(1).await;
        let there = nodes.other.ask(ask(true)).await;
        let body = nodes.other.ask(ask(false)).await;
        let here = nodes.one.ask(ask(true)).await;
        if !nodes.is_calm().await {
            continue;
        }
        assert_eq!([&first, &there, &body, &here].map(told), ["miss", "hit", "hit", "hit"]);
        assert_eq!((&there.body, &here.body), (&first.body, &first.body));
        assert_eq!(body.json()["choices"][0]["message"]["content"], "abc");
        assert_eq!(nodes.up.ledger().len(), 1);
        return;
    }
}

#[tokio::test]
async fn a_replay_on_another_node_keeps_the_pauses_of_the_host() {
    loop {
        let nodes = Nodes::start(streamed, "cache.replay = \"original\"").await;
        nodes.one.ask(ask(true)).await;
        nodes.written(1).await;
        let begun = Instant::now();
        let hit = nodes.other.ask(ask(true)).await;
        if nodes.is_calm().await {
            assert_eq!((told(&hit), hit.events().len()), ("hit", 5));
            assert!(begun.elapsed() >= Duration::from_millis(80), "{:?}", begun.elapsed());
            return;
        }
    }
}

#[tokio::test]
async fn what_one_node_forgets_all_have_forgotten() {
    loop {
        let nodes = Nodes::start(|| Reply::json(200, &chat_answer("hello")), "").await;
        let mut told_all = Vec::new();
        for what in ["model=m", "key=ann", "all=true", "model=other"] {
            nodes.one.ask(ask(false)).await;
            nodes.written(1).await;
            let count = u64::from(what != "model=other");
            assert_eq!(purged(&nodes.other, what).await, (200, format!("{{\"purged\":{count}}}")));
            told_all.push(told(&nodes.one.ask(ask(false)).await).to_owned());
            nodes.written(1).await;
        }
        if nodes.is_calm().await {
            assert_eq!(told_all, ["miss", "miss", "miss", "hit"]);
            return;
        }
    }
}

#[tokio::test]
async fn what_is_longer_than_an_answer_may_be_is_not_kept() {
    let long = "x".repeat(2000);
    let reply = move || Reply::json(200, &chat_answer(&long));
    let nodes = Nodes::start(reply, "cache.answer = 1000").await;
    for _ in 0..2 {
        assert_eq!(told(&nodes.one.ask(ask(false)).await), "miss");
    }
    nodes.written(0).await;
    assert_eq!(nodes.one.status().await["cache"]["store_errors"]["dropped"], 0);
}

#[tokio::test]
async fn without_its_redis_all_is_a_miss_and_nothing_fails() {
    let nodes = Nodes::start(|| Reply::json(200, &chat_answer("hello")), "").await;
    let Nodes { up, redis, one, other: _other } = nodes;
    redis.stop().await;
    for calls in 1..=20 {
        let answer = one.ask(ask(false)).await;
        assert_eq!((answer.status, told(&answer), up.ledger().len()), (200, "miss", calls));
    }
    let status = one.status().await;
    assert_eq!(
        (&status["cache"]["up"], &status["cache"]["entries"]),
        (&json!(false), &Value::Null)
    );
    assert!(status["cache"]["store_errors"]["read"].as_u64() >= Some(20), "{status}");
    let metrics = one.admin_text("/metrics").await;
    assert!(!metrics.contains("aifd_cache_store_errors_total{what=\"read\"} 0"), "{metrics}");
}
