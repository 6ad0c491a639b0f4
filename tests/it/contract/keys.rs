//! Keys: swapped, rotated, kept apart by level, lent to everybody, or passed on.

use std::fs;

use aifd::config::compat::{Forward, find};
use serde_json::json;

use super::{ask, call, lists, mirror, objects, send, swapped, with};
use crate::support::house::House;
use crate::support::openai::get;
use crate::support::upstream::{Reply, Upstream};

const LEVELS: &str = r#"
OPENAI_API_KEY_CONFIG='{"sk-1": [0, 1], "sk-2": [1], "sk-3": [2], "sk-4": [0]}'
FORWARD_KEY_CONFIG='{"fk-zero-key": 0, "fk-one-key": 1, "fk-two-key": 2, "fk-three-key": 3}'
LEVEL_MODELS='{"1": ["m"], "2": ["m"], "3": ["m"]}'
"#;

fn read(env: &str) -> Forward {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".env"), env).unwrap();
    find(folder.path(), &|_| None).unwrap().unwrap().forward
}

#[tokio::test]
async fn keys_rotate_in_the_order_of_the_list() {
    let up = mirror().await;
    let keys = "OPENAI_API_KEY=sk-a1, sk-a2,sk-a3\nFORWARD_KEY='fk-one-key, 123'";
    let house = House::of_env(&lists(&up, keys)).await;
    let mut seen = Vec::new();
    for key in ["fk-one-key", "123", "fk-one-key", "fk-one-key", "123"] {
        seen.push(swapped(&house, key).await);
    }
    let expected = ["sk-a1", "sk-a2", "sk-a3", "sk-a1", "sk-a2"];
    assert_eq!(seen, expected.map(|key| format!("Bearer {key}")));
}

#[tokio::test]
async fn a_call_takes_one_turn_however_often_it_is_tried() {
    let up = Upstream::start(|seen| {
        let (key, body) = (seen.header("authorization").unwrap().to_owned(), seen.json());
        let answer = Reply::json(200, &json!({"key": key}));
        if body["model"] == "drop" { answer.reset_at_once() } else { answer.close_after() }
    })
    .await;
    let keys = "OPENAI_API_KEY=sk-a1,sk-a2\nFORWARD_KEY=fk-one-key";
    let house = House::of_env(&lists(&up, keys)).await;
    let dropped = with(ask("drop"), "authorization", "Bearer fk-one-key");
    assert_eq!(send(&house, dropped).await.status, 504);
    let seen = up.ledger().into_iter().map(|entry| entry.seen);
    let keys: Vec<_> = seen.map(|it| it.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(keys, ["Bearer sk-a1"; 4]);
    assert_eq!(swapped(&house, "fk-one-key").await, "Bearer sk-a2");
}

#[tokio::test]
async fn what_a_host_says_of_the_only_key_is_passed_on_each_time() {
    let up = Upstream::start(|_| Reply::json(401, &json!({"error": "theirs"}))).await;
    let keys = "OPENAI_API_KEY=sk-a1\nFORWARD_KEY=fk-one-key";
    let house = House::of_env(&lists(&up, keys)).await;
    for _ in 0..3 {
        let answer = call(&house, "fk-one-key").await;
        assert_eq!((answer.status, answer.text()), (401, r#"{"error":"theirs"}"#));
    }
}

#[tokio::test]
async fn each_level_rotates_over_the_keys_that_list_it() {
    let up = mirror().await;
    let house = House::of_env(&objects(&up, LEVELS)).await;
    let mut seen = Vec::new();
    for level in ["one", "zero", "two", "one", "zero", "one", "two", "zero", "one"] {
        let key = swapped(&house, &format!("fk-{level}-key")).await;
        seen.push(format!("{level} {}", key.strip_prefix("Bearer sk-").unwrap()));
    }
    let expected =
        ["one 1", "zero 1", "two 3", "one 2", "zero 4", "one 1", "two 3", "zero 1", "one 2"];
    assert_eq!(seen, expected);
}

/// openai-forward sent the forward key itself there.
#[tokio::test]
async fn a_level_without_a_key_is_refused_and_its_forward_key_stays_here() {
    let up = mirror().await;
    let house = House::of_env(&objects(&up, LEVELS)).await;
    let answer = call(&house, "fk-three-key").await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (403, &json!("no_key_for_level")));
    assert!(up.ledger().is_empty());
    assert_eq!(swapped(&house, "fk-two-key").await, "Bearer sk-3");
}

/// Broken in 0.4 to 0.5.1, gone from 0.7.1 on.
#[tokio::test]
async fn without_forward_keys_everybody_gets_a_key() {
    let up = mirror().await;
    for env in [
        lists(&up, "OPENAI_API_KEY=sk-a1,sk-a2"),
        objects(&up, r#"OPENAI_API_KEY='{"sk-a1": [0], "sk-a2": [3]}'"#),
        objects(&up, r#"OPENAI_API_KEY_CONFIG='{"sk-a1": [1], "sk-a2": [2]}'"#),
    ] {
        let house = House::of_env(&env).await;
        assert_eq!(swapped(&house, "sk-of-somebody-else").await, "Bearer sk-a1", "{env}");
        let answer = send(&house, ask("m")).await;
        assert_eq!(answer.json()["key"], "Bearer sk-a2", "{env}");
        // Where the client has its key, there the upstream's goes.
        let answer = send(&house, with(ask("m"), "x-api-key", "mine")).await;
        assert_eq!((answer.status, &answer.json()["key"]), (200, &json!("-")), "{env}");
        assert_eq!(up.ledger().pop().unwrap().seen.header("x-api-key"), Some("sk-a1"));
    }
}

#[tokio::test]
async fn keys_are_lent_to_targets_that_have_some_alone() {
    let up = mirror().await;
    let extra = format!("EXTRA_BASE_URL={}\nEXTRA_ROUTE_PREFIX=/raw", up.url());
    let house = House::of_env(&lists(&up, &format!("OPENAI_API_KEY=sk-a1\n{extra}"))).await;
    let mine = with(get("/raw/v1/models"), "authorization", "Bearer mine");
    assert_eq!(send(&house, mine).await.json()["key"], "Bearer mine");
    // From 0.8 on the general ones have them, too.
    let env = objects(&up, r#"OPENAI_API_KEY_CONFIG='{"sk-a1": [0]}'"#);
    let house = House::of_env(&env).await;
    let mine = with(get("/raw/v1/models"), "authorization", "Bearer mine");
    assert_eq!(send(&house, mine).await.json()["key"], "Bearer sk-a1");
}

#[tokio::test]
async fn a_forward_key_never_reaches_a_target_without_keys() {
    let up = mirror().await;
    let extra = format!("EXTRA_BASE_URL={}\nEXTRA_ROUTE_PREFIX=/raw", up.url());
    let keys = "OPENAI_API_KEY=sk-a1\nFORWARD_KEY=fk-one-key";
    let house = House::of_env(&lists(&up, &format!("{keys}\n{extra}"))).await;
    let ours = with(get("/raw/v1/models"), "authorization", "Bearer fk-one-key");
    assert_eq!(send(&house, ours).await.json()["key"], "-");
}

#[tokio::test]
async fn an_unknown_key_is_passed_on_and_none_stays_none() {
    let up = Upstream::start(|seen| match seen.header("authorization") {
        Some("Bearer sk-mine") => Reply::json(200, &json!({})),
        _ => Reply::json(401, &json!({"error": "theirs"})),
    })
    .await;
    let keys = "OPENAI_API_KEY=sk-a1\nFORWARD_KEY=fk-one-key";
    let house = House::of_env(&lists(&up, keys)).await;
    assert_eq!(call(&house, "sk-mine").await.status, 200);
    for wrong in [call(&house, "fk-other").await, send(&house, get("/v1/chat/completions")).await] {
        assert_eq!((wrong.status, wrong.text()), (401, r#"{"error":"theirs"}"#));
    }
    let seen: Vec<_> = up.ledger().into_iter().map(|entry| entry.seen).collect();
    let keys: Vec<_> = seen.iter().map(|seen| seen.header("authorization")).collect();
    assert_eq!(keys, [Some("Bearer sk-mine"), Some("Bearer fk-other"), None]);
}

/// The assertions of its own test_env and test_settings.
#[test]
fn what_its_own_tests_say_of_the_settings() {
    let lists = read("OPENAI_API_KEY=key1,key2\nFORWARD_KEY=ps1,ps2,ps3");
    let counts = (lists.upstream_keys.len(), lists.forward_keys.len());
    assert_eq!((counts, lists.no_auth), ((2, 3), false));
    assert_eq!(lists.targets.len(), 1);
    let target = &lists.targets[0];
    assert_eq!((&*target.base_url, &*target.prefix), ("https://api.openai.com", "/"));
    assert!(!lists.log_chat && lists.timeout.as_secs_f64() > 0.0 && lists.cache.routes.is_empty());
    let objects = read(&format!(
        "FORWARD_CONFIG='[{{\"base_url\": \"http://test.com\", \"route\": \"/test\", \"type\": \"general\"}}]'\n{LEVELS}"
    ));
    assert_eq!(objects.targets[0].prefix, "/test");
    let levels: Vec<_> = objects.upstream_keys.iter().map(|key| &key.levels[..]).collect();
    assert_eq!(levels, [&[0, 1][..], &[1], &[2], &[0]]);
    let levels: Vec<_> = objects.forward_keys.iter().map(|key| key.level).collect();
    assert_eq!(levels, [0, 1, 2, 3]);
    assert_eq!(objects.level_models[0], (1, vec!["m".to_owned()]));
}
