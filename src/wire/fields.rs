//! A few members out of a JSON object, the rest stepped over.
//!
//! Why not a struct: serde's own structs fail as a whole when one member has an odd type or comes
//! twice; here each member is raw text, and its reader decides what is odd.
//! The trap: stepping over is done without recursion, so depth costs no stack.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members that were asked for, in the order they were asked for.
pub(super) struct Picked<'a, const N: usize> {
    /// Their values; the last one counts, as in most parsers.
    pub(super) values: [Option<&'a RawValue>; N],
    /// Which of them came more than once.
    pub(super) twice: [bool; N],
    /// Which of them came in other letters too, `Model` for `model`.
    pub(super) recased: [bool; N],
}

/// Picks `keys` out of `text`, which is one JSON object and nothing else.
pub(super) fn pick<'a, const N: usize>(
    text: &'a str,
    keys: &[&str; N],
) -> Result<Picked<'a, N>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let picked = Keys(keys).deserialize(&mut json)?;
    json.end()?;
    Ok(picked)
}

/// The elements of an array; none if it is something else.
#[must_use]
pub fn items(raw: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

/// The members that were asked for; `None` if `json` is no object.
#[must_use]
pub fn members<'a, const N: usize>(
    json: &'a str,
    keys: &[&str; N],
) -> Option<[Option<&'a RawValue>; N]> {
    pick(json, keys).ok().map(|picked| picked.values)
}

/// All members of an object in their order; `None` if `json` is no object, or has a member twice.
#[must_use]
pub fn all(json: &str) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    let Everything(found) = serde_json::from_str(json).ok()?;
    // Most objects are small, and sorting costs more than looking.
    let is_double = |at: usize| found[..at].iter().any(|(name, _)| *name == found[at].0);
    let doubles = if found.len() <= 16 {
        (1..found.len()).any(is_double)
    } else {
        let mut names: Vec<_> = found.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.windows(2).any(|two| two[0] == two[1])
    };
    (!doubles).then_some(found)
}

/// Neither null nor an empty text, array or object.
#[must_use]
pub fn filled(raw: &RawValue) -> bool {
    let raw = raw.get();
    let inside = match raw.as_bytes()[0] {
        b'"' | b'[' | b'{' => &raw[1..raw.len() - 1],
        _ => return raw != "null",
    };
    // A text of spaces is a text.
    raw.starts_with('"') && !inside.is_empty() || !inside.trim_ascii().is_empty()
}

/// A number, a flag, a text, as serde reads it; `None` for another type.
pub(super) fn value<T: DeserializeOwned>(raw: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// A text; `None` for another type.
#[must_use]
pub fn text(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    let raw = raw?.get();
    if !raw.starts_with('"') {
        return None;
    }
    match serde_json::from_str(raw) {
        Ok(Text(text)) => Some(text),
        Err(_) => serde_json::from_str(raw).ok().map(|Halved(text)| Cow::Owned(text)),
    }
}

struct Everything<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Clone, Copy)]
struct Keys<'k, const N: usize>(&'k [&'k str; N]);

enum Found {
    Key(usize),
    Recased(usize),
    Other,
}

struct Name<'k, const N: usize>(Keys<'k, N>);

/// Text that is decoded without a copy where JSON allows.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Text with half a surrogate pair in it: no Unicode, but hosts that cut tokens send it.
struct Halved(String);

// === impl Everything ===

impl<'de: 'a, 'a> Deserialize<'de> for Everything<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Everything<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Vec::new();
                while let Some((Text(name), value)) = map.next_entry()? {
                    found.push((name, value));
                }
                Ok(Everything(found))
            }
        }
        json.deserialize_map(Object)
    }
}

// === impl Keys ===

impl<'de, const N: usize> DeserializeSeed<'de> for Keys<'_, N> {
    type Value = Picked<'de, N>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Keys<'_, N> {
    type Value = Picked<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut picked = Picked { values: [None; N], twice: [false; N], recased: [false; N] };
        while let Some(found) = map.next_key_seed(Name(self))? {
            match found {
                Found::Key(at) => {
                    let before = picked.values[at].replace(map.next_value()?);
                    picked.twice[at] |= before.is_some();
                }
                Found::Recased(at) => {
                    picked.recased[at] = true;
                    map.next_value::<IgnoredAny>()?;
                }
                Found::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(picked)
    }
}

// === impl Name ===

impl<'de, const N: usize> DeserializeSeed<'de> for Name<'_, N> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Found, D::Error> {
        json.deserialize_str(self)
    }
}

impl<const N: usize> Visitor<'_> for Name<'_, N> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Found, E> {
        let Keys(keys) = self.0;
        if let Some(at) = keys.iter().position(|key| *key == name) {
            return Ok(Found::Key(at));
        }
        let recased = keys.iter().position(|key| key.eq_ignore_ascii_case(name));
        Ok(recased.map_or(Found::Other, Found::Recased))
    }
}

// === impl Halved ===

impl<'de> Deserialize<'de> for Halved {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Halved;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Halved, E> {
                Ok(Halved(String::from_utf8_lossy(bytes).into_owned()))
            }
        }
        // serde_json leaves half a pair alone when asked for bytes.
        json.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_double_is_found_among_few_and_many() {
        for count in [2, 16, 17, 40] {
            let mut members: Vec<_> = (0..count).map(|at| format!("\"{at}\":0")).collect();
            assert!(all(&format!("{{{}}}", members.join(","))).is_some());
            members[count - 1] = members[0].clone();
            assert!(all(&format!("{{{}}}", members.join(","))).is_none(), "{count}");
        }
    }

    #[test]
    fn all_members_or_none() {
        let names = |json| {
            let found = all(json)?;
            Some(
                found.iter().map(|(name, raw)| format!("{name}={}", raw.get())).collect::<Vec<_>>(),
            )
        };
        for (json, expected) in [
            ("{}", Some(vec![])),
            (r#" {"b": 1e0, "\u0061":[ ]} "#, Some(vec!["b=1e0", "a=[ ]"])),
            (r#"{"a":1,"\u0061":1}"#, None),
            (r#"{"\ud800":1}"#, None),
            ("[]", None),
            ("{} x", None),
        ] {
            let expected =
                expected.map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(names(json), expected, "{json}");
        }
    }
}
