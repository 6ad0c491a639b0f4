//! What OpenAI clients say and what their hosts answer, as short as a test wants it.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

/// The body of a chat call with one user message.
pub(crate) fn chat(model: &str, stream: bool, text: &str) -> Value {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]})
}

/// The body of an embeddings call.
pub(crate) fn embeddings(model: &str, input: &str) -> Value {
    json!({"model": model, "input": input})
}

/// A POST with a JSON body.
pub(crate) fn post(path: &str, body: &Value) -> Request<Bytes> {
    let json = Request::post(path).header("content-type", "application/json");
    json.body(Bytes::from(body.to_string())).unwrap()
}

/// A GET.
pub(crate) fn get(path: &str) -> Request<Bytes> {
    Request::get(path).body(Bytes::new()).unwrap()
}

/// The whole answer to a chat call.
pub(crate) fn chat_answer(text: &str) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text},
            "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
}

/// The payloads of a streamed chat answer: one a word, then the finish, then `[DONE]`.
pub(crate) fn chat_stream(words: &[&str]) -> Vec<String> {
    let chunk = |delta: Value, finish: Value| {
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        .to_string()
    };
    let said = words.iter().map(|word| chunk(json!({"content": word}), Value::Null));
    said.chain([chunk(json!({}), json!("stop")), "[DONE]".to_owned()]).collect()
}
