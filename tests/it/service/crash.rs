//! What a process that is killed leaves behind, and what the next one makes of it.

use std::io::Write;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::client::{Client, Ended};
use crate::support::house::{Conf, keyed};
use crate::support::openai::{chat, chat_answer, chat_stream, post};
use crate::support::process::Site;
use crate::support::upstream::{Reply, Upstream};

/// Calls until an answer does not come, or not whole.
async fn call_on_and_on(addr: SocketAddr, stream: bool) {
    let mut client = Client::h1(addr).await;
    let request = || keyed(post("/v1/chat/completions", &chat("m", stream, &"words ".repeat(500))));
    while let Ok(reading) = client.send(request()).await {
        if reading.finish().await.ended != Ended::Whole {
            return;
        }
    }
}

/// The records as the log's own reader finds them.
fn records(site: &Site) -> Vec<Value> {
    let lines = aifd::chatlog::read(&site.log_file()).unwrap();
    lines.map(|line| serde_json::from_str(line.unwrap().get()).unwrap()).collect()
}

#[tokio::test]
async fn a_killed_process_leaves_whole_lines_and_the_next_one_goes_on() {
    let up = Upstream::start(|seen| match seen.json()["stream"] == true {
        true => Reply::sse(chat_stream(&["long "; 200])),
        false => Reply::json(200, &chat_answer(&"long ".repeat(2000))),
    })
    .await;
    let site = Site::of(&Conf::to(&up));
    let process = site.serve(&[]).await;
    let addr = process.addr();
    let mut callers: JoinSet<()> =
        [true, false].repeat(4).into_iter().map(|stream| call_on_and_on(addr, stream)).collect();
    process.status_is("many calls", |s| s["chat_log"]["written"].as_u64() > Some(100)).await;
    process.signal("KILL");
    assert_eq!(process.ended().await.code, None);
    while callers.join_next().await.is_some() {}

    let left = std::fs::read(site.log_file()).unwrap();
    let mut lines: Vec<&[u8]> = left.split(|byte| *byte == b'\n').collect();
    lines.pop();
    assert!(lines.len() > 100);
    for line in &lines {
        let line: Value = serde_json::from_slice(line).expect("a whole line");
        assert_eq!(line["ended"], "done", "{line}");
    }
    // A kill tears a line only with much luck; this one always does.
    let mut file = std::fs::OpenOptions::new().append(true).open(site.log_file()).unwrap();
    file.write_all(b"{\"id\":\"req_torn\",\"time\":\"20").unwrap();

    let before = records(&site);
    assert!(before.len() >= lines.len());
    let process = site.serve(&[]).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let answer = process.ask(post("/v1/chat/completions", &chat("m", false, "hi"))).await;
        ids.push(answer.header("x-request-id").unwrap().to_owned());
    }
    assert_eq!(process.stop().await.code, Some(0));
    let after = records(&site);
    assert_eq!(after[..before.len()], before);
    let added: Vec<_> = after[before.len()..].iter().map(|line| line["id"].clone()).collect();
    assert_eq!(added, ids);
}
