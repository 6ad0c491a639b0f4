//! Python literals: what `repr` prints for plain values, read and written.
//!
//! Why: the chat logs of openai-forward are dicts as Python prints them, one a line, and people's
//! scripts read them with `ast.literal_eval`.
//! The trap: `repr` leaves printable characters as they are and escapes the others, by the Unicode
//! tables of its Python. Those of Python 3.11 hold here; `tests/it/python.rs` asks a real one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

mod printable;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use self::read::{Unreadable, read};
pub use self::write::{float, write};

/// A plain value of Python.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of any length, as Python writes it: digits, perhaps a minus before them.
    Int(String),
    /// A float.
    Float(f64),
    /// A `str`. Half of a surrogate pair, which a `str` may hold, has become U+FFFD.
    Text(String),
    /// A list, or a tuple.
    List(Vec<Self>),
    /// A dict in its order.
    Dict(Vec<(Self, Self)>),
}

/// Lists in lists beyond this are refused, as Python itself refuses them.
pub const DEEPEST: usize = 200;

// === impl Value ===

impl Value {
    /// What a dict holds under a text, the last one if it stands there twice.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Dict(items) = self else { return None };
        items.iter().rfind(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }

    /// Takes what a dict holds under a text.
    pub fn take(&mut self, key: &str) -> Option<Self> {
        let Self::Dict(items) = self else { return None };
        let at = items.iter().rposition(|(name, _)| name.text() == Some(key))?;
        Some(items.remove(at).1)
    }

    /// The text of a `str`.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What Python's `str()` makes of it: a text is itself, all else as `repr` prints it.
    #[must_use]
    pub fn as_str(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            other => Cow::Owned(other.to_string()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// As `repr` prints it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        write(self, &mut text);
        f.write_str(&text)
    }
}

/// From JSON, as `json.loads` reads it; integers beyond 64 bits become floats.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Any)
    }
}

struct Any;

/// So many names are looked through one by one.
const FEW: usize = 16;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Value, E> {
        Ok(Value::Bool(yes))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Int(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut json: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = json.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut json: A) -> Result<Value, A::Error> {
        let mut items: Vec<(Value, Value)> = Vec::new();
        let mut places = HashMap::new();
        while let Some((name, value)) = json.next_entry::<String, _>()? {
            // A name that comes again keeps its place and gets the new value.
            let known = match items.len() {
                ..FEW => items.iter().position(|(other, _)| other.text() == Some(&name)),
                _ => {
                    if places.is_empty() {
                        let texts = items.iter().map(|(other, _)| other.as_str().into_owned());
                        places.extend(texts.zip(0..));
                    }
                    places.get(&name).copied()
                }
            };
            if let Some(at) = known {
                items[at].1 = value;
                continue;
            }
            if !places.is_empty() {
                places.insert(name.clone(), items.len());
            }
            items.push((Value::Text(name), value));
        }
        Ok(Value::Dict(items))
    }
}
