//! Documents in any cut, and what is no document.

use proptest::prelude::*;

use super::*;

/// Everything is a text, but for a few names.
fn member(_: Within, name: &[u8]) -> Within {
    match name {
        b"skip" => Within::Skip,
        b"raw" => Within::Raw,
        b"call" => Within::Call,
        b"media" => Within::Media,
        b"envelope" => Within::Envelope,
        b"usage" => Within::Usage,
        _ => Within::Said,
    }
}

fn scan(pieces: &[&[u8]]) -> (u64, Option<String>) {
    let mut scan = Scan::new(member);
    for piece in pieces {
        scan.push(piece);
    }
    let usage = scan.usage().map(|usage| String::from_utf8_lossy(&usage).into_owned());
    (scan.tally().tokens(), usage)
}

#[test]
fn the_last_whole_usage_is_kept() {
    for (json, expected) in [
        (r#"{"usage":{"a":1}}"#, Some(r#"{"a":1}"#)),
        (r#"{"usage":{"a":1},"usage":{"b": {"c":[ "}" ]}} }"#, Some(r#"{"b": {"c":[ "}" ]}}"#)),
        (r#"{"envelope":{"usage":{"a":1},"x":2}}"#, Some(r#"{"a":1}"#)),
        (r#"{"u\u0073age":{"a":1}}"#, Some(r#"{"a":1}"#)),
        (r#"{"usage":{"a":1}} {"usage":{}}"#, Some("{}")),
        (r#"{"usage":{"a":1},"usage":{"b":2"#, Some(r#"{"a":1}"#)),
        (r#"{"usage":null}"#, None),
        (r#"{"usage":[{"a":1}]}"#, None),
        (r#"{"usage":"{}"}"#, None),
        (r#"{"skip":{"usage":{"a":1}}}"#, None),
        (r#"{"x":"\"usage\":{}"}"#, None),
        (r#"{"x":"usage"}"#, None),
    ] {
        assert_eq!(scan(&[json.as_bytes()]).1.as_deref(), expected, "{json}");
    }
    let long = format!(r#"{{"usage":{{"a":"{}"}}}}"#, "a".repeat(USAGE));
    assert_eq!(scan(&[long.as_bytes()]).1, None);
}

#[test]
fn what_lies_too_deep_is_stepped_over() {
    let deep = |levels: usize, text: &str| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"x":{open}"{text}"{close},"y":"four"}}"#)
    };
    assert_eq!(scan(&[deep(FRAMES - 1, "four").as_bytes()]).0, 2);
    assert_eq!(scan(&[deep(FRAMES, "four").as_bytes()]).0, 1);
    assert_eq!(scan(&[deep(100_000, "four").as_bytes()]).0, 1);
    let objects = r#"{"x":"#.repeat(100_000);
    assert_eq!(scan(&[objects.as_bytes()]).0, 0);
}

proptest! {
    #[test]
    fn any_cut_counts_the_same(
        words in prop::collection::vec(prop_oneof![
            Just("{"), Just("}"), Just("["), Just("]"), Just("\"usage\":"), Just("\"raw\":"),
            Just("\"skip\":"), Just("\"media\":"), Just("\"call\":"), Just("\"x\":"), Just("null"),
            Just(","), Just("-1.5e9"), Just("\""), Just("\\"), Just("\\ud83d\\ude00"), Just("é"),
            Just("\\u00e9"), Just("word"), Just(" "), Just("{\"x\":"), Just("\"text\""),
        ], 0..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let json = words.concat().into_bytes();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(json.len() + 1)).collect();
        cuts.extend([0, json.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &json[cut[0]..cut[1]]).collect();
        let bytes: Vec<&[u8]> = json.chunks(1).collect();
        let whole = scan(&[&json]);
        prop_assert_eq!(scan(&pieces), whole.clone());
        prop_assert_eq!(scan(&bytes), whole);
    }
}
