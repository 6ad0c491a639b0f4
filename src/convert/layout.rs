//! A call as an item of the array, in the fields of one version.
//!
//! The trap: all but the messages and the answer is taken over as it was logged; a field that the
//! log does not have is null, as in the original.

use crate::pyrepr::Value;

use super::Layout;

/// An item: its fields in their order.
pub(super) type Item = Vec<(&'static str, Value)>;

/// The item of a call.
pub(super) fn item(mut request: Value, mut answer: Value, layout: Layout) -> Item {
    let layout = match layout {
        Layout::Auto => native(&request, &answer),
        layout => layout,
    };
    let messages = request.take("messages").map_or(Value::None, messages);
    let assistant =
        answer.take("assistant").map_or(Value::None, |said| said.as_str().as_ref().into());
    let mut field = |name: &'static str| request.take(name).unwrap_or(Value::None);
    let datetime = ("datetime", field("datetime"));
    let address = [field("ip"), field("forwarded-for")];
    let from = address.into_iter().find(|from| *from != Value::None).unwrap_or(Value::None);
    let from = (if layout == Layout::ForwardedFor { "forwarded-for" } else { "ip" }, from);
    let model = ("model", field("model"));
    let mut item = vec![datetime, from, model];
    if matches!(layout, Layout::Functions | Layout::Tools) {
        let temperature = request.take("temperature").unwrap_or_else(|| Value::Int("1".to_owned()));
        item.push(("temperature", temperature));
    }
    item.push(("messages", messages));
    let mut field = |name: &str| request.take(name).unwrap_or(Value::None);
    let called = answer.take("is_tool_calls").or_else(|| answer.take("is_function_call"));
    let called = called.unwrap_or(Value::None);
    match layout {
        Layout::Functions => {
            item.extend([("functions", field("functions")), ("is_function_call", called)]);
        }
        Layout::Tools => item.extend([("tools", field("tools")), ("is_tool_calls", called)]),
        Layout::Auto | Layout::ForwardedFor | Layout::Ip => {}
    }
    item.push(("assistant", assistant));
    item
}

/// The layout of the version that logged a call.
fn native(request: &Value, answer: &Value) -> Layout {
    if answer.get("is_function_call").is_some() {
        Layout::Functions
    } else if answer.get("is_tool_calls").is_some() {
        Layout::Tools
    } else if request.get("forwarded-for").is_some() {
        Layout::ForwardedFor
    } else {
        Layout::Ip
    }
}

/// Each message as `{role: text}`, which is how the first versions logged them already.
fn messages(logged: Value) -> Value {
    let Value::List(messages) = logged else { return logged };
    let short = |mut message: Value| {
        let Some(role) = message.take("role") else { return message };
        let text = match message.take("content") {
            Some(content) => content.as_str().as_ref().into(),
            None => Value::None,
        };
        Value::Dict(vec![(role, text)])
    };
    Value::List(messages.into_iter().map(short).collect())
}
