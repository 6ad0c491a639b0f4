//! The whole room: exactly one record a call, bounded memory, whole lines.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use serde_json::Value;

use crate::config::WhenFull;

use super::writer::Short;
use super::*;

const LONG: Duration = Duration::from_secs(60);

/// One file of JSON lines, or openai-forward's files of the root.
pub(super) fn conf(dir: &Path, format: Format) -> config::ChatLog {
    let paths = config::ChatPaths {
        chat: "/v1/chat/completions".to_owned(),
        completion: "/v1/completions".to_owned(),
        embedding: "/v1/embeddings".to_owned(),
    };
    config::ChatLog {
        on: true,
        dir: dir.to_owned(),
        format,
        print: false,
        paths,
        timezone: None,
        rotate: 100_000,
        keep: 1 << 30,
        full: WhenFull::Block,
        queue: 4096,
        capture: 1 << 20,
        caching: false,
        prefixes: vec!["/".to_owned()],
    }
}

fn open(dir: &Path) -> ChatLog {
    ChatLog::open(&conf(dir, Format::Jsonl)).unwrap()
}

fn over(sink: impl Sink, full: WhenFull) -> ChatLog {
    let conf = config::ChatLog { full, ..conf(Path::new("."), Format::Jsonl) };
    ChatLog::over(Jsonl { sink, clock: Clock::utc() }, &conf).unwrap()
}

fn begin(log: &ChatLog, id: &str) -> Entry {
    log.begin(call(id)).unwrap()
}

fn call(id: &str) -> Call {
    Call {
        id: id.to_owned(),
        time: jiff::Timestamp::now(),
        arrived: tokio::time::Instant::now() - Duration::from_secs(1),
        client: Some([127, 0, 0, 1].into()),
        method: http::Method::POST,
        path: "/v1/chat/completions".to_owned(),
        route: "/v1".into(),
    }
}

/// An entry whose record fills the queue.
fn large(log: &ChatLog, id: &str) -> Entry {
    let mut entry = begin(log, id);
    entry.asked(Some(Bytes::from(vec![b'x'; 10_000])), None, false);
    entry
}

/// Every record in a directory, by its id.
fn records(dir: &Path) -> BTreeMap<String, Value> {
    let mut records = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert_eq!(read(&path).unwrap().count(), lines, "all lines are whole");
        for record in read(&path).unwrap() {
            let record: Value = serde_json::from_str(record.unwrap().get()).unwrap();
            let id = record["id"].as_str().unwrap().to_owned();
            assert!(records.insert(id.clone(), record).is_none(), "{id} is there twice");
        }
    }
    records
}

/// A sink that tells when it is asked and waits to be told how many bytes it takes.
struct Gate {
    asked: mpsc::Sender<Vec<u8>>,
    takes: mpsc::Receiver<usize>,
}

impl Sink for Gate {
    fn fits(&self, _: usize) -> bool {
        true
    }

    fn append(&mut self, lines: &[u8]) -> Result<(), Short> {
        let cause = || io::ErrorKind::StorageFull.into();
        let _ = self.asked.send(lines.to_vec());
        match self.takes.recv().unwrap_or(usize::MAX) {
            written if written < lines.len() => Err(Short { written, cause: cause() }),
            _ => Ok(()),
        }
    }
}

/// A sink that kills its thread.
struct Bomb;

impl Sink for Bomb {
    fn fits(&self, _: usize) -> bool {
        true
    }

    fn append(&mut self, _: &[u8]) -> Result<(), Short> {
        panic!("in the writer")
    }
}

/// A log whose writer is held back.
fn gated(full: WhenFull) -> (ChatLog, mpsc::Receiver<Vec<u8>>, mpsc::Sender<usize>) {
    let (asked, asks) = mpsc::channel();
    let (take, takes) = mpsc::channel();
    let log = over(Gate { asked, takes }, full);
    (log, asks, take)
}

fn poll(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> Poll<()> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_call_becomes_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut entry = begin(&log, "r1");
    let body = Bytes::from_static(br#"{"messages":[1],"model":"m","seed":7}"#);
    entry.by("ann");
    entry.asked(Some(body), Some("m"), false);
    entry.via("10.0.0.1:8000");
    entry.head(503, Some("text/plain"), None);
    entry.chunk(&Bytes::from_static(b"busy"));
    entry.via("10.0.0.2:8000");
    entry.attempts(2);
    entry.head(200, Some("text/event-stream"), None);
    for piece in [
        &b"data: {\"choices\":[{\"delta\":{\"content\":\"h\xc3"[..],
        b"\xa9\"}}]}\n",
        b"\ndata: [DONE]\n\n",
    ] {
        entry.chunk(&Bytes::from_static(piece));
    }
    entry.ttft(Duration::from_millis(5));
    entry.end(Ended::Done).await;
    assert!(log.shutdown(LONG));

    let record = &records(dir.path())["r1"];
    let told = ["key", "upstream", "status", "attempts", "ttft_ms", "ended", "messages"]
        .map(|name| &record[name]);
    let expected = [
        &"ann".into(),
        &"10.0.0.2:8000".into(),
        &200.into(),
        &2.into(),
        &5.0.into(),
        &"done".into(),
        &vec![1].into(),
    ] as [&Value; 7];
    assert_eq!(told, expected);
    assert_eq!(record["answer"]["choices"][0]["content"], "hé");
    assert_eq!(record["parameters"], serde_json::json!({"seed": 7}));
    assert_eq!(
        (log.written(), log.dropped(), log.queued_records(), log.queued_bytes()),
        (1, 0, 0, 0)
    );
}

#[tokio::test]
async fn times_are_in_the_zone_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let zone = TimeZone::get("Asia/Kolkata").unwrap();
    let zone = config::Zone { name: "Asia/Kolkata".to_owned(), zone };
    let conf = config::ChatLog { timezone: Some(zone), ..conf(dir.path(), Format::Jsonl) };
    let log = ChatLog::open(&conf).unwrap();
    begin(&log, "r1").end(Ended::Done).await;
    assert!(log.shutdown(LONG));
    let time = records(dir.path())["r1"]["time"].to_string();
    assert!(time.ends_with("+05:30\""), "{time}");
}

#[test]
fn only_what_is_written_or_printed_has_an_entry() {
    let dir = tempfile::tempdir().unwrap();
    let image = || Call { path: "/v1/images/generations".to_owned(), ..call("r") };
    let speech = || Call { path: "/v1/audio/speech".to_owned(), ..call("r") };
    for (on, format, begun) in [
        (true, Format::Jsonl, [true, true, true]),
        (true, Format::Python, [true, true, false]),
        (false, Format::Jsonl, [true, false, false]),
        (false, Format::Python, [true, false, false]),
    ] {
        let conf = config::ChatLog { on, ..conf(dir.path(), format) };
        let log = ChatLog::open(&conf).unwrap();
        let calls = [call("r"), speech(), image()];
        assert_eq!(calls.map(|call| log.begin(call).is_some()), begun, "{on} {format:?}");
        assert!(log.shutdown(LONG));
    }
}

#[tokio::test]
async fn every_entry_gives_exactly_one_record() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _entry = begin(&log, "panic");
        panic!("in a hook");
    }));
    assert!(panicked.is_err());
    drop(begin(&log, "dropped"));
    drop(begin(&log, "never polled").end(Ended::Done));
    let mut refused = begin(&log, "refused");
    refused.error("rate_limit_exceeded");
    refused.head(429, Some("application/json"), None);
    refused.end(Ended::Refused).await;
    begin(&log, "left").end(Ended::ClientLeft).await;
    assert!(log.shutdown(LONG));

    let records = records(dir.path());
    let ends: Vec<_> = records
        .iter()
        .map(|(id, record)| (id.as_str(), record["ended"].as_str().unwrap()))
        .collect();
    let expected = [
        ("dropped", "aborted"),
        ("left", "client_left"),
        ("never polled", "aborted"),
        ("panic", "aborted"),
        ("refused", "refused"),
    ];
    assert_eq!(ends, expected);
    assert!(records.values().all(|record| record["duration_ms"].as_f64() >= Some(1000.0)));
    assert_eq!(records["refused"]["error"], "rate_limit_exceeded");
    assert_eq!((log.written(), log.dropped()), (5, 0));
}

#[tokio::test]
async fn block_waits_for_room() {
    let (log, asks, take) = gated(WhenFull::Block);
    large(&log, "first").end(Ended::Done).await;
    assert!(String::from_utf8(asks.recv().unwrap()).unwrap().contains("first"));
    assert!(log.queued_records() == 1 && log.queued_bytes() > 10_000);
    let mut second = pin!(large(&log, "second").end(Ended::Done));
    assert!(poll(second.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    take.send(usize::MAX).unwrap();
    second.await;
    assert!(String::from_utf8(asks.recv().unwrap()).unwrap().contains("second"));
    drop(take);
    assert!(log.shutdown(LONG));
    assert_eq!((log.written(), log.dropped(), log.queued_bytes()), (2, 0, 0));
}

#[tokio::test]
async fn an_end_that_is_given_up_is_written_all_the_same() {
    let (log, asks, take) = gated(WhenFull::Block);
    large(&log, "first").end(Ended::Done).await;
    asks.recv().unwrap();
    {
        let mut given_up = pin!(large(&log, "second").end(Ended::ClientLeft));
        assert!(poll(given_up.as_mut()).is_pending());
    }
    drop(take);
    assert!(String::from_utf8(asks.recv().unwrap()).unwrap().contains(r#""ended":"client_left""#));
    assert!(log.shutdown(LONG));
    assert_eq!((log.written(), log.dropped()), (2, 0));
}

#[tokio::test]
async fn drop_never_waits_and_counts() {
    let (log, asks, take) = gated(WhenFull::Drop);
    large(&log, "first").end(Ended::Done).await;
    asks.recv().unwrap();
    for _ in 0..3 {
        let mut next = pin!(large(&log, "lost").end(Ended::Done));
        assert!(poll(next.as_mut()).is_ready());
        drop(large(&log, "lost too"));
    }
    assert_eq!((log.dropped(), log.queued_records()), (6, 1));
    drop(take);
    assert!(log.shutdown(LONG));
    assert_eq!((log.written(), log.dropped()), (1, 6));
}

#[tokio::test]
async fn what_the_disk_did_not_take_is_dropped() {
    let (log, asks, take) = gated(WhenFull::Block);
    begin(&log, "a").end(Ended::Done).await;
    let first = asks.recv().unwrap();
    // While the writer is held, two more gather into one batch.
    begin(&log, "b").end(Ended::Done).await;
    begin(&log, "c").end(Ended::Done).await;
    take.send(first.len() - 1).unwrap();
    let batch = asks.recv().unwrap();
    let end = memchr::memchr(b'\n', &batch).unwrap() + 1;
    assert!(end < batch.len());
    take.send(end).unwrap();
    drop(take);
    assert!(log.shutdown(LONG));
    assert_eq!((log.written(), log.dropped()), (1, 2));
}

#[tokio::test]
async fn after_the_shutdown_records_are_counted_and_nobody_waits() {
    let (log, asks, take) = gated(WhenFull::Block);
    large(&log, "first").end(Ended::Done).await;
    asks.recv().unwrap();
    let mut waits = pin!(large(&log, "waits").end(Ended::Done));
    assert!(poll(waits.as_mut()).is_pending());
    assert!(!log.shutdown(Duration::ZERO), "the disk is stuck");
    waits.await;
    large(&log, "late").end(Ended::Done).await;
    drop(large(&log, "later"));
    assert_eq!(log.dropped(), 3);
    drop(take);
    assert!(log.shutdown(LONG));
    assert_eq!((log.written(), log.dropped(), log.queued_records()), (1, 3, 0));
}

#[tokio::test]
async fn a_writer_that_dies_holds_nobody() {
    let log = over(Bomb, WhenFull::Block);
    for _ in 0..3 {
        large(&log, "lost").end(Ended::Done).await;
    }
    assert!(!log.shutdown(LONG));
    assert_eq!((log.written(), log.dropped(), log.queued_bytes()), (0, 3, 0));
}

#[test]
fn many_threads_write_whole_lines() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let log = log.clone();
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for at in 0..500 {
                    let mut entry = begin(&log, &format!("{thread}-{at}"));
                    let body = format!("{{\"prompt\":\"{}\"}}", "é\u{2028}\\n".repeat(at));
                    entry.asked(Some(body.into()), None, false);
                    runtime.block_on(entry.end(Ended::Done));
                }
            });
        }
    });
    assert!(log.shutdown(LONG));
    assert_eq!((log.written(), log.dropped(), log.queued_bytes()), (4000, 0, 0));
    assert_eq!(records(dir.path()).len(), 4000);
    assert!(std::fs::read_dir(dir.path()).unwrap().count() > 5, "files were rotated");
}
