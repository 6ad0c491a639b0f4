//! A JSON body with one member put in, replaced or taken out.
//!
//! Why not parse it and write it again: that touches every number and escape of a body, and costs
//! more than reading it. Here what is not meant is not touched, byte for byte.
//! The trap: a name has many spellings, `"c\u0061ching"`, and may come twice. What is taken out is
//! what any parser would find.

use std::fmt;
use std::ops::Range;

use memchr::memmem;
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::Text;

/// A member as it stands in its object.
struct Member<'a> {
    name: &'a RawValue,
    value: &'a RawValue,
    /// Whether a member that stays is before it.
    led: bool,
}

/// Finds the members of a name.
struct Named<'n>(&'n str);

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

/// `body` without its member `name`, as often as it stands at the top level; `None` if it does not,
/// or `body` is no JSON object. With each goes one comma and the white space between the two.
#[must_use]
pub fn without(body: &[u8], name: &str) -> Option<Vec<u8>> {
    if !may_have(body, name) {
        return None;
    }
    let json = str::from_utf8(body).ok()?;
    let mut reader = serde_json::Deserializer::from_str(json);
    let found = reader.deserialize_map(Named(name)).ok()?;
    reader.end().ok()?;
    if found.is_empty() {
        return None;
    }
    let (mut rest, mut at) = (Vec::with_capacity(body.len()), 0);
    for member in &found {
        let gone = span(json, member);
        rest.extend_from_slice(&body[at..gone.start]);
        at = gone.end;
    }
    rest.extend_from_slice(&body[at..]);
    Some(rest)
}

/// Whether a member can have this name: it stands there as it is, or with an escape in it. Hardly
/// any body is read for nothing.
fn may_have(body: &[u8], name: &str) -> bool {
    // No other letter has an escape than the one by its number.
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    !plain || memmem::find(body, name.as_bytes()).is_some() || memmem::find(body, b"\\u").is_some()
}

/// What goes with a member: the comma before it, or behind it where none is left before it.
fn span(json: &str, member: &Member<'_>) -> Range<usize> {
    let start = offset(json, member.name.get());
    let end = offset(json, member.value.get()) + member.value.get().len();
    if member.led {
        return json[..start].trim_ascii_end().len() - 1..end;
    }
    match json[end..].trim_ascii_start().strip_prefix(',') {
        Some(rest) => start..offset(json, rest),
        None => start..end,
    }
}

/// Where a part of a text begins in it.
fn offset(json: &str, part: &str) -> usize {
    part.as_ptr().addr() - json.as_ptr().addr()
}

// === impl Named ===

impl<'de> Visitor<'de> for Named<'_> {
    type Value = Vec<Member<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut led) = (Vec::new(), false);
        while let Some(name) = map.next_key::<&RawValue>()? {
            // Half a surrogate pair is no text, and no name of ours.
            if serde_json::from_str(name.get()).is_ok_and(|Text(text)| text == self.0) {
                found.push(Member { name, value: map.next_value()?, led });
            } else {
                map.next_value::<IgnoredAny>()?;
                led = true;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
