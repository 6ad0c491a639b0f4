//! `aifd convert` on logs that openai-forward wrote, against what openai-forward itself made of them.
//!
//! `tests/golden/convert/VERSION/` has the log of that version, the JSON of its own `convert` and
//! what that printed (0.6.7's is that of 0.8.1: its own forgets the tool calls). Three things were
//! put right in what it made: its lines were wrapped at 80 characters, a blank at their end went
//! with that, and the JSON is indented by 4 as its README shows it, not by 2.

use std::fs;
use std::path::{Path, PathBuf};

use std::time::Duration;

use aifd::chatlog::{Call, ChatLog, Ended};
use aifd::config;
use aifd::convert::{Failed, Layout, Options, run};
use bytes::Bytes;

/// Copies a folder with what is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/convert").join(version)
}

fn options(root: &Path) -> Options {
    Options { root: root.join("Log"), folder: None, target: None, layout: Layout::Auto, indent: 4 }
}

/// What is said on the two outputs, with the folder as a dot.
fn said(options: &Options, root: &Path) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    run(options, &mut out, &mut err).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().replace(root.to_str().unwrap(), ".");
    (text(out), text(err))
}

#[test]
fn every_version_is_converted_as_it_converted_itself() {
    for (version, target) in [
        ("0.4.1", "chat.json"),
        ("0.5.0", "chat_.json"),
        ("0.5.1", "chat_openai.json"),
        ("0.6.4", "chat_openai.json"),
        ("0.6.7", "chat_openai.json"),
        ("0.8.1", "chat_openai.json"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        copy(&golden(version).join("Log"), &folder.path().join("Log"));
        let (out, err) = said(&options(folder.path()), folder.path());
        // 0.4.1 drew no lines.
        let dashes = format!("{}\n", "-".repeat(60));
        let console = fs::read_to_string(golden(version).join("console.txt")).unwrap();
        assert_eq!(out.replace(&dashes, ""), console.replace(&dashes, ""), "{version}");
        assert_eq!(out.matches(&dashes).count(), 2);
        assert_eq!(err, "");
        let theirs = fs::read_to_string(golden(version).join(target)).unwrap();
        let ours = fs::read_to_string(folder.path().join("Log").join(target)).unwrap();
        assert!(ours == theirs, "{version}:\n{ours}");
    }
}

#[test]
fn logs_of_two_versions_with_one_target_are_put_together() {
    let folder = tempfile::tempdir().unwrap();
    for version in ["0.5.1", "0.8.1"] {
        copy(&golden(version).join("Log"), &folder.path().join("Log"));
    }
    let (out, _) = said(&options(folder.path()), folder.path());
    let line =
        "Convert ./Log/chat/_openai/*.log and ./Log/openai/chat/*.log to ./Log/chat_openai.json\n";
    assert!(out.contains(line), "{out}");
    let ours = fs::read_to_string(folder.path().join("Log/chat_openai.json")).unwrap();
    let theirs = |version| fs::read_to_string(golden(version).join("chat_openai.json")).unwrap();
    let first = theirs("0.5.1");
    assert_eq!(
        ours,
        format!(
            "{},{}",
            first.strip_suffix("\n]").unwrap(),
            theirs("0.8.1").strip_prefix('[').unwrap()
        )
    );
}

#[tokio::test]
async fn what_our_own_log_writes_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let text = "access.unknown_keys = 'pass'\nupstream = [{ name = 'a', hosts = ['http://a'] }]";
    let mut conf = config::parse(text, "text").unwrap().chat_log;
    conf.dir = folder.path().join("Log");
    let log = ChatLog::open(&conf).unwrap();
    for (id, chunk) in [("1", "Hé"), ("2", "llo \\\"you\\\"")] {
        let entry = log.begin(Call {
            id: id.to_owned(),
            time: "2026-08-12T10:15:00.123Z".parse().unwrap(),
            arrived: tokio::time::Instant::now(),
            client: Some([10, 0, 0, 9].into()),
            method: http::Method::POST,
            path: "/v1/chat/completions".to_owned(),
            route: "/".into(),
        });
        let mut entry = entry.expect("every call is logged");
        let body = r#"{"model":"m","stream":true,"temperature":0.5,"messages":[{"role":"user","content":"hi"}]}"#;
        entry.asked(Some(Bytes::from(body)), Some("m"), true);
        entry.head(200, Some("text/event-stream"), None);
        let event = format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{chunk}\"}}}}]}}\n\n"
        );
        entry.chunk(&Bytes::from(event));
        entry.end(Ended::Done).await;
    }
    assert!(log.shutdown(Duration::from_secs(60)));
    let (out, err) = said(&options(folder.path()), folder.path());
    assert_eq!(err, "");
    assert!(
        out.contains("Convert ./Log/*.jsonl to ./Log/chat.json\nConverted successfully\n"),
        "{out}"
    );
    let text = fs::read_to_string(folder.path().join("Log/chat.json")).unwrap();
    let items: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(items[0]["assistant"], "Hé");
    assert_eq!(items[1]["assistant"], "llo \"you\"");
    assert_eq!(items[1]["messages"], serde_json::json!([{"user": "hi"}]));
    assert_eq!(items[1]["temperature"], 0.5);
}

#[test]
fn what_cannot_be_converted_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let usual = options(folder.path());
    let failed = |options: &Options| run(options, &mut Vec::new(), &mut Vec::new()).unwrap_err();
    for (options, says) in [
        (usual.clone(), "no chat log is in"),
        (Options { target: Some("x.json".into()), ..usual.clone() }, "add --log_folder FOLDER"),
        (
            Options { folder: Some(folder.path().into()), ..usual.clone() },
            "no *.log or *.jsonl file",
        ),
    ] {
        let why = failed(&options);
        assert!(matches!(&why, Failed::Asked(said) if said.contains(says)), "{why}");
    }
    let missing = failed(&Options { folder: Some("/no/such".into()), ..usual.clone() });
    assert!(
        matches!(missing, Failed::File(_)) && missing.to_string().starts_with("/no/such: "),
        "{missing}"
    );
    fs::write(folder.path().join("chat.log"), "").unwrap();
    let unwritable = Options {
        folder: Some(folder.path().into()),
        target: Some("/no/such/x.json".into()),
        ..usual
    };
    assert!(failed(&unwritable).to_string().contains("x.json: cannot be written"));
}
