//! Who may come in: keys where clients put them, models, addresses; and what the upstream sees.

use std::time::Duration;

use http::Request;
use serde_json::json;
use tokio::time::Instant;

use crate::support::client::RawH1;
use crate::support::house::{Conf, House, KEY, UPSTREAM_KEY, keyed};
use crate::support::openai::{chat, chat_answer, get, post};
use crate::support::promptly;
use crate::support::upstream::{Reply, Upstream};

async fn echo() -> Upstream {
    Upstream::start(|_| Reply::json(200, &chat_answer("hello"))).await
}

fn with(headers: &[(&str, &str)]) -> Request<bytes::Bytes> {
    let mut request = get("/v1/models");
    for (name, value) in headers {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn a_key_is_known_wherever_clients_put_it() {
    let up = echo().await;
    let house = House::before(&up).await;
    let bearer = format!("Bearer {KEY}");
    for (status, headers) in [
        (200, vec![("authorization", bearer.as_str())]),
        (200, vec![("x-api-key", KEY)]),
        (200, vec![("api-key", KEY)]),
        (200, vec![("authorization", "Bearer dummy"), ("api-key", KEY)]),
        (401, vec![]),
        (401, vec![("authorization", "Bearer fk-wrong")]),
        (401, vec![("authorization", "Bearer fk ann,0123456789")]),
        (401, vec![("authorization", &format!("{bearer} ,x"))]),
        (401, vec![("authorization", KEY)]),
        (401, vec![("authorization", &bearer), ("authorization", &bearer)]),
    ] {
        let answer = house.client().await.ask(with(&headers)).await;
        assert_eq!(answer.status, status, "{headers:?}");
        assert!(answer.header("x-request-id").is_some());
        if status == 401 {
            assert_eq!(answer.json()["error"]["code"], "invalid_api_key", "{headers:?}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert_eq!(up.ledger().len(), 4, "a refused request reached the upstream");
}

#[tokio::test]
async fn the_upstream_sees_its_own_key_and_nothing_of_the_client() {
    let up = echo().await;
    let house = House::before(&up).await;
    for place in ["authorization", "x-api-key", "api-key"] {
        let key = if place == "authorization" { format!("Bearer {KEY}") } else { KEY.into() };
        let request = with(&[
            (place, &key),
            ("cookie", "session=1"),
            ("x-forwarded-for", "10.9.8.7"),
            ("forwarded", "for=10.9.8.7"),
            ("via", "1.1 somebody"),
            ("connection", "x-private, keep-alive"),
            ("x-private", "mine"),
            ("te", "trailers"),
            ("openai-beta", "assistants=v2"),
        ]);
        assert_eq!(house.client().await.ask(request).await.status, 200);
        let seen = up.seen(1).await.pop().unwrap();
        let shown = format!("{:?}", seen.headers);
        assert!(!shown.contains(KEY), "{shown}");
        let expected = key.replace(KEY, UPSTREAM_KEY);
        assert_eq!(seen.values(place), [expected.as_str()], "{shown}");
        for name in ["cookie", "x-forwarded-for", "forwarded", "via", "x-private", "te"] {
            assert_eq!(seen.header(name), None, "{shown}");
        }
        assert_eq!(seen.header("openai-beta"), Some("assistants=v2"));
        assert_eq!(seen.authority.as_deref(), Some(up.addr().to_string().as_str()));
    }
}

#[tokio::test]
async fn each_upstream_sees_its_own_key_only() {
    let (one, two) = (echo().await, echo().await);
    let house = House::start(Conf::to(&one).table(&format!(
        "[[upstream]]\nname = \"two\"\nhosts = [\"{}\"]\nkeys = [\"sk-two-000\", \"sk-two-111\"]\n\
         [[route]]\nprefix = \"/\"\nupstream = \"up\"\n\
         [[route]]\nprefix = \"/two\"\nupstream = \"two\"\n",
        two.url()
    )))
    .await;
    for path in ["/v1/models", "/two/v1/models", "/two/v1/models", "/two/v1/models"] {
        assert_eq!(house.ask(get(path)).await.status, 200);
    }
    let keys = |up: &Upstream| -> Vec<String> {
        let seen = up.ledger();
        seen.iter().map(|e| e.seen.header("authorization").unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&one), [format!("Bearer {UPSTREAM_KEY}")]);
    assert_eq!(keys(&two), ["Bearer sk-two-000", "Bearer sk-two-111", "Bearer sk-two-000"]);
}

#[tokio::test]
async fn unknown_keys_are_passed_on_where_that_is_configured() {
    let up = echo().await;
    let house = House::start(Conf::to(&up).with("access.unknown_keys = \"pass\"")).await;
    for (sent, seen) in [
        (vec![("authorization", "Bearer sk-theirs")], Some("Bearer sk-theirs".to_owned())),
        (vec![], None),
        (vec![("x-api-key", KEY)], None),
    ] {
        assert_eq!(house.client().await.ask(with(&sent)).await.status, 200);
        let last = up.ledger().pop().unwrap().seen;
        assert_eq!(last.header("authorization").map(str::to_owned), seen, "{sent:?}");
    }
}

#[tokio::test]
async fn a_limited_key_uses_its_models_only() {
    let up = echo().await;
    let house = House::start(Conf::to(&up).table("models = [\"qwen*\", \"llama-3\"]")).await;
    for (status, body) in [
        (200, json!({"model": "qwen2.5-7b", "messages": []})),
        (200, json!({"messages": [], "model": "llama-3"})),
        (403, chat("gpt-4", false, "hi")),
        (403, json!({"messages": []})),
    ] {
        let answer = house.ask(post("/v1/chat/completions", &body)).await;
        assert_eq!(answer.status, status, "{body}");
        if status == 403 {
            assert_eq!(answer.json()["error"]["code"], "model_not_found");
            assert_eq!(answer.json()["error"]["param"], "model");
        }
    }
    // What hides the model from us must not be a way around the list.
    let twice = r#"{"model":"llama-3","model":"gpt-4","messages":[]}"#;
    for (status, kind, body) in [
        (400, "application/json", twice),
        (415, "multipart/form-data; boundary=x", "--x--"),
        (415, "application/octet-stream", "{}"),
        (403, "text/plain", "no json"),
    ] {
        let request = Request::post("/v1/x").header("content-type", kind).body(body.into());
        assert_eq!(house.ask(request.unwrap()).await.status, status, "{kind}");
    }
    let mut gzip = post("/v1/chat/completions", &chat("gpt-4", false, "hi"));
    gzip.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    assert_eq!(house.ask(gzip).await.status, 415);
    assert_eq!(house.ask(get("/v1/models")).await.status, 200);
    assert_eq!(up.ledger().len(), 3);
}

#[tokio::test]
async fn addresses_are_let_in_by_list() {
    let up = echo().await;
    let barred = House::start(Conf::to(&up).with("access.deny_ips = [\"127.0.0.0/8\"]")).await;
    let answer = barred.ask(get("/v1/models")).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (403, &json!("address_not_allowed"))
    );

    let behind = House::start(
        Conf::to(&up)
            .with("access.allow_ips = [\"192.0.2.0/24\"]")
            .with("server.trusted_proxies = [\"127.0.0.1\"]"),
    )
    .await;
    for (forwarded, status) in
        [("192.0.2.7", 200), ("198.51.100.1", 403), ("192.0.2.7, 198.51.100.1", 403)]
    {
        let mut request = keyed(get("/v1/models"));
        request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
        assert_eq!(behind.client().await.ask(request).await.status, status, "{forwarded}");
    }
    let open = House::start(Conf::to(&up).with("access.allow_ips = [\"127.0.0.1\"]")).await;
    let mut spoofed = keyed(get("/v1/models"));
    spoofed.headers_mut().insert("x-forwarded-for", "192.0.2.7".parse().unwrap());
    assert_eq!(
        open.client().await.ask(spoofed).await.status,
        200,
        "an untrusted header was believed"
    );
}

#[tokio::test]
async fn health_needs_no_key_and_reaches_no_upstream() {
    let up = echo().await;
    let house = House::before(&up).await;
    let answer = house.client().await.ask(get("/healthz")).await;
    assert_eq!((answer.status, answer.text()), (200, "\"OK\""));
    assert!(up.ledger().is_empty());
}

#[tokio::test]
async fn a_refusal_leaves_the_connection_open_and_waits_for_no_body_that_is_held_back() {
    let up = echo().await;
    let house = House::before(&up).await;
    let mut client = RawH1::connect(house.addr()).await;
    for _ in 0..3 {
        client.send("POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n{} \n").await;
        let answer = client.answer().await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (401, Some("keep-alive")));
    }
    promptly(Duration::from_secs(1), "a body that waits for 100 Continue", async || {
        let mut client = RawH1::connect(house.addr()).await;
        let asked = Instant::now();
        let expect = "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n";
        client.send(format!("POST /v1/x HTTP/1.1\r\nHost: x\r\n{expect}")).await;
        assert_eq!(client.head().await.unwrap().0, 401);
        asked.elapsed()
    })
    .await;
}
