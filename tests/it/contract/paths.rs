//! Which path goes where.

use aifd::config::compat::find;
use bytes::Bytes;
use http::Request;
use serde_json::json;

use super::{lists, mirror, send, with};
use crate::support::client::{Answer, Client};
use crate::support::house::House;
use crate::support::openai::get;

fn seen(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["target"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn slashes_are_merged_before_anything_is_decided() {
    let up = mirror().await;
    let house = House::of_env(&lists(&up, "")).await;
    for (sent, expected) in [
        ("/v1/models", "/v1/models"),
        ("//v1///models/", "/v1/models"),
        ("/v1/models//?q=a%2Bb&r=//", "/v1/models?q=a%2Bb&r=//"),
        ("/", "/"),
        ("///", "/"),
        ("/a%20b", "/a%20b"),
    ] {
        assert_eq!(seen(&send(&house, get(sent)).await), expected, "{sent}");
    }
    assert_eq!(send(&house, get("//healthz/")).await.text(), "\"OK\"");
    let answer = Client::h2c(house.addr()).await.ask(get("//v1///models/?q=1")).await;
    assert_eq!(seen(&answer), "/v1/models?q=1");
}

#[tokio::test]
async fn prefixes_are_taken_off_and_the_root_comes_last() {
    let up = mirror().await;
    let url = up.url();
    let env = format!(
        "OPENAI_BASE_URL={url}/base,{url}/one\nOPENAI_ROUTE_PREFIX=/,/openai/\n\
         EXTRA_BASE_URL={url}/extra\nEXTRA_ROUTE_PREFIX=test\n"
    );
    let house = House::of_env(&env).await;
    for (sent, expected) in [
        ("/v1/models", "/base/v1/models"),
        ("/openai/v1/models", "/one/v1/models"),
        ("/openai", "/one"),
        ("//openai//v1", "/one/v1"),
        // In 0.4 to 0.6 the root hid every extra target.
        ("/test/123", "/extra/123"),
        ("/openaix/y", "/base/openaix/y"),
    ] {
        assert_eq!(seen(&send(&house, get(sent)).await), expected, "{sent}");
    }
}

/// What is wrong with a `.env`.
fn faults(env: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), env).unwrap();
    find(folder.path(), &|_| None).unwrap().unwrap_err().to_string()
}

/// `base_url + rest` made another host of it, and the real key went there.
#[tokio::test]
async fn a_path_never_becomes_part_of_the_host() {
    let (up, other) = (mirror().await, mirror().await);
    let (url, port) = (up.url(), other.port());
    // Half an address, which a path could make whole, is no host to begin with.
    let half = faults("OPENAI_BASE_URL=http://127.0.0\n");
    assert!(half.contains("has no proper host"), "{half}");
    let env = format!(
        "OPENAI_BASE_URL={url},http://localhost\nOPENAI_ROUTE_PREFIX=/q,/p\n\
         OPENAI_API_KEY=sk-a1\nFORWARD_KEY=fk-one-key\n"
    );
    let house = House::of_env(&env).await;
    for path in
        ["/p.1:PORT/evil", "/q.1:PORT/evil", "/q@127.0.0.1:PORT/evil", "/q:PORT/evil", "/px"]
    {
        let path = path.replace("PORT", &port.to_string());
        let request = with(get(&path), "authorization", "Bearer fk-one-key");
        let answer = send(&house, request).await;
        assert_eq!((answer.status, answer.text()), (404, r#"{"detail":"Not Found"}"#), "{path}");
    }
    assert!(up.ledger().is_empty() && other.ledger().is_empty());
}

#[tokio::test]
async fn nothing_of_the_hosts_own_is_hidden() {
    let up = mirror().await;
    let house = House::of_env(&lists(&up, "")).await;
    for path in ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"] {
        assert_eq!(seen(&send(&house, get(path)).await), path);
    }
    let answer = send(&house, get("/healthz")).await;
    assert_eq!((answer.status, answer.text()), (200, "\"OK\""));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"] {
        let request = Request::builder().method(method).uri("/healthz");
        let answer = send(&house, request.body(Bytes::new()).unwrap()).await;
        assert_eq!((answer.status, &answer.json()["method"]), (200, &json!(method)));
    }
}
