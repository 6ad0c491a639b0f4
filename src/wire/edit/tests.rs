//! Bodies with a member, and what is left of them.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn left(body: &str) -> Option<String> {
    without(body.as_bytes(), "caching").map(|left| String::from_utf8(left).unwrap())
}

#[test]
fn a_member_goes_with_one_comma() {
    for (body, expected) in [
        (r#"{"caching":true}"#, "{}"),
        (" { \"caching\" :\ttrue\r\n} ", " { \r\n} "),
        (r#"{"caching":true,"a":1}"#, r#"{"a":1}"#),
        (r#"{ "caching": true , "a": 1 }"#, r#"{  "a": 1 }"#),
        (r#"{"a":1,"caching":true}"#, r#"{"a":1}"#),
        (r#"{ "a": 1 , "caching": true }"#, r#"{ "a": 1  }"#),
        (r#"{"a":1, "caching":true, "b":2}"#, r#"{"a":1, "b":2}"#),
        (r#"{"a":1,"caching":{"a":[1,{}],"b":"}"},"b":2}"#, r#"{"a":1,"b":2}"#),
        (r#"{"a":1e999,"c\u0061ching":null,"b":"\ud800"}"#, r#"{"a":1e999,"b":"\ud800"}"#),
        (r#"{"\ud800":1,"caching":true,"\ud800":1}"#, r#"{"\ud800":1,"\ud800":1}"#),
        (r#"{"a":",\"caching\":1","caching":true}"#, r#"{"a":",\"caching\":1"}"#),
    ] {
        assert_eq!(left(body).as_deref(), Some(expected), "{body}");
    }
}

#[test]
fn a_member_that_stands_there_twice_is_gone_twice() {
    for (body, expected) in [
        (r#"{"caching":1,"caching":2}"#, "{}"),
        (r#"{"caching":1,"c\u0061ching":2,"a":1}"#, r#"{"a":1}"#),
        (r#"{"a":1,"caching":1,"caching":2}"#, r#"{"a":1}"#),
        (r#"{"caching":1,"a":1,"caching":2}"#, r#"{"a":1}"#),
        (r#"{"a":1,"caching":1,"b":1,"caching":2,"c":1}"#, r#"{"a":1,"b":1,"c":1}"#),
    ] {
        assert_eq!(left(body).as_deref(), Some(expected), "{body}");
    }
}

#[test]
fn what_is_not_there_is_not_taken_out() {
    for body in [
        "{}",
        r#"{"Caching":1,"cachings":1,"x":{"caching":1},"y":[{"caching":1}]}"#,
        r#"{"x":"caching","y":"\"caching\":true,"}"#,
        r#"{"x\u0061":1}"#,
        r#""caching""#,
        r#"["caching"]"#,
        r#"{"caching":true"#,
        r#"{"caching":true}}"#,
        r#"{"caching"}"#,
        r#"{"caching":true,}"#,
        "",
    ] {
        assert_eq!(left(body), None, "{body}");
    }
    assert_eq!(without(b"{\"caching\":1,\"a\":\"\xff\"}", "caching"), None);
}

#[test]
fn a_name_of_any_letters() {
    for (body, name) in [
        (r#"{"a\/b":1}"#, "a/b"),
        (r#"{"a\tb":1}"#, "a\tb"),
        (r#"{"\\\"":1}"#, "\\\""),
        (r#"{"é":1}"#, "é"),
        (r#"{"\u00e9":1}"#, "é"),
        (r#"{"\ud83d\ude00":1}"#, "😀"),
        (r#"{"":1}"#, ""),
    ] {
        assert_eq!(without(body.as_bytes(), name).as_deref(), Some(&b"{}"[..]), "{body}");
    }
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for body in [
        format!(r#"{{"caching":{deep},"a":1}}"#),
        format!(r#"{{"a":1,"b":{deep},"caching":true}}"#),
    ] {
        assert!(left(&body).is_some());
    }
}

/// One member, with the white space around it.
#[derive(Debug, Clone)]
struct Piece {
    before: String,
    text: String,
    after: String,
    meant: bool,
}

fn space() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,2}"
}

/// A letter as it is, or by its number.
fn spelled() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<bool>(), 7).prop_map(|escaped| {
        let letter = |(letter, escaped)| match escaped {
            true => format!("\\u{:04x}", u32::from(letter)),
            false => String::from(letter),
        };
        "caching".chars().zip(escaped).map(letter).collect()
    })
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("true".to_owned()),
        Just("-1.50e+3".to_owned()),
        Just("12345678901234567890123".to_owned()),
        Just(r#"{ "caching" : [ 1, "," ] }"#.to_owned()),
        Just(r#""\"caching\":1,}""#.to_owned()),
        Just(r#""\u0061""#.to_owned()),
        ".{0,6}".prop_map(|text| Value::from(text).to_string()),
    ]
}

fn piece() -> impl Strategy<Value = Piece> {
    let name = prop_oneof![
        spelled().prop_map(|name| (name, true)),
        Just(("caching".to_owned(), true)),
        "[abc]|Caching|cachin|cachingg".prop_map(|name| (name, false)),
    ];
    (name, value(), [space(), space(), space(), space()]).prop_map(
        |((name, meant), value, [before, left, right, after])| Piece {
            before,
            text: format!("\"{name}\"{left}:{right}{value}"),
            after,
            meant,
        },
    )
}

/// What is left: members that stay with a comma between them, and all white space around those
/// that go.
fn expected(pieces: &[Piece]) -> String {
    let (mut head, mut kept) = (String::new(), Vec::<String>::new());
    for Piece { before, text, after, meant } in pieces {
        match (meant, kept.last_mut()) {
            (false, _) => kept.push([&**before, text, after].concat()),
            (true, Some(last)) => last.push_str(after),
            (true, None) => head.push_str(before),
        }
    }
    if let (true, Some(last)) = (kept.is_empty(), pieces.last()) {
        head.push_str(&last.after);
    }
    format!("{head}{}", kept.join(","))
}

proptest! {
    #[test]
    fn the_rest_is_the_same_byte_for_byte(
        pieces in prop::collection::vec(piece(), 0..7),
        around in [space(), space()],
    ) {
        let [before, after] = around;
        let members = pieces.iter().map(|Piece { before, text, after, .. }| [&**before, text, after].concat());
        let body = format!("{before}{{{}}}{after}", members.collect::<Vec<_>>().join(","));
        let mut parsed: Value = serde_json::from_str(&body).unwrap();
        let was_there = parsed.as_object_mut().unwrap().remove("caching").is_some();
        let left = left(&body);
        prop_assert_eq!(left.is_some(), was_there, "{}", body);
        if let Some(left) = left {
            prop_assert_eq!(serde_json::from_str::<Value>(&left).unwrap(), parsed, "{}", body);
            prop_assert_eq!(left, format!("{before}{{{}}}{after}", expected(&pieces)), "{}", body);
        }
    }

    #[test]
    fn nothing_panics(
        words in prop::collection::vec(prop_oneof![
            Just("{"), Just("}"), Just("["), Just("]"), Just("\""), Just("\\"), Just("\"caching\""),
            Just("\"caching\":1"), Just(":"), Just(","), Just("1"), Just("\\u"), Just(" "), Just("é"),
        ], 0..20),
    ) {
        let body = words.concat();
        if let Some(left) = left(&body) {
            prop_assert!(serde_json::from_str::<Value>(&left).is_ok(), "{body}");
        }
    }
}
