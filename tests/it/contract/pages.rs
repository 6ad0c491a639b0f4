//! Pages of other origins, as a browser calls for them.

use bytes::Bytes;
use http::Request;

use super::{ask, lists, send, with};
use crate::support::client::{Answer, Client};
use crate::support::house::{Conf, House, keyed};
use crate::support::openai::{chat, chat_answer, chat_stream, get, post};
use crate::support::upstream::{Reply, Upstream};

const PAGE: &str = "https://chat.example.com";

async fn host() -> Upstream {
    Upstream::start(|seen| {
        let stream = seen.method == "POST" && seen.json()["stream"] == true;
        let answer = match stream {
            true => Reply::sse(chat_stream(&["a", "b"])),
            false => Reply::json(200, &chat_answer("hello")),
        };
        answer
            .header("access-control-allow-origin", "https://theirs.example")
            .header("vary", "Accept")
    })
    .await
}

fn preflight(origin: &str) -> Request<Bytes> {
    let request = Request::options("/v1/chat/completions")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,x-stainless-os");
    request.body(Bytes::new()).unwrap()
}

/// Whether a page of this origin may read the answer, credentials and all.
fn may_read(answer: &Answer, origin: &str) -> bool {
    let all = |name: &str| {
        let values = answer.headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(all("vary").join(", ").contains("Origin"), "{:?}", answer.headers);
    all("access-control-allow-origin") == [origin]
        && all("access-control-allow-credentials") == ["true"]
}

#[tokio::test]
async fn a_browser_asks_and_is_answered_here() {
    let up = host().await;
    // Neither keys nor limits nor addresses are asked: a browser cannot send any of them yet.
    let limits = "GLOBAL_RATE_LIMIT=0/hour\nIP_WHITELIST=1.1.1.1";
    let house = House::of_env(&lists(&up, limits)).await;
    let answer = send(&house, preflight(PAGE)).await;
    assert_eq!((answer.status, answer.text()), (200, "OK"));
    for (name, value) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("access-control-allow-methods", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
        ("access-control-allow-headers", "authorization,content-type,x-stainless-os"),
        ("access-control-max-age", "600"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    assert!(may_read(&answer, PAGE));
    assert!(up.ledger().is_empty());
}

#[tokio::test]
async fn a_page_reads_answers_streams_and_refusals() {
    let up = host().await;
    let house =
        House::of_env(&lists(&up, "OPENAI_ROUTE_PREFIX=/openai\nIP_BLACKLIST=1.1.1.1")).await;
    let from_page = |request| with(request, "origin", PAGE);
    let stream = post("/openai/v1/chat/completions", &chat("m", true, "hi"));
    for (request, status) in [
        (get("/openai/v1/models"), 200),
        (stream, 200),
        (get("/healthz"), 200),
        (ask("m"), 404),
        (with(get("/openai/v1/models"), "x-forwarded-for", "1.1.1.1"), 403),
    ] {
        let answer = send(&house, from_page(request)).await;
        assert_eq!(answer.status, status);
        assert!(may_read(&answer, PAGE), "{:?}", answer.headers);
    }
    // Hosts that know pages, like Ollama, would refuse this one.
    assert!(up.ledger().iter().all(|entry| entry.seen.header("origin").is_none()));
    let answer = Client::h2c(house.addr()).await.ask(from_page(get("/openai/v1/models"))).await;
    assert!(may_read(&answer, PAGE));
    assert_eq!(answer.headers.get_all("vary").iter().count(), 2);
    // Who is no page is told for the caches in between.
    let answer = send(&house, get("/openai/v1/models")).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(answer.headers.get_all("vary").iter().count(), 2);
}

#[tokio::test]
async fn other_pages_are_not_let_in_where_some_are_named() {
    let up = host().await;
    let house = House::start(Conf::to(&up).with(&format!("server.cors = [{PAGE:?}]"))).await;
    assert!(may_read(&house.ask(with(get("/v1/models"), "origin", PAGE)).await, PAGE));
    let other = "https://other.example.com";
    assert!(!may_read(&house.ask(with(get("/v1/models"), "origin", other)).await, other));
    let answer = send(&house, preflight(other)).await;
    assert_eq!((answer.status, answer.text()), (400, "Disallowed CORS origin"));
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn without_a_word_about_it_all_of_it_is_between_page_and_host() {
    let up = host().await;
    let house = House::before(&up).await;
    let answer = house.ask(with(get("/v1/models"), "origin", PAGE)).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://theirs.example"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let answer = house.client().await.ask(keyed(preflight(PAGE))).await;
    assert_eq!((answer.status, answer.header("access-control-max-age")), (200, None));
    let seen: Vec<_> = up.ledger().into_iter().map(|entry| entry.seen).collect();
    assert_eq!(seen.iter().filter(|seen| seen.header("origin") == Some(PAGE)).count(), 2);
}
