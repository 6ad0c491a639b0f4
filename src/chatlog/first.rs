//! What the first choice of an answer says, as a value of Python.
//!
//! Why the first: openai-forward logs that one, whatever `n` was. In a stream it is the one with the
//! lowest index, since its pieces come between those of others.
//! The trap: a stream that broke off with an error is no answer, although some of it is text.

use serde_json::value::RawValue;

use super::answer::{Answer, ToolCall};
use super::capture::Kept;
use crate::pyrepr::Value;
use crate::wire::fields::{filled, items, members, text};

/// A text, or a list of calls.
#[derive(Debug, PartialEq)]
pub(super) struct First {
    pub(super) said: Value,
    pub(super) is_calls: bool,
}

/// The answer of a chat; `None` when this is none.
pub(super) fn of_chat(kept: Kept<'_>) -> Option<First> {
    let body = match kept {
        Kept::Body(body) => body,
        Kept::Events(answer) => return of_events(answer),
    };
    let [message] = members(first(body)?.get(), &["message"])?;
    let [content, calls] = members(message?.get(), &["content", "tool_calls"])?;
    let calls = calls.filter(|raw| filled(raw));
    let said = match calls.or(content) {
        Some(raw) => said(raw)?,
        None => Value::None,
    };
    Some(First { said, is_calls: calls.is_some() })
}

/// The text of a completion; `None` when this is none.
pub(super) fn of_completion(kept: Kept<'_>) -> Option<Value> {
    match kept {
        Kept::Body(body) => {
            let [text] = members(first(body)?.get(), &["text"])?;
            said(text?)
        }
        Kept::Events(answer) => of_events(answer).map(|first| first.said),
    }
}

fn first(body: &str) -> Option<&RawValue> {
    let [choices] = members(body, &["choices"])?;
    items(choices?).first().copied()
}

fn of_events(answer: &Answer) -> Option<First> {
    let choice = answer.choices.first().filter(|_| answer.error.is_none())?;
    if choice.tool_calls.is_empty() {
        let said = choice.content.as_deref().unwrap_or_default().into();
        return Some(First { said, is_calls: false });
    }
    let said = Value::List(choice.tool_calls.iter().map(call).collect());
    Some(First { said, is_calls: true })
}

/// A call in the order in which its first piece has it at OpenAI.
fn call(call: &ToolCall) -> Value {
    let text = |text: &Option<String>| Value::from(text.as_deref().unwrap_or_default());
    let function = &call.function;
    let function = [("name", text(&function.name)), ("arguments", text(&function.arguments))];
    let mut members = vec![("index".into(), Value::Int(call.index.to_string()))];
    let given = [("id", &call.id), ("type", &call.kind)];
    members.extend(
        given.into_iter().filter(|(_, it)| it.is_some()).map(|(name, it)| (name.into(), text(it))),
    );
    let function = function.map(|(name, value)| (name.into(), value)).into();
    members.push(("function".into(), Value::Dict(function)));
    Value::Dict(members)
}

/// JSON as Python's; `None` when it holds half a pair of surrogates, which no log can hold.
pub(super) fn value(raw: &RawValue) -> Option<Value> {
    serde_json::from_str(raw.get()).ok()
}

/// The same of what a host said, where each half becomes U+FFFD.
fn said(raw: &RawValue) -> Option<Value> {
    value(raw).or_else(|| text(Some(raw)).map(|text| text.as_ref().into()))
}
