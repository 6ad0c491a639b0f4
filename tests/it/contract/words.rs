//! What its users' programs read in a refusal: the bodies of openai-forward, byte for byte.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::{ask, call, lists, mirror, objects, send, with};
use crate::support::client::Answer;
use crate::support::house::{Conf, House};
use crate::support::openai::{chat, chat_answer, get, post};
use crate::support::upstream::{Reply, Upstream};
use crate::support::{Deaf, refused_addr};

fn said(answer: &Answer) -> (u16, &str) {
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("x-request-id").is_some());
    (answer.status, answer.text())
}

fn from(ip: &str) -> http::Request<bytes::Bytes> {
    with(get("/v1/models"), "x-forwarded-for", ip)
}

#[tokio::test]
async fn an_address_that_may_not_come_in() {
    let up = mirror().await;
    let forbidden = (403, r#"{"detail":"Forbidden Error"}"#);
    let house = House::of_env(&lists(&up, "IP_WHITELIST=1.1.1.1, 3.3.3.3")).await;
    assert_eq!(said(&send(&house, from("2.2.2.2")).await), forbidden);
    assert_eq!(send(&house, from("1.1.1.1")).await.status, 200);
    let house = House::of_env(&lists(&up, "IP_BLACKLIST=1.1.1.1")).await;
    assert_eq!(said(&send(&house, from("1.1.1.1")).await), forbidden);
    assert_eq!(send(&house, from("2.2.2.2")).await.status, 200);
    assert_eq!(up.ledger().len(), 2);
}

#[tokio::test]
async fn limits_come_before_addresses_and_routes_before_both() {
    let up = mirror().await;
    let env = format!(
        "OPENAI_BASE_URL={}\nOPENAI_ROUTE_PREFIX=/openai\nIP_BLACKLIST=1.1.1.1\nGLOBAL_RATE_LIMIT=1/hour\n",
        up.url()
    );
    let house = House::of_env(&env).await;
    let ask = |path| with(get(path), "x-forwarded-for", "1.1.1.1");
    for (path, status) in [
        ("/nowhere", 404),
        ("/healthz", 200),
        ("/openai/v1/models", 403),
        ("/openai/v1/models", 429),
        ("/nowhere", 404),
        ("/healthz", 200),
    ] {
        assert_eq!(send(&house, ask(path)).await.status, status, "{path}");
    }
    assert!(up.ledger().is_empty());
}

#[tokio::test]
async fn a_path_that_leads_nowhere() {
    let up = mirror().await;
    let house = House::of_env(&lists(&up, "OPENAI_ROUTE_PREFIX=/openai")).await;
    for path in ["/", "/v1/models", "/openaix/v1"] {
        let answer = send(&house, get(path)).await;
        assert_eq!(said(&answer), (404, r#"{"detail":"Not Found"}"#), "{path}");
    }
}

#[tokio::test]
async fn one_request_too_many() {
    let up = mirror().await;
    for (limit, words) in [
        ("1/10 seconds", "1 per 10 second"),
        ("1 per 2minutes", "1 per 2 minute"),
        ("100/hour;1/minute", "1 per 1 minute"),
        ("1/month", "1 per 1 month"),
    ] {
        let env = format!("REQ_RATE_LIMIT='{{\"/v1/models\": \"{limit}\"}}'");
        let house = House::of_env(&lists(&up, &env)).await;
        assert_eq!(send(&house, get("/v1/models")).await.status, 200);
        let answer = send(&house, get("/v1/models")).await;
        let body = format!("{{\"error\":\"Rate limit exceeded: {words}\"}}");
        assert_eq!(said(&answer), (429, &*body));
        assert!(answer.header("retry-after").is_some());
        assert!(answer.header("x-ratelimit-limit-requests").is_some());
    }
}

#[tokio::test]
async fn a_model_outside_the_level() {
    let up = mirror().await;
    let levels = "FORWARD_KEY_CONFIG='{\"fk-one-key\": 1}'\nLEVEL_MODELS='{\"1\": [\"gpt-3.5\"]}'\n\
        OPENAI_API_KEY_CONFIG='{\"sk-a1\": [1]}'";
    let house = House::of_env(&objects(&up, levels)).await;
    let answer = send(&house, with(ask("gpt-4"), "authorization", "Bearer fk-one-key")).await;
    assert_eq!(said(&answer), (403, r#"{"detail":"model: gpt-4 is not allowed"}"#));
}

/// The promise "automatic retries", which held for these alone.
#[tokio::test]
async fn a_dropped_connection_is_tried_again_and_told_when_it_stays_so() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let drops = |seen: &crate::support::upstream::Seen| {
        let answer = Reply::json(200, &chat_answer("here"));
        let nth = CALLS.fetch_add(1, Ordering::Relaxed);
        let model = seen.json()["model"].clone();
        if model == "always" || nth < 2 { answer.reset_at_once() } else { answer }
    };
    let up = Upstream::start(drops).await;
    let house = House::of_env(&lists(&up, "")).await;
    assert_eq!(send(&house, ask("twice")).await.status, 200);
    assert_eq!(up.ledger().len(), 3);
    // Over new connections: one that was used before may have been closed since, and costs no attempt.
    let house = House::of_env(&lists(&up, "")).await;
    let answer = send(&house, ask("always")).await;
    let body = format!(
        "{{\"detail\":\"<class 'aiohttp.client_exceptions.ServerDisconnectedError'>: Server disconnected | \
         Please check if your host can access [{}] successfully?\"}}",
        up.url()
    );
    assert_eq!(said(&answer), (504, &*body));
    assert_eq!(up.ledger().len(), 3 + 4);
}

#[tokio::test]
async fn a_connection_that_does_not_come_about() {
    let deaf = Deaf::start().await;
    let url = format!("http://{}", deaf.addr);
    let env = format!("OPENAI_BASE_URL={url}\nOPENAI_ROUTE_PREFIX=/openai\nTIMEOUT=0.05\n");
    let house = House::of_env(&env).await;
    let request = post("/openai/v1/chat/completions?a=%2B", &chat("m", false, "hi"));
    let answer = send(&house, request).await;
    let body = format!(
        "{{\"detail\":\"<class 'aiohttp.client_exceptions.ConnectionTimeoutError'>: Connection timeout to \
         host {url}/v1/chat/completions?a=%2B | Please check if your host can access [{url}] successfully?\"}}"
    );
    assert_eq!(said(&answer), (504, &*body));
}

/// openai-forward gave up at once, with a 500.
#[tokio::test]
async fn a_connection_that_is_refused_is_tried_again_and_told() {
    let host = refused_addr().await;
    let house = House::of_env(&format!("OPENAI_BASE_URL=http://{host}\nLOG_CHAT=true\n")).await;
    let answer = send(&house, ask("m")).await;
    let body = format!(
        "{{\"detail\":\"<class 'aiohttp.client_exceptions.ClientConnectorError'>: Cannot connect to host \
         {host} ssl:default [Connection refused] | Please check if your host can access [http://{host}] \
         successfully?\"}}"
    );
    assert_eq!(said(&answer), (504, &*body));
    let unknown = "OPENAI_BASE_URL=http://does-not-exist.invalid\n";
    let answer = send(&House::of_env(unknown).await, ask("m")).await;
    let body = "{\"detail\":\"<class 'aiohttp.client_exceptions.ClientConnectorDNSError'>: Cannot connect to \
        host does-not-exist.invalid:80 ssl:default [Name or service not known] | Please check if your \
        host can access [http://does-not-exist.invalid] successfully?\"}";
    assert_eq!(said(&answer), (504, body));
    let up = Upstream::start_at(&host.to_string(), |_| Reply::json(200, &json!({}))).await;
    assert_eq!(send(&house, ask("m")).await.status, 200);
    assert_eq!(up.ledger().len(), 1);
}

#[tokio::test]
async fn what_it_had_no_words_for_keeps_the_shape_of_openai() {
    let up = mirror().await;
    let house = House::of_env(&lists(&up, "FORWARD_KEY=fk-one-key\nOPENAI_API_KEY=sk-a1")).await;
    let answer = send(&house, get("/v1/../admin")).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!("invalid_path")));
    // And without being asked for, nothing has any other.
    let conf = Conf::to(&up).with("access.deny_ips = [\"127.0.0.0/8\"]");
    let answer = call(&House::start(conf).await, "x").await;
    assert_eq!(answer.json()["error"]["code"], "address_not_allowed");
}
