//! Streamed answers put together: the log has the text that the client got, however it was cut.

use serde_json::{Value, json};

use super::only_line;
use crate::support::client::{Answer, Ended};
use crate::support::house::House;
use crate::support::openai::{chat, chat_stream, post};
use crate::support::upstream::{Chunking, Reply, Upstream};

const CHUNKINGS: [Chunking; 5] = [
    Chunking::PerEvent,
    Chunking::AllAtOnce,
    Chunking::Bytes(1),
    Chunking::Bytes(7),
    Chunking::Glued(3),
];

/// One streamed call, answered by `reply`: what the client got, and the line.
async fn streamed(reply: Reply) -> (Answer, Value) {
    let up = Upstream::start(move |_| reply.clone()).await;
    let house = House::before(&up).await;
    let answer = house.ask(post("/v1/chat/completions", &chat("m", true, "hi"))).await;
    (answer, only_line(house).await)
}

/// The line of these payloads, which must be the same for every chunking.
async fn line_of(payloads: &[String]) -> Value {
    let mut lines = Vec::new();
    for chunking in CHUNKINGS {
        let (answer, line) = streamed(Reply::sse(payloads).chunking(chunking)).await;
        assert_eq!(
            (answer.events(), &answer.ended),
            (payloads.iter().map(String::as_str).collect(), &Ended::Whole)
        );
        assert_eq!((&line["stream"], &line["ended"]), (&json!(true), &json!("done")));
        assert!(line["ttft_ms"].as_f64().is_some(), "{line:#}");
        lines.push(line);
    }
    for line in &lines {
        assert_eq!(line["answer"], lines[0]["answer"]);
        assert_eq!(line["usage"], lines[0]["usage"]);
    }
    lines.remove(0)
}

fn chunk(index: u64, delta: &Value, finish: &Value) -> String {
    let choice = json!({"index": index, "delta": delta, "finish_reason": finish});
    json!({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})
        .to_string()
}

#[tokio::test]
async fn words_of_any_language_cut_anywhere() {
    let words = ["Grüße, ", "日本語 ", "🦀\u{200d}🔧", " \"quoted\"\n"];
    let line = line_of(&chat_stream(&words)).await;
    let choice =
        json!([{"index": 0, "role": null, "content": words.concat(), "finish_reason": "stop"}]);
    assert_eq!(line["answer"]["choices"], choice, "{line:#}");
}

#[tokio::test]
async fn choices_come_interleaved() {
    let (none, stop) = (&Value::Null, &json!("stop"));
    let line = line_of(&[
        chunk(1, &json!({"role": "assistant", "content": ""}), none),
        chunk(0, &json!({"role": "assistant", "content": "a"}), none),
        chunk(1, &json!({"content": "x"}), none),
        chunk(0, &json!({"content": "b"}), none),
        chunk(1, &json!({"content": "y"}), &json!("length")),
        chunk(0, &json!({}), stop),
        "[DONE]".into(),
    ])
    .await;
    let expected = json!([
        {"index": 0, "role": "assistant", "content": "ab", "finish_reason": "stop"},
        {"index": 1, "role": "assistant", "content": "xy", "finish_reason": "length"},
    ]);
    assert_eq!(line["answer"]["choices"], expected, "{line:#}");
}

#[tokio::test]
async fn tool_calls_come_in_pieces() {
    let none = &Value::Null;
    let call = |index: u64, id: Option<&str>, name: Option<&str>, arguments: &str| {
        let mut call = json!({"index": index, "function": {"arguments": arguments}});
        if let (Some(id), Some(name)) = (id, name) {
            (call["id"], call["type"]) = (json!(id), json!("function"));
            call["function"]["name"] = json!(name);
        }
        chunk(0, &json!({"tool_calls": [call]}), none)
    };
    let line = line_of(&[
        chunk(0, &json!({"role": "assistant", "content": null}), none),
        call(0, Some("call_a"), Some("weather"), ""),
        call(0, None, None, "{\"city\":"),
        call(1, Some("call_b"), Some("time"), "{\"zo"),
        call(0, None, None, "\"Köln\"}"),
        call(1, None, None, "ne\":1}"),
        chunk(0, &json!({}), &json!("tool_calls")),
        "[DONE]".into(),
    ])
    .await;
    let choice = &line["answer"]["choices"][0];
    assert_eq!((&choice["content"], &choice["finish_reason"]), (none, &json!("tool_calls")));
    let function = |name: &str, arguments: &str| json!({"name": name, "arguments": arguments});
    let expected = json!([
        {"index": 0, "id": "call_a", "type": "function", "function": function("weather", "{\"city\":\"Köln\"}")},
        {"index": 1, "id": "call_b", "type": "function", "function": function("time", "{\"zone\":1}")},
    ]);
    assert_eq!(choice["tool_calls"], expected, "{line:#}");
}

#[tokio::test]
async fn usage_comes_alone_or_with_the_last_words() {
    let usage = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18});
    let alone = json!({"id": "c", "choices": [], "usage": usage}).to_string();
    let mut glued: Value = serde_json::from_str(&chunk(0, &json!({}), &json!("stop"))).unwrap();
    glued["usage"] = usage.clone();
    let words = chunk(0, &json!({"content": "hi"}), &Value::Null);
    let finish = chunk(0, &json!({}), &json!("stop"));
    for payloads in [
        vec![words.clone(), finish, alone, "[DONE]".into()],
        vec![words, glued.to_string(), "[DONE]".into()],
    ] {
        let line = line_of(&payloads).await;
        assert_eq!(line["usage"], usage);
        assert_eq!((&line["prompt_tokens"], &line["completion_tokens"]), (&json!(11), &json!(7)));
        assert_eq!(line["answer"]["choices"][0]["content"], "hi");
        assert_eq!(line["answer"]["choices"][0]["finish_reason"], "stop");
    }
}

#[tokio::test]
async fn a_stream_without_its_last_word_is_a_whole_one() {
    let mut payloads = chat_stream(&["hel", "lo"]);
    payloads.pop();
    let line = line_of(&payloads).await;
    assert_eq!(line["answer"]["choices"][0]["content"], "hello");

    // The last blank line is missing as well.
    let mut wire: String = payloads.iter().map(|payload| format!("data: {payload}\n\n")).collect();
    wire.truncate(wire.len() - 2);
    let reply = Reply::stream("text/event-stream; charset=utf-8", [wire.clone().into()]);
    let (answer, line) = streamed(reply).await;
    assert_eq!(answer.text(), wire);
    let choice = &line["answer"]["choices"][0];
    assert_eq!((&choice["content"], &choice["finish_reason"]), (&json!("hello"), &json!("stop")));
}

#[tokio::test]
async fn events_of_every_spelling() {
    let payloads = chat_stream(&["hel", "lo"]);
    for (before, after) in
        [("data:", "\r\n\r\n"), (": ping\n\ndata: ", "\n\n"), ("event: x\nid: 1\ndata: ", "\r\r")]
    {
        let wire: String = payloads.iter().map(|it| format!("{before}{it}{after}")).collect();
        let reply = Reply::stream("text/event-stream", [wire.clone().into()]);
        let (answer, line) = streamed(reply.chunking(Chunking::Bytes(5))).await;
        assert_eq!(answer.text(), wire);
        assert_eq!(line["answer"]["choices"][0]["content"], "hello", "{before:?} {after:?}");
    }
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_is_kept() {
    let error = json!({"message": "out of memory", "code": 500});
    let payloads = [chat_stream(&["hel"]).swap_remove(0), json!({"error": error}).to_string()];
    let line = line_of(&payloads).await;
    assert_eq!(line["answer"]["error"], error, "{line:#}");
    assert_eq!(line["answer"]["choices"][0]["content"], "hel");
}

#[tokio::test]
async fn an_answer_beyond_the_bound_is_kept_up_to_it() {
    let words = vec!["0123456789"; 1000];
    let payloads = chat_stream(&words);
    let up = Upstream::start(move |_| Reply::sse(&payloads)).await;
    let conf = crate::support::house::Conf::to(&up).with("chat_log.capture = \"4KiB\"");
    let house = House::start(conf).await;
    let answer = house.ask(post("/v1/x", &chat("m", true, "hi"))).await;
    assert_eq!((answer.events().len(), answer.ended), (1002, Ended::Whole));
    let line = only_line(house).await;
    assert_eq!((&line["truncated"], &line["ended"]), (&json!(true), &json!("done")));
    let kept = line["answer"]["choices"][0]["content"].as_str().unwrap();
    assert!(kept.len() > 3000 && kept.len() <= 4096 && words.concat().starts_with(kept));
    assert_eq!(line["answer"]["choices"][0]["finish_reason"], "stop");
}
