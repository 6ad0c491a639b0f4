//! Bodies of any size go both ways intact; those that cannot are refused early and clearly.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::support::client::{Client, Ended, RawH1, RawH2};
use crate::support::house::{Conf, House, KEY, keyed};
use crate::support::upstream::{Framing, Reply, Upstream};

/// A JSON object of about this many bytes.
fn object(size: usize) -> Bytes {
    Bytes::from(format!("{{\"model\":\"m\",\"input\":\"{}\"}}", "äb ".repeat(size / 4)))
}

fn noise(size: usize) -> Bytes {
    (0..size).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap()).collect()
}

fn json_post(body: Bytes) -> Request<Bytes> {
    keyed(Request::post("/v1/embeddings").body(body).unwrap())
}

fn upload(body: Bytes) -> Request<Bytes> {
    let request = Request::post("/v1/audio/transcriptions")
        .header("content-type", "multipart/form-data; boundary=x");
    keyed(request.body(body).unwrap())
}

fn head(more: &str) -> String {
    format!(
        "POST /v1/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: application/json\r\n{more}\r\n\r\n"
    )
}

async fn code_of(house: &House, wire: &[&[u8]]) -> (u16, String) {
    let mut raw = RawH1::connect(house.addr()).await;
    for part in wire {
        raw.send(part).await;
    }
    let answer = raw.answer().await.unwrap();
    (answer.status, answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_identical_both_ways_at_every_size_and_version() {
    for (h2_upstream, h2_client) in [(false, false), (false, true), (true, false), (true, true)] {
        let script = |seen: &crate::support::upstream::Seen| {
            Reply::bytes(200, "application/octet-stream", seen.body.clone())
        };
        let up = Upstream::start_as(h2_upstream, script).await;
        let house = House::before(&up).await;
        let mut client = match h2_client {
            true => Client::h2c(house.addr()).await,
            false => house.client().await,
        };
        for size in [100, 65_535, 65_537, 200_000, 20_000_000] {
            for request in [json_post(object(size)), upload(noise(size))] {
                let sent = request.body().clone();
                let answer = client.ask(request).await;
                assert_eq!((answer.status, &answer.ended), (200, &Ended::Whole), "{size}");
                assert!(answer.body == sent, "{size} bytes differ, h2: {h2_upstream} {h2_client}");
            }
        }
    }
}

#[tokio::test]
async fn an_upload_is_streamed_while_it_comes() {
    let up = Upstream::start_early(|_| Reply::bytes(200, "text/plain", "ok").hang_after(1)).await;
    let house = House::before(&up).await;
    let mut raw = RawH1::connect(house.addr()).await;
    raw.send(format!(
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100\r\n\r\nfirst part"
    ))
    .await;
    // The head is upstream, and its answer here, while most of the body is still to come.
    up.begun(1).await;
    assert_eq!(raw.head().await.unwrap().0, 200);
}

#[tokio::test]
async fn chunked_uploads_are_held_and_measured() {
    let up = Upstream::start(|seen| Reply::bytes(200, "text/plain", seen.body.clone())).await;
    let house = House::start(Conf::to(&up).with("server.max_body = 100")).await;
    let mut raw = RawH1::connect(house.addr()).await;
    raw.send(head("Transfer-Encoding: chunked")).await;
    raw.send("7\r\n{\"a\": 1\r\n1\r\n}\r\n0\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().text(), "{\"a\": 1}");
    let seen = up.ledger().pop().unwrap().seen;
    assert_eq!(seen.values("content-length"), ["8"]);
    assert_eq!(seen.header("transfer-encoding"), None);

    let chunk = format!("40\r\n{}\r\n", "x".repeat(64));
    let wire = [head("Transfer-Encoding: chunked"), chunk.clone(), chunk];
    let wire: Vec<&[u8]> = wire.iter().map(String::as_bytes).collect();
    assert_eq!(code_of(&house, &wire).await, (413, "request_too_large".into()));
    assert_eq!(up.ledger().len(), 1);
}

#[tokio::test]
async fn too_large_is_said_before_a_byte_of_the_body_is_sent() {
    let up = Upstream::start(|_| Reply::bytes(200, "text/plain", "ok")).await;
    let conf = Conf::to(&up).with("server.max_body = 1000\nserver.max_upload = 2000");
    let house = House::start(conf).await;
    let early = head("Content-Length: 1001");
    assert_eq!(code_of(&house, &[early.as_bytes()]).await, (413, "request_too_large".into()));
    // A client that sends it all the same still reads the answer, instead of a reset.
    let all = house.ask(json_post(object(400_000))).await;
    assert_eq!(all.status, 413);
    let mut h2 = Client::h2c(house.addr()).await;
    assert_eq!(h2.ask(json_post(object(4000))).await.status, 413);

    assert_eq!(house.ask(upload(noise(2000))).await.status, 200);
    assert_eq!(house.ask(upload(noise(2001))).await.status, 413);
    let mut raw = RawH1::connect(house.addr()).await;
    raw.send(head("Transfer-Encoding: chunked").replace("application/json", "audio/mpeg")).await;
    raw.send(format!("bb8\r\n{}\r\n", "x".repeat(3000))).await;
    assert_eq!(raw.answer().await.unwrap().status, 413, "late, by count");
}

#[tokio::test]
async fn a_client_that_asks_to_go_on_is_told_to() {
    let up = Upstream::start(|seen| Reply::bytes(200, "text/plain", seen.body.clone())).await;
    let house = House::start(Conf::to(&up).with("server.max_body = 1000")).await;
    for kind in ["application/json", "multipart/form-data; boundary=x"] {
        let mut raw = RawH1::connect(house.addr()).await;
        let expecting = head("Content-Length: 8\r\nExpect: 100-continue");
        for _ in 0..2 {
            raw.send(expecting.replace("application/json", kind)).await;
            assert_eq!(raw.head().await.unwrap().0, 100, "{kind}");
            raw.send("{\"a\": 1}").await;
            assert_eq!(raw.answer().await.unwrap().text(), "{\"a\": 1}", "{kind}");
            assert_eq!(up.ledger().pop().unwrap().seen.header("expect"), None);
        }
    }
    // Who is refused is told that instead, and sends nothing.
    let mut raw = RawH1::connect(house.addr()).await;
    raw.send(head("Content-Length: 5000\r\nExpect: 100-continue")).await;
    assert_eq!(raw.head().await.unwrap().0, 413);
}

#[tokio::test]
async fn slow_and_broken_bodies_have_an_answer() {
    let up = Upstream::start(|_| Reply::bytes(200, "text/plain", "ok")).await;
    let conf = "server.body_timeout = \"400ms\"\nserver.read_timeout = \"200ms\"";
    let house = House::start(Conf::to(&up).with(conf)).await;
    let silent = head("Content-Length: 100");
    assert_eq!(
        code_of(&house, &[silent.as_bytes(), b"{\"a\""]).await,
        (408, "request_timeout".into())
    );
    // Slow, but never silent for long: the whole is bounded too.
    let mut raw = RawH1::connect(house.addr()).await;
    raw.send(head("Content-Length: 100")).await;
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let answer = loop {
        tokio::select! {
            answer = raw.answer() => break answer.unwrap(),
            _ = tick.tick() => raw.send(" ").await,
        }
    };
    assert_eq!(answer.status, 408);

    let mut raw = RawH1::connect(house.addr()).await;
    raw.send(head("Content-Length: 100")).await;
    raw.send("{\"a\"").await;
    raw.half_close();
    let answer = raw.answer().await.unwrap();
    assert_eq!(answer.json()["error"]["code"], "incomplete_body");
    let wire = head("Transfer-Encoding: chunked");
    assert_eq!(code_of(&house, &[wire.as_bytes(), b"zz\r\nxx\r\n"]).await.0, 400);
    assert!(up.ledger().is_empty());
}

#[tokio::test]
async fn memory_for_bodies_is_bounded_together() {
    let up = Upstream::start(|_| Reply::bytes(200, "text/plain", "ok")).await;
    let conf = "server.body_memory = \"100KiB\"\nserver.max_body = \"80KiB\"";
    let house = House::start(Conf::to(&up).with(conf)).await;
    let mut first = RawH2::connect(house.addr()).await;
    let announced = |size: usize| {
        let mut request = json_post(Bytes::from_static(b"{"));
        request.headers_mut().insert("content-length", size.into());
        request
    };
    let mut held = first.begin(announced(70_000)).await;
    house.status_is("one under way", |status| status["in_flight"] == 1).await;
    // There is no event for "its memory is taken", so it is asked for until it is.
    let refused = loop {
        let answer = house.ask(json_post(object(60_000))).await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["error"]["code"], "body_memory_exhausted");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(house.ask(json_post(object(1000))).await.status, 200);
    held.reset();
    house.status_is("none under way", |status| status["in_flight"] == 0).await;
    assert_eq!(house.ask(json_post(object(60_000))).await.status, 200);
}

#[tokio::test]
async fn broken_json_is_refused_with_its_place() {
    let up = Upstream::start(|_| Reply::bytes(200, "text/plain", "ok")).await;
    let house = House::before(&up).await;
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    for body in ["{", "{\"model\":}", "[]", "\"x\"", "nonsense", "{} {}", &deep, "{\"model\":1}"] {
        let answer = house.ask(json_post(Bytes::copy_from_slice(body.as_bytes()))).await;
        assert_eq!(answer.status, 400, "{}", &body[..body.len().min(20)]);
        let error = answer.json()["error"].clone();
        assert_eq!(error["code"], "invalid_json");
        assert!(error["message"].as_str().unwrap().len() < 300);
    }
    assert!(up.ledger().is_empty());
    // What does not call itself JSON is none of our business.
    let mut request = json_post(Bytes::from_static(b"nonsense"));
    request.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(house.ask(request).await.status, 200);
    for order in ["{\"model\":\"m\",\"stream\":true}", "{\"a\":{\"model\":\"no\"},\"model\":\"m\"}"]
    {
        assert_eq!(house.ask(json_post(order.into())).await.status, 200);
    }
    let log = house.log().await;
    assert!(log.iter().rev().take(2).all(|line| line["model"] == "m"), "{log:?}");
}

#[tokio::test]
async fn odd_framing_is_refused_or_put_right() {
    let up = Upstream::start(|seen| Reply::bytes(200, "text/plain", seen.body.clone())).await;
    let house = House::before(&up).await;
    for (more, status) in [
        ("Content-Length: 2\r\nContent-Length: 3", 400),
        ("Content-Length: -1", 400),
        ("Content-Length: x", 400),
        ("Transfer-Encoding: gzip", 400),
        ("Transfer-Encoding: chunked, identity", 400),
    ] {
        let mut raw = RawH1::connect(house.addr()).await;
        raw.send(format!("{}{{}}", head(more))).await;
        assert_eq!(raw.answer().await.unwrap().status, status, "{more}");
    }
    // Both: RFC 9112, 6.3 lets the chunks win; the connection is not used again.
    let mut raw = RawH1::connect(house.addr()).await;
    raw.send(head("Content-Length: 3\r\nTransfer-Encoding: chunked")).await;
    raw.send("2\r\n{}\r\n0\r\n\r\n").await;
    let answer = raw.answer().await.unwrap();
    assert_eq!((answer.status, answer.text()), (200, "{}"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(up.ledger().pop().unwrap().seen.values("content-length"), ["2"]);
    // A flood of headers.
    let flood: String = (0..300).map(|at| format!("x-{at}: 1\r\n")).collect();
    let mut raw = RawH1::connect(house.addr()).await;
    raw.send(format!("GET /v1/models HTTP/1.1\r\nHost: x\r\n{flood}\r\n")).await;
    assert_eq!(raw.answer().await.unwrap().status, 400);
    assert_eq!(house.ask(json_post("{}".into())).await.status, 200, "the proxy goes on");
}

#[tokio::test]
async fn an_answer_without_length_reaches_old_clients_unchunked() {
    for framing in [Framing::Chunked, Framing::Length, Framing::Close] {
        let up = Upstream::start(move |_| {
            Reply::bytes(200, "application/json", "{\"a\":1}").framing(framing)
        })
        .await;
        let house = House::before(&up).await;
        let mut raw = RawH1::connect(house.addr()).await;
        raw.send(format!("GET /v1/models HTTP/1.0\r\nAuthorization: Bearer {KEY}\r\n\r\n")).await;
        let answer = raw.answer().await.unwrap();
        assert_eq!(answer.header("transfer-encoding"), None, "{framing:?}");
        assert_eq!((answer.status, answer.json()), (200, json!({"a": 1})), "{framing:?}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
}
