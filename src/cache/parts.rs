//! Parts of a whole answer as chunks have them: a function without its arguments, tokens one by one.
//!
//! Why raw: what is told in chunks is what stood in the body, letter by letter.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::wire::fields::{all, filled, items, members, text};

use super::join::quoted;

/// A function without its arguments, and those that are told in pieces.
pub(super) type Arguments = (String, Vec<(&'static str, Bytes)>);

pub(super) fn arguments(body: &Bytes, function: &RawValue) -> Option<Arguments> {
    let (mut first, mut rest) = (String::new(), Vec::new());
    for (name, raw) in all(function.get())? {
        let known = ["arguments", "input"].into_iter().find(|known| *known == name);
        let gap = if first.is_empty() { "" } else { "," };
        let name = quoted(&name);
        match known.zip(inside(body, raw)) {
            Some(told) => {
                rest.push(told);
                first.push_str(&format!("{gap}{name}:\"\""));
            }
            None => first.push_str(&format!("{gap}{name}:{}", one_line(raw))),
        }
    }
    Some((first, rest))
}

/// The tokens of a text, as they are written, each with the `logprobs` of its chunk; `None` if they
/// are not the text, or there is more to `logprobs` than that.
pub(super) fn tokens(logprobs: &RawValue, content: &RawValue) -> Option<Vec<(String, String)>> {
    let mut list = None;
    let mut more = String::new();
    for (name, raw) in all(logprobs.get())? {
        match &*name {
            "content" => list = Some(items(raw)),
            _ if filled(raw) => return None,
            name => more.push_str(&format!(",{}:{}", quoted(name), one_line(raw))),
        }
    }
    let mut whole = String::new();
    let mut tokens = Vec::new();
    for item in list? {
        let [token] = members(item.get(), &["token"])?;
        let token = token.filter(|raw| is_text(raw))?;
        whole.push_str(&token.get()[1..token.get().len() - 1]);
        let logprobs = format!("{{\"content\":[{}]{more}}}", one_line(item));
        tokens.push((token.get().to_owned(), logprobs));
    }
    let said = serde_json::from_str::<String>(&format!("\"{whole}\"")).ok()?;
    (!tokens.is_empty() && text(Some(content)).is_some_and(|text| text == said)).then_some(tokens)
}

/// What stands between the quotes of a text of the body; `None` if it is no text.
pub(super) fn inside(body: &Bytes, raw: &RawValue) -> Option<Bytes> {
    let json = raw.get();
    is_text(raw).then(|| body.slice_ref(&json.as_bytes()[1..json.len() - 1]))
}

pub(super) fn is_text(raw: &RawValue) -> bool {
    raw.get().starts_with('"')
}

pub(super) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// A value without line ends, which would end the event's line. None can be inside a text.
pub(super) fn one_line(raw: &RawValue) -> Cow<'_, str> {
    let json = raw.get();
    if memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_none() {
        return json.into();
    }
    json.replace(['\n', '\r'], " ").into()
}
