//! Streams that leave one event at a time: over every wire, watched, held back, and never late for good.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::client::{Answer, Client, Ended, RawH1};
use crate::support::house::{Conf, House, keyed, wire_post};
use crate::support::openai::{chat, chat_stream, post};
use crate::support::upstream::{Chunking, Reply, Upstream};

const PATH: &str = "/v1/chat/completions";

async fn house(up: &Upstream, pace: &str) -> House {
    House::start(Conf::to(up).table(&format!("pace = \"{pace}\""))).await
}

/// The times between an answer's pieces, and the pieces as events.
fn gaps(answer: &Answer) -> Vec<Duration> {
    answer.pieces.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
}

fn words(n: usize) -> Vec<String> {
    let words: Vec<String> = (0..n).map(|nth| format!("w{nth} ")).collect();
    chat_stream(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_piece_of_many_events_leaves_as_many_writes() {
    for h2 in [false, true] {
        let whole = |_: &_| Reply::sse(words(50)).chunking(Chunking::AllAtOnce);
        let up = Upstream::start_as(h2, whole).await;
        let house = house(&up, "200/second").await;
        for client in [Client::h1(house.addr()).await, Client::h2c(house.addr()).await] {
            let (mut client, asked) = (client, Instant::now());
            let answer = client.ask(keyed(post(PATH, &chat("m", true, "hi")))).await;
            assert_eq!(answer.ended, Ended::Whole);
            let events = answer.events().len();
            assert!(events > 50, "{}", answer.text());
            assert!(answer.pieces.len() >= events - 1, "{} pieces", answer.pieces.len());
            let all = answer.pieces.last().unwrap().0 - asked;
            // The first leaves at once, the end right behind the last.
            let least = Duration::from_millis(5) * (events as u32 - 2);
            assert!(all >= least, "{events} events took {all:?} only");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_those_of_the_host_however_it_cuts_them() {
    let expected = {
        let up = Upstream::start(|_| Reply::sse(words(8))).await;
        House::before(&up).await.ask(keyed(post(PATH, &chat("m", true, "hi")))).await.body
    };
    for chunking in [Chunking::AllAtOnce, Chunking::Bytes(7), Chunking::Bytes(61)] {
        let up = Upstream::start(move |_| Reply::sse(words(8)).chunking(chunking)).await;
        let house = house(&up, "500/second").await;
        let answer = house.ask(keyed(post(PATH, &chat("m", true, "hi")))).await;
        assert_eq!((answer.ended, answer.body), (Ended::Whole, expected.clone()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_streams_are_paced_and_their_end_is_not() {
    let up = Upstream::start(|seen| match seen.json()["stream"] == true {
        true => Reply::sse(words(1)),
        false => Reply::json(200, &json!({"data": "a\n\nb\n\nc\n\n"})),
    })
    .await;
    // The role, the word and the finish have a turn; what is behind them has none.
    let house = house(&up, "1/2seconds").await;
    let plain = Instant::now();
    assert_eq!(house.ask(keyed(post(PATH, &chat("m", false, "hi")))).await.status, 200);
    assert!(plain.elapsed() < Duration::from_secs(2));
    let answer = house.ask(keyed(post(PATH, &chat("m", true, "hi")))).await;
    assert_eq!(answer.ended, Ended::Whole);
    let long = gaps(&answer).into_iter().filter(|gap| *gap > Duration::from_secs(1)).count();
    let turns = answer.events().iter().filter(|event| !event.contains("[DONE]")).count();
    assert_eq!(long, turns - 1, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_between_two_events_frees_the_host() {
    let up = Upstream::start(|_| Reply::sse(words(20)).hang()).await;
    let house = house(&up, "1/hour").await;
    let mut client = RawH1::connect(house.addr()).await;
    let body = chat("m", true, "hi").to_string();
    client.send(wire_post(PATH, &body)).await;
    client.head().await.unwrap();
    client.next_bytes().await.unwrap();
    client.fin();
    up.gone(1).await;
    house.status_is("nothing under way", |status| status["in_flight"] == 0).await;
    assert_eq!(house.log().await[0]["ended"], "client_left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_held_back_and_a_slow_stream_is_commented_on() {
    let up = Upstream::start(|_| Reply::sse(vec!["x".repeat(16 * 1024); 4_000])).await;
    let conf = Conf::to(&up)
        .table("pace = \"1/minute\"")
        .table("[[route]]\nprefix = \"/\"\nkeepalive = \"20ms\"");
    let house = House::start(conf).await;
    let mut client = Client::h1(house.addr()).await;
    let mut reading = client.send(keyed(post(PATH, &chat("m", true, "hi")))).await.unwrap();
    let mut got = Vec::new();
    while got.iter().filter(|piece: &&bytes::Bytes| piece.starts_with(b": keep-alive")).count() < 3
    {
        got.push(reading.next_piece().await.unwrap());
    }
    // It has 64 MiB to send, and no buffer on the way is as large.
    assert!(up.ledger()[0].end.is_none(), "all was taken from the host");
}
