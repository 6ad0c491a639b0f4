//! Streams arrive as they were sent: every byte, one by one, at once.

use bytes::Bytes;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::client::{Client, Ended};
use crate::support::house::{House, keyed};
use crate::support::openai::{chat, chat_stream, post};
use crate::support::upstream::{Chunking, Framing, Gate, Reply, Upstream};

/// Odd sizes, several bytes a character, and the line separator that is legal in JSON.
fn events(seed: usize, count: usize) -> Vec<Bytes> {
    let words = ["naïve ", "東京 ", "🚀", "\u{2028}", "a", " longer words and more of them"];
    (0..count)
        .map(|at| {
            let text = words[(seed + at) % words.len()].repeat(1 + (seed * 7 + at) % 5);
            let choice = json!({"index": 0, "delta": {"content": format!("{text}{at}")}});
            Bytes::from(format!("data: {}\n\n", json!({"choices": [choice]})))
        })
        .collect()
}

fn ask(seed: usize) -> http::Request<Bytes> {
    let mut request = keyed(post("/v1/chat/completions", &chat("m", true, "hi")));
    request.headers_mut().insert("x-seed", seed.into());
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_streams_of_five_hundred_events_are_identical() {
    const STREAMS: usize = 200;
    const EVENTS: usize = 500;
    let up = Upstream::start(|seen| {
        let seed: usize = seen.header("x-seed").unwrap().parse().unwrap();
        let chunking = match seed % 4 {
            0 => Chunking::PerEvent,
            1 => Chunking::Bytes(1 + seed % 97),
            2 => Chunking::Glued(3),
            _ => Chunking::AllAtOnce,
        };
        Reply::stream("text/event-stream", events(seed, EVENTS)).chunking(chunking)
    })
    .await;
    let house = House::before(&up).await;
    let addr = house.addr();
    let mut readers = JoinSet::new();
    for seed in 0..STREAMS {
        readers.spawn(async move {
            let mut client = match seed % 2 {
                0 => Client::h1(addr).await,
                _ => Client::h2c(addr).await,
            };
            (seed, client.ask(ask(seed)).await)
        });
    }
    while let Some(read) = readers.join_next().await {
        let (seed, answer) = read.unwrap();
        assert_eq!(answer.ended, Ended::Whole, "stream {seed}");
        assert!(answer.body == events(seed, EVENTS).concat(), "stream {seed} differs");
    }
    let log = house.log().await;
    assert_eq!(log.len(), STREAMS);
    assert!(log.iter().all(|line| line["ended"] == "done"));
}

#[tokio::test]
async fn events_arrive_one_by_one_and_the_first_at_once() {
    for (h2_upstream, h2_client) in [(false, false), (false, true), (true, false), (true, true)] {
        let gate = Gate::new();
        let step = gate.clone();
        let script = move |_: &_| Reply::sse(chat_stream(&["a", "b", "c"])).stepped_by(&step);
        let up = Upstream::start_as(h2_upstream, script).await;
        let house = House::before(&up).await;
        let mut client = match h2_client {
            true => Client::h2c(house.addr()).await,
            false => house.client().await,
        };
        // The head is here before the first event was made.
        let mut reading = client.send(ask(0)).await.unwrap();
        assert_eq!(reading.headers["content-type"], "text/event-stream");
        for payload in chat_stream(&["a", "b", "c"]) {
            gate.step();
            let piece = reading.next_piece().await.unwrap();
            assert_eq!(piece, format!("data: {payload}\n\n"));
        }
        assert_eq!(reading.finish().await.ended, Ended::Whole);
    }
}

#[tokio::test]
async fn characters_cut_anywhere_arrive_whole() {
    let sent = events(3, 20).concat();
    for size in [1, 2, 3, 5, 7] {
        let body = sent.clone();
        let up = Upstream::start(move |_| {
            Reply::stream("text/event-stream", [Bytes::from(body.clone())])
                .chunking(Chunking::Bytes(size))
        })
        .await;
        let house = House::before(&up).await;
        let answer = house.ask(ask(0)).await;
        assert!(answer.body == sent, "pieces of {size}");
        let said: String = answer
            .events()
            .iter()
            .map(|data| serde_json::from_str::<serde_json::Value>(data).unwrap())
            .map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().unwrap().to_owned())
            .collect();
        let log = house.log().await;
        assert_eq!(log[0]["answer"]["choices"][0]["content"], said.as_str(), "pieces of {size}");
    }
}

#[tokio::test]
async fn any_answer_goes_through_unchanged() {
    let binary: Bytes = (0..=255_u8).cycle().take(100_000).collect();
    for (kind, coding, framing) in [
        ("application/json", "gzip", Framing::Length),
        ("text/event-stream", "gzip", Framing::Chunked),
        ("audio/mpeg", "identity", Framing::Chunked),
        ("application/octet-stream", "br", Framing::Length),
        ("audio/mpeg", "identity", Framing::Close),
    ] {
        let body = binary.clone();
        let up = Upstream::start(move |_| {
            Reply::bytes(200, kind, body.clone())
                .header("content-encoding", coding)
                .framing(framing)
                .chunking(Chunking::Bytes(7001))
        })
        .await;
        let house = House::before(&up).await;
        let answer = house.ask(ask(0)).await;
        assert!(answer.body == binary, "{kind}, {coding}, {framing:?}");
        assert_eq!(answer.ended, Ended::Whole);
        assert_eq!(answer.header("content-encoding"), Some(coding));
        assert_eq!(answer.header("content-type"), Some(kind));
    }
}

#[tokio::test]
async fn a_stream_without_done_or_with_comments_is_left_as_it_is() {
    for wire in [
        ": ping\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
        "event: x\r\ndata: 1\r\n\r\nid: 7\rdata: 2\r\r",
        "data: {\"choices\":[]}\n\ndata: [DONE]\n\ndata: after\n\n",
        "no event at all",
    ] {
        let up = Upstream::start(move |_| {
            Reply::stream("text/event-stream", [Bytes::from_static(wire.as_bytes())])
        })
        .await;
        let house = House::before(&up).await;
        let answer = house.ask(ask(0)).await;
        assert_eq!(answer.text(), wire);
        assert_eq!(answer.ended, Ended::Whole);
    }
}
