//! Whole answers, answers that break, and what a client can tell about each.

use serde_json::json;

use super::BOTH;
use crate::support::client::{Client, Ended, Farewell, RawH1};
use crate::support::openai::{chat, chat_answer, chat_stream, embeddings, get, post};
use crate::support::upstream::{Chunking, End, Framing, Reply, Upstream};

const EVENTS: [&str; 3] = ["one", "two", "drei ß"];
const WIRE: &str = "data: one\n\ndata: two\n\ndata: drei ß\n\n";

#[tokio::test]
async fn a_whole_answer_arrives_as_scripted() {
    for proto in BOTH {
        let up =
            proto.upstream(|_| Reply::json(200, &chat_answer("hi")).header("x-empty", "")).await;
        let mut client = proto.client(&up).await;

        let answer = client.ask(post("/v1/chat/completions?a=b", &chat("m", false, "hello"))).await;

        assert_eq!((answer.status, answer.ended.clone()), (200, Ended::Whole), "{proto:?}");
        assert_eq!(answer.json(), chat_answer("hi"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
        assert_eq!(answer.header("x-empty"), Some(""));
        let seen = &up.idle().await[0].seen;
        assert_eq!((&*seen.method, &*seen.target), ("POST", "/v1/chat/completions?a=b"));
        assert_eq!(seen.json(), chat("m", false, "hello"));
        assert_eq!(seen.authority.as_deref(), Some(&*up.addr().to_string()));
        assert!(matches!(up.ledger()[0].end, Some(End::Answered { .. })), "{proto:?}");
    }
}

#[tokio::test]
async fn events_come_in_the_pieces_asked_for() {
    let table: [(Chunking, &[&str]); 4] = [
        (Chunking::PerEvent, &["data: one\n\n", "data: two\n\n", "data: drei ß\n\n"]),
        (Chunking::AllAtOnce, &[WIRE]),
        (Chunking::Glued(2), &["data: one\n\ndata: two\n\n", "data: drei ß\n\n"]),
        (Chunking::Bytes(18), &["data: one\n\ndata: t", "wo\n\ndata: drei ß\n", "\n"]),
    ];
    for proto in BOTH {
        for (chunking, pieces) in table {
            let up = proto.upstream(move |_| Reply::sse(EVENTS).chunking(chunking)).await;
            let answer = proto.client(&up).await.ask(get("/")).await;
            let got: Vec<_> = answer.pieces.iter().map(|(_, piece)| &piece[..]).collect();
            let wanted: Vec<_> = pieces.iter().map(|piece| piece.as_bytes()).collect();
            assert_eq!(got, wanted, "{proto:?} {chunking:?}");
            assert_eq!(answer.events(), EVENTS, "{proto:?} {chunking:?}");
            assert_eq!(answer.ended, Ended::Whole);
        }
    }
}

#[tokio::test]
async fn a_chat_stream_reads_as_one() {
    let up = Upstream::start(|_| Reply::sse(chat_stream(&["Hel", "lo"]))).await;
    let answer = Client::h1(up.addr()).await.ask(post("/", &embeddings("m", "x"))).await;
    let [first, .., finish, done] = &answer.events()[..] else {
        panic!("too few events: {}", answer.text());
    };
    let first: serde_json::Value = serde_json::from_str(first).unwrap();
    let finish: serde_json::Value = serde_json::from_str(finish).unwrap();
    assert_eq!(first["choices"][0]["delta"]["content"], "Hel");
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert_eq!(*done, "[DONE]");
    assert_eq!(up.seen(1).await[0].json(), json!({"model": "m", "input": "x"}));
}

#[tokio::test]
async fn each_framing_stands_on_the_wire() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
    let table = [
        (Framing::Length, format!("{head}content-length: 37\r\n\r\n{WIRE}")),
        (Framing::Close, format!("{head}\r\n{WIRE}")),
        (
            Framing::Chunked,
            format!(
                "{head}transfer-encoding: chunked\r\n\r\nb\r\ndata: one\n\n\r\n\
                 b\r\ndata: two\n\n\r\nf\r\ndata: drei ß\n\n\r\n0\r\n\r\n"
            ),
        ),
    ];
    for (framing, wire) in table {
        let up = Upstream::start(move |_| Reply::sse(EVENTS).framing(framing).close_after()).await;
        let mut client = RawH1::connect(up.addr()).await;
        client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        let (got, farewell) = client.until_end().await;
        assert_eq!((got, farewell), (wire.into(), Farewell::Fin), "{framing:?}");
    }
}

#[tokio::test]
async fn a_cut_answer_is_told_from_a_whole_one() {
    for proto in BOTH {
        for framing in [Framing::Chunked, Framing::Length] {
            // At the start, in a piece, at a border, one byte before the end.
            for bytes in [0, 5, 11, 36] {
                for reset in [false, true] {
                    let up = proto
                        .upstream(move |_| {
                            let reply = Reply::sse(EVENTS).framing(framing);
                            if reset { reply.reset_after(bytes) } else { reply.cut_after(bytes) }
                        })
                        .await;
                    let case = format!("{proto:?} {framing:?} {bytes} {reset}");
                    let answer = proto.client(&up).await.ask(get("/")).await;
                    assert!(answer.ended.is_cut(), "{case}: {answer:?}");
                    assert_eq!(
                        answer.text(),
                        String::from_utf8_lossy(&WIRE.as_bytes()[..bytes]),
                        "{case}"
                    );
                    let end = up.idle().await[0].end;
                    assert!(matches!(end, Some(End::Broken { .. })), "{case}: {end:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn fin_and_rst_are_told_apart() {
    let table = [("/cut", Farewell::Fin), ("/reset", Farewell::Reset)];
    let up = Upstream::start(|seen| match &*seen.target {
        "/cut" => Reply::sse(EVENTS).cut_after(13),
        _ => Reply::sse(EVENTS).reset_after(13),
    })
    .await;
    for (target, wanted) in table {
        let mut client = RawH1::connect(up.addr()).await;
        client.send(format!("GET {target} HTTP/1.1\r\n\r\n")).await;
        client.head().await.unwrap();
        let (body, farewell) = client.until_end().await;
        assert_eq!(&body[..], b"b\r\ndata: one\n\n\r\nb\r\nda", "a chunk shorter than its size");
        assert_eq!(farewell, wanted);
    }
}

#[tokio::test]
async fn an_answer_may_break_in_its_head() {
    for proto in BOTH {
        let up = proto
            .upstream(|seen| match &*seen.target {
                "/reset" => Reply::sse(EVENTS).reset_at_once(),
                "/close" => Reply::sse(EVENTS).cut_head_after(0),
                _ => Reply::sse(EVENTS).cut_head_after(20),
            })
            .await;
        for target in ["/reset", "/close", "/cut"] {
            let told =
                proto.client(&up).await.send(get(target)).await.map(|reading| reading.status);
            assert!(told.is_err(), "{proto:?} {target}: {told:?}");
        }
        let ends: Vec<_> = up.idle().await.into_iter().filter_map(|entry| entry.end).collect();
        assert!(matches!(ends[..], [End::Broken { .. }, End::Broken { .. }, End::Broken { .. }]));
    }
}

#[tokio::test]
async fn an_answer_may_lack_nothing_but_its_end() {
    for proto in BOTH {
        let up = proto.upstream(|_| Reply::sse(EVENTS).cut_after(1000)).await;
        let answer = proto.client(&up).await.ask(get("/")).await;
        assert!(answer.ended.is_cut() && answer.text() == WIRE, "{proto:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_missing_head_says_how_it_went_missing() {
    let table = [
        (Reply::sse(EVENTS).reset_at_once(), "Reset after b\"\""),
        (Reply::sse(EVENTS).cut_head_after(4), "Fin after b\"HTTP\""),
        (Reply::raw("what?\r\n\r\n"), "not a status line: \"what?\""),
    ];
    for (reply, why) in table {
        let up = Upstream::start(move |_| reply.clone()).await;
        let mut client = RawH1::connect(up.addr()).await;
        client.send("GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(client.answer().await.unwrap_err().0, why);
    }
}

#[tokio::test]
async fn raw_bytes_and_half_heads_stand_as_they_are() {
    let table = [
        (Reply::raw("SSH-2.0-nothing\r\n"), "SSH-2.0-nothing\r\n"),
        (Reply::sse(EVENTS).cut_head_after(20), "HTTP/1.1 200 OK\r\ncon"),
        (Reply::raw("HTTP/1.1 99999 ?\r\n\r\n").cut_after(12), "HTTP/1.1 999"),
    ];
    for (reply, wire) in table {
        let up = Upstream::start(move |_| reply.clone()).await;
        let mut client = RawH1::connect(up.addr()).await;
        client.send("GET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(client.until_end().await, (wire.into(), Farewell::Fin));
        let told = Client::h1(up.addr()).await.send(get("/")).await.map(|reading| reading.status);
        assert!(told.is_err(), "{wire}: {told:?}");
    }
}

#[tokio::test]
async fn bodiless_answers_have_no_body_and_keep_the_connection() {
    for proto in BOTH {
        let up = proto
            .upstream(|seen| match &*seen.target {
                "/none" => Reply::bytes(204, "text/plain", ""),
                _ => Reply::sse(EVENTS).framing(Framing::Length),
            })
            .await;
        let mut client = proto.client(&up).await;
        let head = http::Request::head("/").body(bytes::Bytes::new()).unwrap();
        for (request, status, length) in [(head, 200, Some("37")), (get("/none"), 204, None)] {
            let answer = client.ask(request).await;
            assert_eq!((answer.status, answer.text()), (status, ""), "{proto:?}");
            assert_eq!(answer.header("content-length"), length, "{proto:?}");
            assert_eq!(answer.ended, Ended::Whole);
        }
        assert_eq!(up.connections(), 1);
    }
}
