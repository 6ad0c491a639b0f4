//! Literals letter for letter; `tests/it/python.rs` holds the same against a real Python.

use proptest::prelude::*;

use super::*;

fn repr(value: &Value) -> String {
    value.to_string()
}

#[test]
fn a_name_that_comes_again_keeps_its_place() {
    for count in [1, 15, 16, 17, 40] {
        let names = (0..count).map(|at| format!("\"k{at}\":{at}")).collect::<Vec<_>>().join(",");
        let json = format!("{{{names},\"k0\":\"again\",\"new\":0,\"new\":1}}");
        let Value::Dict(items) = serde_json::from_str(&json).unwrap() else { panic!("{json}") };
        assert_eq!(items.len(), count + 1, "{json}");
        assert_eq!(items[0], ("k0".into(), "again".into()), "{json}");
        assert_eq!(items[count], ("new".into(), Value::Int("1".to_owned())), "{json}");
    }
}

#[test]
fn texts_are_quoted_and_escaped() {
    for (text, expected) in [
        ("", "''"),
        ("it's", "\"it's\""),
        ("a \"b\"", "'a \"b\"'"),
        ("it's \"b\"", "'it\\'s \"b\"'"),
        ("a\\b\n\r\t\0\x07\x1b\x7f", "'a\\\\b\\n\\r\\t\\x00\\x07\\x1b\\x7f'"),
        ("é 你好 😀", "'é 你好 😀'"),
        ("\u{85}\u{a0}\u{ad}", "'\\x85\\xa0\\xad'"),
        ("\u{200b}\u{2028}\u{3000}\u{e000}", "'\\u200b\\u2028\\u3000\\ue000'"),
        ("e\u{301}\u{301}", "'e\u{301}\u{301}'"),
        ("\u{e0001}\u{1fae8}", "'\\U000e0001\\U0001fae8'"),
    ] {
        assert_eq!(repr(&text.into()), expected);
        assert_eq!(read(expected), Ok(text.into()));
    }
}

#[test]
fn floats_have_their_shortest_digits() {
    for (number, expected) in [
        (1.0, "1.0"),
        (0.7, "0.7"),
        (-0.0, "-0.0"),
        (1e15, "1000000000000000.0"),
        (1e16, "1e+16"),
        (1.5e300, "1.5e+300"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1.25e-7, "1.25e-07"),
        (5e-324, "5e-324"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
    ] {
        assert_eq!(repr(&Value::Float(number)), expected);
        assert_eq!(read(expected), Ok(Value::Float(number)));
    }
    assert_eq!(repr(&Value::Float(f64::NAN)), "nan");
    assert!(matches!(read("nan"), Ok(Value::Float(number)) if number.is_nan()));
}

#[test]
fn what_repr_never_prints_is_read_too() {
    let int = |digits: &str| Value::Int(digits.to_owned());
    for (text, value) in [
        (
            "  {'a' : [1 ,2,], } \n",
            Value::Dict(vec![("a".into(), Value::List(vec![int("1"), int("2")]))]),
        ),
        ("(None, -7)", Value::List(vec![Value::None, int("-7")])),
        ("()", Value::List(vec![])),
        ("-0", int("0")),
        ("+5", int("5")),
        ("123456789012345678901234567890", int("123456789012345678901234567890")),
        ("{1: True}", Value::Dict(vec![(int("1"), Value::Bool(true))])),
        (r"'\a\b\f\v\101\0'", "\x07\x08\x0c\x0bA\0".into()),
        (r"'\ud83d\ude00 \ud83d! \ud83d\n \ude00'", "😀 \u{fffd}! \u{fffd}\n \u{fffd}".into()),
        (r"'\U0000d800'", "\u{fffd}".into()),
    ] {
        assert_eq!(read(text), Ok(value), "{text}");
    }
}

#[test]
fn what_is_no_literal() {
    for text in [
        "",
        "{",
        "}",
        "[1",
        "[1 2]",
        "{'a'}",
        "{'a': }",
        "{'a' 1}",
        "'a",
        "'a\\",
        "'\\q'",
        "'\\x1'",
        "'\\u12é4'",
        "'\\U00110000'",
        "1 2",
        "01",
        "1.2.3",
        "1e",
        "--1",
        "-",
        ".",
        "-nan",
        "none",
        "Nonesuch",
        "é",
        "{'a': 1}x",
        "1+2",
        "[,]",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(read(&deep(DEEPEST)).is_ok());
    assert_eq!(
        read(&deep(1_000_000)).unwrap_err().to_string(),
        "too many brackets in brackets at byte 200"
    );
}

#[test]
fn json_becomes_python() {
    let json = r#"{"a":[null,true,1,-2,18446744073709551615,1.0,1e2,"é\u0000"],"b":{}}"#;
    let value: Value = serde_json::from_str(json).unwrap();
    let expected =
        r"{'a': [None, True, 1, -2, 18446744073709551615, 1.0, 100.0, 'é\x00'], 'b': {}}";
    assert_eq!(repr(&value), expected);
}

#[test]
fn a_dict_gives_what_it_holds() {
    let mut value = read("{'a': 1, 2: 3, 'a': 4}").unwrap();
    assert_eq!(value.get("a"), Some(&Value::Int("4".into())));
    assert_eq!(value.take("a"), Some(Value::Int("4".into())));
    assert!(value.get("b").is_none() && value.take("b").is_none());
    assert_eq!(value.as_str(), "{'a': 1, 2: 3}");
    assert_eq!(Value::from("é").as_str(), "é");
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(|number| Value::Int(number.to_string())),
        prop::num::f64::ANY
            .prop_filter("nan is nobody's equal", |it| !it.is_nan())
            .prop_map(Value::Float),
        prop::collection::vec(any::<char>(), 0..12)
            .prop_map(|text| Value::Text(text.into_iter().collect())),
        "['\"\\\\nux0-9\n]{0,12}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let items = prop::collection::vec((inner.clone(), inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::List),
            items.prop_map(Value::Dict)
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(value in value()) {
        let text = repr(&value);
        prop_assert!(!text.contains(['\n', '\r']), "{text}");
        prop_assert_eq!(read(&text), Ok(value));
    }

    #[test]
    fn no_text_panics(text in "[\\[\\](){}'\":,\\\\ xuU0-9a-fé.eNTrue+-]{0,40}") {
        let _ = read(&text);
    }
}
