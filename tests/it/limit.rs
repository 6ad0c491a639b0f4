//! Limits as clients meet them: exact, told in headers, and never in the way of who keeps them.

use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::support::house::{Conf, House, keyed};
use crate::support::openai::{chat, chat_answer, post};
use crate::support::upstream::{Reply, Upstream};

async fn upstream() -> Upstream {
    Upstream::start(|_| Reply::json(200, &chat_answer("hello"))).await
}

fn ask() -> Request<Bytes> {
    post("/v1/chat/completions", &chat("m", false, "hi"))
}

fn as_stranger() -> Request<Bytes> {
    let mut request = ask();
    request.headers_mut().insert("authorization", "Bearer fk-nobodys".parse().unwrap());
    request
}

#[tokio::test]
async fn a_flood_without_a_known_key_is_turned_away_and_no_known_key_is() {
    let up = upstream().await;
    let house = House::start(Conf::to(&up).with("limits.shield = \"3/hour\"")).await;
    let mut client = house.client().await;
    for nth in 0..6 {
        let answer = house.client().await.ask(as_stranger()).await;
        let code = answer.json()["error"]["code"].clone();
        match nth {
            0..3 => assert_eq!((answer.status, code), (401, json!("invalid_api_key")), "{nth}"),
            _ => {
                assert_eq!((answer.status, code), (429, json!("too_many_unknown_keys")), "{nth}");
                assert_eq!(answer.header("retry-after"), Some("3600"));
                assert_eq!(answer.header("connection"), Some("close"));
            }
        }
        assert_eq!(client.ask(keyed(ask())).await.status, 200, "{nth}");
    }
    assert_eq!(house.log().await.len(), 9, "one line a call, none for a flood");
}
