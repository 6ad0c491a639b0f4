//! One line of a log: what it says of a call.
//!
//! Why by what stands in it: no version wrote down its form, but no two forms have the same keys.

use serde::Deserialize;

use crate::pyrepr::{self, Value};

use super::jobs::Kind;

/// What a line says.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    /// A call came in.
    Request(String, Value),
    /// What it got.
    Answer(String, Value),
    /// Both at once.
    Call(Value, Value),
    /// A request without messages, which openai-forward takes for an answer that nobody asked for.
    Stray,
}

/// A line of aifd's own log, as much of it as an item shows.
#[derive(Deserialize)]
struct Own {
    id: String,
    time: String,
    client: Option<String>,
    model: Option<String>,
    messages: Option<Value>,
    parameters: Option<Value>,
    status: Option<u16>,
    answer: Option<Value>,
    ended: String,
}

/// Reads a line; nothing for one that is blank or no chat.
pub(super) fn read(line: &[u8], kind: Kind) -> Result<Option<Said>, String> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    let text = str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    match kind {
        Kind::Python => python(text).map(Some),
        Kind::Jsonl => own(text),
    }
}

fn python(text: &str) -> Result<Said, String> {
    let mut value = pyrepr::read(text).map_err(|error| format!("torn, or no call ({error})"))?;
    if !matches!(value, Value::Dict(_)) {
        return Err("no call".to_owned());
    }
    let Some(Value::Text(uid)) = value.take("uid") else {
        return Err("a call without its uid".to_owned());
    };
    Ok(match value.get("messages") {
        Some(messages) if is_true(messages) => Said::Request(uid, value),
        Some(_) => Said::Stray,
        None => Said::Answer(uid, value),
    })
}

/// What Python takes for true.
fn is_true(value: &Value) -> bool {
    match value {
        Value::None | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Int(digits) => digits != "0",
        Value::Float(number) => *number != 0.0,
        Value::Text(text) => !text.is_empty(),
        Value::List(items) => !items.is_empty(),
        Value::Dict(items) => !items.is_empty(),
    }
}

fn own(text: &str) -> Result<Option<Said>, String> {
    let own: Own =
        serde_json::from_str(text).map_err(|error| format!("torn, or no call ({error})"))?;
    let Some(messages) = own.messages.as_ref().filter(|messages| is_true(messages)) else {
        return Ok(None);
    };
    let parameter = |name: &str| own.parameters.as_ref().and_then(|it| it.get(name)).cloned();
    let text = |text: &Option<String>| text.as_deref().map_or(Value::None, Value::from);
    // `2026-08-12T10:15:00.123+02:00`, of which the old form has the first nineteen characters.
    let datetime = own.time.get(..19).unwrap_or(&own.time).replacen('T', " ", 1);
    let mut request = vec![
        ("messages".into(), messages.clone()),
        ("model".into(), text(&own.model)),
        ("ip".into(), text(&own.client)),
        ("datetime".into(), Value::Text(datetime)),
    ];
    for name in ["temperature", "functions", "tools"] {
        request.extend(parameter(name).map(|value| (name.into(), value)));
    }
    let request = Value::Dict(request);
    let whole =
        own.ended == "done" && own.status.is_some_and(|status| (200..300).contains(&status));
    let answer = own.answer.as_ref().filter(|_| whole).and_then(answer);
    Ok(Some(match answer {
        Some(answer) => Said::Call(request, answer),
        None => Said::Request(own.id, request),
    }))
}

/// The first choice, which is the one that openai-forward logs.
fn answer(answer: &Value) -> Option<Value> {
    let Some(Value::List(choices)) = answer.get("choices") else { return None };
    let choice = choices.first()?;
    let calls = choice.get("tool_calls").or_else(|| choice.get("function_call"));
    let calls = calls.filter(|calls| is_true(calls));
    let said = calls.or_else(|| choice.get("content")).unwrap_or(&Value::None);
    Some(Value::Dict(vec![
        ("assistant".into(), said.clone()),
        ("is_tool_calls".into(), Value::Bool(calls.is_some())),
    ]))
}
