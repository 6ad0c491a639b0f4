//! Where requests go: byte for byte, by the longest prefix, never to a host of the client's choice.

use http::Request;

use crate::support::client::RawH1;
use crate::support::house::{Conf, House, KEY};
use crate::support::openai::get;
use crate::support::upstream::{Reply, Upstream};

async fn echo() -> Upstream {
    Upstream::start(|_| Reply::bytes(200, "text/plain", "ok")).await
}

/// `/` and `/local` at `base` below the upstream.
fn conf(up: &Upstream, base: &str) -> Conf {
    Conf::to_hosts(&[&format!("{}{base}", up.url())]).table(
        "[[route]]\nprefix = \"/\"\nupstream = \"up\"\n\
         [[route]]\nprefix = \"/local/\"\nupstream = \"up\"\nkind = \"general\"\n",
    )
}

#[tokio::test]
async fn path_and_query_reach_the_upstream_byte_for_byte() {
    let up = echo().await;
    let house = House::start(conf(&up, "/base")).await;
    for (sent, seen) in [
        ("/v1/models", "/base/v1/models"),
        ("/v1//a/", "/base/v1//a/"),
        ("//v1/a", "/base//v1/a"),
        ("/a%2Fb%20c?q=a%2Bb&q=", "/base/a%2Fb%20c?q=a%2Bb&q="),
        ("/@x/a:b;c=d", "/base/@x/a:b;c=d"),
        ("/a?x=/../..", "/base/a?x=/../.."),
        ("/local", "/base"),
        ("/local/", "/base/"),
        ("/local?a", "/base?a"),
        ("/local//x", "/base//x"),
        ("/localx/y", "/base/localx/y"),
        ("/", "/base/"),
        ("/?", "/base/?"),
    ] {
        assert_eq!(house.ask(get(sent)).await.status, 200, "{sent}");
        assert_eq!(up.ledger().pop().unwrap().seen.target, seen, "{sent}");
    }
}

#[tokio::test]
async fn an_absolute_target_chooses_nothing() {
    let (up, other) = (echo().await, echo().await);
    let house = House::before(&up).await;
    let mut raw = RawH1::connect(house.addr()).await;
    raw.send(format!(
        "GET {}/v1/models?a=b HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {KEY}\r\n\r\n",
        other.url(),
        other.addr()
    ))
    .await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
    let seen = up.ledger().pop().unwrap().seen;
    assert_eq!(seen.target, "/v1/models?a=b");
    assert_eq!(seen.authority, Some(up.addr().to_string()));
    assert!(other.ledger().is_empty());
}

#[tokio::test]
async fn a_prefix_that_only_looks_like_one_leads_nowhere() {
    let (up, other) = (echo().await, echo().await);
    // A prefix like "/p" must not turn "/p.1:PORT/x" into a port of the upstream's host.
    let house =
        House::start(Conf::to(&up).table("[[route]]\nprefix = \"/p\"\nupstream = \"up\"\n")).await;
    for path in [
        format!("/p.1:{}/x", other.port()),
        format!("/p:{}/x", other.port()),
        format!("/p@127.0.0.1:{}/x", other.port()),
        "/px".into(),
        "/".into(),
    ] {
        let answer = house.ask(get(&path)).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.json()["error"]["code"], "unknown_url");
        assert!(answer.header("x-request-id").is_some());
    }
    assert!(up.ledger().is_empty() && other.ledger().is_empty());
}

#[tokio::test]
async fn paths_that_mean_two_things_are_refused() {
    let up = echo().await;
    let house = House::before(&up).await;
    for target in ["/a/../b", "/..", "/a/%2e%2E/b", "/a/..%2Fb", "/a%00b", "/a/.", "*"] {
        let mut raw = RawH1::connect(house.addr()).await;
        let method = if target == "*" { "OPTIONS" } else { "GET" };
        raw.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n"
        ))
        .await;
        let answer = raw.answer().await.unwrap();
        assert_eq!(answer.status, 400, "{target}");
        assert_eq!(answer.json()["error"]["code"], "invalid_path", "{target}");
    }
    assert!(up.ledger().is_empty());
}

#[tokio::test]
async fn a_location_never_names_the_upstream() {
    let up = Upstream::start(|seen| {
        let host = seen.authority.clone().unwrap();
        Reply::bytes(307, "text/plain", "")
            .header("location", &format!("http://{host}/base/v1/models"))
            .header("access-control-allow-origin", "")
            .header("set-cookie", "upstream=1")
    })
    .await;
    let house = House::start(conf(&up, "/base")).await;
    for (path, location) in [("/v1/models/", "/v1/models"), ("/local/x", "/local/v1/models")] {
        let answer = house.ask(get(path)).await;
        assert_eq!(answer.header("location"), Some(location));
        assert_eq!(answer.header("access-control-allow-origin"), Some(""));
        assert_eq!(answer.header("set-cookie"), None);
        assert!(!format!("{:?}", answer.headers).contains(&up.port().to_string()));
    }
}

#[tokio::test]
async fn what_the_upstream_says_is_passed_on_untouched() {
    let body = r#"{"error":{"code":404,"message":"no such model","type":"not_found"}}"#;
    for status in [200, 400, 404, 429, 500, 503] {
        let up = Upstream::start(move |_| {
            Reply::bytes(status, "application/json; charset=utf-8", body)
                .header("x-request-id", "theirs")
                .header("retry-after", "7")
                .header("x-ratelimit-remaining-requests", "3")
                .header("openai-processing-ms", "12")
        })
        .await;
        let house = House::start(Conf::to(&up).upstream("retry = { attempts = 1 }")).await;
        let answer =
            house.ask(Request::post("/v1/chat/completions").body("{}".into()).unwrap()).await;
        assert_eq!((answer.status, answer.text()), (status, body));
        for (name, value) in [
            ("x-request-id", "theirs"),
            ("retry-after", "7"),
            ("x-ratelimit-remaining-requests", "3"),
            ("openai-processing-ms", "12"),
            ("content-type", "application/json; charset=utf-8"),
        ] {
            assert_eq!(answer.header(name), Some(value));
        }
    }
}
