//! Models by level, whatever is logged and whichever kind of route it is.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::{mirror, objects, send, with};
use crate::support::client::Answer;
use crate::support::house::House;
use crate::support::openai::{chat, embeddings, post};
use crate::support::upstream::Upstream;

const LEVELS: &str = r#"
OPENAI_API_KEY_CONFIG='{"sk-a1": [0, 1]}'
FORWARD_KEY_CONFIG='{"fk-zero-key": 0, "fk-one-key": 1}'
LEVEL_MODELS='{"1": ["gpt-3.5-turbo", "text-embedding-3-small"]}'
CUSTOM_GENERAL_ROUTE=/v1/custom
"#;

async fn house(up: &Upstream) -> House {
    House::of_env(&objects(up, LEVELS)).await
}

async fn ask(house: &House, key: &str, path: &str, body: &Value) -> Answer {
    send(house, with(post(path, body), "authorization", &format!("Bearer {key}"))).await
}

#[tokio::test]
async fn a_level_has_its_models_and_level_0_all() {
    let up = mirror().await;
    let house = house(&up).await;
    for (key, model, status) in [
        ("fk-zero-key", "gpt-4", 200),
        ("fk-zero-key", "gpt-3.5-turbo", 200),
        ("fk-one-key", "gpt-3.5-turbo", 200),
        ("fk-one-key", "gpt-4", 403),
        ("sk-of-the-caller", "gpt-4", 200),
    ] {
        let chat = chat(model, false, "hi");
        for path in ["/v1/chat/completions", "/v1/completions", "/raw/v1/chat/completions"] {
            let answer = ask(&house, key, path, &chat).await;
            assert_eq!(answer.status, status, "{key} {model} {path}");
        }
    }
    let small = embeddings("text-embedding-3-small", "hi");
    assert_eq!(ask(&house, "fk-one-key", "/v1/embeddings", &small).await.status, 200);
    let large = embeddings("text-embedding-3-large", "hi");
    assert_eq!(ask(&house, "fk-one-key", "/v1/embeddings", &large).await.status, 403);
}

/// They did not apply there (its issue 123).
#[tokio::test]
async fn a_general_route_has_levels_too_and_is_passed_on_untouched() {
    let up = mirror().await;
    let house = house(&up).await;
    for path in
        ["/raw/v1/custom", "/raw/v1/chat/completions", "/raw/v1/%63ustom", "/raw/v1/Custom/"]
    {
        let body = json!({"model": "gpt-4", "caching": true});
        assert_eq!(ask(&house, "fk-one-key", path, &body).await.status, 403, "{path}");
    }
    assert!(up.ledger().is_empty());
    let body = "{ \"caching\": true,\n \"model\": \"gpt-3.5-turbo\" }";
    let request = Request::post("/raw/v1/custom").header("authorization", "Bearer fk-one-key");
    let request = request.header("content-type", "application/json").body(Bytes::from(body));
    assert_eq!(send(&house, request.unwrap()).await.status, 200);
    assert_eq!(up.seen(1).await[0].body, body);
    // A body in which no model can be read is no way around.
    let request = Request::post("/raw/v1/custom").header("authorization", "Bearer fk-one-key");
    let answer = send(&house, request.body(Bytes::from("model=gpt-4")).unwrap()).await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn no_other_path_asks_for_a_model() {
    let up = mirror().await;
    let house = house(&up).await;
    let body = json!({"model": "dall-e-3", "prompt": "hi"});
    for path in ["/v1/images/generations", "/raw/v1/images/generations"] {
        assert_eq!(ask(&house, "fk-one-key", path, &body).await.status, 200, "{path}");
    }
    let form =
        "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--x--\r\n";
    let request = Request::post("/v1/audio/transcriptions")
        .header("authorization", "Bearer fk-one-key")
        .header("content-type", "multipart/form-data; boundary=x");
    let answer = send(&house, request.body(Bytes::from(form)).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(up.seen(3).await[2].body, form);
}
