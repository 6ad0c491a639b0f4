//! Chunks as the hosts send them.

use proptest::prelude::*;

use super::*;

fn first(json: &str) -> Choice<'_> {
    read(json.as_bytes()).unwrap().choices.into_iter().next().unwrap_or_default()
}

/// Data of events, and whether they say something.
const DATA: &[(&str, bool)] = &[
    (r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#, true),
    (r#"{"choices":[{"delta":{"content":" "}}]}"#, true),
    (r#"{"choices":[{"delta":{}},{"delta":{"content":"b"}}]}"#, true),
    (r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#, true),
    (r#"{"choices":[{"delta":{"reasoning":"hm","content":""}}]}"#, true),
    (r#"{"choices":[{"delta":{"refusal":"no"}}]}"#, true),
    (r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#, true),
    (r#"{"choices":[{"delta":{"function_call":{"name":"f"}}}]}"#, true),
    (r#"{"choices":[{"delta":{"audio":{"data":"AA"}}}]}"#, true),
    (r#"{"choices":[{"text":"a","index":0}]}"#, true),
    (r#"{"choices":[{"delta":"odd"}]}"#, true),
    (r#"{"choices":["odd"]}"#, true),
    (r#"{"choices":7}"#, true),
    (r#"{"choices":[{"delta":{"content":7}}]}"#, true),
    (r#"{"error":{"message":"m"},"choices":[]}"#, true),
    (r#"{"type":"response.output_text.delta","delta":"a"}"#, true),
    (r#"{"type":"content_block_delta","delta":{"text":"a"}}"#, true),
    (r#"{"content":"llama.cpp"}"#, true),
    ("not json", true),
    ("\u{feff}{}", true),
    (r#"{"choices":[{"delta":{"role":"assistant"}}]}"#, false),
    (r#"{"choices":[{"delta":{"role":"assistant","content":"","tool_calls":[ ]}}]}"#, false),
    (
        r#"{"choices":[{"delta":{"content":null},"finish_reason":"stop"}],"usage":{"total_tokens":1}}"#,
        false,
    ),
    (r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"error":null}"#, false),
    (r#"{"choices":[{"delta":null}]}"#, false),
    (r#"{"choices":[{"index":0,"text":"","finish_reason":"stop"}]}"#, false),
    (r#"{"choices":[],"usage":{"total_tokens":3}}"#, false),
    (r#"{"usage":{"total_tokens":3}}"#, false),
    (r#"{"type":"response.created","response":{}}"#, false),
    (r#"{"type":"response.in_progress"}"#, false),
    ("[DONE]", false),
    (" [DONE]\n", false),
    ("", false),
    (": ping", false),
];

#[test]
fn what_counts_as_content() {
    for (data, expected) in DATA {
        assert_eq!(has_content(data.as_bytes()), *expected, "{data}");
    }
    assert!(has_content(b"\xff"));
}

#[test]
fn the_quick_reader_says_the_same_or_nothing() {
    let whole = r#"{"id":"a","model":"m","choices":[{"index":3,"message":{"role":"assistant","content":"a\nb"},
        "finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let mut quick = 0;
    for json in DATA.iter().map(|(json, _)| *json).chain([whole]) {
        let Some(read) = quick::read(json) else { continue };
        quick += 1;
        let any = read_any(json).unwrap();
        assert_eq!(read.choices, any.choices, "{json}");
        assert_eq!((read.id, read.model, read.known), (any.id, any.model, any.known), "{json}");
        let usage = |usage: Option<Usage<'_>>| usage.map(|usage| usage.raw.get().to_owned());
        assert_eq!(usage(read.usage), usage(any.usage), "{json}");
    }
    assert!(quick > 10, "hardly anything is read quickly: {quick}");
}

#[test]
fn a_chunk_is_read_and_borrowed() {
    let json = br#"{"id":"c1","object":"chat.completion.chunk","model":"m","choices":[{"index":2,"delta":
        {"role":"assistant","content":"h\u00e9","reasoning":"r","tool_calls":[{"index":1,"id":"t","type":"function",
        "function":{"name":"f","arguments":"{\"a\""}}]},"finish_reason":"stop","logprobs":null}],"usage":null}"#;
    let answer = read(json).unwrap();
    assert!(matches!(
        (&answer.id, &answer.model),
        (Some(Cow::Borrowed("c1")), Some(Cow::Borrowed("m")))
    ));
    assert!(answer.usage.is_none() && answer.error.is_none() && answer.known);
    let call = ToolCall {
        index: Some(1),
        id: Some("t".into()),
        kind: Some("function".into()),
        function: Function { name: Some("f".into()), arguments: Some("{\"a\"".into()) },
    };
    let choice = Choice {
        index: 2,
        role: Some("assistant".into()),
        content: Some("hé".into()),
        reasoning: Some("r".into()),
        tool_calls: vec![call],
        finish_reason: Some("stop".into()),
        ..Choice::default()
    };
    assert_eq!(answer.choices, [choice]);
}

#[test]
fn contents_of_every_shape() {
    let table = [
        (r#"{"choices":[{"message":{"content":"a"}}]}"#, Some("a")),
        (
            r#"{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"text":"b"},{"image":1},3]}}]}"#,
            Some("ab"),
        ),
        (r#"{"choices":[{"text":"a"}]}"#, Some("a")),
        (r#"{"choices":[{"delta":{"content":null}}]}"#, None),
        (r#"{"choices":[{"delta":{"content":{"odd":1},"role":5}}]}"#, None),
        (r#"{"choices":[{"delta":{"content":"a\ud83db"}}]}"#, Some("a\u{fffd}\u{fffd}\u{fffd}b")),
        (r#"{"choices":[{"delta":{"content":"x","content":"y"}}]}"#, Some("y")),
        (
            r#"{"choices":[{"index":"odd","logprobs":1e999,"delta":{"content":"a"}}],"id":1e999}"#,
            Some("a"),
        ),
        (r#"{"choices":{},"id":[]}"#, None),
        (r#"{"type":"response.output_text.delta","delta":"a"}"#, Some("a")),
    ];
    for (json, expected) in table {
        assert_eq!(first(json).content.as_deref(), expected, "{json}");
    }
}

#[test]
fn calls_of_every_shape() {
    let old = r#"{"choices":[{"delta":{"function_call":{"name":"f","arguments":"{}"}}}]}"#;
    assert_eq!(first(old).function_call.unwrap().name.as_deref(), Some("f"));
    let object = r#"{"choices":[{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}},7]}}]}"#;
    let calls = first(object).tool_calls;
    assert_eq!(calls[0].function.arguments.as_deref(), Some(r#"{"a":1}"#));
    assert_eq!((calls.len(), calls[0].index), (1, None));
    let done = r#"{"type":"response.output_item.done","item":{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}}"#;
    assert_eq!(first(done).tool_calls[0].id.as_deref(), Some("c"));
}

#[test]
fn usage_of_every_api() {
    let table = [
        (
            r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"x":{}}}"#,
            (Some(1), Some(2)),
        ),
        (
            r#"{"object":"list","data":[],"usage":{"prompt_tokens":4,"total_tokens":4}}"#,
            (Some(4), None),
        ),
        (r#"{"usage":{"prompt_tokens":"odd","completion_tokens":-1}}"#, (None, None)),
        (
            r#"{"type":"response.completed","response":{"usage":{"input_tokens":5,"output_tokens":6}}}"#,
            (Some(5), Some(6)),
        ),
    ];
    for (json, expected) in table {
        let usage = read(json.as_bytes()).unwrap().usage.unwrap();
        assert_eq!((usage.prompt_tokens, usage.completion_tokens), expected, "{json}");
        assert!(json.contains(usage.raw.get()));
    }
}

#[test]
fn errors_and_odd_answers() {
    let error = read(br#"{"error":{"message":"m","code":400}}"#).unwrap().error.unwrap();
    assert_eq!(error.get(), r#"{"message":"m","code":400}"#);
    assert!(read(br#"{"object":"list","data":[{"embedding":[0.1]}]}"#).unwrap().embeddings);
    assert!(!read(br#"{"object":"list","data":[{"id":"m"}]}"#).unwrap().embeddings);
    for bad in [&b""[..], b"[DONE]", b"{", b"7", b"\xff", b"{\"a\":\"\xff\"}"] {
        assert!(read(bad).is_none());
    }
}

proptest! {
    #[test]
    fn nothing_panics(words in prop::collection::vec(prop_oneof![
        Just("{"), Just("}"), Just("["), Just("]"), Just("\"choices\":"), Just("\"delta\":"), Just("\"content\":"),
        Just("\"usage\":"), Just("null"), Just("\"\""), Just(","), Just("1"), Just("\"\\ud800\""),
    ], 0..24)) {
        let json = words.concat();
        let _ = (read(json.as_bytes()).is_some(), has_content(json.as_bytes()));
    }

    #[test]
    fn a_text_is_read_back(text in ".*") {
        let json = format!(r#"{{"choices":[{{"delta":{{"content":{}}}}}]}}"#, serde_json::to_string(&text).unwrap());
        let choice = first(&json);
        prop_assert_eq!(choice.content.as_deref(), Some(&text[..]));
        prop_assert_eq!(has_content(json.as_bytes()), !text.is_empty());
    }
}
