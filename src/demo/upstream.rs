//! The demo's upstream: OpenAI-style answers without a model, the same for the same question.
//!
//! Why its own pace: a stream that arrives at once shows nothing. The first token takes a moment,
//! the rest come at a steady rate.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// The key only the proxy knows.
pub(super) const KEY: &str = "sk-demo-upstream";

/// The model it serves.
pub(super) const MODEL: &str = "demo-1";

const FIRST_TOKEN: Duration = Duration::from_millis(120);
const TOKEN: Duration = Duration::from_millis(25);
const CREATED: u64 = 1_700_000_000;

/// A stream of events out of a channel.
struct Events(mpsc::Receiver<Bytes>);

/// Everything it answers.
pub(super) fn router() -> Router {
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completion))
        .route("/v1/embeddings", post(embeddings))
}

async fn models(headers: HeaderMap) -> Response {
    if let Some(refused) = refused(&headers) {
        return refused;
    }
    let model = json!({"id": MODEL, "object": "model", "created": CREATED, "owned_by": "aifd"});
    Json(json!({"object": "list", "data": [model]})).into_response()
}

async fn chat(headers: HeaderMap, Json(ask): Json<Value>) -> Response {
    if let Some(refused) = refused(&headers) {
        return refused;
    }
    let question = ask["messages"].as_array().and_then(|all| all.last());
    let question = question.and_then(|last| last["content"].as_str()).unwrap_or_default();
    let tokens = tokens(question);
    if ask["stream"] == true {
        return stream(tokens);
    }
    tokio::time::sleep(FIRST_TOKEN).await;
    let message = json!({"role": "assistant", "content": tokens.concat()});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    Json(answer("chat.completion", &choice, question, tokens.len())).into_response()
}

async fn completion(headers: HeaderMap, Json(ask): Json<Value>) -> Response {
    if let Some(refused) = refused(&headers) {
        return refused;
    }
    let prompt = ask["prompt"].as_str().unwrap_or_default();
    let tokens = tokens(prompt);
    let choice = json!({"index": 0, "text": tokens.concat(), "finish_reason": "stop"});
    Json(answer("text_completion", &choice, prompt, tokens.len())).into_response()
}

async fn embeddings(headers: HeaderMap, Json(ask): Json<Value>) -> Response {
    if let Some(refused) = refused(&headers) {
        return refused;
    }
    let inputs = match &ask["input"] {
        Value::Array(inputs) => inputs.clone(),
        input => vec![input.clone()],
    };
    let vector = |text: &str| -> Vec<f64> {
        (0..8_u32)
            .map(|axis| {
                let sum: u32 = text.bytes().map(u32::from).sum();
                f64::from((sum * (axis + 1)) % 200) / 100.0 - 1.0
            })
            .collect()
    };
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let embedding = vector(input.as_str().unwrap_or_default());
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let usage = json!({"prompt_tokens": data.len(), "total_tokens": data.len()});
    Json(json!({"object": "list", "model": MODEL, "data": data, "usage": usage})).into_response()
}

fn refused(headers: &HeaderMap) -> Option<Response> {
    let key = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if key == Some(&format!("Bearer {KEY}")) {
        return None;
    }
    let error = json!({"error": {"message": "wrong upstream key", "code": "invalid_api_key"}});
    Some((StatusCode::UNAUTHORIZED, Json(error)).into_response())
}

/// The answer, word by word: it repeats the question, so that everybody can check it.
fn tokens(question: &str) -> Vec<String> {
    let text =
        format!("You said: {question} That came through aifd, word by word, as it was made.");
    text.split_inclusive(' ').map(str::to_owned).collect()
}

fn answer(object: &str, choice: &Value, question: &str, tokens: usize) -> Value {
    let asked = question.split_whitespace().count();
    json!({
        "id": "demo-answer", "object": object, "created": CREATED, "model": MODEL,
        "choices": [choice],
        "usage": {
            "prompt_tokens": asked, "completion_tokens": tokens, "total_tokens": asked + tokens,
        },
    })
}

fn stream(tokens: Vec<String>) -> Response {
    let (send, receive) = mpsc::channel(4);
    #[expect(clippy::disallowed_methods, reason = "one task a stream, ended by its reader")]
    tokio::spawn(async move {
        tokio::time::sleep(FIRST_TOKEN).await;
        let chunk = |delta: Value, finish: Value| {
            let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
            let chunk = json!({
                "id": "demo-answer", "object": "chat.completion.chunk", "created": CREATED,
                "model": MODEL, "choices": [choice],
            });
            Bytes::from(format!("data: {chunk}\n\n"))
        };
        let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
        events.extend(tokens.iter().map(|token| chunk(json!({"content": token}), Value::Null)));
        events.push(chunk(json!({}), "stop".into()));
        events.push(Bytes::from_static(b"data: [DONE]\n\n"));
        for event in events {
            if send.send(event).await.is_err() {
                return;
            }
            tokio::time::sleep(TOKEN).await;
        }
    });
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    (kind, Body::from_stream(Events(receive))).into_response()
}

impl futures_core::Stream for Events {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|event| event.map(Ok))
    }
}
