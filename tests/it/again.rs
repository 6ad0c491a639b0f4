//! Another attempt: after every kind of failure, with the body intact, and never too late.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cache::ON;
use crate::support::client::{Answer, Client, Ended, RawH1};
use crate::support::house::{Conf, House, keyed, wire_post};
use crate::support::openai::{chat, chat_answer, chat_stream, get, post};
use crate::support::refused_addr;
use crate::support::upstream::{Gate, Reply, Upstream};

fn ask(stream: bool) -> Request<Bytes> {
    post("/v1/chat/completions", &chat("m", stream, "hi"))
}

fn object(size: usize) -> Bytes {
    Bytes::from(format!("{{\"model\":\"m\",\"input\":\"{}\"}}", "äb ".repeat(size / 4)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_bad_hosts_ends_at_the_good_one_with_the_body_intact() {
    for h2 in [false, true] {
        let bad = [
            Upstream::start_as(h2, |_| Reply::json(200, &json!({})).reset_at_once()).await,
            Upstream::start_as(h2, |_| Reply::json(503, &json!({"error": {}}))).await,
            Upstream::start_as(h2, |_| Reply::json(429, &json!({})).header("retry-after", "60"))
                .await,
            Upstream::start_as(h2, |_| Reply::silence()).await,
        ];
        let good = Upstream::start_as(h2, |seen| {
            Reply::bytes(200, "application/octet-stream", seen.body.clone())
        })
        .await;
        let nobody = format!("http://{}", refused_addr().await);
        let mut urls = vec![nobody];
        urls.extend(bad.iter().map(Upstream::url));
        urls.push(good.url());
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        let http = if h2 { "2" } else { "1.1" };
        let conf = Conf::to_hosts(&urls).upstream(&format!(
            "http = \"{http}\"\nbalance = \"round-robin\"\nretry = {{ attempts = 6 }}\n\
             timeouts = {{ first_byte = \"300ms\" }}"
        ));
        let house = House::start(conf).await;
        let body = object(5_000_000);
        let answer = house.ask(Request::post("/v1/x").body(body.clone()).unwrap()).await;
        assert_eq!((answer.status, &answer.ended), (200, &Ended::Whole), "h2 {h2}");
        assert!(answer.body == body, "h2 {h2}: the body differs");
        for up in bad.iter().chain([&good]) {
            let seen = up.seen(1).await;
            assert_eq!(seen.len(), 1, "h2 {h2}: one attempt each");
            assert!(seen[0].body == body, "h2 {h2}: a host got another body");
        }
        assert_eq!(house.log().await[0]["attempts"], 6, "h2 {h2}");
    }
}

#[tokio::test]
async fn a_host_that_dies_under_load_fails_nobody() {
    let mut dying = Upstream::start(|_| Reply::json(200, &chat_answer("dying"))).await;
    let living = Upstream::start(|_| Reply::json(200, &chat_answer("living"))).await;
    let house = House::start(Conf::to_hosts(&[&dying.url(), &living.url()])).await;
    let addr = house.addr();
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        callers.spawn(async move {
            let mut failed = 0;
            for _ in 0..20 {
                let mut client = Client::h1(addr).await;
                failed += u32::from(client.ask(keyed(ask(false))).await.status != 200);
            }
            failed
        });
    }
    dying.seen(20).await;
    dying.stop().await;
    let failed: u32 = callers.join_all().await.into_iter().sum();
    assert_eq!(failed, 0, "of 400 calls");
}

/// A host whose streams get so far and no further: silent, without content, with some.
async fn unfinished(h2: bool) -> Upstream {
    let role = json!({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}).to_string();
    let said = chat_stream(&["a", "b"]);
    let (only_role, first) = (role.len() + 8, said[0].len() + 8);
    Upstream::start_as(h2, move |seen| match seen.target.as_str() {
        "/v1/silent" => Reply::silence(),
        "/v1/role" => Reply::sse([&role, &said[0]]).hang_after(only_role),
        _ => Reply::sse(&said).hang_after(first),
    })
    .await
}

/// One stream; tells when it has begun, if its path is one of those that do.
async fn streamed(addr: SocketAddr, path: &'static str, begins: mpsc::Sender<()>) -> Answer {
    let mut client = Client::h1(addr).await;
    let request = keyed(post(path, &chat("m", true, "hi")));
    let mut reading = client.send(request).await.unwrap();
    if path == "/v1/said" {
        reading.next_piece().await.unwrap();
        begins.send(()).await.unwrap();
    }
    reading.finish().await
}

/// Of the streams at a host that dies, those without content are answered elsewhere, and the others
/// end with an error event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_dies_under_streams_fails_those_with_content_only() {
    const EACH: usize = 40;
    for h2 in [false, true] {
        let mut dying = unfinished(h2).await;
        let living = Upstream::start_as(h2, |_| Reply::sse(chat_stream(&["good"]))).await;
        let http = if h2 { "2" } else { "1.1" };
        let conf = Conf::to_hosts(&[&dying.url(), &living.url()])
            .upstream(&format!("balance = \"round-robin\"\nhttp = \"{http}\""))
            .table("[[route]]\nprefix = \"/\"\nhold = \"60s\"");
        let house = House::start(conf).await;
        let (addr, (begins, mut begun)) = (house.addr(), mpsc::channel(EACH));
        let mut callers = JoinSet::new();
        for path in ["/v1/silent", "/v1/role", "/v1/said"].repeat(EACH) {
            let begins = begins.clone();
            callers.spawn(async move { (path, streamed(addr, path, begins).await) });
        }
        let asked = dying.seen(3 * EACH / 2).await;
        for _ in 0..EACH {
            begun.recv().await.unwrap();
        }
        dying.stop().await;
        let mut broken = 0;
        for (path, answer) in callers.join_all().await {
            let case = format!("h2 {h2}, {path}: {}", answer.text());
            assert_eq!(answer.status, 200, "{case}");
            if path == "/v1/said" && answer.ended.is_cut() {
                broken += 1;
                assert!(answer.text().contains("\"code\":\"upstream_broken\""), "{case}");
            } else {
                assert_eq!((&answer.ended, answer.events().len()), (&Ended::Whole, 3), "{case}");
            }
        }
        let begun = asked.iter().filter(|seen| seen.target == "/v1/said").count();
        assert_eq!(broken, begun, "h2 {h2}: streams that had begun");
    }
}

#[tokio::test]
async fn the_last_answer_is_the_hosts_own() {
    let up = Upstream::start(|_| {
        Reply::json(503, &json!({"error": {"message": "theirs"}})).header("x-theirs", "1")
    })
    .await;
    let conf = Conf::to(&up).upstream("retry = { attempts = 2, backoff = \"10ms\" }");
    let house = House::start(conf).await;
    let answer = house.ask(ask(true)).await;
    assert_eq!((answer.status, answer.json()["error"]["message"].as_str()), (503, Some("theirs")));
    assert_eq!(answer.header("x-theirs"), Some("1"));
    assert_eq!(up.ledger().len(), 2);
}

#[tokio::test]
async fn a_clients_own_mistake_is_asked_once_and_ejects_nobody() {
    let up = Upstream::start(|_| Reply::json(400, &json!({"error": {"message": "no"}}))).await;
    let house = House::before(&up).await;
    for _ in 0..10 {
        assert_eq!(house.ask(ask(false)).await.status, 400);
    }
    assert_eq!(up.ledger().len(), 10);
    assert_eq!(house.status().await["upstreams"][0]["hosts"][0]["state"], "up");
}

#[tokio::test]
async fn who_asks_for_what_is_forbidden_takes_no_keys_from_the_others() {
    let up = Upstream::start(|seen| match seen.json()["model"] == "forbidden" {
        true => Reply::json(403, &json!({"error": {"code": "model_not_found"}})),
        false => Reply::json(200, &chat_answer("hello")),
    })
    .await;
    let conf = format!(
        "[[upstream]]\nname = \"keys\"\nhosts = [\"{}\"]\nkeys = [\"sk-a\", \"sk-b\", \"sk-c\"]\n\
         [[route]]\nprefix = \"/keys\"\nupstream = \"keys\"\n[[route]]\nprefix = \"/\"\nupstream = \"up\"\n",
        up.url()
    );
    let house = House::start(Conf::to(&up).table(&conf)).await;
    for (model, status) in std::iter::repeat_n(("forbidden", 403), 20).chain([("m", 200)]) {
        let answer = house.ask(post("/keys/v1/x", &chat(model, false, "hi"))).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_key_that_is_refused_or_limited_rests() {
    let up = Upstream::start(|seen| match seen.header("authorization") {
        Some("Bearer sk-limited") => {
            Reply::json(429, &json!({"error": {}})).header("retry-after", "30")
        }
        Some("Bearer sk-good") => Reply::json(200, &chat_answer("hello")),
        Some("Bearer sk-barred") => Reply::json(403, &json!({"error": {"code": "forbidden"}})),
        _ => Reply::json(401, &json!({"error": {"code": "invalid_api_key"}})),
    })
    .await;
    let conf = format!(
        "[[upstream]]\nname = \"keys\"\nhosts = [\"{}\"]\nkeys = [\"sk-limited\", \"sk-dead\", \"sk-barred\", \"sk-good\"]\n\
         [[route]]\nprefix = \"/keys\"\nupstream = \"keys\"\n[[route]]\nprefix = \"/\"\nupstream = \"up\"\n",
        up.url()
    );
    let house = House::start(Conf::to(&up).table(&conf)).await;
    let mut statuses = Vec::new();
    for _ in 0..11 {
        statuses.push(house.ask(post("/keys/v1/x", &chat("m", false, "hi"))).await.status);
    }
    // The limited key is never told of; the dead one costs one call and the barred one three.
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 3, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 7, "{statuses:?}");
    let status = house.status().await;
    let keys = status["upstreams"].as_array().unwrap().iter().find(|up| up["name"] == "keys");
    assert_eq!(keys.unwrap()["keys_resting"], 3);
}

#[tokio::test]
async fn a_key_whose_money_is_spent_rests_for_long() {
    for (body, h2) in [(true, false), (true, true), (false, false)] {
        let up = Upstream::start_as(h2, move |seen| match (seen.header("authorization"), body) {
            (Some("Bearer sk-good"), _) => Reply::json(200, &chat_answer("hello")),
            (_, true) => Reply::json(429, &json!({"error": {"code": "insufficient_quota"}})),
            (_, false) => Reply::bytes(429, "application/json", ""),
        })
        .await;
        let http = if h2 { "2" } else { "1.1" };
        let house = |keys: &str| {
            let conf = format!(
                "[[upstream]]\nname = \"keys\"\nhosts = [\"{}\"]\nkeys = {keys}\nhttp = \"{http}\"\n\
                 [[route]]\nprefix = \"/\"\nupstream = \"keys\"\n",
                up.url()
            );
            House::start(Conf::to(&up).table(&conf))
        };
        let one = house("[\"sk-spent\", \"sk-good\"]").await;
        for _ in 0..4 {
            let answer = one.ask(ask(false)).await;
            assert_eq!(answer.status, 200, "body {body}, h2 {h2}: {}", answer.text());
        }
        assert_eq!(up.ledger().len(), 5, "the spent key was asked once");
        let none = house("[\"sk-spent\", \"sk-gone\"]").await;
        none.ask(ask(false)).await;
        let answer = none.ask(ask(false)).await;
        assert_eq!(up.ledger().len(), 7, "body {body}, h2 {h2}");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        let code = answer.json()["error"]["code"].as_str().unwrap().to_owned();
        assert_eq!((answer.status, code == "upstream_quota", wait > 3000), (429, body, body));
    }
}

#[tokio::test]
async fn full_hosts_are_queued_for_and_a_full_queue_says_when() {
    let gate = Gate::new();
    let step = gate.clone();
    let up = Upstream::start(move |_| Reply::json(200, &chat_answer("x")).wait_for(&step)).await;
    let conf = Conf::to(&up).upstream("max_in_flight = 1\nqueue = { size = 1, wait = \"20s\" }");
    let house = House::start(conf).await;
    let addr = house.addr();
    let call = move || async move { Client::h1(addr).await.ask(keyed(ask(false))).await.status };
    let mut calls = JoinSet::new();
    calls.spawn(call());
    up.seen(1).await;
    calls.spawn(call());
    house.status_is("one queued", |status| status["upstreams"][0]["queued"] == 1).await;
    let refused = house.ask(ask(false)).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    gate.open();
    assert_eq!(calls.join_all().await, [200, 200]);
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_or_a_backoff_is_gone_at_once() {
    for cache in [String::new(), format!("{ON}\ncache.routes = [\"/busy\", \"/full\"]")] {
        left_the_queue_and_a_backoff(&cache).await;
    }
}

async fn left_the_queue_and_a_backoff(cache: &str) {
    let up = Upstream::start(|seen| match seen.target.as_str() {
        "/v1/full" => Reply::silence(),
        _ => Reply::json(503, &json!({})).header("retry-after", "8"),
    })
    .await;
    let conf = Conf::to(&up).upstream("max_in_flight = 1\nqueue = { size = 9, wait = \"30s\" }");
    let house = House::start(conf.with(cache)).await;
    let head = |path: &str, text: &str| wire_post(path, &chat("m", false, text).to_string());
    let mut waiting = RawH1::connect(house.addr()).await;
    waiting.send(head("/v1/busy", "hi")).await;
    up.idle().await;
    // Answered 503, it now waits for its next attempt; leaving ends it long before.
    up.seen(1).await;
    waiting.fin();
    house.status_is("nobody waits", |status| status["in_flight"] == 0).await;

    let mut full = RawH1::connect(house.addr()).await;
    full.send(head("/v1/full", "hi")).await;
    up.seen(2).await;
    let mut queued = RawH1::connect(house.addr()).await;
    queued.send(head("/v1/full", "hello")).await;
    house.status_is("one queued", |status| status["upstreams"][0]["queued"] == 1).await;
    queued.reset();
    house.status_is("none queued", |status| status["upstreams"][0]["queued"] == 0).await;
    full.fin();
    house.status_is("nobody there", |status| status["in_flight"] == 0).await;
    assert_eq!(up.ledger().len(), 2, "what left the queue never went upstream");
}

#[tokio::test]
async fn a_host_that_keeps_failing_is_left_alone() {
    let bad = Upstream::start(|_| Reply::json(500, &json!({}))).await;
    let good = Upstream::start(|_| Reply::sse(chat_stream(&["a"]))).await;
    let house = House::start(Conf::to_hosts(&[&bad.url(), &good.url()])).await;
    for _ in 0..40 {
        assert_eq!(house.ask(ask(true)).await.status, 200);
    }
    assert!(bad.ledger().len() < 10, "{} of 40 calls went to it", bad.ledger().len());
    assert_eq!(house.ask(get("/v1/models")).await.status, 200);
}
