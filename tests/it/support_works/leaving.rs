//! A client that leaves is noticed at once, in every phase, however it leaves; nobody else is.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::support::client::{Ended, RawH1, RawH2};
use crate::support::openai::get;
use crate::support::promptly;
use crate::support::upstream::{End, Framing, Gate, Reply, Upstream};

use super::BOTH;

/// The bound that aifd must keep; the harness must be well inside it.
const AT_ONCE: Duration = Duration::from_millis(50);

const AN_HOUR: Duration = Duration::from_secs(3600);

/// What the upstream is doing when the client leaves, and what of the body is written by then.
const PHASES: [(&str, usize); 7] = [
    ("silence", 0),
    ("delay", 0),
    ("gate", 0),
    ("hang after 5", 5),
    ("gap", 9),
    ("step", 9),
    ("no end", 18),
];

/// How a client of HTTP/2 can leave.
#[derive(Debug, Clone, Copy)]
enum Leaves {
    ResetStream,
    Fin,
    Rst,
}

fn phase(name: &str) -> Reply {
    let gate = Gate::new();
    let reply = Reply::sse(["1", "2"]).framing(Framing::Close);
    match name {
        "silence" => Reply::silence(),
        "delay" => reply.delay(AN_HOUR),
        "gate" => reply.wait_for(&gate),
        "hang after 5" => reply.hang_after(5),
        "gap" => reply.gap(AN_HOUR),
        "step" => {
            gate.step();
            reply.stepped_by(&gate)
        }
        "no end" => reply.hang(),
        other => panic!("no such phase: {other}"),
    }
}

/// How long it took the upstream to notice the one client that left.
async fn noticed(up: &Upstream, left: Instant, bytes: usize, case: &str) -> Duration {
    let gone = up.gone(1).await;
    assert_eq!((gone.len(), gone[0].entry, gone[0].after_bytes), (1, 0, bytes), "{case}");
    assert!(gone[0].at >= left, "{case}: noticed before it happened");
    let end = up.idle().await[0].end;
    assert!(matches!(end, Some(End::ClientGone(_))), "{case}: {end:?}");
    gone[0].at - left
}

async fn http1_leaves(name: &'static str, bytes: usize, reset: bool) -> Duration {
    let up = Upstream::start(move |_| phase(name)).await;
    let mut client = RawH1::connect(up.addr()).await;
    client.send("GET / HTTP/1.1\r\n\r\n").await;
    up.seen(1).await;
    if bytes > 0 {
        client.head().await.expect("a head before its body");
    }
    let mut got = 0;
    while got < bytes {
        got += client.next_bytes().await.expect("a body without end").len();
    }
    let left = Instant::now();
    match reset {
        true => client.reset(),
        false => client.fin(),
    }
    let took = noticed(&up, left, bytes, name).await;
    up.all_closed().await;
    took
}

#[tokio::test]
async fn http1_leaving_is_noticed_in_every_phase() {
    for (name, bytes) in PHASES {
        for reset in [false, true] {
            let leaves = async || http1_leaves(name, bytes, reset).await;
            promptly(AT_ONCE, format!("{name}, reset: {reset}"), leaves).await;
        }
    }
}

async fn http2_leaves(name: &'static str, bytes: usize, leaves: Leaves) -> Duration {
    let up = Upstream::start_h2c(move |_| phase(name)).await;
    let mut client = RawH2::connect(up.addr()).await;
    let mut stream = client.send(get("/")).await;
    up.seen(1).await;
    let mut got = 0;
    if bytes > 0 {
        let mut reading = stream.head().await.expect("a head before its body");
        while got < bytes {
            got += reading.next_piece().await.expect("a body without end").len();
        }
    }
    let left = Instant::now();
    match leaves {
        Leaves::ResetStream => stream.reset(),
        Leaves::Fin => client.fin().await,
        Leaves::Rst => client.reset().await,
    }
    noticed(&up, left, bytes, name).await
}

#[tokio::test]
async fn http2_leaving_is_noticed_in_every_phase() {
    for (name, bytes) in PHASES {
        for how in [Leaves::ResetStream, Leaves::Fin, Leaves::Rst] {
            let leaves = async || http2_leaves(name, bytes, how).await;
            promptly(AT_ONCE, format!("{name}, {how:?}"), leaves).await;
        }
    }
}

/// Whether a bare server hears a RST, at once or after the FIN.
async fn hears_reset(mut heard: TcpStream) -> bool {
    let last = heard.read_to_end(&mut Vec::new()).await;
    last.is_err() || heard.take_error().is_ok_and(|late| late.is_some())
}

#[tokio::test]
async fn the_raw_clients_leave_as_told() {
    let bare = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = bare.local_addr().unwrap();
    // Bytes that a client never read must not turn its FIN into a RST.
    for (rst, unread) in [(false, ""), (false, "unread"), (true, "")] {
        let client = RawH1::connect(addr).await;
        let (mut heard, _) = bare.accept().await.unwrap();
        heard.write_all(unread.as_bytes()).await.unwrap();
        match rst {
            true => client.reset(),
            false => client.fin(),
        }
        assert_eq!(hears_reset(heard).await, rst, "http1 {unread:?}");

        let client = RawH2::connect(addr).await;
        let (mut heard, _) = bare.accept().await.unwrap();
        heard.write_all(unread.as_bytes()).await.unwrap();
        match rst {
            true => client.reset().await,
            false => client.fin().await,
        }
        assert_eq!(hears_reset(heard).await, rst, "http2 {unread:?}");
    }
}

#[tokio::test]
async fn leaving_in_the_middle_of_the_body_is_noticed() {
    for reset in [false, true] {
        promptly(AT_ONCE, format!("http1, reset: {reset}"), async || {
            let up = Upstream::start(|_| panic!("no script for half a body")).await;
            let mut client = RawH1::connect(up.addr()).await;
            client.send("POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nhalf").await;
            assert!(!up.begun(1).await[0].whole);
            let left = Instant::now();
            match reset {
                true => client.reset(),
                false => client.fin(),
            }
            noticed(&up, left, 0, "http1").await
        })
        .await;
    }
    for how in [Leaves::ResetStream, Leaves::Fin, Leaves::Rst] {
        promptly(AT_ONCE, format!("{how:?}"), async || {
            let up = Upstream::start_h2c(|_| panic!("no script for half a body")).await;
            let mut client = RawH2::connect(up.addr()).await;
            let mut stream = client.begin(get("/").map(|_| Bytes::from("half"))).await;
            assert!(!up.begun(1).await[0].whole);
            stream.send_more(Bytes::from("more"), false);
            let left = Instant::now();
            match how {
                Leaves::ResetStream => stream.reset(),
                Leaves::Fin => client.fin().await,
                Leaves::Rst => client.reset().await,
            }
            noticed(&up, left, 0, "http2").await
        })
        .await;
    }
}

#[tokio::test]
async fn leaving_while_the_upstream_cannot_write_is_noticed() {
    // More than all the buffers between the two can hold.
    let big = || Reply::bytes(200, "text/plain", vec![b'x'; 32 << 20]);
    promptly(AT_ONCE, "http1", async || {
        let up = Upstream::start(move |_| big()).await;
        let mut client = RawH1::connect(up.addr()).await;
        client.send("GET / HTTP/1.1\r\n\r\n").await;
        client.head().await.unwrap();
        let left = Instant::now();
        client.reset();
        noticed(&up, left, 0, "http1").await
    })
    .await;
    promptly(AT_ONCE, "http2", async || {
        let up = Upstream::start_h2c(move |_| big()).await;
        let mut client = RawH2::connect(up.addr()).await;
        let mut stream = client.send(get("/")).await;
        // The head is read and the window never given back: the upstream stands at its edge.
        let reading = stream.head().await.unwrap();
        let left = Instant::now();
        stream.reset();
        let gone = up.gone(1).await[0];
        assert!(gone.after_bytes < 32 << 20, "{gone:?}");
        drop(reading);
        gone.at - left
    })
    .await;
}

#[tokio::test]
async fn one_reset_stream_leaves_the_others_alone() {
    let gate = Gate::new();
    let held = gate.clone();
    let up = Upstream::start_h2c(move |_| Reply::sse(["a"]).end_waits_for(&held)).await;
    let mut client = RawH2::connect(up.addr()).await;
    let mut first = client.send(get("/first")).await;
    let mut second = client.send(get("/second")).await;
    up.seen(2).await;
    first.reset();
    assert_eq!(up.gone(1).await[0].entry, 0);
    gate.open();
    assert_eq!(second.head().await.unwrap().finish().await.events(), ["a"]);
    assert_eq!((up.idle().await.len(), up.gone(1).await.len(), up.connections()), (2, 1, 1));
}

#[tokio::test]
async fn a_connection_that_the_script_cuts_is_no_clients_fault() {
    let up = Upstream::start_h2c(|seen| match seen.request {
        1 => Reply::silence(),
        _ => Reply::sse(["a"]).cut_after(3),
    })
    .await;
    let mut client = RawH2::connect(up.addr()).await;
    let mut bystander = client.send(get("/bystander")).await;
    up.seen(1).await;
    let mut cut = client.send(get("/cut")).await;
    let answer = cut.head().await.unwrap().finish().await;
    assert_eq!(answer.text(), "dat");
    // The FIN is the first it hears of it: no `RST_STREAM` went before.
    let broken_pipe = "stream closed because of a broken pipe".to_owned();
    assert_eq!(answer.ended, Ended::Cut(broken_pipe));
    assert!(bystander.head().await.is_err());
    for entry in up.idle().await {
        assert!(matches!(entry.end, Some(End::Broken { .. })), "{entry:?}");
    }
}

#[tokio::test]
async fn leaving_after_the_answer_is_not_leaving() {
    for proto in BOTH {
        let up = proto.upstream(|_| Reply::sse(["a"])).await;
        let mut client = proto.client(&up).await;
        client.ask(get("/")).await;
        drop(client);
        up.all_closed().await;
        let entry = &up.ledger()[0];
        assert!(matches!(entry.end, Some(End::Answered { .. })), "{proto:?}");
        let took = entry.ended_at().unwrap() - entry.seen.at;
        assert!(took < AT_ONCE && up.gone(0).await.is_empty(), "{proto:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_half_close_counts_as_leaving() {
    let up = Upstream::start(|_| Reply::silence()).await;
    let mut client = RawH1::connect(up.addr()).await;
    client.send("GET / HTTP/1.1\r\n\r\n").await;
    up.seen(1).await;
    client.half_close();
    up.gone(1).await;
    assert!(client.next_bytes().await.is_err());
}
