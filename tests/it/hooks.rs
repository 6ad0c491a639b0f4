//! The way of each kind of request, stage by stage; and a panic in any stage, which spares the
//! others and gives everything back.
//!
//! Why through the log: the stages tell at trace level where a request is, for operators too. Here
//! a logger keeps what they tell, and fails in a stage when it is asked to.

use std::collections::HashMap;
use std::sync::OnceLock;

use bytes::Bytes;
use http::Request;
use log::{LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;
use tokio_tungstenite::tungstenite::Message;

use crate::support::client::{Client, WebSocket};
use crate::support::house::{Conf, House, KEY, keyed};
use crate::support::openai::{chat, chat_answer, chat_stream, get, post};
use crate::support::refused_addr;
use crate::support::upstream::{Reply, Upstream};

/// What every request told, by its id, and the stage that is to fail.
#[derive(Default)]
struct Stages {
    told: Mutex<HashMap<String, Vec<String>>>,
    fails: Mutex<Option<String>>,
}

fn stages() -> &'static Stages {
    static STAGES: OnceLock<Stages> = OnceLock::new();
    STAGES.get_or_init(|| {
        log::set_boxed_logger(Box::new(Listener)).unwrap();
        log::set_max_level(LevelFilter::Trace);
        Stages::default()
    })
}

struct Listener;

impl Log for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "aifd::stage"
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = record.args().to_string();
        let (id, stage) = line.split_once(' ').unwrap();
        stages().told.lock().entry(id.into()).or_default().push(stage.into());
        let fails = stages().fails.lock().take_if(|fails| *fails == stage);
        if let Some(stage) = fails {
            panic!("{stage} was asked to fail");
        }
    }

    fn flush(&self) {}
}

/// Everything told since the last call, of the one request that was made.
fn way() -> String {
    let mut told = std::mem::take(&mut *stages().told.lock());
    assert_eq!(told.len(), 1, "{told:?}");
    let mut way = told.drain().next().unwrap().1;
    way.dedup();
    way.join(" ")
}

async fn upstream() -> Upstream {
    Upstream::start(|seen| match seen.target.as_str() {
        "/v1/stream" => Reply::sse(chat_stream(&["a"])),
        "/v1/cut" => Reply::sse(chat_stream(&["a", "b"])).cut_after(200),
        "/v1/socket" => Reply::websocket(),
        "/v1/stale" if seen.request > 1 => Reply::json(200, &chat_answer("x")).reset_at_once(),
        _ => Reply::json(200, &chat_answer("hello")),
    })
    .await
}

fn ask(path: &str) -> Request<Bytes> {
    post(path, &chat("m", true, "hi"))
}

const GOOD: &str = "greet admit may hear peer outbound inbound head piece settle";

#[tokio::test]
async fn every_kind_of_request_goes_its_way() {
    stages();
    let up = upstream().await;
    let nobody = format!("http://{}", refused_addr().await);
    let house = House::before(&up).await;
    for (kind, request, expected) in [
        ("plain", ask("/v1/plain"), GOOD),
        ("streamed", ask("/v1/stream"), GOOD),
        ("without a body", get("/v1/models"), GOOD),
        ("own endpoint", get("/healthz"), "greet admit settle"),
        ("refused path", get("/a/../b"), "greet admit settle"),
        (
            "broken JSON",
            Request::post("/v1/x").body("{".into()).unwrap(),
            "greet admit may hear settle",
        ),
        (
            "cut",
            ask("/v1/cut"),
            "greet admit may hear peer outbound inbound head piece broke_off failed settle",
        ),
    ] {
        house.ask(request).await;
        assert_eq!(way(), expected, "{kind}");
    }
    let head = Request::head("/v1/models").body(Bytes::new()).unwrap();
    house.ask(head).await;
    assert_eq!(way(), "greet admit may hear peer outbound inbound head settle", "HEAD");

    let retried = House::start(Conf::to_hosts(&[&nobody, &up.url()])).await;
    retried.ask(ask("/v1/plain")).await;
    assert_eq!(way(), GOOD.replace("peer", "peer not_connected peer"), "another host");

    let counted = House::start(Conf::to(&up).table("tokens = \"1000/hour\"")).await;
    counted.ask(ask("/v1/plain")).await;
    assert_eq!(way(), GOOD.replace("may hear", "hear may"), "tokens stand in the body");

    house.ask(ask("/v1/stale")).await;
    assert!(way().starts_with("greet admit may hear peer outbound"));
    let mut socket =
        WebSocket::open(house.addr(), "/v1/socket", &[("authorization", &format!("Bearer {KEY}"))])
            .await
            .unwrap();
    socket.say(Message::text("hi")).await;
    socket.close().await;
    house.status_is("no websocket", |status| status["in_flight"] == 0).await;
    assert_eq!(way(), GOOD, "a websocket");
}

#[tokio::test]
async fn a_panic_in_any_stage_spares_the_others_and_gives_everything_back() {
    stages();
    let up = upstream().await;
    let house = House::before(&up).await;
    let mut other = Client::h1(house.addr()).await;
    for (stage, logged) in [
        ("greet", false),
        ("admit", false),
        ("may", true),
        ("hear", true),
        ("peer", true),
        ("outbound", true),
        ("inbound", true),
        ("head", true),
        ("piece", true),
        ("settle", true),
    ] {
        *stages().fails.lock() = Some(stage.into());
        let mut client = house.client().await;
        let failed = client.send(keyed(ask("/v1/plain"))).await;
        if let Ok(reading) = failed {
            reading.finish().await;
        }
        house
            .status_is("all given back", |status| {
                status["in_flight"] == 0 && status["upstreams"][0]["hosts"][0]["in_flight"] == 0
            })
            .await;
        assert!(stages().fails.lock().is_none(), "{stage} never began");
        let metrics = house.admin_text("/metrics").await;
        assert!(metrics.contains("aifd_requests_in_flight{route=\"/\"} 0"), "{stage}: {metrics}");
        let answer = other.ask(keyed(ask("/v1/plain"))).await;
        assert_eq!(answer.status, 200, "after a panic in {stage}");
        let _ = logged;
    }
    let log = house.log().await;
    let ends: Vec<&str> = log.iter().map(|line| line["ended"].as_str().unwrap()).collect();
    assert_eq!(ends.iter().filter(|end| **end == "aborted").count(), 8, "{ends:?}");
    assert_eq!(ends.iter().filter(|end| **end == "done").count(), 10, "{ends:?}");
}
