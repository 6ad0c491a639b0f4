//! The process's own log on stderr: one line a request, nothing that was not meant for it, and no
//! reader that could hold up a request.

use http::Request;
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::support::client::{Answer, Client, RawH1};
use crate::support::house::{Conf, KEY, UPSTREAM_KEY, keyed};
use crate::support::openai::{chat, chat_answer, chat_stream, get, post};
use crate::support::process::{Process, Site};
use crate::support::upstream::{Reply, Seen, Upstream};
use crate::support::within;

fn answers(seen: &Seen) -> Reply {
    match seen.target.split('?').next().unwrap() {
        "/stream" => Reply::sse(chat_stream(&["a"])),
        "/limited" => Reply::json(429, &json!({"error": {"message": "slow down"}})),
        "/cut" => Reply::sse(chat_stream(&["a", "b"])).cut_after(200),
        _ => Reply::json(200, &chat_answer("hello")),
    }
}

/// The access lines so far, once there are `count`.
async fn lines(process: &mut Process, count: usize) -> Vec<String> {
    let is_access = |line: &&str| line.contains(" aifd::access ");
    let enough = |err: &str| err.ends_with('\n') && err.lines().filter(is_access).count() >= count;
    let err = process.err("access lines", enough).await;
    err.lines().filter(is_access).map(str::to_owned).collect()
}

/// What an access line says, whatever the request was.
fn is_complete(line: &str, answer: &Answer) {
    let words: Vec<&str> = line.split(' ').collect();
    let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)).unwrap();
    assert_eq!(value("out="), answer.body.len().to_string(), "{line}");
    for name in ["first=", "total="] {
        let time = value(name).strip_suffix("ms").map(str::parse::<f64>);
        assert!(matches!(time, Some(Ok(_))) || value(name) == "-", "{line}");
    }
    assert_ne!(value("total="), "-", "{line}");
    assert!(line.ends_with(answer.header("x-request-id").unwrap()), "{line}");
}

#[tokio::test]
async fn every_request_has_one_line() {
    let up = Upstream::start(answers).await;
    let site = Site::of(&Conf::to(&up).table("[[route]]\nprefix = \"/v1\""));
    let mut process = site.serve(&[]).await;
    let body = chat("llama", true, "hi");
    let asked = format!("key=ann model=llama host={} in={}", up.addr(), body.to_string().len());
    let query = "?api_key=sk-in-the-query";
    for (nth, (request, level, expected)) in [
        (
            get("/v1/models"),
            "INFO",
            format!("GET /v1/models 200 key=ann model=- host={} in=0", up.addr()),
        ),
        (post(&format!("/v1/x{query}"), &body), "INFO", format!("POST /v1/x 200 {asked}")),
        (post("/v1/stream", &body), "INFO", format!("POST /v1/stream 200 {asked}")),
        (post("/v1/limited", &body), "INFO", format!("POST /v1/limited 429 {asked}")),
        (post("/v1/cut", &body), "WARN", format!("POST /v1/cut 200 {asked} out=200")),
        (get(&format!("/v1/x{query}")), "INFO", "GET /v1/x 401 key=- model=- host=- in=0".into()),
        (get(&format!("/else{query}")), "INFO", "GET /else 404 key=ann model=- host=- in=0".into()),
        (get("/healthz"), "INFO", "GET /healthz 200 key=- model=- host=- in=0".into()),
    ]
    .into_iter()
    .enumerate()
    {
        let request = if expected.contains("key=ann") { keyed(request) } else { request };
        let answer = Client::h1(process.addr()).await.ask(request).await;
        let line = lines(&mut process, nth + 1).await.pop().unwrap();
        assert!(line.contains(&format!(" {level} ")), "{line}");
        assert!(
            line.contains(&format!(" aifd::access {expected} ")),
            "{expected} is not in {line}"
        );
        is_complete(&line, &answer);
    }
    let said = process.stop().await;
    assert_eq!(said.err.matches("aifd::access").count(), 8, "{}", said.err);
    for secret in [KEY, UPSTREAM_KEY, "sk-in-the-query", "Bearer"] {
        assert!(!said.err.contains(secret), "{secret} in {}", said.err);
    }
}

#[tokio::test]
async fn nobody_writes_a_line_of_their_own() {
    let up = Upstream::start(answers).await;
    let site = Site::of(&Conf::to(&up));
    let mut process = site.serve(&[]).await;
    let forged = "2026-01-01T00:00:00.000Z INFO  aifd::access GET /forged 200";
    let evil = format!("m\n{forged}\r\u{1b}[31m\u{85}\u{2028}\u{202e}\u{0}");
    process.ask(post("/v1/x", &json!({"model": evil}))).await;
    process.ask(get("/v1/%0a%1b[31m%0dx")).await;
    let utf8 = Request::get("/v1/x").header("user-agent", "\u{9b}31m").body("".into()).unwrap();
    process.ask(utf8).await;
    for target in ["/v1/\u{1b}[31mred", "/v1/\u{85}next", "/v1/\u{202e}back", "/\u{7f}"] {
        let mut raw = RawH1::connect(process.addr()).await;
        let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n");
        raw.send(format!("{head}Connection: close\r\n\r\n")).await;
        raw.until_end().await;
    }
    lines(&mut process, 3).await;
    let said = process.stop().await;
    for line in said.err.lines() {
        assert!(line.starts_with("20") && !line.starts_with(forged), "{line:?}");
    }
    let odd = |c: char| c != '\n' && (c.is_control() || "\u{2028}\u{2029}\u{202e}".contains(c));
    assert!(!said.err.contains(odd), "{:?}", said.err);
}

#[tokio::test]
async fn a_stderr_that_nobody_reads_stops_nobody() {
    let up = Upstream::start(answers).await;
    // At trace level a request says so much that a thousand overflow the pipe and the queue.
    let site = Site::of(&Conf::to(&up)).env("RUST_LOG", "trace");
    let (process, mut stderr) = site.serve_unheard().await;
    let mut client = Client::h1(process.addr()).await;
    for _ in 0..1000 {
        let answer = client.ask(keyed(post("/v1/x", &chat("m", false, "hi")))).await;
        assert_eq!(answer.status, 200);
    }
    let mut heard = Vec::new();
    let mut some = vec![0; 64 * 1024];
    within("the count of lost lines", async {
        while !String::from_utf8_lossy(&heard).contains("log lines lost: stderr was full)") {
            let read = stderr.read(&mut some).await.unwrap();
            assert!(read > 0, "stderr ended");
            heard.extend_from_slice(&some[..read]);
        }
    })
    .await;
    drop(stderr);
    let answer = client.ask(keyed(post("/v1/x", &chat("m", false, "hi")))).await;
    assert_eq!(answer.status, 200, "after stderr was closed");
    assert_eq!(process.stop().await.code, Some(0));
}
