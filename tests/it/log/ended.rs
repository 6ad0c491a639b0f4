//! How calls end, as the log tells it; and that each has exactly one line, whatever became of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::answers;
use crate::support::client::{Client, RawH1};
use crate::support::house::{Conf, House, KEY, keyed};
use crate::support::openai::{chat, post};
use crate::support::upstream::Upstream;

/// A request in HTTP/1.1's own words, with the forward key.
fn by_hand(path: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn what_was_refused_has_its_line_too() {
    let up = Upstream::start(answers).await;
    let house = House::start(Conf::to(&up).table("models = [\"llama-*\"]")).await;
    let ask = |model: &str| post("/v1/chat/completions", &chat(model, false, "hi"));
    let mut unknown = ask("llama-3");
    unknown.headers_mut().insert("authorization", "Bearer fk-unknown".parse().unwrap());
    let mut broken = ask("llama-3");
    *broken.body_mut() = "{\"model\":".into();
    for request in [keyed(unknown), ask("llama-3"), keyed(ask("gpt-4")), keyed(broken)] {
        house.client().await.ask(request).await;
    }
    let log = house.log().await;
    let seen: Vec<_> =
        log.iter().map(|line| json!([line["status"], line["error"], line["key"]])).collect();
    let expected = json!([
        [401, "invalid_api_key", null],
        [401, "invalid_api_key", null],
        [403, "model_not_found", "ann"],
        [400, "invalid_json", "ann"],
    ]);
    assert_eq!(json!(seen), expected);
    assert!(log.iter().all(|line| line["ended"] == "refused"), "{log:#?}");
    assert!(log.iter().all(|line| line["attempts"] == 0 && line["upstream"].is_null()));
    assert!(up.ledger().is_empty());
}

#[tokio::test]
async fn a_call_that_breaks_has_what_was_delivered_and_why() {
    let up = Upstream::start(answers).await;
    let house = House::before(&up).await;
    let mut raw = RawH1::connect(house.addr()).await;
    raw.send(by_hand("/v1/hang", &chat("m", true, "hi"))).await;
    raw.head().await.unwrap();
    raw.next_bytes().await.unwrap();
    raw.fin();
    house.status_is("the client has left", |status| status["chat_log"]["written"] == 1).await;
    house.ask(post("/v1/cut", &chat("m", true, "hi"))).await;
    let log = house.log().await;
    for (line, ended) in log.iter().zip(["client_left", "upstream_cut"]) {
        assert_eq!((&line["ended"], &line["status"]), (&json!(ended), &json!(200)), "{line:#}");
        let choice = &line["answer"]["choices"][0];
        assert_eq!((&choice["content"], &choice["finish_reason"]), (&json!("hel"), &Value::Null));
        assert!(line["ttft_ms"].as_f64().unwrap() <= line["duration_ms"].as_f64().unwrap());
    }
    assert_eq!(log.len(), 2, "{log:#?}");
}

/// The kinds of call, and how the line of each ends.
const KINDS: [(&str, &str); 6] = [
    ("/v1/x", "done"),
    ("/v1/stream", "done"),
    ("/v1/limited", "done"),
    ("/v1/cut", "upstream_cut"),
    ("/v1/hang", "client_left"),
    ("/v1/unknown", "refused"),
];

/// One call, begun when all others are; its id.
async fn one_of_many(addr: SocketAddr, nth: usize, start: Arc<Barrier>) -> String {
    let (path, _) = KINDS[nth % KINDS.len()];
    let body = chat("m", true, &format!("call {nth}"));
    if path == "/v1/hang" {
        let mut raw = RawH1::connect(addr).await;
        start.wait().await;
        raw.send(by_hand(path, &body)).await;
        let (_, head) = raw.head().await.unwrap();
        let id = head.values("x-request-id").next().unwrap().to_vec();
        raw.next_bytes().await.unwrap();
        raw.reset();
        return String::from_utf8(id).unwrap();
    }
    let mut client =
        if nth.is_multiple_of(2) { Client::h1(addr).await } else { Client::h2c(addr).await };
    start.wait().await;
    let request = post(path, &body);
    let request = if path == "/v1/unknown" { request } else { keyed(request) };
    let answer = client.ask(request).await;
    answer.header("x-request-id").unwrap().to_owned()
}

#[tokio::test]
async fn every_call_has_exactly_one_line() {
    const CALLS: usize = 204;
    let up = Upstream::start(answers).await;
    let house = House::start(Conf::to(&up).with("server.workers = 2")).await;
    let start = Arc::new(Barrier::new(CALLS));
    let mut calls = JoinSet::new();
    for nth in 0..CALLS {
        let call = one_of_many(house.addr(), nth, Arc::clone(&start));
        calls.spawn(async move { (call.await, nth) });
    }
    let calls: BTreeMap<String, usize> = calls.join_all().await.into_iter().collect();
    assert_eq!(calls.len(), CALLS, "two calls with one id");
    house.status_is("nothing under way", |status| status["in_flight"] == 0).await;
    let log = house.log().await;
    let mut logged = BTreeMap::new();
    for line in log {
        let id = line["id"].as_str().unwrap().to_owned();
        let nth = calls[&id];
        let (path, ended) = KINDS[nth % KINDS.len()];
        assert_eq!((&line["path"], &line["ended"]), (&json!(path), &json!(ended)), "{line:#}");
        let asked = line["messages"][0]["content"].as_str();
        let said = format!("call {nth}");
        assert_eq!(asked, (path != "/v1/unknown").then_some(said.as_str()), "{line:#}");
        assert!(logged.insert(id, nth).is_none(), "two lines: {line:#}");
    }
    assert_eq!(logged, calls);
}
