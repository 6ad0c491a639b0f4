//! Values, and the many ways to write each of them.

use std::collections::HashSet;

use proptest::prelude::*;
use serde::de::IgnoredAny;

use self::tree::{leaves, object, spell, tree};
use super::*;

mod tree;

const NO_RULES: Rules = Rules { left_out: &[], nullable: &[] };

fn form_of(json: &[u8]) -> Option<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hash(json, &NO_RULES, &mut hasher).map(|()| hasher.finalize())
}

fn form(value: &str) -> Option<blake3::Hash> {
    form_of(format!("{{\"v\":{value}}}").as_bytes())
}

#[test]
fn spellings_of_one_value() {
    let table: [&[&str]; 15] = [
        &["1", "1.0", "1e0", "1E+0", "10e-1", "0.1e1", "0.001e3", "1.000", "1e00"],
        &["0", "-0", "0.0", "-0.000", "0e5", "0E-7"],
        &["-1.5", "-15e-1", "-0.15e1"],
        &["18446744073709551616", "1.8446744073709551616e19"],
        &["18446744073709551617"],
        &["0.1"],
        &["0.1000000000000000000000000000000000000001"],
        &["1e400", "10e399"],
        &["1e401"],
        &["1e-9223372036854775808"],
        &[r#""é""#, r#""\u00e9""#, r#""\u00E9""#],
        &[r#""😀/\n""#, r#""\ud83d\ude00\/\u000a""#],
        &[r#""\ud83d""#, r#""\uD83D""#],
        &[r#""\ud83d\ud83d\ude00""#, r#""\ud83d😀""#],
        &[r#"[1,{"a":"","b":[]}]"#, "[ 1.0 ,\t{ \"b\" : [\n] , \"\\u0061\":\"\"}\r\n]"],
    ];
    let mut seen = HashSet::new();
    for spellings in table {
        let first = form(spellings[0]).unwrap_or_else(|| panic!("{spellings:?}"));
        for other in spellings {
            assert_eq!(form(other), Some(first), "{other}");
        }
        assert!(seen.insert(first), "{spellings:?} is equal to another");
    }
}

#[test]
fn values_that_look_alike() {
    let values = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "\"\"",
        "\"0\"",
        "\"null\"",
        "[]",
        "{}",
        "[[]]",
        "[null]",
        "[[],[]]",
        "[\"\",\"\"]",
        "[\"a\",\"b\"]",
        "[\"ab\"]",
        "[\"b\",\"a\"]",
        "[1,2]",
        "[12]",
        "[1,[2]]",
        "[[1],2]",
        r#"{"a":{}}"#,
        r#"{"":""}"#,
        r#"{"a":"b"}"#,
        r#"["a","b",1]"#,
        r#"{"a":1,"b":2}"#,
        r#"{"a":2,"b":1}"#,
        r#"[{"a":1},{"b":2}]"#,
        r#"[{"a":1,"b":2}]"#,
        r#"{"a":{"b":2}}"#,
        r#"{"a":[{"b":2}]}"#,
        r#""é""#,
        "\"e\u{301}\"",
        r#""\u0000""#,
        r#""\ude00\ud83d""#,
        r#""\ud83d ""#,
        "1e1",
        "1e2",
        "-1",
        "11",
    ];
    let forms: HashSet<_> = values.iter().map(|value| form(value).expect(value)).collect();
    assert_eq!(forms.len(), values.len());
}

#[test]
fn what_has_no_form() {
    for body in [
        "",
        " ",
        "[]",
        "1",
        "null",
        "{",
        "}",
        "{}}",
        "{}{}",
        "{} x",
        "{\"a\"}",
        "{\"a\":}",
        "{,}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":[1,]}",
        "{\"a\":[,1]}",
        "{\"a\":[1 2]}",
        "{\"a\":[1}",
        "{\"a\":{]}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":+1}",
        "{\"a\":NaN}",
        "{\"a\":nul}",
        "{\"a\":1e99999999999999999999}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\ud83d\\u12\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\":1,\"a\":1}",
        "{\"a\":1,\"b\":2,\"\\u0061\":1}",
        "{\"b\":[{\"a\":1,\"a\":2}]}",
        "\u{feff}{}",
        "{'a':1}",
        "{a:1}",
        "{\"a\":1}//",
    ] {
        assert_eq!(form_of(body.as_bytes()), None, "{body}");
    }
    assert_eq!(form_of(b"{\"a\":\"\xff\"}"), None);
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(form(&nested(DEPTH - 1)).is_some());
    assert!(form(&nested(DEPTH)).is_none());
    assert!(form(&"[".repeat(1_000_000)).is_none());
}

proptest! {
    #[test]
    fn every_spelling_has_the_same_form(tree in object(), one: u64, other: u64) {
        let (one, other) = (spell(&tree, one), spell(&tree, other));
        let form = form_of(one.as_bytes());
        prop_assert!(form.is_some(), "{one}");
        prop_assert_eq!(form, form_of(other.as_bytes()), "{} {}", one, other);
    }

    #[test]
    fn two_values_never_have_the_same_form(one in object(), other in object(), seed: u64) {
        let same = form_of(spell(&one, seed).as_bytes()) == form_of(spell(&other, seed).as_bytes());
        prop_assert_eq!(same, one == other);
    }

    #[test]
    fn a_changed_value_has_another_form(tree in object(), leaf in tree(), at: usize, seed: u64) {
        let mut other = tree.clone();
        let count = leaves(&mut other).len();
        prop_assume!(count > 0);
        let place = at % count;
        *leaves(&mut other).swap_remove(place) = leaf;
        let same = form_of(spell(&tree, seed).as_bytes()) == form_of(spell(&other, seed).as_bytes());
        prop_assert_eq!(same, tree == other);
    }

    #[test]
    fn the_grammar_is_that_of_serde_json(tree in object(), seed: u64, at: usize, byte in prop::sample::select(b"\"\\{}[],:0-.e1u tn\n\xc3".to_vec())) {
        let mut json = spell(&tree, seed).into_bytes();
        let at = at % json.len();
        json[at] = byte;
        let valid = serde_json::from_slice::<IgnoredAny>(&json).is_ok()
            && str::from_utf8(&json).is_ok()
            && json.trim_ascii().starts_with(b"{");
        // What is valid and has no form has a member twice.
        prop_assert!(valid || form_of(&json).is_none());
        let is_object = serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(&json).is_ok();
        if is_object && !has_doubles(&json) {
            prop_assert!(form_of(&json).is_some(), "{:?}", String::from_utf8_lossy(&json));
        }
    }
}

/// A document that loses members when it is read and written has some twice.
fn has_doubles(json: &[u8]) -> bool {
    let value: serde_json::Value = serde_json::from_slice(json).unwrap();
    let marks = |json: &[u8]| {
        let mut names = 0;
        let mut at = 0;
        while at < json.len() {
            match json[at] {
                b'"' => {
                    at += 1;
                    while json[at] != b'"' {
                        at += 1 + usize::from(json[at] == b'\\');
                    }
                }
                b':' => names += 1,
                _ => {}
            }
            at += 1;
        }
        names
    };
    marks(json) != marks(value.to_string().as_bytes())
}
