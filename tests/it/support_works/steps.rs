//! When things are sent: delays, gaps, gates, interim heads, early answers.

use std::time::Duration;

use tokio::time::Instant;

use super::BOTH;
use crate::support::client::{Client, Ended, RawH1};
use crate::support::openai::get;
use crate::support::upstream::{Gate, Reply, Upstream};

#[tokio::test]
async fn a_step_lets_exactly_one_piece_through() {
    for proto in BOTH {
        let (gate, end) = (Gate::new(), Gate::new());
        let script = {
            let (gate, end) = (gate.clone(), end.clone());
            move |_: &_| Reply::sse(["a", "b", "c"]).stepped_by(&gate).end_waits_for(&end)
        };
        let up = proto.upstream(script).await;
        let mut client = proto.client(&up).await;
        let mut reading = client.send(get("/")).await.unwrap();
        let mut stepped = Vec::new();
        for letter in ["a", "b", "c"] {
            stepped.push(Instant::now());
            gate.step();
            let piece = reading.next_piece().await.unwrap();
            assert_eq!(piece, format!("data: {letter}\n\n"), "{proto:?}");
            assert!(up.ledger()[0].end.is_none());
        }
        stepped.push(Instant::now());
        end.open();
        let answer = reading.finish().await;
        assert_eq!((answer.pieces.len(), answer.ended), (3, Ended::Whole), "{proto:?}");
        // None came before its step: the arrivals and the steps alternate.
        for (nth, (at, _)) in answer.pieces.iter().enumerate() {
            assert!(stepped[nth] <= *at && *at <= stepped[nth + 1], "{proto:?} piece {nth}");
        }
    }
}

#[tokio::test]
async fn an_open_gate_holds_no_one_and_a_closed_one_holds_the_head() {
    for proto in BOTH {
        let gate = Gate::new();
        let held = gate.clone();
        let up = proto.upstream(move |_| Reply::sse(["a", "b"]).wait_for(&held)).await;
        let mut client = proto.client(&up).await;
        let opened = async {
            up.seen(1).await;
            let at = Instant::now();
            gate.open();
            at
        };
        let answered = async { (client.send(get("/")).await.unwrap(), Instant::now()) };
        let (opened, (reading, answered)) = tokio::join!(opened, answered);
        assert!(answered >= opened, "{proto:?}");
        assert_eq!(reading.finish().await.events(), ["a", "b"]);
        assert_eq!(client.ask(get("/")).await.events(), ["a", "b"], "open for the next one too");
    }
}

#[tokio::test]
async fn delays_and_gaps_last_as_long_as_told() {
    for proto in BOTH {
        let (delay, gap) = (Duration::from_millis(30), Duration::from_millis(20));
        let up = proto.upstream(move |_| Reply::sse(["a", "b", "c"]).delay(delay).gap(gap)).await;
        let mut client = proto.client(&up).await;
        let asked = Instant::now();
        let reading = client.send(get("/")).await.unwrap();
        assert!(asked.elapsed() >= delay, "{proto:?}");
        let answer = reading.finish().await;
        let last = answer.pieces.last().unwrap().0;
        // Each may come late on a busy machine, none may come early.
        assert!(last - asked >= delay + 2 * gap, "{proto:?}");
    }
}

#[tokio::test]
async fn interim_heads_go_first() {
    for proto in BOTH {
        let up = proto.upstream(|_| Reply::sse(["a"]).interim(103)).await;
        assert_eq!(proto.client(&up).await.ask(get("/")).await.events(), ["a"], "{proto:?}");
    }
    let up = Upstream::start(|_| Reply::sse(["a"]).interim(103)).await;
    let mut client = RawH1::connect(up.addr()).await;
    client.send("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().0, 103);
    assert_eq!(client.head().await.unwrap().0, 200);
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_before_its_body() {
    let up = Upstream::start(|_| Reply::sse(["a"])).await;
    let mut client = RawH1::connect(up.addr()).await;
    client.send("POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().0, 100);
    client.send("body").await;
    assert_eq!(client.answer().await.unwrap().events(), ["a"]);
    assert_eq!(&up.seen(1).await[0].body[..], b"body");
}

#[tokio::test]
async fn an_early_answer_does_not_wait_for_the_body() {
    let up = Upstream::start_early(|seen| {
        assert!(!seen.whole);
        Reply::bytes(429, "text/plain", "later")
    })
    .await;
    let mut client = RawH1::connect(up.addr()).await;
    client.send("POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\n01234").await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.text()), (429, "later"));
    assert!(!up.begun(1).await[0].whole);

    client.send("56789GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 429);
    assert_eq!(&up.seen(2).await[0].body[..], b"0123456789");
}

#[tokio::test]
async fn close_after_closes_without_a_word() {
    for proto in BOTH {
        let up = proto.upstream(|_| Reply::sse(["a"]).close_after()).await;
        let mut client = proto.client(&up).await;
        let answer = client.ask(get("/")).await;
        assert_eq!((answer.events(), answer.ended.clone()), (vec!["a"], Ended::Whole), "{proto:?}");
        assert_eq!(answer.header("connection"), None);
        up.all_closed().await;
        assert!(client.send(get("/")).await.is_err(), "{proto:?}");
        assert!(up.gone(0).await.is_empty());
    }
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    for proto in BOTH {
        let up = proto.upstream(|seen| Reply::sse([seen.request.to_string()])).await;
        let mut client = proto.client(&up).await;
        for nth in ["1", "2", "3"] {
            assert_eq!(client.ask(get("/")).await.events(), [nth], "{proto:?}");
        }
        let mut other = proto.client(&up).await;
        assert_eq!(other.ask(get("/")).await.events(), ["1"], "{proto:?}");
        let seen = up.seen(4).await;
        assert_eq!((seen[2].connection, seen[2].request), (1, 3));
        assert_eq!((seen[3].connection, seen[3].request), (2, 1));
        assert_eq!((up.connections(), up.open_connections()), (2, 2));
        drop((client, other));
        up.all_closed().await;
    }
}

#[tokio::test]
async fn old_and_polite_clients_end_their_connection() {
    let up = Upstream::start(|_| Reply::sse(["a"])).await;
    for line in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"] {
        let mut client = RawH1::connect(up.addr()).await;
        client.send(line).await;
        assert_eq!(client.answer().await.unwrap().ended, Ended::Whole);
        assert!(client.next_bytes().await.is_err(), "{line}");
    }
    assert_eq!(up.seen(2).await[0].version, http::Version::HTTP_10);
    let mut client = Client::h1(up.addr()).await;
    assert_eq!(client.ask(get("/")).await.status, 200);
}
