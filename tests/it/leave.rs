//! A client that leaves frees the upstream at once, in every phase, however it leaves.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::cache::ON;
use crate::support::Deaf;
use crate::support::client::{RawH1, RawH2};
use crate::support::house::{Conf, House, keyed, wire_post};
use crate::support::openai::{chat, chat_answer, chat_stream, post};
use crate::support::proxy::{Manner, Proxy};
use crate::support::upstream::{Gate, Reply, Upstream};

/// What the client is waiting for when it leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// The head of the answer.
    Head,
    /// The next event of a stream.
    Stream,
    /// The turn of the next event, which is there already.
    Turn,
    /// The rest of a plain answer.
    Whole,
}

/// How it leaves.
#[derive(Debug, Clone, Copy)]
enum Leaving {
    H1Fin,
    H1Reset,
    H2Fin,
    H2Reset,
    H2Stream,
}

const PATH: &str = "/v1/chat/completions";

const LEAVINGS: [Leaving; 5] =
    [Leaving::H1Fin, Leaving::H1Reset, Leaving::H2Fin, Leaving::H2Reset, Leaving::H2Stream];

/// The bound, and how often each case is tried: noise makes single tries late, a proxy that does
/// not look makes all of them late.
const BOUND: Duration = Duration::from_millis(50);
const TRIES: usize = 5;

fn script(phase: Phase, gate: &Gate) -> Reply {
    match phase {
        Phase::Head => Reply::silence(),
        Phase::Stream => Reply::sse(chat_stream(&["a", "b", "c"])).stepped_by(gate),
        Phase::Turn => Reply::sse(chat_stream(&["a", "b", "c"])).hang(),
        Phase::Whole => Reply::json(200, &chat_answer("never whole")).hang_after(20),
    }
}

async fn upstream(h2: bool, phase: Phase) -> Upstream {
    Upstream::start_as(h2, move |_: &_| {
        let gate = Gate::new();
        gate.step();
        script(phase, &gate)
    })
    .await
}

fn request(phase: Phase) -> Request<Bytes> {
    keyed(post(PATH, &chat("m", phase != Phase::Whole, "hi")))
}

/// Sends a request, waits until its phase is reached, leaves, and tells when.
async fn leave(house: &House, up: &Upstream, phase: Phase, how: Leaving, nth: usize) -> Instant {
    match how {
        Leaving::H1Fin | Leaving::H1Reset => {
            let mut client = RawH1::connect(house.addr()).await;
            let body = chat("m", phase != Phase::Whole, "hi").to_string();
            client.send(wire_post(PATH, &body)).await;
            up.seen(nth).await;
            if phase != Phase::Head {
                client.head().await.unwrap();
                client.next_bytes().await.unwrap();
            }
            let left = Instant::now();
            match how {
                Leaving::H1Fin => client.fin(),
                _ => client.reset(),
            }
            left
        }
        Leaving::H2Fin | Leaving::H2Reset | Leaving::H2Stream => {
            let mut client = RawH2::connect(house.addr()).await;
            let mut stream = client.send(request(phase)).await;
            up.seen(nth).await;
            let mut reading = None;
            if phase != Phase::Head {
                let mut head = stream.head().await.unwrap();
                head.next_piece().await.unwrap();
                reading = Some(head);
            }
            let left = Instant::now();
            match how {
                Leaving::H2Fin => client.fin().await,
                Leaving::H2Reset => client.reset().await,
                _ => {
                    stream.reset();
                    up.gone(nth).await;
                }
            }
            drop(reading);
            left
        }
    }
}

/// Also where the call belongs to all who ask the same: here each is the last one who waits.
async fn every_way_out(h2_upstream: bool, phase: Phase) {
    for cache in ["", ON] {
        every_way_out_of(cache, h2_upstream, phase).await;
    }
}

async fn every_way_out_of(cache: &str, h2_upstream: bool, phase: Phase) {
    let up = upstream(h2_upstream, phase).await;
    let pace = if phase == Phase::Turn { "pace = \"1/2seconds\"" } else { "" };
    let house = House::start(Conf::to(&up).with(cache).table(pace)).await;
    let mut nth = 0;
    for how in LEAVINGS {
        let mut quickest = Duration::MAX;
        for _ in 0..TRIES {
            nth += 1;
            let left = leave(&house, &up, phase, how, nth).await;
            let gone = up.gone(nth).await[nth - 1];
            quickest = quickest.min(gone.at.saturating_duration_since(left));
        }
        assert!(
            quickest < BOUND,
            "{cache} {phase:?}, {how:?}: the upstream was freed after {quickest:?}"
        );
    }
    house
        .status_is("nothing under way", |status| {
            status["in_flight"] == 0 && status["upstreams"][0]["hosts"][0]["in_flight"] == 0
        })
        .await;
    let log = house.log().await;
    assert_eq!(log.len(), nth, "one line a call");
    assert!(log.iter().all(|line| line["ended"] == "client_left"), "{log:?}");
}

#[tokio::test]
async fn awaiting_the_head() {
    every_way_out(false, Phase::Head).await;
}

#[tokio::test]
async fn awaiting_the_head_of_an_h2_upstream() {
    every_way_out(true, Phase::Head).await;
}

#[tokio::test]
async fn in_a_stream() {
    every_way_out(false, Phase::Stream).await;
}

#[tokio::test]
async fn in_a_stream_of_an_h2_upstream() {
    every_way_out(true, Phase::Stream).await;
}

#[tokio::test]
async fn between_the_turns_of_a_paced_stream() {
    every_way_out(false, Phase::Turn).await;
}

#[tokio::test]
async fn between_the_turns_of_a_paced_stream_of_an_h2_upstream() {
    every_way_out(true, Phase::Turn).await;
}

#[tokio::test]
async fn in_a_plain_answer() {
    every_way_out(false, Phase::Whole).await;
}

#[tokio::test]
async fn in_a_plain_answer_of_an_h2_upstream() {
    every_way_out(true, Phase::Whole).await;
}

/// Sends a request that never gets a connection, leaves, and waits until nothing is left of it.
async fn leave_unconnected(house: &House, how: Leaving) {
    let connecting = |status: &Value| status["upstreams"][0]["hosts"][0]["in_flight"] == 1;
    match how {
        Leaving::H1Fin | Leaving::H1Reset => {
            let mut client = RawH1::connect(house.addr()).await;
            let body = chat("m", true, "hi").to_string();
            client.send(wire_post(PATH, &body)).await;
            house.status_is("connecting", connecting).await;
            match how {
                Leaving::H1Fin => client.fin(),
                _ => client.reset(),
            }
            nothing_left(house).await;
        }
        Leaving::H2Fin | Leaving::H2Reset | Leaving::H2Stream => {
            let mut client = RawH2::connect(house.addr()).await;
            let mut stream = client.send(request(Phase::Stream)).await;
            house.status_is("connecting", connecting).await;
            match how {
                Leaving::H2Fin => client.fin().await,
                Leaving::H2Reset => client.reset().await,
                _ => stream.reset(),
            }
            nothing_left(house).await;
        }
    }
}

async fn nothing_left(house: &House) {
    house
        .status_is("nothing under way", |status| {
            status["in_flight"] == 0 && status["upstreams"][0]["hosts"][0]["in_flight"] == 0
        })
        .await;
}

/// Longer than any wait of a test.
const LONG: &str = "timeouts = { connect = \"1m\" }";

#[tokio::test]
async fn while_a_connection_is_made() {
    let deaf = Deaf::start().await;
    for (http, cache) in [("1.1", ""), ("2", ""), ("1.1", ON), ("2", ON)] {
        let conf = Conf::to_hosts(&[&format!("http://{}", deaf.addr)]).upstream(LONG).with(cache);
        let house = House::start(conf.upstream(&format!("http = \"{http}\""))).await;
        left_while_connecting(house).await;
    }
}

#[tokio::test]
async fn while_a_tunnel_is_made() {
    let proxy = Proxy::start(Manner::Hang, &[]).await;
    for cache in ["", ON] {
        let conf = Conf::to_hosts(&["https://gpu.invalid"]).upstream(LONG).with(cache);
        left_while_connecting(House::start(conf.upstream(&proxy.key(""))).await).await;
    }
}

#[tokio::test]
async fn while_tls_is_agreed_on() {
    // Whoever connects is taken, and told nothing.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for (http, cache) in [("1.1", ""), ("2", ""), ("1.1", ON), ("2", ON)] {
        let host = format!("https://{}", mute.local_addr().unwrap());
        let conf = Conf::to_hosts(&[&host]).upstream(LONG).with(cache);
        let house = House::start(conf.upstream(&format!("http = \"{http}\""))).await;
        left_while_connecting(house).await;
    }
}

async fn left_while_connecting(house: House) {
    for how in LEAVINGS {
        leave_unconnected(&house, how).await;
    }
    let host = &house.status().await["upstreams"][0]["hosts"][0];
    assert_eq!(host["state"], "up", "a client that leaves is no fault of the host: {host}");
    let log = house.log().await;
    assert_eq!(log.len(), LEAVINGS.len(), "one line a call");
    assert!(log.iter().all(|line| line["ended"] == "client_left"), "{log:?}");
}

#[tokio::test]
async fn one_h2_stream_that_leaves_leaves_its_neighbours_alone() {
    let gate = Gate::new();
    let step = gate.clone();
    let up = Upstream::start(move |seen| match seen.target.as_str() {
        "/v1/hang" => Reply::silence(),
        _ => Reply::json(200, &json!({"ok": true})).wait_for(&step),
    })
    .await;
    let house = House::before(&up).await;
    let mut client = RawH2::connect(house.addr()).await;
    let mut leaving = client.send(keyed(post("/v1/hang", &json!({})))).await;
    let mut staying = client.send(keyed(post("/v1/stay", &json!({})))).await;
    up.seen(2).await;
    leaving.reset();
    up.gone(1).await;
    gate.open();
    let answer = staying.head().await.unwrap().finish().await;
    assert_eq!((answer.status, answer.text()), (200, "{\"ok\":true}"));
}
