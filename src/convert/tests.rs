//! Logs of a few lines, and what becomes of them; `tests/it/convert.rs` has the real ones.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::{Layout, Options, run};

/// Converts files (name and text) of one folder; the JSON, and what was said on both outputs.
fn convert(files: &[(&str, &str)], layout: Layout) -> (String, String, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let target = folder.path().join("out.json");
    let options = Options {
        root: "nowhere".into(),
        folder: Some(folder.path().into()),
        target: Some(target.clone()),
        layout,
        indent: 0,
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    run(&options, &mut out, &mut err).unwrap();
    let text =
        |bytes| String::from_utf8(bytes).unwrap().replace(folder.path().to_str().unwrap(), "DIR");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), files.len() + 1, "something lies about: {left:?}");
    (fs::read_to_string(target).unwrap().replace('\n', ""), text(out), text(err))
}

fn asked(uid: &str) -> String {
    format!(
        "{{'messages': [{{'user': 'q-{uid}'}}], 'model': 'm', 'ip': 'i', 'uid': '{uid}', 'datetime': 't'}}\n"
    )
}

fn answered(uid: &str) -> String {
    format!("{{'assistant': 'a-{uid}', 'uid': '{uid}'}}\n")
}

/// The uids of the items, in their order.
fn uids(json: &str) -> Vec<String> {
    let items: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
    let uid = |item: &serde_json::Value| {
        let asked =
            item["messages"][0]["user"].as_str().unwrap().strip_prefix("q-").unwrap().to_owned();
        assert_eq!(item["assistant"], format!("a-{asked}"), "two calls are mixed up");
        asked
    };
    items.iter().map(uid).collect()
}

#[test]
fn items_stand_in_the_order_of_the_requests() {
    let log =
        [asked("1"), asked("2"), asked("3"), answered("3"), answered("1"), answered("2")].concat();
    let (json, out, err) = convert(&[("chat.log", &log)], Layout::Auto);
    assert_eq!(uids(&json), ["1", "2", "3"]);
    assert_eq!((err.as_str(), out.contains("mismatch")), ("", false));
    let first = r#"[{"datetime": "t","ip": "i","model": "m","messages": [{"user": "q-1"}],"assistant": "a-1"},"#;
    assert!(json.starts_with(first), "{json}");
}

#[test]
fn rotated_files_are_one_log() {
    let files = [
        ("chat.log", &*[answered("2"), asked("3"), answered("3")].concat()),
        ("chat.2026-11-22_14-29-04_000001.log", &*[asked("1"), answered("1"), asked("2")].concat()),
        ("notes.txt", "no log"),
    ];
    let (json, out, _) = convert(&files, Layout::Auto);
    assert_eq!(uids(&json), ["1", "2", "3"]);
    let expected = "\
        DIR/chat.2026-11-22_14-29-04_000001.log: Length mismatch between message(2) and assistant(1) \n\
        DIR/chat.log: Length mismatch between message(1) and assistant(2) \n\
        Converted successfully\n";
    assert!(out.contains(expected), "{out}");
}

#[test]
fn what_has_no_partner_is_counted_and_holds_nothing_up() {
    let log = [asked("1"), answered("x"), asked("2"), answered("2"), asked("3")].concat();
    let (json, out, _) = convert(&[("chat.log", &log)], Layout::Auto);
    assert_eq!(uids(&json), ["2"]);
    assert!(
        out.contains(
            "Length mismatch between message(3) and assistant(2) \nThere are 2 mismatched items\n"
        ),
        "{out}"
    );
}

#[test]
fn a_uid_that_is_there_twice_is_two_calls() {
    let log = [asked("1"), asked("1"), answered("1"), answered("1")].concat();
    assert_eq!(uids(&convert(&[("chat.log", &log)], Layout::Auto).0), ["1", "1"]);
}

#[test]
fn torn_lines_are_left_out_and_told() {
    let good = [asked("1"), answered("1")].concat();
    let torn = &asked("2")[..30];
    let bytes = format!("{torn}\n\n{good}[1]\n{{'assistant': 'no uid'}}\n{torn}{good}{torn}");
    let (json, out, err) = convert(&[("chat.log", &bytes)], Layout::Auto);
    // The torn half took the second request with it, not its answer.
    assert_eq!(uids(&json), ["1"]);
    assert!(out.contains("message(1) and assistant(2) \nThere are 1 mismatched items\n"), "{out}");
    let lines: Vec<&str> = err.lines().map(|line| line.split(" (").next().unwrap()).collect();
    let expected = [
        "DIR/chat.log:1: left out: torn, or no call",
        "DIR/chat.log:5: left out: no call",
        "DIR/chat.log:6: left out: a call without its uid",
        "DIR/chat.log:7: left out: torn, or no call",
        "DIR/chat.log:9: left out: torn, or no call",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_file_of_another_kind_is_told_in_few_words() {
    let lines = "not a log\n".repeat(1000);
    let (json, _, err) = convert(&[("server.log", &lines), ("empty.log", "")], Layout::Auto);
    assert_eq!((json.as_str(), err.lines().count()), ("[]", 21));
    assert!(err.ends_with("DIR/server.log: 980 more lines left out\n"), "{err}");
}

#[test]
fn a_layout_that_is_asked_for_is_the_layout() {
    let log = "{'messages': [{'role': 'user', 'content': [1]}, {'role': 'x'}], 'model': 'm', \
        'tools': [2], 'ip': 'i', 'uid': 'u', 'datetime': 't'}\n\
        {'assistant': [3], 'is_tool_calls': True, 'uid': 'u'}\n";
    let messages = r#""messages": [{"user": "[1]"},{"x": null}]"#;
    for (layout, fields) in [
        (Layout::ForwardedFor, format!(r#""forwarded-for": "i","model": "m",{messages}"#)),
        (Layout::Ip, format!(r#""ip": "i","model": "m",{messages}"#)),
        (
            Layout::Functions,
            format!(
                r#""ip": "i","model": "m","temperature": 1,{messages},"functions": null,"is_function_call": true"#
            ),
        ),
        (
            Layout::Tools,
            format!(
                r#""ip": "i","model": "m","temperature": 1,{messages},"tools": [2],"is_tool_calls": true"#
            ),
        ),
    ] {
        let expected = format!(r#"[{{"datetime": "t",{fields},"assistant": "[3]"}}]"#);
        assert_eq!(convert(&[("chat.log", log)], layout).0, expected);
    }
    let auto = convert(&[("chat.log", log)], Layout::Auto).0;
    assert_eq!(auto, convert(&[("chat.log", log)], Layout::Tools).0);
}

#[test]
fn our_own_log_is_read_too() {
    let line = |id: &str, more: &str| {
        format!(
            r#"{{"id":"{id}","time":"2026-08-12T10:15:00.123+02:00","client":"10.0.0.9","model":"m",{more}}}"#
        )
    };
    let chat = r#""messages":[{"role":"user","content":"hi"}],"parameters":{"temperature":0.50,"tools":[1]}"#;
    let log = [
        line(
            "1",
            &format!(
                r#"{chat},"status":200,"ended":"done","answer":{{"choices":[{{"index":0,"content":"é"}}]}}"#
            ),
        ),
        line(
            "2",
            &format!(
                r#"{chat},"status":200,"ended":"client_left","answer":{{"choices":[{{"content":"cut"}}]}}"#
            ),
        ),
        line("3", &format!(r#"{chat},"status":429,"ended":"done","answer":{{"body":"no"}}"#)),
        line("4", r#""parameters":{"input":"embed me"},"status":200,"ended":"done""#),
        line(
            "5",
            &format!(
                r#"{chat},"status":200,"ended":"done","answer":{{"choices":[{{"content":null,"tool_calls":[{{"index":0,"id":"c"}}]}}]}}"#
            ),
        ),
        "{\"id\":\"torn\",\"ti".to_owned(),
    ];
    let (json, out, err) = convert(&[("chat.jsonl", &log.join("\n"))], Layout::Auto);
    let item = |called: &str, said: &str| {
        format!(
            r#"{{"datetime": "2026-08-12 10:15:00","ip": "10.0.0.9","model": "m","temperature": 0.5,"messages": [{{"user": "hi"}}],"tools": [1],"is_tool_calls": {called},"assistant": "{said}"}}"#
        )
    };
    let items = [item("false", "é"), item("true", "[{'index': 0, 'id': 'c'}]")];
    assert_eq!(json, format!("[{}]", items.join(",")));
    assert!(out.contains("Length mismatch between message(4) and assistant(2) \n"), "{out}");
    assert!(err.starts_with("DIR/chat.jsonl:6: left out: torn"), "{err}");
}

#[test]
fn a_target_that_is_no_file_is_written_into() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("chat.log"), "").unwrap();
    let options = Options {
        root: "nowhere".into(),
        folder: Some(folder.path().into()),
        target: Some("/dev/null".into()),
        layout: Layout::Auto,
        indent: 4,
    };
    run(&options, &mut Vec::new(), &mut Vec::new()).unwrap();
    assert!(!Path::new("/dev/null").is_file());
}

proptest! {
    /// Whatever the order, and wherever the files are cut: no call is lost, none is mixed up.
    #[test]
    fn every_pair_comes_out_once_and_in_order(
        calls in prop::collection::vec((0..40_usize, 0..40_usize, any::<bool>(), any::<bool>()), 0..20),
        cut in 0..60_usize,
    ) {
        let mut lines: Vec<(usize, String)> = Vec::new();
        for (uid, &(request, answer, is_asked, is_answered)) in calls.iter().enumerate() {
            lines.extend(is_asked.then(|| (request, asked(&uid.to_string()))));
            lines.extend(is_answered.then(|| (answer, answered(&uid.to_string()))));
        }
        lines.sort();
        let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        let whole = |line: &&String| {
            let uid = line.split("'uid': '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap().to_owned();
            let (_, _, is_asked, is_answered) = calls[uid.parse::<usize>().unwrap()];
            (line.contains("messages") && is_asked && is_answered).then_some(uid)
        };
        let expected: Vec<String> = lines.iter().filter_map(|line| whole(&line)).collect();
        let (first, second) = lines.split_at(cut.min(lines.len()));
        let files = [("chat.1.log", &*first.concat()), ("chat.log", &*second.concat())];
        prop_assert_eq!(uids(&convert(&files, Layout::Auto).0), expected);
    }
}
