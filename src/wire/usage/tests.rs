//! Bodies as clients send them, events as hosts do.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ASKED: &str = r#""stream_options":{"include_usage":true}"#;

/// Bodies that are edited, and what they become; `ASKED` stands for the whole member.
const EDITED: &[(&str, &str)] = &[
    ("{}", "{ASKED}"),
    (" { } \n", " { ASKED} \n"),
    (
        "{\"model\": \"m\",\r\n \"stream\":true\n}\n",
        "{\"model\": \"m\",\r\n \"stream\":true\n,ASKED}\n",
    ),
    (r#"{"stream_options":null,"x":1}"#, r#"{ASKED,"x":1}"#),
    (
        r#"{"stream_options" : null ,"x":1}"#,
        r#"{"stream_options" : {"include_usage":true} ,"x":1}"#,
    ),
    (r#"{"stream_options":{},"x":1}"#, r#"{ASKED,"x":1}"#),
    (
        r#"{"stream_options":{"a":[{}] },"x":1}"#,
        r#"{"stream_options":{"a":[{}] ,"include_usage":true},"x":1}"#,
    ),
    (
        r#"{"stream_options":{"include_usage": false,"a":1}}"#,
        r#"{"stream_options":{"include_usage": true,"a":1}}"#,
    ),
    (r#"{"stream_options":{"include_usage":null}}"#, "{ASKED}"),
    (r#"{"stream_options":{"include_usage":"true"}}"#, "{ASKED}"),
    (
        r#"{"stream_options":{"x":{"include_usage":true}}}"#,
        r#"{"stream_options":{"x":{"include_usage":true},"include_usage":true}}"#,
    ),
    (
        r#"{"stream\u005foptions":{"include\u005fusage":0}}"#,
        r#"{"stream\u005foptions":{"include\u005fusage":true}}"#,
    ),
    (
        r#"{"messages":[{"content":"\"stream_options\":{\"include_usage\":true}}"}]}"#,
        r#"{"messages":[{"content":"\"stream_options\":{\"include_usage\":true}}"}],ASKED}"#,
    ),
];

#[test]
fn the_smallest_edit() {
    for (body, expected) in EDITED {
        let expected = expected.replace("ASKED", ASKED);
        assert_eq!(ask(body.as_bytes()), Wish::Ours(expected.into_bytes()), "{body}");
    }
}

#[test]
fn bodies_that_stay_as_they_are() {
    for (body, expected) in [
        (r#"{"stream_options":{"include_usage" : true}}"#, Wish::Client),
        (r#"{"stream_options":{"a":1,"include_usage":true},"stream":true}"#, Wish::Client),
        (r#"{"stream_options":[]}"#, Wish::Nobody),
        (r#"{"stream_options":"include_usage"}"#, Wish::Nobody),
        (r#"{"stream_options":7}"#, Wish::Nobody),
        ("[]", Wish::Nobody),
        ("\"{}\"", Wish::Nobody),
        ("", Wish::Nobody),
        ("{", Wish::Nobody),
        ("{}}", Wish::Nobody),
        ("{\"a\":1", Wish::Nobody),
    ] {
        assert_eq!(ask(body.as_bytes()), expected, "{body}");
    }
    assert_eq!(ask(b"{\"a\":\"\xff\"}"), Wish::Nobody);
}

#[test]
fn an_event_with_only_usage() {
    for (data, expected) in [
        // OpenAI, vLLM
        (
            r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#,
            true,
        ),
        // another order, white space
        (r#"{"usage": {"total_tokens": 1}, "choices" : [ ] }"#, true),
        // llama.cpp, with its timings
        (
            r#"{"choices":[],"created":1,"id":"c","model":"m","usage":{"completion_tokens":1},"timings":{"prompt_n":1}}"#,
            true,
        ),
        (r#"{"choices":[],"usage":{},"error":null}"#, true),
        // the first chunk of Azure
        (r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#, false),
        (r#"{"choices":[],"usage":null}"#, false),
        (r#"{"choices":[],"usage":[]}"#, false),
        (r#"{"choices":[],"usage":{"total_tokens":1},"error":{"message":"m"}}"#, false),
        (r#"{"choices":[{"delta":{"content":"a"}}],"usage":null}"#, false),
        // llama.cpp and Ollama, in the last chunk with a choice
        (r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"total_tokens":1}}"#, false),
        (r#"{"choices":{},"usage":{"total_tokens":1}}"#, false),
        (r#"{"choices":"[]","usage":{"total_tokens":1}}"#, false),
        // words inside of others
        (
            r#"{"choices":[{"delta":{"content":"\"choices\":[],\"usage\":{}"}}],"usage":{"a":1}}"#,
            false,
        ),
        (r#"{"x":{"choices":[],"usage":{"a":1}}}"#, false),
        (r#"{"x":"choices","y":[],"usage":{"a":1}}"#, false),
        (r#"{"x":{"choices":[]},"choices":[{"text":"a"}],"usage":{"a":1}}"#, false),
        (r#"{"choices":[],"usage":{"a":1},"choices":[{"text":"a"}]}"#, false),
        (r#"{"x":"\"choices","choices":[],"usage":{"a":1}}"#, true),
        ("[DONE]", false),
        (r#"{"choices":[],"usage":{"#, false),
        ("", false),
    ] {
        for (before, after) in
            [("data: ", "\n\n"), ("\ndata:", "\r\n\r\n"), (": x\rdata: ", "\r\r")]
        {
            let event = format!("{before}{data}{after}");
            assert_eq!(is_only_usage(event.as_bytes()), expected, "{event:?}");
        }
    }
    let lines = "data: {\"choices\":\ndata: [],\ndata: \"usage\":{\"a\":1}}\n\n";
    assert!(!is_only_usage(lines.as_bytes()), "a break between them is sent by nobody");
    assert!(!is_only_usage(b": \"choices\":[] \"usage\":{}\n\n"));
    assert!(!is_only_usage(b"data: {\"choices\":[],\"usage\":{\"a\":\"\xff\"}}\n\n"));
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z\"{}\\[\\]]{1,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// `stream_options` as they may be: absent, null, an object with or without the wish, or odd.
fn options() -> impl Strategy<Value = Option<Value>> {
    let object = (values(), prop::option::of(values())).prop_map(|(rest, wish)| {
        let mut object = rest.as_object().cloned().unwrap_or_default();
        object.extend(wish.map(|wish| ("include_usage".to_owned(), wish)));
        Some(Value::Object(object))
    });
    prop_oneof![Just(None), Just(Some(Value::Null)), object, values().prop_map(Some)]
}

proptest! {
    #[test]
    fn the_edited_body_is_the_same_but_for_that_member(
        body in values(),
        options in options(),
        pretty: bool,
    ) {
        let mut body = json!({ "before": 1, "z": body });
        if let Some(options) = &options {
            body["stream_options"] = options.clone();
        }
        let text = match pretty {
            true => serde_json::to_string_pretty(&body),
            false => serde_json::to_string(&body),
        };
        let text = text.unwrap();
        match ask(text.as_bytes()) {
            Wish::Client => prop_assert_eq!(&body["stream_options"]["include_usage"], &json!(true)),
            Wish::Nobody => {
                let odd = options.is_some_and(|options| !options.is_object() && !options.is_null());
                prop_assert!(odd);
            }
            Wish::Ours(edited) => {
                prop_assert_ne!(&body["stream_options"]["include_usage"], &json!(true));
                body["stream_options"]["include_usage"] = json!(true);
                prop_assert_eq!(serde_json::from_slice::<Value>(&edited).unwrap(), body);
                // One run of bytes is new; what stands around it is the body.
                let edited = String::from_utf8(edited).unwrap();
                let same = |(a, b): &(u8, u8)| a == b;
                let head = edited.bytes().zip(text.bytes()).take_while(same).count();
                let tail = edited.bytes().rev().zip(text.bytes().rev()).take_while(same).count();
                let gone = text.len().saturating_sub(head + tail);
                let most = options.map_or(0, |options| options.to_string().len());
                prop_assert!(pretty || gone <= most, "{gone} bytes are gone");
            }
        }
    }
}
