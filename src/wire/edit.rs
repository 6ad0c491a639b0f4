//! A JSON body with one member put in or replaced.
//!
//! Why not parse it and write it again: that touches every number and escape of a body, and costs
//! as much as reading it. Here what is not meant is not touched, byte for byte.

use serde_json::value::RawValue;

/// `json` with one more member at the end of `object`, which is a part of it; `None` if that is no
/// object.
pub(super) fn added(json: &str, object: &str, member: &str) -> Option<Vec<u8>> {
    let inside = object.trim_start().strip_prefix('{')?.strip_suffix('}')?;
    let comma = if inside.trim_ascii().is_empty() { "" } else { "," };
    let end = offset(json, inside) + inside.len();
    Some([&json[..end], comma, member, &json[end..]].concat().into_bytes())
}

/// `json` with another value in place of one that is a part of it.
pub(super) fn replaced(json: &str, value: &RawValue, by: &str) -> Vec<u8> {
    let start = offset(json, value.get());
    let end = start + value.get().len();
    [&json[..start], by, &json[end..]].concat().into_bytes()
}

/// Where a part of a text begins in it.
fn offset(json: &str, part: &str) -> usize {
    part.as_ptr().addr() - json.as_ptr().addr()
}
