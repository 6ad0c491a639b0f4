//! Bodies as hosts send them, and the streams that the same hosts would have sent.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::cache::{Ending, whole};

fn events(body: &Value, include_usage: bool) -> Option<Vec<Bytes>> {
    Some(Stream::of(&Bytes::from(body.to_string()), include_usage)?.collect())
}

/// The data of its events without `[DONE]`, which must be there.
fn chunks(body: &Value, include_usage: bool) -> Vec<Value> {
    let events = events(body, include_usage).expect("it has a stream");
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(done, "data: [DONE]\n\n");
    let data = chunks.iter().map(|event| {
        let line = str::from_utf8(event).unwrap().strip_suffix("\n\n").unwrap();
        assert!(!line.contains(['\n', '\r']), "{line}");
        serde_json::from_str(line.strip_prefix("data: ").unwrap()).expect(line)
    });
    data.collect()
}

fn back(events: Vec<Bytes>) -> Option<Value> {
    whole(events).map(|body| serde_json::from_slice(&body).unwrap())
}

fn chat() -> Value {
    json!({"id": "c", "object": "chat.completion", "created": 7, "model": "gpt",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi, you",
            "refusal": null, "annotations": []}, "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        "service_tier": "default", "system_fingerprint": "fp"})
}

#[test]
fn a_chat_of_openai() {
    let chunk = |choices: Value, usage: Value| {
        json!({"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "gpt",
            "service_tier": "default", "system_fingerprint": "fp", "choices": choices,
            "usage": usage})
    };
    let choice = |delta: Value, reason: Value| {
        let choice =
            json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]);
        chunk(choice, Value::Null)
    };
    let first = json!({"role": "assistant", "content": "", "refusal": null, "annotations": []});
    let expected = [
        choice(first, Value::Null),
        choice(json!({"content": "Hi"}), Value::Null),
        choice(json!({"content": ","}), Value::Null),
        choice(json!({"content": " you"}), Value::Null),
        choice(json!({}), json!("stop")),
        chunk(json!([]), chat()["usage"].clone()),
    ];
    assert_eq!(chunks(&chat(), true), expected);

    let without = chunks(&chat(), false);
    assert_eq!(without.len(), 5);
    assert!(without.iter().all(|chunk| chunk.get("usage").is_none()));
    assert_eq!(without[1]["choices"], expected[1]["choices"]);
}

#[test]
fn usage_that_is_not_there_is_not_made_up() {
    let mut body = chat();
    body.as_object_mut().unwrap().remove("usage");
    assert_eq!(chunks(&body, true).len(), 5);
}

#[test]
fn calls_begin_with_their_name() {
    let body = json!({"id": "c", "choices": [{"index": 0, "message": {"role": "assistant",
        "content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}},
            {"id": "b", "type": "custom", "custom": {"name": "g", "input": "go"}},
        ]}, "finish_reason": "tool_calls"}]});
    let deltas: Vec<_> =
        chunks(&body, true).iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
    let piece = |text: &str| json!({"tool_calls": [{"index": 0, "function": {"arguments": text}}]});
    let expected = [
        json!({"role": "assistant", "content": null}),
        json!({"tool_calls": [{"index": 0, "id": "a", "type": "function",
            "function": {"name": "f", "arguments": ""}}]}),
        piece("{\""),
        piece("x"),
        piece("\":"),
        piece(" 1"),
        piece("}"),
        json!({"tool_calls": [{"index": 1, "id": "b", "type": "custom",
            "custom": {"name": "g", "input": ""}}]}),
        json!({"tool_calls": [{"index": 1, "custom": {"input": "go"}}]}),
        json!({}),
    ];
    assert_eq!(deltas, expected);
}

#[test]
fn reasoning_comes_before_text_and_a_refusal_after_it() {
    let body = json!({"choices": [{"message": {"refusal": "no, no", "content": "a b",
        "reasoning_content": "h m"}, "finish_reason": "stop"}]});
    let deltas: Vec<_> =
        chunks(&body, true).iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
    let expected = [
        json!({"role": "assistant", "content": ""}),
        json!({"reasoning_content": "h"}),
        json!({"reasoning_content": " m"}),
        json!({"content": "a"}),
        json!({"content": " b"}),
        json!({"refusal": "no"}),
        json!({"refusal": ","}),
        json!({"refusal": " no"}),
        json!({}),
    ];
    assert_eq!(deltas, expected);
}

#[test]
fn choices_take_turns_and_tokens_have_their_logprobs() {
    let token = |token: &str| json!({"token": token, "logprob": -0.5, "bytes": null});
    let body = json!({"choices": [
        {"index": 1, "message": {"role": "assistant", "content": "b c"}, "finish_reason": "stop"},
        {"index": 0, "message": {"role": "assistant", "content": "aé!"}, "finish_reason": "length",
            "logprobs": {"content": [token("aé"), token("!")], "refusal": null}},
    ]});
    let told: Vec<_> = chunks(&body, true)
        .iter()
        .map(|chunk| {
            let choice = &chunk["choices"][0];
            (
                choice["index"].clone(),
                choice["delta"]["content"].clone(),
                choice["logprobs"].clone(),
            )
        })
        .collect();
    let own = |text: &str| json!({"content": [token(text)], "refusal": null});
    let expected = [
        (json!(0), json!(""), json!(null)),
        (json!(1), json!(""), json!(null)),
        (json!(0), json!("aé"), own("aé")),
        (json!(1), json!("b"), json!(null)),
        (json!(0), json!("!"), own("!")),
        (json!(1), json!(" c"), json!(null)),
        (json!(0), json!(null), json!(null)),
        (json!(1), json!(null), json!(null)),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_has_no_stream() {
    let choice = |choice: Value| json!({ "choices": [choice] });
    let message = |message: Value| choice(json!({"message": message, "finish_reason": "stop"}));
    for body in [
        json!([]),
        json!({}),
        json!({"choices": []}),
        json!({"choices": {}}),
        json!({"error": {"message": "x"}, "choices": []}),
        json!({"data": [{"embedding": [1]}]}),
        choice(json!({"message": {"content": "a"}})),
        choice(json!({"message": {"content": "a"}, "finish_reason": null})),
        choice(json!({"finish_reason": "stop"})),
        choice(json!({"text": ["a"], "finish_reason": "stop"})),
        choice(json!({"text": "a", "message": {}, "finish_reason": "stop"})),
        choice(json!("x")),
        message(json!("x")),
        message(json!({"audio": {"id": "a"}})),
        message(json!({"tool_calls": {"id": "a"}})),
        message(json!({"tool_calls": ["a"]})),
        json!({"choices": [{"text": "", "finish_reason": "a"}, {"index": 0, "text": "", "finish_reason": "a"}]}),
        json!({"id": "x".repeat(5000), "choices": [{"text": "", "finish_reason": "a"}]}),
    ] {
        assert!(events(&body, true).is_none(), "{body}");
    }
    assert!(Stream::of(&Bytes::from_static(b"{"), true).is_none());
}

#[test]
fn plain_answers_there_and_back() {
    let token = json!({"token": "\u{fffd}", "logprob": -1.5, "top_logprobs": []});
    for (host, body) in [
        ("OpenAI", chat()),
        (
            "vLLM",
            json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": null,
            "refusal": null, "annotations": null, "audio": null, "function_call": null,
            "tool_calls": [], "reasoning_content": "hm \u{1f600}"}, "logprobs": null,
            "finish_reason": "stop", "stop_reason": null, "token_ids": [1, 2]}],
            "service_tier": null, "system_fingerprint": null, "usage": null,
            "prompt_logprobs": null, "kv_transfer_params": {"a": [1]}}),
        ),
        (
            "llama.cpp",
            json!({"choices": [{"finish_reason": "stop", "index": 0, "message":
            {"role": "assistant", "content": "a"}}], "created": 1, "model": "m",
            "system_fingerprint": "b1-x", "object": "chat.completion", "usage": {"total_tokens": 1},
            "id": "c", "timings": {"predicted_ms": 1.25}}),
        ),
        (
            "tokens that are not the text",
            json!({"choices": [{"index": 0, "message":
            {"role": "assistant", "content": "é"}, "logprobs": {"content": [token, token],
            "refusal": null}, "finish_reason": "stop"}]}),
        ),
        (
            "no tokens",
            json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": ""},
            "logprobs": {"content": [], "refusal": []}, "finish_reason": "stop"}]}),
        ),
        (
            "a refusal",
            json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": null,
            "refusal": "I'm sorry, no"}, "finish_reason": "stop"}]}),
        ),
        (
            "parts",
            json!({"choices": [{"index": 0, "message": {"role": "assistant",
            "content": [{"type": "text", "text": "a b"}]}, "finish_reason": "stop"}]}),
        ),
    ] {
        assert_eq!(back(events(&body, true).expect(host)), Some(body), "{host}");
    }
}

#[test]
fn calls_and_texts_there_and_back() {
    for (host, body) in [
        (
            "the older call, arguments that are no text",
            json!({"choices": [{"index": 0, "message":
            {"role": "assistant", "content": null, "function_call": {"name": "f",
            "arguments": "{\"a\": [1, 2]}"}, "tool_calls": [{"id": "t", "extra": {"s": 1},
            "function": {"name": "g", "arguments": {"a": 1}}}, {"id": "u", "type": "x"}]},
            "finish_reason": "function_call"}]}),
        ),
        (
            "text completions",
            json!({"id": "x", "object": "text_completion", "choices": [
            {"text": "a b", "index": 0, "logprobs": {"tokens": ["a", " b"], "text_offset": [0, 1]},
                "finish_reason": "length"},
            {"text": "", "index": 1, "logprobs": null, "finish_reason": "stop"}],
            "usage": {"total_tokens": 3}}),
        ),
    ] {
        assert_eq!(back(events(&body, true).expect(host)), Some(body), "{host}");
    }
}

#[test]
fn numbers_halves_and_lines_stay_as_they_are() {
    let body = "{\"id\":\"c\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a \\ud83d b\"},\r\n \"finish_reason\":\"stop\"}],\"usage\":{\n\"x\":100000000000000000001}}";
    let events: Vec<_> = Stream::of(&Bytes::from_static(body.as_bytes()), true).unwrap().collect();
    assert!(events.iter().all(|event| event.iter().filter(|byte| **byte == b'\n').count() == 2));
    let joined = whole(events).unwrap();
    let joined = str::from_utf8(&joined).unwrap();
    assert!(
        joined.contains("\"a \\ud83d b\"") && joined.contains("100000000000000000001"),
        "{joined}"
    );
}

// === any answer ===

fn text() -> impl Strategy<Value = String> {
    "[a-c ,é\u{301}你\u{1f600}\u{1f1e6}\u{200d}\\\\\"\n]{0,40}"
}

fn vendor() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!("x")),
        Just(json!("")),
        Just(json!([])),
        Just(json!([1, {"a": null}])),
        Just(json!({"a\n": [1.5]})),
        Just(json!({})),
        Just(json!(3)),
    ]
}

/// An object with some of these members.
fn some_of(
    members: Vec<(&'static str, BoxedStrategy<Value>)>,
) -> impl Strategy<Value = Value> + Clone {
    let members: Vec<_> = members
        .into_iter()
        .map(|(name, value)| {
            prop::option::of(value.prop_map(move |value| (name.to_owned(), value)))
        })
        .collect();
    members.prop_map(|members| Value::Object(members.into_iter().flatten().collect()))
}

fn said() -> BoxedStrategy<Value> {
    prop_oneof![3 => text().prop_map(Value::from), 1 => Just(Value::Null)].boxed()
}

fn call() -> impl Strategy<Value = Value> {
    let function = some_of(vec![("arguments", said()), ("x", vendor().boxed())]);
    (
        function,
        some_of(vec![("type", Just(json!("function")).boxed()), ("x", vendor().boxed())]),
        text(),
    )
        .prop_map(|(mut function, mut call, name)| {
            function["name"] = name.into();
            call["function"] = function;
            call["id"] = "t".into();
            call
        })
}

fn chat_choice() -> impl Strategy<Value = Value> {
    let calls = prop::collection::vec(call(), 0..3).prop_map(Value::from).boxed();
    let message = some_of(vec![
        ("refusal", said()),
        ("reasoning_content", said()),
        ("reasoning", said()),
        ("tool_calls", calls),
        ("vendor", vendor().boxed()),
    ]);
    let logprobs = prop_oneof![
        Just(json!(null)),
        Just(json!({"content": [{"token": "a", "logprob": -1}], "refusal": null})),
        Just(json!({"content": null, "refusal": [{"token": "a"}]})),
    ];
    let more = some_of(vec![("logprobs", logprobs.boxed()), ("stop_reason", vendor().boxed())]);
    (message, said(), more).prop_map(|(mut message, content, mut choice)| {
        message["role"] = "assistant".into();
        message["content"] = content;
        choice["message"] = message;
        choice
    })
}

fn text_choice() -> impl Strategy<Value = Value> {
    let more = some_of(vec![
        ("logprobs", Just(json!({"tokens": ["a"]})).boxed()),
        ("stop_reason", vendor().boxed()),
    ]);
    (text(), more).prop_map(|(text, mut choice)| {
        choice["text"] = text.into();
        choice
    })
}

fn answer() -> impl Strategy<Value = Value> {
    let choices = prop_oneof![
        prop::collection::vec(chat_choice(), 1..4),
        prop::collection::vec(text_choice(), 1..4),
    ];
    let top = some_of(vec![
        ("id", Just(json!("c")).boxed()),
        ("created", Just(json!(12)).boxed()),
        ("model", vendor().boxed()),
        ("object", Just(json!("chat.completion")).boxed()),
        ("usage", vendor().boxed()),
        ("service_tier", vendor().boxed()),
        ("timings", vendor().boxed()),
    ]);
    (choices, top).prop_map(|(mut choices, mut top)| {
        for (at, choice) in choices.iter_mut().enumerate() {
            choice["index"] = at.into();
            choice["finish_reason"] = "stop".into();
        }
        top["choices"] = choices.into();
        top
    })
}

proptest! {
    #[test]
    fn there_and_back_is_the_same(body in answer()) {
        let there = events(&body, true).unwrap();
        let mut ending = Ending::new(10_000);
        there.iter().for_each(|event| ending.push(event));
        prop_assert!(ending.is_whole());
        prop_assert_eq!(back(there.clone()), Some(body.clone()));
        // A stream that was made of a stream is the same stream.
        let again = events(&back(there.clone()).unwrap(), true).unwrap();
        prop_assert_eq!(data(&again), data(&there));
        let mut without = body;
        without.as_object_mut().unwrap().remove("usage");
        prop_assert_eq!(back(events(&without, true).unwrap()), Some(without));
    }
}

fn data(events: &[Bytes]) -> Vec<Value> {
    let data = events.iter().map(|event| str::from_utf8(&event[6..]).unwrap().trim());
    data.map(|data| serde_json::from_str(data).unwrap_or_default()).collect()
}
