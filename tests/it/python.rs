//! `pyrepr` against a real Python: what it prints, letter for letter, and what it reads back.

use std::io::Write;
use std::process::{Command, Stdio};

use aifd::pyrepr::{Value, read};

/// What python3 prints when it runs `script` with `input`.
pub(crate) fn python(script: &str, input: &str) -> String {
    let mut python = Command::new("python3")
        .args(["-X", "utf8", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed: apt-get install python3");
    let mut pipe = python.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || pipe.write_all(input.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{script}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_character_is_printed_as_python_prints_it() {
    let script = "import sys, unicodedata\n\
        print(unicodedata.unidata_version)\n\
        for code in range(0x110000):\n    \
            if not 0xd800 <= code < 0xe000: print(repr('a' + chr(code)))";
    let printed = python(script, "");
    let mut lines = printed.split('\n');
    let unicode = lines.next().unwrap();
    let mut newer = 0;
    for letter in '\0'..=char::MAX {
        let (theirs, ours) = (lines.next().unwrap(), Value::Text(format!("a{letter}")).to_string());
        if theirs != ours {
            // A newer Python prints characters that 3.11 does not know.
            newer += 1;
            assert!(
                ours.starts_with("'a\\") && theirs == format!("'a{letter}'"),
                "{theirs} {ours}"
            );
        }
    }
    assert!(unicode != "14.0.0" || newer == 0, "{newer} characters differ");
}

/// JSON and floats of every kind, one a line.
fn samples() -> Vec<String> {
    let mut random = same_bits(7);
    let floats = (0..4000).map(|_| f64::from_bits(random())).filter(|number| number.is_finite());
    let mut samples: Vec<String> = floats.map(|number| format!("{number:e}")).collect();
    samples.extend(
        (-20..25).flat_map(|power| ["1", "1.5", "-9.99"].map(|it| format!("{it}e{power}"))),
    );
    samples.extend((0..500).map(|at| format!("{}.{}", at * 7919, at)));
    samples.extend(
        [
            r#"{"messages":[{"role":"user","content":"it's \"so\"\n\u4f60\u597d \ud83d\ude00 \u200b\u0000"}],"n":1,"stop":null}"#,
            r#"[[],{},[{}],"","'","\"","'\"","\\",true,false,null,-1,0.1]"#,
            r#"{"a'b":{"c\"d":["\u007f","\u0080","\u00ad","\u0301","\ue000","\ufeff","\uffff"]}}"#,
            "123456789012345678",
            "-9223372036854775808",
            "18446744073709551615",
        ]
        .map(str::to_owned),
    );
    samples
}

/// A few bits that are the same on every run.
fn same_bits(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ (state >> 29)
    }
}

#[test]
fn every_value_is_printed_as_python_prints_it() {
    let samples = samples();
    let script = "import sys, json\nfor line in sys.stdin: print(repr(json.loads(line)))";
    let printed = python(script, &format!("{}\n", samples.join("\n")));
    assert_eq!(printed.lines().count(), samples.len());
    for (json, theirs) in samples.iter().zip(printed.lines()) {
        let value: Value = serde_json::from_str(json).unwrap();
        assert_eq!(value.to_string(), theirs, "{json}");
        assert_eq!(read(theirs), Ok(value));
    }
}

#[test]
fn python_reads_what_we_print() {
    let samples = samples();
    let values: Vec<Value> =
        samples.iter().map(|json| serde_json::from_str(json).unwrap()).collect();
    let printed: String = values.iter().map(|value| format!("{value}\n")).collect();
    let script = "import sys, ast\nfor line in sys.stdin: print(repr(ast.literal_eval(line)))";
    assert_eq!(python(script, &printed), printed);
}
