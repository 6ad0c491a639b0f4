//! What clients see when upstreams fail: the true reason, and never a clean end of a broken answer.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::Value;

use crate::support::client::{Client, Ended};
use crate::support::house::{Conf, House, keyed};
use crate::support::openai::{chat, chat_answer, chat_stream, get, post};
use crate::support::refused_addr;
use crate::support::upstream::{Framing, Gate, Reply, Upstream};

fn ask(stream: bool) -> Request<Bytes> {
    post("/v1/chat/completions", &chat("m", stream, "hi"))
}

fn code(answer: &crate::support::client::Answer) -> (u16, String) {
    let code = answer.json()["error"]["code"].as_str().unwrap().to_owned();
    assert!(answer.header("x-request-id").is_some());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    (answer.status, code)
}

async fn last_line(house: House) -> Value {
    house.log().await.pop().unwrap()
}

#[tokio::test]
async fn unreachable_hosts() {
    let nobody = format!("http://{}", refused_addr().await);
    for (host, expected) in [
        (nobody.as_str(), (502, "upstream_unreachable")),
        ("http://does-not-exist.invalid", (502, "upstream_unresolved")),
    ] {
        let house = House::start(Conf::to_hosts(&[host])).await;
        let answer = house.ask(ask(false)).await;
        assert_eq!(code(&answer), (expected.0, expected.1.to_owned()), "{host}");
        let line = last_line(house).await;
        assert_eq!((&line["ended"], &line["error"]), (&"error".into(), &expected.1.into()));
    }
}

#[tokio::test]
async fn a_host_that_is_down_is_passed_over() {
    let up = Upstream::start(|_| Reply::json(200, &chat_answer("here"))).await;
    let nobody = format!("http://{}", refused_addr().await);
    let house = House::start(Conf::to_hosts(&[&nobody, &up.url()])).await;
    for _ in 0..4 {
        assert_eq!(house.ask(ask(false)).await.status, 200);
    }
    assert_eq!(up.ledger().len(), 4);
    assert!(house.log().await.iter().any(|line| line["attempts"] == 2));
}

#[tokio::test]
async fn a_host_that_is_down_is_left_out_and_seen() {
    let up = Upstream::start(|_| Reply::json(200, &chat_answer("here"))).await;
    let nobody = format!("http://{}", refused_addr().await);
    let house = House::start(Conf::to_hosts(&[&nobody, &up.url()])).await;
    for _ in 0..4 {
        assert_eq!(house.ask(ask(false)).await.status, 200);
    }
    let ejected = |status: &Value| {
        let hosts = &status["upstreams"][0]["hosts"];
        hosts[0]["state"] == "ejected" && hosts[1]["state"] == "up"
    };
    house.status_is("one host is out", ejected).await;
    let metrics = house.admin_text("/metrics").await;
    for (host, value) in [(&nobody, 0), (&up.url(), 1)] {
        let host = host.trim_start_matches("http://");
        let line = format!("aifd_upstream_host_up{{host=\"{host}\",upstream=\"up\"}} {value}");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    assert!(metrics.contains("aifd_upstream_queue_length{upstream=\"up\"} 0"), "{metrics}");
}

#[tokio::test]
async fn a_full_house_says_when_to_come_again() {
    let gate = Gate::new();
    let step = gate.clone();
    let up = Upstream::start(move |_| Reply::sse(chat_stream(&["a"])).stepped_by(&step)).await;
    let full = "max_in_flight = 1\nqueue = { size = 1, wait = \"200ms\" }";
    let house = House::start(Conf::to(&up).upstream(full)).await;
    let mut client = house.client().await;
    let reading = client.send(keyed(ask(true))).await.unwrap();
    let slow = house.ask(ask(false)).await;
    assert_eq!(code(&slow), (503, "upstream_busy".into()));
    assert_eq!(slow.header("retry-after"), Some("1"));
    gate.open();
    assert_eq!(reading.finish().await.ended, Ended::Whole);
    assert_eq!(up.ledger().len(), 1);
    let free = |status: &Value| status["upstreams"][0]["hosts"][0]["in_flight"] == 0;
    house.status_is("its place is free", free).await;
    assert_eq!(house.ask(ask(true)).await.status, 200);
}

#[tokio::test]
async fn garbage_and_broken_heads() {
    for reply in [
        Reply::raw("this is no HTTP at all\r\n\r\n"),
        Reply::raw("HTTP/1.1 999999 x\r\n\r\n"),
        Reply::json(200, &chat_answer("x")).cut_head_after(10),
        Reply::json(200, &chat_answer("x")).reset_at_once(),
    ] {
        let script = reply.clone();
        let up = Upstream::start(move |_| script.clone()).await;
        let house = House::before(&up).await;
        let answer = house.ask(ask(false)).await;
        assert_eq!(code(&answer), (502, "upstream_broken".into()), "{reply:?}");
        assert_eq!(up.ledger().len(), 3, "attempts: three, unless configured otherwise");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_never_ends_clean() {
    for h2_client in [false, true] {
        for h2_upstream in [false, true] {
            let whole = chat_stream(&["a", "b", "c"]);
            let border = format!("data: {}\n\n", whole[0]).len();
            for (cut, at_border) in [(border, true), (border + 9, false)] {
                let script = move |_: &_| Reply::sse(chat_stream(&["a", "b", "c"])).cut_after(cut);
                let up = Upstream::start_as(h2_upstream, script).await;
                let house = House::before(&up).await;
                let mut client = match h2_client {
                    true => Client::h2c(house.addr()).await,
                    false => house.client().await,
                };
                let answer = client.ask(keyed(ask(true))).await;
                let case = format!("h2 client {h2_client}, h2 upstream {h2_upstream}, cut {cut}");
                assert!(answer.ended.is_cut(), "{case}: a clean end");
                let said = answer.text().contains("\"code\":\"upstream_broken\"");
                assert_eq!(said, at_border, "{case}: {}", answer.text());
                let line = last_line(house).await;
                assert_eq!(line["ended"], "upstream_cut", "{case}");
                assert_eq!(line["answer"]["choices"][0]["content"], "a", "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_plain_answer_that_breaks_never_ends_clean() {
    for framing in [Framing::Length, Framing::Chunked] {
        for reset in [false, true] {
            let up = Upstream::start(move |_| {
                let reply = Reply::json(200, &chat_answer("long enough")).framing(framing);
                if reset { reply.reset_after(30) } else { reply.cut_after(30) }
            })
            .await;
            let house = House::before(&up).await;
            let answer = house.ask(ask(false)).await;
            assert!(answer.ended.is_cut(), "{framing:?}, reset {reset}");
            assert_eq!(last_line(house).await["ended"], "upstream_cut");
        }
    }
}

#[tokio::test]
async fn every_timeout_is_in_force() {
    let times = "timeouts = { first_byte = \"300ms\", idle = \"300ms\", total = \"700ms\" }\nretry = { attempts = 1 }";
    let up = Upstream::start(|seen| match seen.target.as_str() {
        "/v1/silent" => Reply::silence(),
        "/v1/stuck" => Reply::sse(chat_stream(&["a", "b"])).hang_after(200),
        "/v1/stuck-at-border" => {
            let first = format!("data: {}\n\n", chat_stream(&["a"])[0]);
            Reply::sse(chat_stream(&["a", "b"])).hang_after(first.len())
        }
        _ => Reply::sse(chat_stream(&["a"; 100])).gap(Duration::from_millis(50)),
    })
    .await;
    let house = House::start(Conf::to(&up).upstream(times)).await;
    let answer = house.ask(post("/v1/silent", &chat("m", true, "hi"))).await;
    assert_eq!(code(&answer), (504, "upstream_timeout".into()));
    assert!(answer.text().contains("first-byte"), "{}", answer.text());
    for (path, word) in [("/v1/stuck-at-border", Some("idle")), ("/v1/long", Some("total"))] {
        let answer = house.ask(post(path, &chat("m", true, "hi"))).await;
        assert!(answer.ended.is_cut(), "{path}");
        assert!(word.is_none_or(|word| answer.text().contains(word)), "{path}: {}", answer.text());
    }
    assert!(house.ask(post("/v1/stuck", &chat("m", true, "hi"))).await.ended.is_cut());
    up.gone(4).await;
}

#[tokio::test]
async fn a_general_route_has_its_timeouts_too() {
    let times = "timeouts = { first_byte = \"200ms\", idle = \"200ms\" }";
    let up = Upstream::start(|_| Reply::silence()).await;
    let general = "[[route]]\nprefix = \"/\"\nupstream = \"up\"\nkind = \"general\"\n";
    let house = House::start(Conf::to(&up).upstream(times).table(general)).await;
    assert_eq!(code(&house.ask(ask(false)).await), (504, "upstream_timeout".into()));
}

#[tokio::test]
async fn a_connection_that_the_host_closed_costs_nobody_an_answer() {
    // llama.cpp closes after every stream and does not say so.
    let up = Upstream::start(|seen| match seen.target.as_str() {
        "/v1/models" => Reply::json(200, &chat_answer("whole")).close_after(),
        _ => Reply::sse(chat_stream(&["a"])).close_after(),
    })
    .await;
    let house = House::before(&up).await;
    for _ in 0..30 {
        let answer = house.ask(ask(true)).await;
        assert_eq!((answer.status, answer.ended), (200, Ended::Whole));
        assert_eq!(house.ask(get("/v1/models")).await.status, 200);
    }
}

#[tokio::test]
async fn a_request_that_dies_on_a_stale_connection_goes_out_again() {
    // The second request on a connection is never answered: as if the close had crossed it.
    let up = Upstream::start(|seen| match seen.request {
        1 => Reply::json(200, &chat_answer("first on its connection")),
        _ => Reply::json(200, &chat_answer("never")).reset_at_once(),
    })
    .await;
    let house = House::before(&up).await;
    for _ in 0..10 {
        assert_eq!(house.ask(ask(false)).await.status, 200);
    }
    assert!(house.log().await.iter().any(|line| line["attempts"] == 2));
}

#[tokio::test]
async fn an_h2_connection_that_a_host_resets_is_a_true_error() {
    let up = Upstream::start_h2c(|_| Reply::json(200, &chat_answer("x")).reset_at_once()).await;
    let house = House::before(&up).await;
    assert_eq!(code(&house.ask(ask(false)).await), (502, "upstream_broken".into()));
}

#[tokio::test]
async fn one_failure_leaves_the_others_alone() {
    let gate = Gate::new();
    let step = gate.clone();
    let up = Upstream::start(move |seen| match seen.target.as_str() {
        "/v1/stream" => Reply::sse(chat_stream(&["a", "b"])).stepped_by(&step),
        _ => Reply::raw("garbage\r\n\r\n"),
    })
    .await;
    let house = House::before(&up).await;
    let mut client = house.client().await;
    let reading = client.send(keyed(post("/v1/stream", &chat("m", true, "hi")))).await.unwrap();
    for _ in 0..5 {
        assert_eq!(house.ask(ask(false)).await.status, 502);
    }
    gate.open();
    let answer = reading.finish().await;
    assert_eq!(answer.ended, Ended::Whole);
    assert_eq!(answer.events().len(), 4);
}
