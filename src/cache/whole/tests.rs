//! Streams as hosts send them, and the bodies that the same hosts would have sent.

use serde_json::{Value as Json, json};

use super::*;

fn events(data: &[&str]) -> Bytes {
    data.iter().map(|data| format!("data: {data}\n\n")).collect::<String>().into()
}

fn join(data: &[&str]) -> Option<Json> {
    let whole = whole([events(data)])?;
    Some(serde_json::from_slice(&whole).expect("valid JSON"))
}

/// A choice with a delta and an end.
fn ends(delta: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{delta},"finish_reason":"stop"}}]}}"#)
}

#[test]
fn a_chat_of_openai() {
    let whole = join(&[
        r#"{"id":"c","object":"chat.completion.chunk","created":7,"model":"gpt","service_tier":"default","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x1"}"#,
        r#"{"id":"c","object":"chat.completion.chunk","created":7,"model":"gpt","service_tier":"default","system_fingerprint":"fp","choices":[{"index":0,"delta":{"content":"Hello \ud83d"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x"}"#,
        r#"{"id":"c","object":"chat.completion.chunk","created":7,"model":"gpt","service_tier":"default","system_fingerprint":"fp","choices":[{"index":0,"delta":{"content":"\ude00\n\"é\""},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x"}"#,
        r#"{"id":"c","object":"chat.completion.chunk","created":7,"model":"gpt","service_tier":"default","system_fingerprint":"fp","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null,"obfuscation":"x"}"#,
        r#"{"id":"c","object":"chat.completion.chunk","created":7,"model":"gpt","service_tier":"default","system_fingerprint":"fp","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"completion_tokens_details":{"reasoning_tokens":0}},"obfuscation":""}"#,
        "[DONE]",
    ]);
    assert_eq!(
        whole.unwrap(),
        json!({"id": "c", "object": "chat.completion", "created": 7, "model": "gpt",
            "service_tier": "default", "system_fingerprint": "fp",
            "choices": [{"index": 0, "message": {"role": "assistant",
                "content": "Hello 😀\n\"é\"", "refusal": null},
                "logprobs": null, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3,
                "completion_tokens_details": {"reasoning_tokens": 0}}})
    );
}

#[test]
fn calls_at_once_and_several_choices() {
    let whole = join(&[
        r#"{"choices":[{"index":1,"delta":{"role":"assistant","content":"b"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"t0","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}},{"index":1,"delta":{"content":"!"},"finish_reason":"length"}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"t1","type":"function","function":{"name":"g","arguments":"{}"}},{"index":0,"function":{"arguments":":1}"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
    ]);
    assert_eq!(
        whole.unwrap(),
        json!({"choices": [
            {"index": 0, "message": {"role": "assistant", "content": null, "tool_calls": [
                {"id": "t0", "type": "function",
                    "function": {"name": "f", "arguments": "{\"a\":1}"}},
                {"id": "t1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ]}, "finish_reason": "tool_calls"},
            {"index": 1, "message": {"role": "assistant", "content": "b!"},
                "finish_reason": "length"},
        ]})
    );
}

#[test]
fn logprobs_are_joined() {
    let whole = join(&[
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"a"},"logprobs":{"content":[{"token":"a","logprob":-0.10}],"refusal":null}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"b"},"logprobs":{"content":[ {"token":"b","logprob":-1e-7} ],"refusal":null}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}"#,
    ]);
    let expected = json!({"content": [{"token": "a", "logprob": -0.1},
        {"token": "b", "logprob": -1e-7}], "refusal": null});
    assert_eq!(whole.unwrap()["choices"][0]["logprobs"], expected);
}

#[test]
fn vllm_says_reasoning_and_ids_in_pieces() {
    let whole = join(&[
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"prompt_token_ids":null,"stop_reason":null}],"prompt_token_ids":null}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning_content":"h"},"token_ids":[1]}]}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning_content":"m"},"token_ids":[2]}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"ok"},"token_ids":[3],"finish_reason":"stop","stop_reason":"</s>"}],"usage":{"total_tokens":2}}"#,
        r#"{"choices":[],"usage":{"total_tokens":3}}"#,
    ]);
    let expected = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "ok",
                "reasoning_content": "hm"}, "token_ids": [1, 2, 3], "finish_reason": "stop",
                "prompt_token_ids": null, "stop_reason": "</s>"}], "prompt_token_ids": null,
                "usage": {"total_tokens": 3}});
    assert_eq!(whole, Some(expected));
}

#[test]
fn llama_cpp_has_usage_and_timings_in_the_last_chunk() {
    let whole = join(&[
        r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"object":"chat.completion.chunk"}"#,
        r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"hi"}}]}"#,
        r#"{"choices":[{"finish_reason":"stop","index":0,"delta":{}}]}"#,
        r#"{"choices":[],"usage":{"total_tokens":3},"timings":{"predicted_ms":1.50}}"#,
    ]);
    let expected = json!({"object": "chat.completion", "choices": [{"index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "hi"}}],
                "usage": {"total_tokens": 3}, "timings": {"predicted_ms": 1.5}});
    assert_eq!(whole, Some(expected));
}

#[test]
fn azure_begins_with_an_empty_chunk() {
    let whole = join(&[
        r#"{"id":"","model":"","created":0,"object":"","choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#,
        r#"{"id":"c","model":"gpt","created":5,"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hi"},"content_filter_results":{"hate":{"filtered":false}}}]}"#,
        r#"{"id":"c","model":"gpt","created":5,"object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop","content_filter_results":{}}]}"#,
    ]);
    let expected = json!({"id": "c", "model": "gpt", "created": 5, "object": "chat.completion",
                "prompt_filter_results": [{"prompt_index": 0}], "choices": [{"index": 0,
                "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop",
                "content_filter_results": {"hate": {"filtered": false}}}]});
    assert_eq!(whole, Some(expected));
}

#[test]
fn ollama_says_the_role_each_time_and_calls_at_once() {
    let whole = join(&[
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"","tool_calls":[{"id":"t","index":0,"type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"tool_calls"}]}"#,
    ]);
    let expected = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "",
                "tool_calls": [{"id": "t", "type": "function",
                "function": {"name": "f", "arguments": "{}"}}]}, "finish_reason": "tool_calls"}]});
    assert_eq!(whole, Some(expected));
}

#[test]
fn calls_without_index_and_a_name_in_each_piece() {
    let whole = join(&[
        r#"{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":""}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"id":"b","function":{"name":"g","arguments":"[]"}}]}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
    ]);
    let expected = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": null,
                "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "b", "function": {"name": "g", "arguments": "[]"}}]},
                "finish_reason": "stop"}]});
    assert_eq!(whole, Some(expected));
}

#[test]
fn text_completions() {
    let whole = join(&[
        r#"{"id":"x","object":"text_completion","choices":[{"text":"a","index":0,"logprobs":{"tokens":["a"],"text_offset":[0]},"finish_reason":null}]}"#,
        r#"{"id":"x","object":"text_completion","choices":[{"text":"b","index":0,"logprobs":{"tokens":["b"],"text_offset":[1]},"finish_reason":"length"}]}"#,
    ]);
    let expected = json!({"id": "x", "object": "text_completion", "choices": [{"text": "ab", "index": 0,
                "logprobs": {"tokens": ["a", "b"], "text_offset": [0, 1]},
                "finish_reason": "length"}]});
    assert_eq!(whole, Some(expected));
}

#[test]
fn a_refusal_and_the_older_call() {
    let whole = join(&[
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"refusal":""}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"refusal":"I can"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"refusal":"not","function_call":{"name":"f","arguments":"{"}}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"function_call":{"arguments":"}"},"annotations":[{"type":"x"}],"audio":null},"finish_reason":"stop"}]}"#,
    ]);
    let expected = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": null,
                "refusal": "I cannot", "function_call": {"name": "f", "arguments": "{}"},
                "annotations": [{"type": "x"}], "audio": null}, "finish_reason": "stop"}]});
    assert_eq!(whole, Some(expected));
}

#[test]
fn a_stream_that_did_not_end_well_has_no_whole() {
    let end = ends("{}");
    for (why, data) in [
        ("nothing", vec![]),
        (
            "no end",
            vec![
                r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#
                    .to_owned(),
            ],
        ),
        (
            "one of two without end",
            vec![r#"{"choices":[{"index":1,"delta":{"content":"a"}}]}"#.to_owned(), end.clone()],
        ),
        ("no choices", vec![r#"{"choices":[],"usage":{}}"#.to_owned()]),
        ("an error", vec![end.clone(), r#"{"error":{"message":"x"}}"#.to_owned()]),
        ("no JSON", vec![end.clone(), "oops".to_owned()]),
        ("no object", vec![end.clone(), "[1]".to_owned()]),
        ("a member twice", vec![r#"{"id":1,"id":2,"choices":[]}"#.to_owned(), end.clone()]),
    ] {
        let data: Vec<_> = data.iter().map(String::as_str).collect();
        assert_eq!(join(&data), None, "{why}");
    }
    assert_eq!(whole([Bytes::from(format!("event: error\ndata: {end}\n\n"))]), None);
}

#[test]
fn what_cannot_be_put_together_has_no_whole() {
    let call =
        |call: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{call}]}}}}]}}"#);
    let end = ends("{}");
    for (why, data) in [
        ("audio", vec![ends(r#"{"audio":{"id":"a"}}"#)]),
        (
            "a message",
            vec![
                r#"{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}"#
                    .to_owned(),
            ],
        ),
        (
            "both kinds",
            vec![
                r#"{"choices":[{"index":0,"delta":{},"text":"a","finish_reason":"stop"}]}"#
                    .to_owned(),
            ],
        ),
        ("neither kind", vec![r#"{"choices":[{"index":0,"finish_reason":"stop"}]}"#.to_owned()]),
        (
            "pieces that nobody knows",
            vec![ends(r#"{"thoughts":"a"}"#), ends(r#"{"thoughts":"b"}"#)],
        ),
        (
            "a text and parts",
            vec![ends(r#"{"content":"a"}"#), ends(r#"{"content":[{"text":"b"}]}"#)],
        ),
        (
            "two calls of one index",
            vec![call(r#"{"index":0,"id":"a"}"#), call(r#"{"index":0,"id":"b"}"#), end.clone()],
        ),
        (
            "an odd index",
            vec![r#"{"choices":[{"index":"0","delta":{},"finish_reason":"stop"}]}"#.to_owned()],
        ),
        (
            "too many",
            (0..1025)
                .map(|index| {
                    format!(
                        r#"{{"choices":[{{"index":{index},"delta":{{}},"finish_reason":"stop"}}]}}"#
                    )
                })
                .collect(),
        ),
    ] {
        let data: Vec<_> = data.iter().map(String::as_str).collect();
        assert_eq!(join(&data), None, "{why}");
    }
}

#[test]
fn any_cut_and_a_missing_blank_line_give_the_same() {
    let stream = format!(
        ": hi\r\n\r\nevent: message\r\ndata: {}\r\n\r\ndata: [DONE]",
        ends(r#"{"content":"é"}"#)
    );
    let expected = whole([Bytes::from(stream.clone())]).unwrap();
    for at in 0..stream.len() {
        let (one, other) = stream.as_bytes().split_at(at);
        let pieces = [one, other].map(Bytes::copy_from_slice);
        assert_eq!(whole(pieces).as_ref(), Some(&expected));
    }
    let without = stream.replace("\r\n\r\ndata: [DONE]", "");
    assert_eq!(whole([Bytes::from(without)]), Some(expected));
}
