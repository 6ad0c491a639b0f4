//! Answers as hosts send them, cut anywhere.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SSE: Option<&str> = Some("Text/Event-Stream; charset=utf-8");
const JSON: Option<&str> = Some("application/json");

/// Captures `pieces` and gives what a line would say.
fn capture<'a>(
    limit: usize,
    kind: Option<&str>,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Value, Captured) {
    let mut capture = Capture::new(limit, kind, None);
    for piece in pieces {
        capture.push(&Bytes::copy_from_slice(piece));
    }
    let captured = capture.finish();
    (serde_json::to_value(&captured.answer).unwrap(), captured)
}

fn events(data: &[&str]) -> String {
    data.iter().map(|data| format!("data: {data}\n\n")).collect()
}

/// Two choices interleaved, reasoning, a call in pieces, a late role, a comment, usage at the end.
fn chat() -> String {
    let start = events(&[
        r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}"#,
        r#"{"choices":[{"index":1,"delta":{"reasoning_content":"hm "}},{"index":0,"delta":{"content":"h\u00e9 "}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"reasoning_content":"so","tool_calls":[{"index":0,"id":"t1","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"wörld 😀"},"finish_reason":null}]}"#,
    ]);
    let end = events(&[
        r#"{"choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}},{"index":1,"id":"t2","function":{"name":"g","arguments":"{}"}}]}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"role":"assistant","tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"tool_calls"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9,"total_tokens":12}}"#,
        "[DONE]",
    ]);
    format!("{start}: ping\r\n\r\n{}", end.replace('\n', "\r\n"))
}

fn chat_answer() -> Value {
    json!({"choices": [
        {"index": 0, "role": "assistant", "content": "hé wörld 😀", "finish_reason": "stop"},
        {"index": 1, "role": "assistant", "content": null, "reasoning": "hm so", "tool_calls": [
            {"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
            {"index": 1, "id": "t2", "type": null, "function": {"name": "g", "arguments": "{}"}},
        ], "finish_reason": "tool_calls"},
    ]})
}

#[test]
fn a_stream_is_put_together() {
    let (answer, captured) = capture(10_000, SSE, [chat().as_bytes()]);
    assert_eq!(answer, chat_answer());
    assert_eq!((captured.prompt_tokens, captured.completion_tokens), (Some(3), Some(9)));
    assert!(captured.usage.unwrap().get().contains("total_tokens") && !captured.truncated);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_cut_gives_the_same_answer(
        cuts in prop::collection::vec(0..chat().len(), 0..20),
        limit in prop_oneof![Just(10_000_usize), 0..1500_usize],
    ) {
        let stream = chat();
        let mut places = [cuts, vec![0, stream.len()]].concat();
        places.sort_unstable();
        let pieces = places.windows(2).map(|pair| &stream.as_bytes()[pair[0]..pair[1]]);
        let (answer, captured) = capture(limit, SSE, pieces);
        let (expected, whole) = capture(limit, SSE, [stream.as_bytes()]);
        prop_assert_eq!(answer, expected);
        prop_assert_eq!(captured.truncated, whole.truncated);
        prop_assert_eq!(captured.completion_tokens, Some(9));
    }
}

const A: &str = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;

fn choice(content: &str) -> Value {
    json!({"index": 0, "role": null, "content": content, "finish_reason": null})
}

#[test]
fn streams_of_every_kind() {
    let a = choice("a");
    let table = [
        (events(&[A]), json!({"choices": [a]})),
        // The last blank line is missing; half an event adds nothing.
        (format!("data: {A}\n"), json!({"choices": [a]})),
        (format!("{}data: {}", events(&[A]), &A[..40]), json!({"choices": [a]})),
        (
            events(&[r#"{"choices":[{"text":"b"}],"usage":{"prompt_tokens":1}}"#]),
            json!({"choices": [choice("b")]}),
        ),
        (
            events(&[A, r#"{"error":{"code":500}}"#]),
            json!({"choices": [a], "error": {"code": 500}}),
        ),
        (
            "event: error\ndata: {\"message\":\"m\"}\n\n".into(),
            json!({"choices": [], "error": {"message": "m"}}),
        ),
        (
            "event: error\ndata: overloaded\n\n".into(),
            json!({"choices": [], "error": "overloaded"}),
        ),
        (": ping\n\n".into(), json!({"choices": []})),
        (String::new(), Value::Null),
    ];
    for (stream, expected) in table {
        assert_eq!(capture(1000, SSE, [stream.as_bytes()]).0, expected, "{stream}");
    }
}

#[test]
fn streams_of_other_apis() {
    let responses = [
        r#"{"type":"response.created","response":{}}"#,
        r#"{"type":"response.output_text.delta","delta":"a"}"#,
    ];
    let table = [
        (events(&responses), json!({"choices": [choice("a")]})),
        (events(&["{\"type\":\"ping\"}", "x"]), json!({"body": "{\"type\":\"ping\"}\nx"})),
        (events(&["{\"odd\":1}", A]), json!({"choices": [choice("a")]})),
    ];
    for (stream, expected) in table {
        assert_eq!(capture(1000, SSE, [stream.as_bytes()]).0, expected, "{stream}");
    }
}

#[test]
fn calls_without_an_index_and_repeated_names() {
    let chunk = |call: &str| format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{call}]}}}}]}}"#);
    let stream = [
        r#"{"id":"a","function":{"name":"f","arguments":"1"}}"#,
        r#"{"function":{"name":"f","arguments":"2"}}"#,
        r#"{"id":"b","function":{"name":"g"}}"#,
        r#"{"id":"a","function":{"arguments":"3"}}"#,
    ]
    .map(chunk);
    let (answer, _) = capture(5000, SSE, [events(&stream.each_ref().map(|s| &s[..])).as_bytes()]);
    let calls = &answer["choices"][0]["tool_calls"];
    let told: Vec<_> = calls.as_array().unwrap().iter().map(|call| &call["function"]).collect();
    assert_eq!(
        told,
        [&json!({"name": "f", "arguments": "123"}), &json!({"name": "g", "arguments": null})]
    );
}

#[test]
fn a_whole_answer_is_put_together() {
    let whole = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"a","tool_calls":[{"id":"t","type":"function",
        "function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let call = json!({"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let choice = json!({"index": 0, "role": "assistant", "content": "a", "tool_calls": [call], "finish_reason": "stop"});
    let (answer, captured) = capture(1000, JSON, [whole.as_bytes()]);
    assert_eq!(answer, json!({"choices": [choice]}));
    assert_eq!((captured.prompt_tokens, captured.completion_tokens), (Some(1), Some(2)));
}

#[test]
fn a_common_whole_answer_keeps_the_hosts_own_text() {
    let common = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"a\u00e9\n\"b","refusal":null},
        "logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    let uncommon = common.replace("\"refusal\":null", "\"refusal\":\"\"");
    let read = |text: &str| capture(5000, JSON, [text.as_bytes()]);
    let ((taken, captured), (built, other)) = (read(common), read(&uncommon));
    assert!(matches!(captured.answer, Some(Said::Taken(_))));
    assert!(matches!(other.answer, Some(Said::Choices(_))));
    assert_eq!(taken["choices"][0]["content"], "aé\n\"b");
    let mut without = built.clone();
    without["choices"][0].as_object_mut().unwrap().remove("refusal");
    assert_eq!(taken, without, "the two readers say different things");
    assert_eq!(captured.prompt_tokens, other.prompt_tokens);
    assert_eq!(captured.usage.unwrap().get(), other.usage.unwrap().get());
}

/// Content type, body, the answer that is logged.
const BODIES: &[(Option<&str>, &[u8], &str)] = &[
    (
        JSON,
        br#"{"error":{"message":"m","code":404}}"#,
        r#"{"body":{"error":{"message":"m","code":404}}}"#,
    ),
    (JSON, br#"{"object":"list","data":[{"embedding":[0.5]}]}"#, r#"{"bytes":46}"#),
    (
        JSON,
        br#"{"object":"list","data":[{"id":"m"}]}"#,
        r#"{"body":{"object":"list","data":[{"id":"m"}]}}"#,
    ),
    (Some("application/problem+json; v=1"), b"[1]", r#"{"body":[1]}"#),
    (JSON, b"not json", r#"{"body":"not json"}"#),
    (JSON, b"\xff\xfe", r#"{"bytes":2}"#),
    (Some("text/html"), b"<h1>502</h1>", r#"{"body":"<h1>502</h1>"}"#),
    (None, b"plain", r#"{"body":"plain"}"#),
    (Some("audio/mpeg"), b"ID3", r#"{"bytes":3}"#),
    (JSON, b"", "null"),
];

#[test]
fn other_bodies() {
    for (kind, body, expected) in BODIES {
        let (start, end) = body.split_at(body.len() / 2);
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(capture(1000, *kind, [start, end]).0, expected, "{}", body.escape_ascii());
    }
    let (_, vectors) = capture(
        1000,
        JSON,
        [&br#"{"data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":4}}"#[..]],
    );
    assert_eq!(vectors.prompt_tokens, Some(4));
}

#[test]
fn compressed_answers_are_not_read() {
    for (encoding, expected) in
        [("GZip", json!({"encoding": "gzip", "bytes": 5})), ("identity", json!({"body": "hello"}))]
    {
        let mut capture = Capture::new(100, Some("text/plain"), Some(encoding));
        capture.push(&Bytes::from_static(b"hello"));
        assert_eq!(serde_json::to_value(capture.finish().answer).unwrap(), expected);
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let (answer, captured) = capture(4, Some("text/plain"), ["aé".as_bytes(), "éb".as_bytes()]);
    assert_eq!((answer, captured.truncated), (json!({"body": "aé"}), true));
    let (answer, captured) = capture(1, None, [&b"\xff\xfe\xfd"[..]]);
    assert_eq!((answer, captured.truncated), (json!({"bytes": 3}), true));

    let mut capture = Capture::new(1000, SSE, None);
    for index in 0..1000 {
        let chunk = format!(
            r#"{{"choices":[{{"index":{index},"delta":{{"content":"{}"}}}}]}}"#,
            "x".repeat(500)
        );
        capture.push(&Bytes::from(events(&[&chunk])));
        assert!(capture.weight() <= 1000);
    }
    let finish = r#"{"choices":[{"index":0,"delta":{"content":"late"},"finish_reason":"stop"}],"usage":{"completion_tokens":7}}"#;
    capture.push(&Bytes::from(events(&[finish])));
    let captured = capture.finish();
    let answer = serde_json::to_value(&captured.answer).unwrap();
    assert!(captured.truncated && captured.completion_tokens == Some(7));
    assert_eq!(answer["choices"].as_array().unwrap().len(), 1);
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert!(!answer.to_string().contains("late"), "nothing is added after a hole");
}

#[test]
fn an_event_that_is_too_long_leaves_a_hole() {
    let long = format!(r#"{{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#, "x".repeat(EVENT));
    let short = r#"{"choices":[{"delta":{"content":"a"}}]}"#;
    let (answer, captured) = capture(10, SSE, [events(&[&long, short]).as_bytes()]);
    assert!(captured.truncated);
    assert_eq!(answer, json!({"choices": []}));
}
