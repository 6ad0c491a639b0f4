//! The log's files: whose they are, how they rotate, and what a disk does that is gone or stuck.
//!
//! Why a FIFO for a stuck disk: a write to a full one waits until somebody reads, for root as well.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::answers;
use crate::support::client::{Client, Ended};
use crate::support::house::{Conf, House, keyed};
use crate::support::openai::{chat, chat_answer, post};
use crate::support::upstream::{Reply, Upstream};

/// Longer than all FIFOs and queues here.
const LONG: usize = 200 * 1024;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn is_json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"))
}

#[tokio::test]
async fn files_are_for_their_owner_alone() {
    let up = Upstream::start(answers).await;
    let house = House::before(&up).await;
    let folder = house.log_file().parent().unwrap().to_owned();
    house.ask(post("/v1/x", &chat("m", false, "hi"))).await;
    assert_eq!((mode(&folder), mode(&house.log_file())), (0o700, 0o600));
}

#[tokio::test]
async fn files_rotate_under_load_and_stay_within_their_bound() {
    const ROTATE: u64 = 64 << 10;
    const KEEP: u64 = 256 << 10;
    let up = Upstream::start(answers).await;
    let conf = Conf::to(&up)
        .with("chat_log.rotate = \"64KiB\"\nchat_log.keep = \"256KiB\"\nserver.workers = 2");
    let house = House::start(conf).await;
    let folder = house.log_file().parent().unwrap().to_owned();
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let addr = house.addr();
        callers.spawn(async move {
            let mut client = Client::h1(addr).await;
            for nth in 0..50 {
                let text = format!("{caller}/{nth} {}", "x".repeat(2000));
                client.ask(keyed(post("/v1/x", &chat("m", false, &text)))).await;
            }
        });
    }
    while callers.join_next().await.is_some() {
        let sizes: u64 =
            files(&folder).iter().map(|file| file.metadata().map_or(0, |it| it.len())).sum();
        assert!(sizes <= KEEP, "{sizes} bytes in all");
    }
    let status = house.status_is("all is written", |s| s["chat_log"]["written"] == 400).await;
    assert_eq!(status["chat_log"]["dropped"], 0);
    let all = files(&folder);
    assert!(all.len() >= 4, "{all:?}");
    let mut seen = Vec::new();
    for file in &all {
        assert!(file.metadata().unwrap().len() <= ROTATE, "{}", file.display());
        assert_eq!(mode(file), 0o600, "{}", file.display());
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.ends_with('\n'), "{} ends in the middle of a line", file.display());
        seen.extend(text.lines().map(|line| is_json(line)["id"].as_str().unwrap().to_owned()));
    }
    // The newest are kept, each once.
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
    assert!((50..400).contains(&count), "{count} lines kept");
}

#[tokio::test]
async fn records_that_a_disk_does_not_take_are_counted() {
    let up = Upstream::start(answers).await;
    let house = House::start(Conf::to(&up).with("chat_log.full = \"drop\"")).await;
    let folder = house.log_file().parent().unwrap().to_owned();
    let call =
        async || assert_eq!(house.ask(post("/v1/x", &chat("m", false, "hi"))).await.status, 200);
    let is = async |written: u64, dropped: u64| {
        let log = |s: &Value| (s["chat_log"]["written"].clone(), s["chat_log"]["dropped"].clone());
        house.status_is("the counts", |s| log(s) == (json!(written), json!(dropped))).await;
        let metrics = house.admin_text("/metrics").await;
        assert!(
            metrics.contains(&format!("\naifd_chat_log_dropped_total {dropped}\n")),
            "{metrics}"
        );
    };
    call().await;
    is(1, 0).await;
    // A file in place of the folder: nobody can write into that, root neither.
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "").unwrap();
    for dropped in 1..=3 {
        call().await;
        is(1, dropped).await;
    }
    // A folder that has only been deleted is made again.
    std::fs::remove_file(&folder).unwrap();
    call().await;
    is(2, 3).await;
    assert_eq!(house.log().await.len(), 1);
}

/// Puts a FIFO in the place of the file: a disk that takes 64 KiB and then nothing.
fn stick(file: &Path) {
    std::fs::remove_file(file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(file).status().unwrap();
    assert!(made.success());
}

/// Makes it a disk that works again: reads lines until there are `count`.
async fn unstick(file: PathBuf, count: usize) -> Vec<Value> {
    tokio::task::spawn_blocking(move || {
        let mut fifo = std::fs::File::open(file).unwrap();
        let (mut text, mut some, mut lines) = (Vec::new(), vec![0; LONG], 0);
        while lines < count {
            let read = fifo.read(&mut some).unwrap();
            assert!(read > 0, "the writer has gone");
            lines += memchr::memchr_iter(b'\n', &some[..read]).count();
            text.extend_from_slice(&some[..read]);
        }
        String::from_utf8(text).unwrap().lines().map(is_json).collect()
    })
    .await
    .unwrap()
}

async fn stuck(conf: &str) -> (Upstream, House) {
    let up = Upstream::start(|_| Reply::json(200, &chat_answer(&"x".repeat(LONG)))).await;
    let limits =
        "chat_log.queue = \"1MiB\"\nchat_log.capture = \"512KiB\"\nchat_log.keep = \"1GiB\"";
    let house = House::start(Conf::to(&up).with(&format!("{limits}\n{conf}"))).await;
    stick(&house.log_file());
    (up, house)
}

#[tokio::test]
async fn a_stuck_disk_loses_records_but_no_call_waits() {
    const CALLS: usize = 20;
    let (_up, house) = stuck("chat_log.full = \"drop\"").await;
    let mut client = house.client().await;
    for _ in 0..CALLS {
        let answer = client.ask(keyed(post("/v1/x", &chat("m", false, "hi")))).await;
        assert_eq!((answer.status, answer.ended), (200, Ended::Whole));
    }
    house.status_is("nothing under way", |status| status["in_flight"] == 0).await;
    let log = house.status().await["chat_log"].clone();
    let [written, waiting, dropped] = ["written", "queued_records", "dropped"]
        .map(|name| usize::try_from(log[name].as_u64().unwrap()).unwrap());
    assert!(dropped > 0 && waiting > 0, "{log}");
    assert_eq!((written, waiting + dropped), (0, CALLS), "{log}");
    assert!(log["queued_bytes"].as_u64().unwrap() <= 1 << 20, "{log}");
    let metrics = house.admin_text("/metrics").await;
    for line in [
        format!("\naifd_chat_log_dropped_total {dropped}\n"),
        format!("\naifd_chat_log_queue_records {waiting}\n"),
        format!("\naifd_chat_log_queue_bytes {}\n", log["queued_bytes"]),
    ] {
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    assert_eq!(unstick(house.log_file(), waiting).await.len(), waiting);
    let done = house.status_is("all is written", |s| s["chat_log"]["queued_records"] == 0).await;
    assert_eq!(done["chat_log"]["written"], waiting);
    assert_eq!(done["chat_log"]["dropped"], dropped);
}

#[tokio::test]
async fn a_stuck_disk_lets_answers_end_and_loses_nothing_where_that_is_configured() {
    const CALLS: usize = 20;
    let (_up, house) = stuck("chat_log.full = \"block\"").await;
    let mut clients = Vec::new();
    for _ in 0..CALLS {
        let mut client = house.client().await;
        let answer = client.ask(keyed(post("/v1/x", &chat("m", false, "hi")))).await;
        assert_eq!((answer.status, answer.ended), (200, Ended::Whole));
        clients.push(client);
    }
    let stuck = house.status().await;
    assert!(stuck["in_flight"].as_u64() > Some(0), "nobody waits: {stuck}");
    assert_eq!(
        (&stuck["chat_log"]["dropped"], &stuck["chat_log"]["written"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(unstick(house.log_file(), CALLS).await.len(), CALLS);
    let is_done = |s: &Value| s["chat_log"]["written"] == CALLS && s["in_flight"] == 0;
    let done = house.status_is("all is written", is_done).await;
    assert_eq!(done["chat_log"]["dropped"], 0);
}
