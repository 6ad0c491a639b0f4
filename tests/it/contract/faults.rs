//! Faults of openai-forward that nobody shall meet here.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{ask, call, lists, send, told, with};
use crate::support::client::Ended;
use crate::support::house::{Conf, House};
use crate::support::openai::{chat, chat_answer, chat_stream, get, post};
use crate::support::upstream::{Reply, Upstream};

/// A client of an openai route hung, and one of a general route took half an answer for a whole one.
#[tokio::test]
async fn a_stream_that_breaks_off_ends_and_not_as_if_it_were_whole() {
    let up = Upstream::start(|seen| {
        let answer = Reply::sse(chat_stream(&["one", "two", "three"]));
        if seen.target.ends_with("reset") { answer.reset_after(300) } else { answer.cut_after(300) }
    })
    .await;
    let extra = format!("EXTRA_BASE_URL={}\nEXTRA_ROUTE_PREFIX=/raw", up.url());
    let house = House::of_env(&lists(&up, &extra)).await;
    for path in ["/v1/chat/completions", "/raw/v1/chat/completions", "/v1/chat/completions/reset"] {
        let body = chat("m", true, "hi");
        let answer = send(&house, post(path, &body)).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            answer.ended.is_cut() && answer.ended != Ended::Whole,
            "{path}: {:?}",
            answer.ended
        );
    }
}

/// One jar for all: what a host set for one of them, the next one sent.
#[tokio::test]
async fn a_cookie_goes_to_its_own_client_and_to_nobody_else() {
    let up = Upstream::start(|seen| {
        let cookie = seen.header("cookie").map(str::to_owned);
        let mut body = told(seen);
        body["cookie"] = json!(cookie);
        Reply::json(200, &body).header("set-cookie", "session=theirs").header("set-cookie", "b=2")
    })
    .await;
    let keys = "OPENAI_API_KEY=sk-a1\nFORWARD_KEY=fk-one-key";
    let house = House::of_env(&lists(&up, keys)).await;
    let first = call(&house, "sk-mine").await;
    let cookies: Vec<_> = first.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["session=theirs", "b=2"]);
    for key in ["sk-mine", "sk-of-another", "fk-one-key"] {
        let next = call(&house, key).await;
        assert_eq!(next.json()["cookie"], Value::Null, "{key}");
    }
    // With a key of ours it is our account's.
    let ours = call(&house, "fk-one-key").await;
    assert_eq!(
        (ours.json()["key"].as_str(), ours.header("set-cookie")),
        (Some("Bearer sk-a1"), None)
    );
    // What a client sends is for this host, not for the one behind it.
    let request = with(with(ask("m"), "cookie", "a=1"), "authorization", "Bearer sk-mine");
    assert_eq!(send(&house, request).await.json()["cookie"], Value::Null);
}

/// Unlogged or uncached, the member went upstream, which refuses what it does not know.
#[tokio::test]
async fn caching_never_goes_upstream() {
    let up = Upstream::start(|_| Reply::json(200, &chat_answer("hello"))).await;
    for env in [
        "",
        "LOG_CHAT=true",
        "CACHE_CHAT_COMPLETION=true",
        "LOG_CHAT=true\nCACHE_CHAT_COMPLETION=true",
    ] {
        let house = House::of_env(&lists(&up, env)).await;
        for caching in [true, false] {
            let mut body = chat("m", false, env);
            body["caching"] = json!(caching);
            for path in ["/v1/chat/completions", "/v1/completions"] {
                assert_eq!(send(&house, post(path, &body)).await.status, 200);
            }
        }
    }
    let seen: Vec<_> = up.ledger().into_iter().map(|entry| entry.seen.json()).collect();
    assert!(!seen.is_empty() && seen.iter().all(|body| body.get("caching").is_none()), "{seen:?}");
}

/// A wrong key was served from the cache.
#[tokio::test]
async fn no_kept_answer_goes_to_who_has_no_valid_key() {
    let up = Upstream::start(|seen| match seen.header("authorization") {
        Some("Bearer sk-upstream-0123456789") => Reply::json(200, &chat_answer("hello")),
        _ => Reply::json(401, &json!({"error": "theirs"})),
    })
    .await;
    for (unknown, asked) in [("pass", Some("miss")), ("refuse", None)] {
        let conf = Conf::to(&up)
            .with("cache.store = \"memory\"\ncache.default = true")
            .with(&format!("access.unknown_keys = \"{unknown}\""));
        let house = House::start(conf).await;
        for _ in 0..2 {
            assert_eq!(house.ask(ask("m")).await.status, 200);
        }
        assert_eq!(house.ask(ask("m")).await.header("x-cache"), Some("hit"));
        for _ in 0..2 {
            let stranger = call(&house, "sk-wrong").await;
            assert_eq!((stranger.status, stranger.header("x-cache")), (401, asked), "{unknown}");
        }
        assert_eq!(send(&house, ask("m")).await.status, 401, "{unknown}");
    }
}

/// Every hit of the cache and every canned answer stopped the whole worker for a second or two.
#[tokio::test]
async fn nothing_waits_that_need_not() {
    let up = Upstream::start(|_| Reply::json(200, &json!({}))).await;
    let house = House::of_env(&lists(&up, "BENCHMARK_MODE=true")).await;
    let canned = || post("/benchmark/v1/chat/completions", &json!({}));
    let mut client = house.client().await;
    for _ in 0..2 {
        assert_eq!(client.ask(canned()).await.status, 200);
    }
    // With a second for each of them the harness would lose its patience.
    let calls = (0..40).map(|_| send(&house, canned()));
    assert!(join_all(calls).await.iter().all(|answer| answer.status == 200));
    assert_eq!(send(&house, get("/v1/models")).await.status, 200);
}
