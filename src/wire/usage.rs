//! The `usage` of a stream: asking a host for it, and taking out again what only we asked for.
//!
//! Why: a stream tells its tokens only when `stream_options.include_usage` asks for them. A client
//! that did not ask must not see the chunk that comes of it: some fail on its empty `choices`.
//! The trap: a body is not written anew. One member is put in, every other byte stays as it is.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde_json::value::RawValue;

use super::fields::{filled, members};
use super::sse;

/// What became of the wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// The client asks for usage itself: its body goes as it is, and the chunk goes to it.
    Client,
    /// The body to send instead: it asks for usage. The chunk is ours.
    Ours(Vec<u8>),
    /// Nobody asks: the body is no object, or its `stream_options` are none, which is for the host
    /// to refuse.
    Nobody,
}

/// Puts the wish for usage into the body of a streaming request of the chat or completions API.
#[must_use]
pub fn ask(body: &[u8]) -> Wish {
    let Ok(json) = str::from_utf8(body) else {
        return Wish::Nobody;
    };
    let Some([options]) = members(json, &["stream_options"]) else {
        return Wish::Nobody;
    };
    let Some(options) = options else {
        return with_member(json, json.trim_end(), r#""stream_options":{"include_usage":true}"#);
    };
    match options.get() {
        "null" => replaced(json, options, r#"{"include_usage":true}"#),
        _ => match members(options.get(), &["include_usage"]) {
            Some([Some(wish)]) if wish.get() == "true" => Wish::Client,
            Some([Some(wish)]) => replaced(json, wish, "true"),
            Some([None]) => with_member(json, options.get(), r#""include_usage":true"#),
            None => Wish::Nobody,
        },
    }
}

/// The document with one more member at the end of `object`, which is a part of it.
fn with_member(json: &str, object: &str, member: &str) -> Wish {
    let object = object.trim_start();
    let inside = object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let Some(inside) = inside else {
        return Wish::Nobody;
    };
    let comma = if inside.trim_ascii().is_empty() { "" } else { "," };
    let end = offset(json, inside) + inside.len();
    Wish::Ours([&json[..end], comma, member, &json[end..]].concat().into_bytes())
}

fn replaced(json: &str, value: &RawValue, by: &str) -> Wish {
    let start = offset(json, value.get());
    let end = start + value.get().len();
    Wish::Ours([&json[..start], by, &json[end..]].concat().into_bytes())
}

/// Where a part of a text begins in it.
fn offset(json: &str, part: &str) -> usize {
    part.as_ptr().addr() - json.as_ptr().addr()
}

/// Whether an event of a stream carries usage and nothing else: an object `usage`, and `choices`
/// that are empty. Chunks with a `usage` of null, as hosts send them once they are asked, are none.
#[must_use]
pub fn is_only_usage(event: &[u8]) -> bool {
    has_no_choices(event) && sse::data(event).is_some_and(|data| reads_as_only_usage(&data))
}

/// Whether `"choices":[]` stands in it: not to be trusted, but hardly any event passes.
fn has_no_choices(event: &[u8]) -> bool {
    static CHOICES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"choices\""));
    CHOICES.find_iter(event).any(|at| {
        let rest = event[at + CHOICES.needle().len()..].trim_ascii_start();
        let rest = rest.strip_prefix(b":").unwrap_or_default().trim_ascii_start();
        rest.strip_prefix(b"[").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"]"))
    })
}

fn reads_as_only_usage(data: &[u8]) -> bool {
    let read =
        str::from_utf8(data).ok().and_then(|json| members(json, &["choices", "usage", "error"]));
    match read {
        Some([Some(choices), Some(usage), error]) => {
            !filled(choices)
                && choices.get().starts_with('[')
                && usage.get().starts_with('{')
                && !error.is_some_and(filled)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
