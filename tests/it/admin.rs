//! The admin listener: what it says is true to the count, to the byte, and never a secret.
//!
//! Why through the text: operators' tools read the text, so the tests do.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on must fail its test")]

use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::support::client::{Answer, Client};
use crate::support::house::{Conf, House, KEY, UPSTREAM_KEY, keyed};
use crate::support::openai::{chat, chat_answer, chat_stream, get, post};
use crate::support::upstream::{Gate, Reply, Seen, Upstream};

mod metrics;

const TOKEN: &str = "admin-token-0123456789";

fn answers(seen: &Seen) -> Reply {
    match seen.target.split('?').next().unwrap() {
        "/v1/stream" => Reply::sse(chat_stream(&["a", "b"])),
        "/v1/limited" => Reply::json(429, &json!({"error": {"message": "slow down"}})),
        "/v1/broken" => Reply::raw("no HTTP at all\r\n\r\n"),
        "/v1/cut" => Reply::sse(chat_stream(&["a", "b"])).cut_after(200),
        "/v1/silent" => Reply::silence(),
        _ => Reply::json(200, &chat_answer("hello")),
    }
}

fn ask(path: &str) -> Request<Bytes> {
    post(path, &chat("m", true, "hi"))
}

#[tokio::test]
async fn health_and_readiness() {
    let house = House::before(&Upstream::start(answers).await).await;
    for (path, status, text) in [
        ("/healthz", 200, "ok\n"),
        ("/readyz", 200, "ready\n"),
        ("/v1/chat/completions", 404, ""),
        ("/", 404, ""),
    ] {
        let answer = Client::h1(house.admin()).await.ask(keyed(get(path))).await;
        assert_eq!((answer.status, answer.text()), (status, text), "{path}");
    }
    let posted = Client::h1(house.admin()).await.ask(post("/status", &json!({}))).await;
    assert_eq!(posted.status, 405);
}

#[tokio::test]
async fn the_status_says_what_goes_on() {
    let gate = Gate::new();
    let step = gate.clone();
    let up = Upstream::start(move |_| Reply::sse(chat_stream(&["a"])).end_waits_for(&step)).await;
    let conf = Conf::to(&up).table("[[key]]\nname = \"aaron\"\nsecret = \"fk-aaron-0123456789\"");
    let house = House::start(conf).await;
    let idle = house.status().await;
    assert_eq!(idle["version"], env!("CARGO_PKG_VERSION"));
    assert!(idle["uptime_seconds"].as_u64() < Some(10), "{idle}");
    assert_eq!(idle["keys"], json!(["aaron", "ann"]));
    let busy = |count: u64| {
        json!({"name": "up", "keys": 1, "keys_resting": 0, "queued": 0,
            "hosts": [{"host": up.addr().to_string(), "tls": false, "in_flight": count, "state": "up"}]})
    };
    // What the clock says of a host is there, and not compared.
    let timeless = |status: &serde_json::Value| {
        let mut upstreams = status["upstreams"].clone();
        let host = upstreams[0]["hosts"][0].as_object_mut().unwrap();
        assert!(host.remove("since_seconds").unwrap().as_u64() < Some(10));
        assert!(host.remove("first_byte_ms").is_some());
        upstreams
    };
    let log = |written: u64| json!({"on": true, "written": written, "dropped": 0, "queued_records": 0, "queued_bytes": 0});
    for member in [("draining", json!(false)), ("in_flight", json!(0)), ("chat_log", log(0))] {
        assert_eq!(idle[member.0], member.1);
    }
    assert_eq!(timeless(&idle), json!([busy(0)]));

    let mut client = house.client().await;
    let mut reading = client.send(keyed(ask("/v1/chat/completions"))).await.unwrap();
    reading.next_piece().await.unwrap();
    let live = house.status().await;
    assert_eq!((&live["in_flight"], &timeless(&live)), (&json!(1), &json!([busy(1)])));
    gate.open();
    reading.finish().await;
    let after = house.status_is("the call is logged", |s| s["chat_log"] == log(1)).await;
    assert_eq!((&after["in_flight"], &timeless(&after)), (&json!(0), &json!([busy(0)])));
}

#[tokio::test]
async fn the_token_is_asked_of_every_caller() {
    let up = Upstream::start(answers).await;
    let house = House::start(Conf::to(&up).with(&format!("admin.token = \"{TOKEN}\""))).await;
    let with = |path: &str, value: &str| {
        let mut request = get(path);
        if !value.is_empty() {
            request.headers_mut().insert("authorization", value.parse().unwrap());
        }
        request
    };
    for path in ["/status", "/metrics"] {
        for (value, status) in [
            ("", 401),
            ("Bearer", 401),
            ("Bearer ", 401),
            (&format!("Bearer {TOKEN}x"), 401),
            (&format!("Bearer {}", &TOKEN[1..]), 401),
            (&format!("Bearer {}", &TOKEN[..TOKEN.len() - 1]), 401),
            (&format!("Basic {TOKEN}"), 401),
            (TOKEN, 401),
            (&format!("Bearer {KEY}"), 401),
            (&format!("Bearer {TOKEN}"), 200),
        ] {
            let answer = Client::h1(house.admin()).await.ask(with(path, value)).await;
            assert_eq!(answer.status, status, "{path} with {value:?}");
            if status == 401 {
                assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
                assert!(!answer.text().contains("in_flight"), "{}", answer.text());
            }
        }
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(Client::h1(house.admin()).await.ask(get(path)).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn nothing_it_says_holds_a_secret() {
    let up = Upstream::start(answers).await;
    let house = House::start(Conf::to(&up).with(&format!("admin.token = \"{TOKEN}\""))).await;
    house.ask(ask("/v1/stream?api_key=sk-in-the-query")).await;
    house.client().await.ask(ask("/v1/x")).await;
    for path in ["/healthz", "/readyz", "/status", "/metrics"] {
        let mut request = get(path);
        let token = format!("Bearer {TOKEN}");
        request.headers_mut().insert("authorization", token.parse().unwrap());
        let answer = Client::h1(house.admin()).await.ask(request).await;
        assert_eq!(answer.status, 200);
        let shown = format!("{:?} {}", answer.headers, answer.text());
        for secret in [KEY, UPSTREAM_KEY, TOKEN, "sk-in-the-query"] {
            assert!(!shown.contains(secret), "{path}: {shown}");
        }
    }
}

#[tokio::test]
async fn the_public_port_shows_nothing_of_it() {
    let up = Upstream::start(answers).await;
    let all = House::before(&up).await;
    let some = House::start(Conf::to(&up).table("[[route]]\nprefix = \"/v1\"")).await;
    let code = |answer: &Answer| answer.json()["error"]["code"].clone();
    for path in ["/status", "/metrics", "/readyz"] {
        let answer = all.client().await.ask(get(path)).await;
        assert_eq!((answer.status, code(&answer)), (401, json!("invalid_api_key")), "{path}");
        let before = up.ledger().len();
        assert_eq!(all.ask(get(path)).await.json(), chat_answer("hello"), "{path}");
        assert_eq!(up.ledger()[before].seen.target, path, "a path of the upstream's own");
        let answer = some.ask(get(path)).await;
        assert_eq!((answer.status, code(&answer)), (404, json!("unknown_url")), "{path}");
    }
}
