//! Idle connections to a host: no more than may be, and nobody pays for it with a request.

use bytes::Bytes;
use http::Request;
use tokio::task::JoinSet;

use crate::support::certs::Certs;
use crate::support::client::{Client, WebSocket};
use crate::support::house::{Conf, House, KEY, keyed};
use crate::support::openai::{chat, chat_answer, post};
use crate::support::upstream::{Gate, Reply, Seen, Upstream};

const AT_ONCE: usize = 8;

fn ask() -> Request<Bytes> {
    keyed(post("/v1/chat/completions", &chat("m", false, "hi")))
}

fn keeping(conf: Conf, most: usize) -> Conf {
    conf.upstream(&format!("keepalive.max = {most}"))
}

fn hello(seen: &Seen) -> Reply {
    match seen.target.as_str() {
        "/v1/realtime" => Reply::websocket(),
        _ => Reply::json(200, &chat_answer("hello")),
    }
}

#[tokio::test]
async fn of_many_at_once_only_so_many_stay_open() {
    let certs = Certs::new();
    for (tls, most) in [(false, 3), (true, 3), (false, 1), (true, 0), (false, AT_ONCE + 1)] {
        let gate = Gate::new();
        let step = gate.clone();
        let script = move |_: &Seen| Reply::json(200, &chat_answer("x")).wait_for(&step);
        let (up, conf) = match tls {
            false => {
                let up = Upstream::start(script).await;
                let conf = Conf::to(&up);
                (up, conf)
            }
            true => {
                let up = Upstream::start_tls(&["http/1.1"], &certs, script).await;
                let url = format!("https://localhost:{}", up.port());
                let ca = format!("ca = {:?}", certs.ca_file());
                (up, Conf::to_hosts(&[&url]).upstream(&ca))
            }
        };
        let house = House::start(keeping(conf, most)).await;
        let addr = house.addr();
        let mut calls = JoinSet::new();
        for _ in 0..AT_ONCE {
            calls.spawn(async move { Client::h1(addr).await.ask(ask()).await.status });
        }
        up.seen(AT_ONCE).await;
        assert_eq!((up.connections(), up.open_connections()), (AT_ONCE, AT_ONCE));
        gate.open();
        assert_eq!(calls.join_all().await, [200; AT_ONCE]);
        let kept = most.min(AT_ONCE);
        up.open(kept).await;
        // What is kept is used, and stays.
        let mut client = house.client().await;
        for _ in 0..2 * AT_ONCE {
            assert_eq!(client.ask(ask()).await.status, 200);
        }
        up.open(kept).await;
        let more = if most == 0 { 2 * AT_ONCE } else { 0 };
        assert_eq!(up.connections(), AT_ONCE + more, "tls {tls}, {most}");
    }
}

#[tokio::test]
async fn with_none_kept_each_request_has_its_own_connection() {
    let up = Upstream::start(hello).await;
    let house = House::start(keeping(Conf::to(&up), 0)).await;
    let mut client = house.client().await;
    for nth in 1..=5 {
        assert_eq!(client.ask(ask()).await.status, 200);
        assert_eq!(up.connections(), nth);
    }
    up.all_closed().await;
    assert!(up.ledger().iter().all(|entry| entry.seen.header("connection") == Some("close")));

    let up = Upstream::start_h2c(hello).await;
    let house = House::start(keeping(Conf::to(&up), 0)).await;
    let mut client = house.client().await;
    for _ in 0..5 {
        assert_eq!(client.ask(ask()).await.status, 200);
        up.all_closed().await;
    }
    assert_eq!((up.connections(), up.ledger().len()), (5, 5));
}

#[tokio::test]
async fn over_h2_one_connection_is_enough_and_is_kept() {
    let up = Upstream::start_h2c(hello).await;
    let house = House::start(keeping(Conf::to(&up), 1)).await;
    let mut client = house.client().await;
    for _ in 0..5 {
        assert_eq!(client.ask(ask()).await.status, 200);
    }
    assert_eq!((up.connections(), up.open_connections()), (1, 1));
}

/// Connections are given back, shut and taken again all the time: requests that can be sent again,
/// uploads that stream, and websockets, which cannot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_to_the_bound() {
    for h2 in [false, true] {
        let up = Upstream::start_as(h2, hello).await;
        let house = House::start(keeping(Conf::to(&up), 1)).await;
        let addr = house.addr();
        let mut callers = JoinSet::new();
        for caller in 0..12 {
            callers.spawn(async move {
                let mut client = Client::h1(addr).await;
                for nth in 0..40 {
                    let status = match (caller % 3, h2) {
                        (0, _) => client.ask(ask()).await.status,
                        (2, false) if nth % 4 == 0 => {
                            let bearer = format!("Bearer {KEY}");
                            let headers = [("authorization", bearer.as_str())];
                            let socket = WebSocket::open(addr, "/v1/realtime", &headers).await;
                            socket.err().unwrap_or(200)
                        }
                        _ => {
                            let upload = Request::post("/v1/files")
                                .header("content-type", "application/octet-stream");
                            let upload = keyed(upload.body(Bytes::from(vec![7; 100_000])).unwrap());
                            client.ask(upload).await.status
                        }
                    };
                    assert_eq!(status, 200, "h2 {h2}, caller {caller}, request {nth}");
                }
            });
        }
        callers.join_all().await;
        up.open(1).await;
    }
}
