//! What openai-forward promised its users, kept: each test starts from a `.env` of theirs.
//!
//! Why from the environment: the promise is that the folder stays as it is. What its README says holds,
//! and where openai-forward itself did not keep it, the test names the fault that is gone.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::house::House;
use crate::support::openai::{chat, post};
use crate::support::upstream::{Reply, Seen, Upstream};

mod bench;
mod faults;
mod keys;
mod limits;
mod models;
mod pages;
mod paths;
mod words;

/// A host that tells what it was sent.
async fn mirror() -> Upstream {
    Upstream::start(|seen| Reply::json(200, &told(seen))).await
}

fn told(seen: &Seen) -> Value {
    json!({
        "method": seen.method,
        "target": seen.target,
        "key": seen.header("authorization").unwrap_or("-"),
    })
}

/// A `.env` of the comma lists, with this host at the root.
fn lists(up: &Upstream, more: &str) -> String {
    format!("OPENAI_BASE_URL={}\n{more}\n", up.url())
}

/// A `.env` of the JSON form, with this host at the root and, as a general one, at `/raw`.
fn objects(up: &Upstream, more: &str) -> String {
    let url = up.url();
    let targets = json!([
        {"base_url": url, "route": "/", "type": "openai"},
        {"base_url": url, "route": "/raw", "type": "general"},
    ]);
    format!("FORWARD_CONFIG='{targets}'\n{more}\n")
}

fn ask(model: &str) -> Request<Bytes> {
    post("/v1/chat/completions", &chat(model, false, "hi"))
}

fn with<B>(mut request: Request<B>, name: &'static str, value: &str) -> Request<B> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

/// Sends a request as it is, over a fresh connection.
async fn send(house: &House, request: Request<Bytes>) -> Answer {
    house.client().await.ask(request).await
}

/// Sends a chat with this key.
async fn call(house: &House, key: &str) -> Answer {
    send(house, with(ask("m"), "authorization", &format!("Bearer {key}"))).await
}

/// The key that a call with this one reached the host with.
async fn swapped(house: &House, key: &str) -> String {
    let answer = call(house, key).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["key"].as_str().unwrap().to_owned()
}
