//! The chat log in openai-forward's form, letter for letter against what openai-forward wrote.
//!
//! `tests/golden/chatlog/` has the calls, and what 0.6.7 and 0.8.1 logged of them (`record.py` asked
//! them). `aifd.txt` is what aifd writes, anew with `AIFD_BLESS=1`. Where it differs the call says why.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aifd::chatlog::{Call, ChatLog, Ended};
use aifd::config;
use aifd::convert::{Layout, Options, run};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::python::python;

mod served;

const LONG: Duration = Duration::from_secs(60);

/// One call, and what the host said.
#[derive(Deserialize)]
struct Sample {
    name: String,
    path: String,
    #[serde(rename = "type")]
    kind: String,
    request: String,
    status: u16,
    answer_type: String,
    answer: String,
    /// Why the lines are not those of openai-forward.
    differs: Option<String>,
    /// Why they are not those of 0.6.7.
    older: Option<String>,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chatlog").join(name)
}

fn samples() -> Vec<Sample> {
    serde_json::from_str(&fs::read_to_string(golden("calls.json")).unwrap()).unwrap()
}

/// A log in a folder, with more keys of its table.
fn open(folder: &Path, keys: &str) -> ChatLog {
    let dir = folder.join("Log");
    let text = format!(
        "access.unknown_keys = 'pass'\nupstream = [{{ name = 'a', hosts = ['http://a'] }}]\n\
         route = [{{ prefix = '/' }}, {{ prefix = '/a/b' }}]\n\
         [chat_log]\ndir = {dir:?}\nformat = 'python'\ntimezone = 'Asia/Kolkata'\n{keys}"
    );
    ChatLog::open(
        &config::parse(&text, "text").unwrap_or_else(|faults| panic!("{faults}")).chat_log,
    )
    .unwrap()
}

fn call(path: &str, route: &str, id: u128) -> Call {
    Call {
        id: format!("req_{id:032x}"),
        time: "2026-08-12T20:15:00.9Z".parse().unwrap(),
        arrived: tokio::time::Instant::now(),
        client: Some([127, 0, 0, 1].into()),
        method: http::Method::POST,
        path: path.to_owned(),
        route: route.into(),
    }
}

/// Logs a call that ended like this.
async fn log_one(log: &ChatLog, call: Call, sample: &Sample, ended: Ended) {
    let Some(mut entry) = log.begin(call) else { return };
    if sample.kind == "application/json" {
        entry.asked(Some(Bytes::from(sample.request.clone())), None, false);
    }
    entry.head(sample.status, Some(&sample.answer_type), None);
    for piece in sample.answer.as_bytes().chunks(7) {
        entry.chunk(&Bytes::copy_from_slice(piece));
    }
    entry.end(ended).await;
}

/// Everything in the files of a prefix, chats first.
fn written(folder: &Path, prefix: &str) -> String {
    let text = |name: &str| {
        fs::read_to_string(folder.join(format!("Log/{prefix}/{name}/{name}.log")))
            .unwrap_or_default()
    };
    ["chat", "completion", "embedding", "whisper"].map(text).concat()
}

/// What aifd logs of a call.
async fn ours(sample: &Sample) -> String {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), "");
    log_one(&log, call(&sample.path, "/", 7), sample, Ended::Done).await;
    assert!(log.shutdown(LONG));
    assert_eq!(log.dropped(), 0);
    let uid = format!("'uid': '{:032x}'", 7);
    // Half past eight in the evening is in another day there, and in another half hour.
    let time = "'datetime': '2026-08-13 01:45:00'";
    written(folder.path(), "openai")
        .replace(&uid, "'uid': 'UID'")
        .replace(time, "'datetime': 'DATETIME'")
}

/// The lines of each call in a recording.
fn recorded(text: &str) -> Vec<(&str, &str)> {
    let parts = text.split("## ").skip(1);
    parts.map(|part| part.split_once('\n').unwrap()).collect()
}

#[tokio::test]
async fn every_line_is_that_of_openai_forward() {
    let mut said = String::new();
    for sample in samples() {
        said += &format!("## {}\n{}", sample.name, ours(&sample).await);
    }
    if std::env::var_os("AIFD_BLESS").is_some() {
        fs::write(golden("aifd.txt"), &said).unwrap();
    }
    assert_eq!(said, fs::read_to_string(golden("aifd.txt")).unwrap());
    for version in ["0.8.1", "0.6.7"] {
        let theirs = fs::read_to_string(golden(&format!("{version}.txt"))).unwrap();
        let (theirs, ours) = (recorded(&theirs), recorded(&said));
        assert_eq!(theirs.len(), ours.len());
        for ((sample, theirs), ours) in samples().iter().zip(theirs).zip(ours) {
            let older = sample.older.as_ref().filter(|_| version == "0.6.7");
            let why = sample.differs.as_ref().or(older);
            assert_eq!(theirs != ours, why.is_some(), "{version}, {why:?}");
        }
    }
}

#[test]
fn python_reads_every_line() {
    let said = fs::read_to_string(golden("aifd.txt")).unwrap();
    let lines: String = said
        .lines()
        .filter(|line| line.starts_with("{'"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(lines.lines().count() > 50);
    let script = "import sys, ast\nfor line in sys.stdin: print(repr(ast.literal_eval(line)))";
    assert_eq!(python(script, &lines), lines);
}

fn sample(name: &str) -> Sample {
    samples().into_iter().find(|sample| sample.name == name).unwrap()
}

#[tokio::test]
async fn a_call_without_a_whole_answer_has_one_line() {
    let stream = sample("stream");
    for ended in
        [Ended::ClientLeft, Ended::UpstreamCut, Ended::Error, Ended::Aborted, Ended::Refused]
    {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path(), "");
        log_one(&log, call(&stream.path, "/", 7), &stream, ended).await;
        assert!(log.shutdown(LONG));
        let said = written(folder.path(), "openai");
        assert!(said.starts_with("{'messages'") && said.lines().count() == 1, "{ended:?}: {said}");
    }
    // What was cut off because it is long is no whole answer either, nor what ends with an error.
    let failed = stream.answer.replace("data: [DONE]", "data: {\"error\":{\"message\":\"no\"}}");
    let failed = Sample { answer: failed, ..sample("stream") };
    for (keys, sample) in
        [("capture = 10", &stream), ("capture = 10", &sample("chat")), ("", &failed)]
    {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path(), keys);
        log_one(&log, call(&sample.path, "/", 7), sample, Ended::Done).await;
        assert!(log.shutdown(LONG));
        assert_eq!(written(folder.path(), "openai").lines().count(), 1, "{keys} {}", sample.name);
    }
}

#[tokio::test]
async fn a_call_that_was_refused_unheard_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), "");
    let mut entry = log.begin(call("/v1/chat/completions", "/", 7)).unwrap();
    entry.head(429, Some("application/json"), None);
    entry.end(Ended::Refused).await;
    assert!(log.shutdown(LONG));
    assert_eq!((written(folder.path(), "openai"), log.dropped()), (String::new(), 0));
}

#[tokio::test]
async fn each_prefix_has_its_own_files_and_a_path_may_be_another() {
    let folder = tempfile::tempdir().unwrap();
    let keys = "chat = '/a/b/api/chat'\ncompletion = '/api/completion'";
    let log = open(folder.path(), keys);
    let (chat, completion) = (sample("chat"), sample("completion"));
    for (path, route, sample) in [
        ("/a/b/api/chat", "/a/b", &chat),
        ("/api/completion", "/", &completion),
        ("/v1/chat/completions", "/", &chat),
    ] {
        log_one(&log, call(path, route, 7), sample, Ended::Done).await;
    }
    assert!(log.begin(call("/v1/chat/completions", "/", 7)).is_none());
    assert!(log.shutdown(LONG));
    let first = |prefix| written(folder.path(), prefix).chars().take(10).collect::<String>();
    assert_eq!((first("a_b"), first("openai")), ("{'messages".into(), "{'prompt':".into()));
    // Those of the chats are there from the beginning, the others when they are needed.
    assert!(folder.path().join("Log/openai/chat/chat.log").exists());
    assert!(!folder.path().join("Log/a_b/completion").exists());
}

#[tokio::test]
async fn files_rotate_by_kind_and_their_names_tell_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), "rotate = '64KiB'\nkeep = 'all'");
    for (name, times) in [("chat", 400), ("embedding", 1000), ("speech to text", 2500)] {
        let sample = sample(name);
        for at in 0..times {
            log_one(&log, call(&sample.path, "/", at), &sample, Ended::Done).await;
        }
    }
    assert!(log.shutdown(LONG));
    assert_eq!((log.dropped(), log.written()), (0, 3900));
    for (name, most, each) in
        [("chat", 65_536, 2), ("embedding", 131_072, 2), ("whisper", 39_321, 1)]
    {
        let mut files: Vec<PathBuf> = fs::read_dir(folder.path().join("Log/openai").join(name))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(files.len() > 1, "{name}: {files:?}");
        assert!(files.last().unwrap().ends_with(format!("{name}.log")), "{files:?}");
        let text: Vec<String> =
            files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        assert!(text.iter().all(|text| text.len() <= most), "{name}");
        assert!(text.iter().take(files.len() - 1).all(|text| text.len() > most / 2), "{name}");
        let text = text.concat();
        if name == "chat" {
            let uids: Vec<_> = text.lines().map(uid).collect();
            let expected: Vec<_> = (0..400_u128).flat_map(|at| vec![at; each]).collect();
            assert_eq!(uids, expected);
        }
    }
}

fn uid(line: &str) -> u128 {
    let (_, rest) = line.split_once("'uid': '").unwrap();
    u128::from_str_radix(&rest[..32], 16).unwrap()
}

#[test]
fn calls_at_once_never_mix_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), "");
    let chat = sample("letters");
    std::thread::scope(|scope| {
        for thread in 0..8_u128 {
            let (log, chat) = (&log, &chat);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for at in 0..200 {
                    let call = call(&chat.path, "/", thread << 64 | at);
                    runtime.block_on(log_one(log, call, chat, Ended::Done));
                }
            });
        }
    });
    assert!(log.shutdown(LONG));
    let said = written(folder.path(), "openai");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 3200);
    let mut uids = Vec::new();
    for pair in lines.chunks(2) {
        assert!(pair[0].starts_with("{'messages'") && pair[1].starts_with("{'assistant'"));
        assert_eq!(uid(pair[0]), uid(pair[1]));
        uids.push(uid(pair[0]));
    }
    uids.sort_unstable();
    uids.dedup();
    assert_eq!(uids.len(), 1600);
}

#[tokio::test]
async fn convert_reads_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path(), "");
    for name in ["letters", "tools in a stream", "an error", "embedding"] {
        let sample = sample(name);
        log_one(&log, call(&sample.path, "/", 7), &sample, Ended::Done).await;
    }
    assert!(log.shutdown(LONG));
    let options = Options {
        root: folder.path().join("Log"),
        folder: None,
        target: None,
        layout: Layout::Auto,
        indent: 4,
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    run(&options, &mut out, &mut err).unwrap();
    assert_eq!(String::from_utf8(err).unwrap(), "");
    let made = fs::read_to_string(folder.path().join("Log/chat_openai.json")).unwrap();
    let items: Vec<Value> = serde_json::from_str(&made).unwrap();
    assert_eq!(items.len(), 2, "{made}");
    assert_eq!(items[0]["assistant"], json!("只 it's\r\n\"x\" {braces} %s"));
    assert_eq!(items[0]["datetime"], json!("2026-08-13 01:45:00"));
    let calls = "[{'index': 0, 'id': 'call_1', 'type': 'function', \
                 'function': {'name': 'weather', 'arguments': '{\"city\": \"Zürich\"}'}}]";
    let expected = json!({"datetime": "2026-08-13 01:45:00", "ip": "127.0.0.1", "model": "gpt-3.5-turbo",
        "temperature": 1, "messages": [{"user": "hi"}],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}],
        "is_tool_calls": true, "assistant": calls});
    assert_eq!(items[1], expected);
}

#[tokio::test]
async fn a_line_that_was_torn_stays_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("Log/openai/chat/chat.log");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "{'messages': [{'role': 'us").unwrap();
    let log = open(folder.path(), "");
    let chat = sample("chat");
    log_one(&log, call(&chat.path, "/", 7), &chat, Ended::Done).await;
    assert!(log.shutdown(LONG));
    let said = fs::read_to_string(file).unwrap();
    assert!(
        said.starts_with("{'messages': [{'role': 'us\n{'messages': [{'role': 'user'"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 3);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("Log"), "a file").unwrap();
    let dir = folder.path().join("Log");
    let text = format!(
        "access.unknown_keys = 'pass'\nupstream = [{{ name = 'a', hosts = ['http://a'] }}]\n\
         [chat_log]\ndir = {dir:?}\nformat = 'python'"
    );
    let error = ChatLog::open(&config::parse(&text, "text").unwrap().chat_log).unwrap_err();
    assert!(error.to_string().contains("Log/openai/chat"), "{error}");
}
