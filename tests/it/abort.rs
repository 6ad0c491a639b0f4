//! Ten thousand requests that their clients give up at any moment leave nothing behind.
//!
//! Why random: nobody can list all the moments. The seed is printed; where it fails, it says with
//! which.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::{StreamExt, stream};
use http::Request;
use serde_json::json;
use tokio::time::timeout;

use crate::support::client::{Client, Farewell, RawH1};
use crate::support::house::{Conf, House, keyed, wire_post};
use crate::support::openai::{chat, chat_answer, chat_stream, post};
use crate::support::refused_addr;
use crate::support::upstream::{Reply, Seen, Upstream};

const REQUESTS: u64 = 10_000;
const AT_ONCE: usize = 48;

/// What the hosts do: the phases that a request can be given up in.
const PATHS: [&str; 8] = [
    "/v1/well",
    "/v1/stream",
    "/v1/silent",
    "/v1/stuck",
    "/v1/role",
    "/v1/half",
    "/busy/v1/x",
    "/v1/late",
];

fn act(seen: &Seen) -> Reply {
    let gap = Duration::from_millis(1);
    match seen.target.as_str() {
        "/v1/well" => Reply::json(200, &chat_answer("well")),
        "/v1/stream" => Reply::sse(chat_stream(&["a"; 5])).gap(gap),
        "/v1/silent" => Reply::silence(),
        "/v1/stuck" => Reply::sse(chat_stream(&["a", "b"])).hang_after(200),
        "/v1/role" => Reply::sse([json!({"choices": []}).to_string()]).hang(),
        "/v1/half" => Reply::json(200, &chat_answer("half")).hang_after(20),
        _ => Reply::json(200, &chat_answer("late")).delay(4 * gap),
    }
}

fn request(chance: &mut Rng) -> Request<Bytes> {
    let stream = chance.bool();
    let text = "x".repeat(chance.usize(..3_000));
    keyed(post(PATHS[chance.usize(..PATHS.len())], &chat("m", stream, &text)))
}

fn patience(chance: &mut Rng) -> Duration {
    Duration::from_micros(chance.u64(..10_000))
}

/// A whole request on a connection of its own, or on a stream of h2, given up after a while, or when
/// some of its answer is there.
async fn given_up(addr: SocketAddr, chance: &mut Rng) {
    let request = request(chance);
    let pieces = match request.uri().path() {
        "/v1/well" | "/v1/stream" | "/v1/late" => chance.usize(..8),
        "/v1/stuck" | "/v1/half" => chance.usize(..2),
        _ => 0,
    };
    let mut client = if chance.bool() { Client::h1(addr).await } else { Client::h2c(addr).await };
    let sending = client.send(request);
    if pieces == 0 {
        let _ = timeout(patience(chance), sending).await;
    } else if let Ok(mut reading) = sending.await {
        for _ in 0..pieces {
            if reading.next_piece().await.is_none() {
                break;
            }
        }
    }
}

/// A request of which only the beginning is sent.
async fn cut_short(addr: SocketAddr, chance: &mut Rng) {
    let (head, body) = request(chance).into_parts();
    let wire = wire_post(&head.uri.to_string(), str::from_utf8(&body).unwrap());
    let mut client = RawH1::connect(addr).await;
    client.send(&wire[..chance.usize(..=wire.len())]).await;
    let _: Result<Result<Bytes, Farewell>, _> =
        timeout(patience(chance), client.next_bytes()).await;
    if chance.bool() { client.fin() } else { client.reset() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_ten_thousand_requests_given_up_anywhere() {
    let hosts = [Upstream::start(act).await, Upstream::start(act).await];
    let nobody = format!("http://{}", refused_addr().await);
    let busy = Upstream::start(|_| Reply::json(503, &json!({})).header("retry-after", "1")).await;
    let conf = Conf::to_hosts(&[&hosts[0].url(), &hosts[1].url(), &nobody])
        .upstream("max_in_flight = 12\nqueue = { size = 12, wait = \"1s\" }")
        .table(&format!(
            "[[upstream]]\nname = \"busy\"\nhosts = [\"{}\"]\n\
             [[route]]\nprefix = \"/\"\nupstream = \"up\"\n\
             [[route]]\nprefix = \"/busy\"\nupstream = \"busy\"\n",
            busy.url()
        ));
    let house = House::start(conf).await;
    let (addr, seed) = (house.addr(), fastrand::u64(..));
    println!("seed {seed}");
    let calls = (0..REQUESTS).map(|nth| async move {
        let mut chance = Rng::with_seed(seed.wrapping_add(nth));
        match chance.u8(..4) {
            0 => cut_short(addr, &mut chance).await,
            _ => given_up(addr, &mut chance).await,
        }
    });
    stream::iter(calls).buffer_unordered(AT_ONCE).for_each(async |()| {}).await;
    let quiet = house.status_is("nothing is under way", |s| s["in_flight"] == 0).await;
    let up = &quiet["upstreams"][0];
    assert_eq!(up["queued"], 0, "seed {seed}: {up}");
    for host in up["hosts"].as_array().unwrap() {
        assert_eq!(host["in_flight"], 0, "seed {seed}: {up}");
    }
    let metrics = house.admin_text("/metrics").await;
    for gauge in metrics.lines().filter(|line| line.contains("in_flight{")) {
        assert!(gauge.ends_with(" 0"), "seed {seed}: {gauge}");
    }
    // All slots are there: as many as there are answer side by side, and nobody waits.
    let mut side_by_side = Vec::new();
    for _ in 0..24 {
        let mut client = Client::h1(addr).await;
        let reading = client.send(keyed(post("/v1/stuck", &chat("m", true, "hi")))).await.unwrap();
        assert_eq!(reading.status, 200, "seed {seed}");
        side_by_side.push((client, reading));
    }
    assert_eq!(house.status().await["upstreams"][0]["queued"], 0, "seed {seed}");
    drop(side_by_side);
    let log = house.log().await;
    let times = |ended: &str| log.iter().filter(|line| line["ended"] == ended).count();
    println!("done {}, left {}, refused {}", times("done"), times("client_left"), times("refused"));
    assert!(times("done") >= 100 && times("client_left") >= 1000, "is it what it was made for?");
}
