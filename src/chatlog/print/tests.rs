//! What is printed, and a stdout that nobody reads.

use std::sync::mpsc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::chatlog::capture::Capture;
use crate::chatlog::record::{Call, Ended};

fn record(api: Api, body: &str, answer: &'static str) -> Record {
    let call = Call {
        id: "req_0123".into(),
        time: "2026-08-12T10:15:00Z".parse().unwrap(),
        arrived: tokio::time::Instant::now(),
        client: Some([10, 0, 0, 9].into()),
        method: http::Method::POST,
        path: "/v1/chat/completions".into(),
        route: "/".into(),
    };
    let mut record = Record::new(call, Some(api));
    record.body = Some(Bytes::copy_from_slice(body.as_bytes()));
    record.status = Some(200);
    record.ended = Some(Ended::Done);
    record.capture = Capture::new(1 << 20, Some("application/json"), None);
    record.capture.push(&Bytes::from_static(answer.as_bytes()));
    record
}

const ASKED: &str = r#"{"model":"m","messages":[{"role":"system","content":"be\nkind"},
    {"role":"user","content":"hi \u001b[31mred\u0007"},{"role":"assistant","content":null,"tool_calls":[{"id":"c"}]}]}"#;
const SAID: &str = r#"{"choices":[{"message":{"role":"assistant","content":"你好"}}]}"#;

#[test]
fn a_chat_as_it_is_printed() {
    let rule = "-".repeat(50);
    let double = "=".repeat(77);
    let asked = format!(
        "{rule}\nsystem: be\nkind\nuser: hi \\u{{1b}}[31mred\\u{{7}}\nassistant: [{{'id': 'c'}}]\n\
         10.0.0.9@m uid: 0123\n{rule}\n"
    );
    let said = format!("{double}\nassistant: 你好\nuid: 0123\n{double}\n");
    let chat = record(Api::Chat, ASKED, SAID);
    assert_eq!(text(&chat, false).unwrap(), format!("{asked}{said}"));
    // Without a whole answer there is only what was asked.
    let mut torn = record(Api::Chat, ASKED, SAID);
    torn.ended = Some(Ended::ClientLeft);
    assert_eq!(text(&torn, false).unwrap(), asked);
    let coloured = text(&chat, true).unwrap();
    assert!(coloured.contains("\x1b[33muser: hi \\u{1b}[31mred\\u{7}\x1b[0m\n"), "{coloured}");
}

#[test]
fn only_chats_are_printed_and_no_more_of_them_than_is_bearable() {
    assert_eq!(text(&record(Api::Completion, ASKED, SAID), false), None);
    for body in ["", "{}", "[]", r#"{"messages":"odd","model":"m"}"#] {
        assert_eq!(text(&record(Api::Chat, body, SAID), false), None, "{body}");
    }
    let long = format!(r#"{{"messages":[{{"role":"user","content":"{}"}}]}}"#, "é".repeat(MOST));
    let shown = text(&record(Api::Chat, &long, SAID), false).unwrap();
    assert!(shown.len() < 2 * MOST && shown.contains("bytes more)"), "{}", shown.len());
}

/// A stdout that tells when it is asked, and waits.
struct Stuck {
    asked: mpsc::Sender<()>,
    go: Receiver<()>,
    seen: Arc<Mutex<String>>,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.asked.send(());
        let _ = self.go.recv();
        self.seen.lock().push_str(str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stdout_that_is_stuck_holds_up_nobody_and_what_is_lost_is_told() {
    let ((asked, asks), (go, goes)) = (mpsc::channel(), mpsc::channel());
    let seen = Arc::new(Mutex::new(String::new()));
    let stuck = Stuck { asked, go: goes, seen: Arc::clone(&seen) };
    let printer = Printer::start(stuck, false).unwrap();
    let chat = record(Api::Chat, ASKED, SAID);
    printer.tell(&chat);
    asks.recv().unwrap();
    for _ in 0..QUEUE + 3 {
        printer.tell(&chat);
    }
    drop(go);
    // It waits for what is still to be printed.
    drop(printer);
    let seen = seen.lock();
    assert_eq!(seen.matches("assistant: 你好").count(), QUEUE + 1);
    assert!(seen.contains("(3 chats were not printed: stdout was full)"), "{seen}");
}
