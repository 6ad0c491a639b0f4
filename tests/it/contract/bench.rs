//! The benchmark route: canned answers, on the way of any call.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::{lists, mirror, send, with};
use crate::support::client::Answer;
use crate::support::house::{Conf, House};
use crate::support::openai::post;
use crate::support::process::Site;
use crate::support::upstream::Upstream;

const PATH: &str = "/benchmark/v1/chat/completions";

async fn house(up: &Upstream, more: &str) -> House {
    House::of_env(&lists(up, &format!("BENCHMARK_MODE=true\n{more}"))).await
}

fn ask(body: &Value) -> Request<Bytes> {
    post(PATH, body)
}

fn text(answer: &Answer) -> String {
    let content = |event: &&str| -> String {
        let event: Value = serde_json::from_str(event).unwrap();
        event["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    };
    answer.events().iter().filter(|event| **event != "[DONE]").map(content).collect()
}

#[tokio::test]
async fn answers_take_turns_whole_and_in_streams() {
    let up = mirror().await;
    let house = house(&up, "").await;
    let mut texts = Vec::new();
    for nth in 0..6 {
        let answer =
            send(&house, ask(&json!({"messages": [{"role": "user", "content": "hi"}]}))).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let body = answer.json();
        assert_eq!((&body["model"], &body["object"]), (&json!("robot"), &json!("chat.completion")));
        let usage = &body["usage"];
        let [prompt, completion, total] = ["prompt_tokens", "completion_tokens", "total_tokens"]
            .map(|name| usage[name].as_u64().unwrap());
        assert!(prompt > 0 && completion > 20 && total == prompt + completion, "{usage}");
        texts.push(body["choices"][0]["message"]["content"].as_str().unwrap().to_owned());
        assert_eq!(answer.header("x-cache"), None, "{nth}");
    }
    assert_eq!(texts[0], texts[5]);
    assert!(texts[..5].iter().all(|text| texts[..5].iter().filter(|it| *it == text).count() == 1));
    let answer = send(&house, ask(&json!({"stream": true, "model": "m"}))).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!((text(&answer), answer.events().pop()), (texts[1].clone(), Some("[DONE]")));
    let first: Value = serde_json::from_str(answer.events()[0]).unwrap();
    assert_eq!(
        (&first["model"], &first["choices"][0]["delta"]),
        (&json!("m"), &json!({"role": "assistant"}))
    );
    assert!(up.ledger().is_empty());
}

#[tokio::test]
async fn it_is_there_when_asked_for_and_for_posts_alone() {
    let up = mirror().await;
    let body = json!({"stream": false});
    let off = House::of_env(&lists(&up, "BENCHMARK_MODE=false")).await;
    assert_eq!(send(&off, ask(&body)).await.json()["target"], PATH);
    let on = house(&up, "").await;
    let request = Request::get(PATH).body(Bytes::new()).unwrap();
    assert_eq!(send(&on, request).await.json()["method"], "GET");
    assert_eq!(send(&on, post(&format!("/{PATH}/"), &body)).await.json()["model"], "robot");
    // Without any upstream that could take it, too.
    let prefixed = house(&up, "OPENAI_ROUTE_PREFIX=/openai").await;
    assert_eq!(send(&prefixed, ask(&body)).await.status, 200);
    let answer = send(&prefixed, Request::post(PATH).body(Bytes::from("{")).unwrap()).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!("invalid_json")));
}

#[tokio::test]
async fn limits_keys_and_addresses_hold_there_too() {
    let up = mirror().await;
    let limited =
        house(&up, &format!("REQ_RATE_LIMIT='{{\"{PATH}\": \"2/hour\"}}'\nIP_BLACKLIST=1.1.1.1"))
            .await;
    for status in [200, 200, 429] {
        assert_eq!(send(&limited, ask(&json!({}))).await.status, status);
    }
    assert_eq!(
        send(&limited, with(ask(&json!({})), "x-forwarded-for", "1.1.1.1")).await.status,
        403
    );
    let strict =
        House::start(Conf::to(&up).with("server.benchmark = true").table("tokens = \"500/hour\""))
            .await;
    assert_eq!(send(&strict, ask(&json!({}))).await.status, 401);
    let body = json!({"messages": [{"content": "hi"}]});
    let answer = strict.ask(ask(&body)).await;
    let used = answer.json()["usage"]["total_tokens"].as_u64().unwrap();
    // What it told that it cost is what it was charged.
    let next = strict.ask(ask(&json!({"max_tokens": 500}))).await;
    assert_eq!((next.status, answer.status), (429, 200));
    let left: u64 = next.header("x-ratelimit-remaining-tokens").unwrap().parse().unwrap();
    assert_eq!(left, 500 - used);
}

#[tokio::test]
async fn a_pace_holds_for_its_streams() {
    let up = mirror().await;
    let pace = format!("TOKEN_RATE_LIMIT='{{\"{PATH}\": \"1000/second\"}}'");
    let house = house(&up, &pace).await;
    let answer = send(&house, ask(&json!({"stream": true}))).await;
    let (first, last) = (answer.pieces.first().unwrap().0, answer.pieces.last().unwrap().0);
    let gaps = u32::try_from(answer.events().len() - 2).unwrap();
    assert!(last - first >= Duration::from_millis(1) * (gaps - 2), "{:?}", last - first);
    assert!(answer.pieces.len() > 20, "{}", answer.pieces.len());
}

#[tokio::test]
async fn it_is_in_the_access_line_and_not_in_the_chat_log() {
    let env = "BENCHMARK_MODE=true\nOPENAI_BASE_URL=http://127.0.0.1:1\nLOG_CHAT=true\n";
    let site = Site::empty();
    std::fs::write(site.dir().join(".env"), env).unwrap();
    let mut process = site.serve(&["--port", "0"]).await;
    assert_eq!(process.ask(ask(&json!({"model": "m"}))).await.status, 200);
    let line = process.err("its line", |text| text.contains("host=benchmark")).await;
    assert!(line.contains(&format!("POST {PATH} 200")), "{line}");
    process.stop().await;
    let log = std::fs::read_to_string(site.dir().join("Log/openai/chat/chat.log"));
    assert_eq!(log.unwrap(), "");
}
