//! Bodies as clients send them, and as attackers do.

use proptest::prelude::*;

use super::*;

fn ask(model: &str) -> Ask {
    Ask { model: Some(model.to_owned()), ..Ask::default() }
}

#[test]
fn bodies_and_what_they_ask() {
    let table = [
        ("{}", Ask::default()),
        (" \r\n{\"model\":\"m\"}\n ", ask("m")),
        (
            r#"{"messages":[{"role":"user","content":"{\"model\":\"x\"}"}],"model":"last"}"#,
            ask("last"),
        ),
        (r#"{"mod\u0065l":"m","metadata":{"model":"no"}}"#, ask("m")),
        (r#"{"model":"\ud83d\ude00 \n"}"#, ask("😀 \n")),
        (r#"{"model":null,"stream":null,"n":null,"user":null}"#, Ask::default()),
        (r#"{"model":"m","stream":true,"n":2}"#, Ask { stream: true, n: Some(2), ..ask("m") }),
        (
            r#"{"stream":"true","n":-1,"user":7,"caching":"no","max_tokens":1e999,"stream_options":3}"#,
            Ask::default(),
        ),
        (r#"{"temperature":1e999,"x":"\ud800","model":"m"}"#, ask("m")),
        ("{\"model\":\"m\",\"x\":\"\u{2028}\"}", ask("m")),
    ];
    for (body, expected) in table {
        assert_eq!(peek(body.as_bytes()).unwrap(), expected, "{body}");
    }
}

#[test]
fn what_else_is_asked() {
    let table = [
        (
            r#"{"max_completion_tokens":5,"max_tokens":9}"#,
            Ask { max_tokens: Some(9), ..Ask::default() },
        ),
        (
            r#"{"max_output_tokens":7,"best_of":3}"#,
            Ask { max_tokens: Some(7), best_of: Some(3), ..Ask::default() },
        ),
        (
            r#"{"max_tokens":9,"max_completion_tokens":null}"#,
            Ask { max_tokens: Some(9), ..Ask::default() },
        ),
        (
            r#"{"user":"u","caching":false,"stream_options":{"x":1,"include_usage":true}}"#,
            Ask {
                user: Some("u".into()),
                caching: Some(false),
                include_usage: true,
                ..Ask::default()
            },
        ),
        (r#"{"messages":[],"messages":[],"User":"x"}"#, Ask::default()),
    ];
    for (body, expected) in table {
        assert_eq!(peek(body.as_bytes()).unwrap(), expected, "{body}");
    }
}

/// Bodies, and what is said about them.
const BROKEN: &[(&[u8], &str)] = &[
    (b"", "the body is empty"),
    (b" \r\n\t", "the body is empty"),
    (b"{\n  \"model\": }", "the body is not valid JSON: expected value at line 2 column 12"),
    (
        b"{\"model\":\"m\"",
        "the body is not valid JSON: EOF while parsing an object at line 1 column 12",
    ),
    (b"{\"model\":\"m\"} x", "the body is not valid JSON: trailing characters at line 1 column 15"),
    (b"{\"model\":\"m\"}{}", "the body is not valid JSON: trailing characters at line 1 column 14"),
    (
        b"{\"a\":\"\n\"}",
        "the body is not valid JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 6",
    ),
    (b"model=m", "the body is not valid JSON: expected value at line 1 column 1"),
    (b"[1]", "the body is not a JSON object"),
    (b"\"m\"", "the body is not a JSON object"),
    (b"null", "the body is not a JSON object"),
    (b"{\"a\":\n\"\xff\"}", "the body is not valid UTF-8 at line 2 column 2"),
    (b"{\"model\":\"a\",\"model\":\"b\"}", "`model` appears twice"),
    (b"{\"model\":\"a\",\"m\\u006fdel\":\"a\"}", "`model` appears twice"),
    (b"{\"n\":1,\"n\":1}", "`n` appears twice"),
    (
        b"{\"stream_options\":{\"include_usage\":true,\"include_usage\":false}}",
        "`include_usage` appears twice",
    ),
    (
        b"{\"model\":\"a\",\"Model\":\"b\"}",
        "`model` is written in other letters: names of members are lower case",
    ),
    (b"{\"MODEL\":\"b\"}", "`model` is written in other letters: names of members are lower case"),
    (b"{\"model\":7}", "`model` is not a string"),
    (b"{\"model\":[\"a\"]}", "`model` is not a string"),
    (b"{\"model\":\"\\ud800\"}", "`model` is not a string"),
];

#[test]
fn broken_bodies_and_what_is_said() {
    for (body, says) in BROKEN {
        let found = peek(body).unwrap_err().to_string();
        assert_eq!(&found, says, "{}", body.escape_ascii());
    }
}

#[test]
fn depth_is_bounded_and_costs_no_stack() {
    let nested = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(peek(nested(126).as_bytes()).is_ok());
    for body in [nested(127), nested(100_000), "[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        assert!(matches!(peek(body.as_bytes()), Err(Broken::TooDeep)));
    }
    let brackets_in_strings = format!(r#"{{"a":"\"{}","model":"m\\"}}"#, "[".repeat(1000));
    assert_eq!(peek(brackets_in_strings.as_bytes()).unwrap(), ask("m\\"));
}

#[test]
fn a_body_of_five_megabytes() {
    let body = format!(r#"{{"input":"{}","model":"m"}}"#, "x\\n".repeat(5 << 20));
    assert_eq!(peek(body.as_bytes()).unwrap(), ask("m"));
}

proptest! {
    #[test]
    fn nothing_panics(
        words in prop::collection::vec(prop_oneof![
            Just("{"), Just("}"), Just("["), Just("]"), Just("\""), Just("\\"), Just("model"), Just("\"model\""),
            Just(":"), Just(","), Just("\"stream\""), Just("1"), Just("true"), Just("\\u"), Just(" "),
        ], 0..30),
        noise in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let _ = peek(words.concat().as_bytes());
        let _ = peek(&[words.concat().as_bytes(), &noise].concat());
    }

    #[test]
    fn the_model_is_found_wherever_it_stands(model in ".*", before in ".*", after in ".*") {
        let [text, before, after] = [&model, &before, &after].map(|s| serde_json::to_string(s).unwrap());
        let body = format!("{{\"x\":{before},\"model\":{text},\"y\":[{after}]}}");
        prop_assert_eq!(peek(body.as_bytes()).unwrap(), ask(&model));
    }
}
