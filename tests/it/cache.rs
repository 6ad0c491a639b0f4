//! The answer cache as clients meet it: equal requests share one call and what came of it, and nobody
//! can tell by anything but `x-cache`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::client::{Answer, Client, RawH1};
use crate::support::house::{Conf, House, KEY, keyed};
use crate::support::openai::{chat, chat_answer, chat_stream, post};
use crate::support::upstream::{Gate, Reply, Upstream};

mod kept;
mod killed;
mod shared;
mod tenants;

/// A cache in memory for all who ask.
pub(crate) const ON: &str = "cache.store = \"memory\"\ncache.default = true";

pub(crate) fn ask(stream: bool) -> Request<Bytes> {
    post("/v1/chat/completions", &chat("m", stream, "hi"))
}

pub(crate) async fn house(up: &Upstream) -> House {
    House::start(Conf::to(up).with(ON)).await
}

pub(crate) fn told(answer: &Answer) -> &str {
    answer.header("x-cache").unwrap_or("-")
}

fn words(count: usize) -> Vec<String> {
    let words: Vec<String> = (0..count).map(|nth| format!("word{nth} ")).collect();
    chat_stream(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// An upstream whose streams go on at the steps of a gate.
async fn stepped(gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::start(move |_: &_| Reply::sse(words(6)).stepped_by(&gate)).await
}

/// A client that has sent its request and has not read yet.
async fn asking(house: &House, stream: bool) -> RawH1 {
    let mut client = RawH1::connect(house.addr()).await;
    let body = chat("m", stream, "hi").to_string();
    client
        .send(format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    client
}

async fn under_way(house: &House, count: usize) {
    house.status_is("so many under way", |status| status["in_flight"] == count).await;
}

/// So many, one after the other.
async fn all_asking(house: &House, count: usize) -> Vec<RawH1> {
    let mut clients = Vec::new();
    for nth in 1..=count {
        clients.push(asking(house, true).await);
        under_way(house, nth).await;
    }
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_equal_streams_are_one_call() {
    let gate = Gate::new();
    let up = stepped(&gate).await;
    let house = house(&up).await;
    let (addr, mut clients) = (house.addr(), JoinSet::new());
    for step in 0..8 {
        for nth in 0..25 {
            clients.spawn(async move {
                let mut client =
                    if nth % 2 == 0 { Client::h1(addr).await } else { Client::h2c(addr).await };
                client.ask(keyed(ask(true))).await
            });
        }
        under_way(&house, 25 * (step + 1)).await;
        gate.step();
    }
    gate.open();
    let answers = clients.join_all().await;
    let first = answers[0].body.clone();
    assert!(answers[0].text().ends_with("data: [DONE]\n\n"), "{}", answers[0].text());
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == first));
    assert_eq!(answers.iter().filter(|answer| told(answer) == "miss").count(), 1);
    // Under way is not yet there: the last ones may find it kept.
    let coalesced = answers.iter().filter(|answer| told(answer) == "coalesced").count();
    assert!(coalesced >= 175, "{coalesced}");
    assert_eq!(up.ledger().len(), 1);
    assert_eq!(told(&house.ask(ask(true)).await), "hit");
    let log = house.log().await;
    assert_eq!(log.len(), 201, "each has its line");
    assert!(log.iter().all(|line| line["ended"] == "done"), "{log:?}");
}

#[tokio::test]
async fn who_came_first_may_leave_at_any_event() {
    for events in 0..8 {
        let gate = Gate::new();
        let up = stepped(&gate).await;
        let house = house(&up).await;
        let mut first = asking(&house, true).await;
        up.seen(1).await;
        let mut second = asking(&house, true).await;
        under_way(&house, 2).await;
        for nth in 0..events {
            gate.step();
            if nth == 0 {
                first.head().await.unwrap();
            }
            first.next_bytes().await.unwrap();
        }
        first.reset();
        under_way(&house, 1).await;
        gate.open();
        let answer = second.answer().await.unwrap();
        assert!(answer.text().ends_with("data: [DONE]\n\n"), "{events}: {}", answer.text());
        assert_eq!(answer.events().len(), 8, "{events}: {}", answer.text());
        assert_eq!((up.ledger().len(), told(&answer)), (1, "coalesced"));
    }
}

#[tokio::test]
async fn the_last_to_leave_frees_the_upstream() {
    for stepped_once in [false, true] {
        let gate = Gate::new();
        let up = {
            let gate = gate.clone();
            let script = move |_: &_| match stepped_once {
                true => Reply::sse(words(6)).stepped_by(&gate),
                false => Reply::silence(),
            };
            Upstream::start(script).await
        };
        let house = house(&up).await;
        let mut clients = all_asking(&house, 3).await;
        up.seen(1).await;
        if stepped_once {
            gate.step();
            for client in &mut clients {
                client.head().await.unwrap();
                client.next_bytes().await.unwrap();
            }
        }
        let last = clients.pop().unwrap();
        clients.into_iter().for_each(RawH1::fin);
        under_way(&house, 1).await;
        assert!(up.ledger()[0].end.is_none(), "one is left");
        last.fin();
        up.gone(1).await;
        under_way(&house, 0).await;
        let log = house.log().await;
        assert!(log.iter().all(|line| line["ended"] == "client_left"), "{log:?}");
    }
}

#[tokio::test]
async fn who_reads_nothing_delays_nobody() {
    let big = "x".repeat(64 * 1024);
    let up = Upstream::start(move |_: &_| {
        let pieces: Vec<&str> = std::iter::repeat_n(&*big, 80).collect();
        Reply::sse(chat_stream(&pieces)).delay(Duration::from_millis(200))
    })
    .await;
    let house = house(&up).await;
    let _deaf = asking(&house, true).await;
    up.seen(1).await;
    let answer = house.ask(ask(true)).await;
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    assert_eq!((answer.events().len(), told(&answer), up.ledger().len()), (82, "coalesced", 1));
}

#[tokio::test]
async fn an_upstream_that_dies_costs_followers_another_host_only() {
    let gate = Gate::new();
    let bad = {
        let gate = gate.clone();
        Upstream::start(move |_: &_| Reply::sse(words(3)).wait_for(&gate).reset_after(0)).await
    };
    let good = Upstream::start(|_: &_| Reply::sse(words(3))).await;
    let conf = Conf::to_hosts(&[&bad.url(), &good.url()]).with(ON);
    let house = House::start(conf).await;
    let clients = all_asking(&house, 5).await;
    bad.seen(1).await;
    gate.open();
    for mut client in clients {
        let answer = client.answer().await.unwrap();
        assert!(answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
    }
    assert_eq!((bad.ledger().len(), good.ledger().len()), (1, 1));
    let log = house.log().await;
    assert!(log.iter().all(|line| line["attempts"] == 2), "{log:?}");
}

#[tokio::test]
async fn followers_of_a_call_that_fails_begin_anew_once() {
    let gate = Gate::new();
    let up = {
        let gate = gate.clone();
        Upstream::start(move |_: &_| Reply::sse(words(3)).wait_for(&gate).reset_after(0)).await
    };
    let house = House::start(Conf::to(&up).with(ON).upstream("retry.attempts = 1")).await;
    let clients = all_asking(&house, 4).await;
    up.seen(1).await;
    gate.open();
    for mut client in clients {
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert_eq!(answer.json()["error"]["code"], "upstream_broken");
    }
    let calls = up.ledger().len();
    assert!((2..=4).contains(&calls), "{calls}");
    let log = house.log().await;
    assert!(log.iter().all(|line| line["ended"] == "error"), "{log:?}");
}

#[tokio::test]
async fn followers_of_a_call_that_is_refused_for_now_ask_again_together() {
    for status in [429, 500, 503] {
        let gate = Gate::new();
        let up = {
            let (gate, first) = (gate.clone(), AtomicBool::new(true));
            let script = move |_: &_| match first.swap(false, Ordering::Relaxed) {
                true => Reply::json(status, &json!({"error": {}})).wait_for(&gate),
                false => Reply::sse(words(3)),
            };
            Upstream::start(script).await
        };
        let conf = Conf::to(&up).with(ON).upstream("retry.attempts = 1\neject.after = 9");
        let house = House::start(conf).await;
        let clients = all_asking(&house, 4).await;
        up.seen(1).await;
        gate.open();
        let mut statuses = Vec::new();
        for mut client in clients {
            statuses.push(client.answer().await.unwrap().status);
        }
        assert_eq!(statuses, [status, 200, 200, 200], "who began it has its answer");
        let calls = up.ledger().len();
        assert!((2..=4).contains(&calls), "{status}: {calls}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_breaks_for_all_with_a_word() {
    let gate = Gate::new();
    let up = {
        let gate = gate.clone();
        let whole = 2 * (words(6)[0].len() + 8);
        Upstream::start(move |_: &_| Reply::sse(words(6)).wait_for(&gate).cut_after(whole)).await
    };
    let house = house(&up).await;
    let clients = all_asking(&house, 3).await;
    gate.open();
    for mut client in clients {
        let answer = client.answer().await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.ended.is_cut(), "{}", answer.text());
        assert!(answer.text().contains("upstream_broken"), "{}", answer.text());
    }
    let again = house.ask(ask(true)).await;
    assert_eq!(told(&again), "miss", "what broke is not kept");
}

fn text_of(answer: &Answer) -> String {
    let content = |chunk: &Value| {
        chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    };
    let events = answer.events();
    let chunks = events.iter().filter_map(|data| serde_json::from_str::<Value>(data).ok());
    chunks.map(|chunk| content(&chunk)).collect()
}

/// What the assistant says, in whatever form.
pub(crate) fn said(answer: &Answer) -> String {
    let is_stream = answer.header("content-type") == Some("text/event-stream");
    let whole = || answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    if is_stream { text_of(answer) } else { whole() }
}

#[tokio::test]
async fn a_stream_and_a_body_are_one_answer() {
    for first_streams in [true, false] {
        let gate = Gate::new();
        let up = {
            let gate = gate.clone();
            Upstream::start(move |seen| match seen.json()["stream"] == true {
                true => Reply::sse(words(3)).wait_for(&gate),
                false => Reply::json(200, &chat_answer("word0 word1 word2 ")).wait_for(&gate),
            })
            .await
        };
        let house = house(&up).await;
        let mut one = asking(&house, first_streams).await;
        up.seen(1).await;
        let mut other = asking(&house, !first_streams).await;
        under_way(&house, 2).await;
        gate.open();
        let (one, other) = (one.answer().await.unwrap(), other.answer().await.unwrap());
        assert_eq!((told(&one), up.ledger().len()), ("miss", 1));
        assert_ne!(told(&other), "miss");
        let hit = house.ask(ask(!first_streams)).await;
        assert_eq!(told(&hit), "hit");
        let (stream, bodies) =
            if first_streams { (&one, [&other, &hit]) } else { (&other, [&one, &one]) };
        assert_eq!(text_of(stream), "word0 word1 word2 ", "{}", stream.text());
        assert_eq!(stream.header("content-type"), Some("text/event-stream"));
        for body in bodies {
            assert_eq!(body.header("content-type"), Some("application/json"));
            assert_eq!(body.json()["object"], "chat.completion");
            let message = &body.json()["choices"][0]["message"];
            assert_eq!(message["content"], json!("word0 word1 word2 "), "{}", body.text());
        }
        if !first_streams {
            assert_eq!(text_of(&hit), "word0 word1 word2 ", "{}", hit.text());
        }
    }
}
